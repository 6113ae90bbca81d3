"""Plays a random, seeded history on a house and on the model beside it, and compares everything.

After every act: the answer or the refusal with its facts, every purse, open loan, active proposal,
pending request and the day. Now and then, and at the end: every row there is, and the audit.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from operator import itemgetter
from random import Random
from typing import Any

from model import SUSPENDED, Denied, Economy, Facts, InAnyOrder, Loan, Request, Tip
from people import Caller, House, Member, Refusal, Row

JOBS = ("daily_reset", "daily_sunset", "tip_to_tip_expiry")
ZONES = (
    "UTC",
    "Europe/Lisbon",
    "Asia/Kolkata",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)
BUDGETS = (10, 40, 100, 150)
OF_AN_ENTRY = ("type", "amount", "moved", "balance_after", "day")

# Whatever can still change, in one statement and so of one moment.
PRESENT = """
  select jsonb_build_object(
    'day', d.day, 'open', d.is_open, 'dawn_at', d.dawn_at, 'zone', c.timezone,
    'budget', c.daily_cc_budget, 'pending', c.pending, 'willed', c.willed,
    'absences', (
      select coalesce(jsonb_object_agg(a.user_id, jsonb_build_array(a.from_day, a.to_day)), '{}')
      from private.absences as a where a.community_id = c.id and a.to_day >= d.day
    ),
    'members', (
      select coalesce(jsonb_agg(m.user_id), '[]') from private.community_members as m
      where m.community_id = c.id and m.left_at is null
    ),
    'moderators', (
      select coalesce(jsonb_agg(m.user_id), '[]') from private.community_members as m
      where m.community_id = c.id and m.left_at is null and 'moderator' = any(m.roles)
    ),
    'banned', (
      select coalesce(jsonb_agg(b.user_id), '[]') from private.bans as b where b.community_id = c.id
    ),
    'purses', (
      select jsonb_object_agg(b.user_id, jsonb_build_object(
        'day', b.day, 'remaining', b.remaining, 'spent_today', b.spent_today,
        'spent_total', b.spent_total
      ))
      from private.purses as b where b.community_id = c.id
    ),
    'requests', (
      select coalesce(jsonb_agg(r.id), '[]') from private.borrow_requests as r
      where r.community_id = c.id and r.status = 'pending'
        and private.borrow_status(r.status, r.lapses_at) = 'pending'
    ),
    'loans', (
      select coalesce(jsonb_object_agg(l.id, jsonb_build_object(
        'borrower', l.borrower_id, 'lender', l.lender_id, 'amount', l.amount,
        'outstanding', l.outstanding, 'status', l.status
      )), '{}')
      from private.loans as l where l.community_id = c.id and l.status in ('open', 'asleep')
    ),
    'tips', (
      select coalesce(jsonb_object_agg(t.id, t.awaiting), '{}')
      from private.tip_to_tip_proposals as t where t.community_id = c.id and t.status = 'active'
    ),
    'escrow', (
      select coalesce(jsonb_object_agg(s.proposal_id, s.amount), '{}')
      from private.stakes as s where s.community_id = c.id and s.status in ('held', 'due')
    )
  ) as present
  from private.communities as c
  join private.community_days as d on d.community_id = c.id
  where c.id = %(community)s
"""


def made_by(answer: Any) -> set[str]:
    """The ids of the things an answer shows."""
    return {str(thing["id"]) for thing in answer.values() if "id" in thing}


class Driver:
    """A founder and others, some of them outside at first; `seed` decides everything they do."""

    def __init__(
        self, house: House, seed: int, others: int, minutes_an_act: float, start: str
    ) -> None:
        self.house = house
        self.random = Random(seed)
        self.seed = seed
        self.minutes_an_act = minutes_an_act
        self.story: list[str] = []
        self.done: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.days: set[date] = set()
        self.calls: list[tuple[Member, str, Facts]] = []  # those with a request_id
        self.answers: dict[str, Any] = {}
        self.gone: list[Member] = []  # erased; they still try

        house.clock.at(start)
        names = [f"Member {n}" for n in range(others + 1)]
        self.people = [
            house.admit(house.sign_up(f"member{n}@chas.test", name)) for n, name in enumerate(names)
        ]
        founder = self.people[0]
        founded = founder.create_community(
            name="Chance", timezone="Europe/Lisbon", daily_cc_budget=100
        )
        self.community: str = founded["community"]["id"]
        self.code: str = founded["community"]["invite_code"]
        self.model = Economy(founder.id, house.clock.now, "Europe/Lisbon", 100)
        for person in self.people[1 : others * 3 // 4]:
            self.act(person, "join_community", invite_code=self.code)

    # -------------------------------------------------------------------------- the history

    def play(self, acts: int) -> None:
        due = 200
        for number in range(1, acts + 1):
            self.forward()
            self.something()
            self.compare_present()
            if number == due:
                self.compare_everything()
                # The longer the history, the longer until it is read again: an act costs the same.
                due += max(200, number // 20)
        self.compare_everything()

    def forward(self) -> None:
        """Mostly a little; sometimes to the very edge of a day; sometimes nobody comes for days."""
        clock, model, chance = self.house.clock, self.model, self.random.random()
        second = timedelta(seconds=1)
        edges = [
            model.sunset_at - timedelta(hours=2),
            model.sunset_at - second,
            model.sunset_at,
            model.dawn_at - second,
            model.dawn_at,
        ]
        ahead = [edge for edge in edges if edge > clock.now]
        if chance < 0.002:
            clock.forward(hours=self.random.uniform(8, 60))
        elif chance < 0.014 and ahead:
            clock.at(ahead[0])
        elif not model.open and clock.now < model.dawn_at:
            clock.forward(seconds=self.random.uniform(0, 9))
        else:
            clock.forward(minutes=self.random.expovariate(1 / self.minutes_an_act))

    def something(self) -> None:
        deeds: dict[Callable[[], None], float] = {
            self.declare: 15,
            self.ask: 14,
            self.respond: 15,
            self.cancel: 1,
            self.repay: 5,
            self.forgive: 2,
            self.propose: 3,
            self.vote: 30,
            self.look: 10,
            self.retry: 6,
            self.tick: 5,
            self.join: 2,
            self.leave: 0.7,
            self.remove: 0.5,
            self.ban_or_lift: 0.7,
            self.disable_or_restore: 1.2,
            self.erase: 0.2,
            self.settings: 1.5,
            self.go_away: 1.5,
            self.come_back: 1.5,
        }
        (deed,) = self.random.choices(list(deeds), list(deeds.values()))
        deed()

    # -------------------------------------------------------------------------- deeds

    def declare(self) -> None:
        who = self.somebody()
        self.act(
            who,
            "declare_joy",
            title=f"Joy {self.random.random()}",
            cc_spent=self.amount(self.purse_of(who)),
            request_id=self.request_id(),
        )

    def ask(self) -> None:
        who = self.somebody()
        self.act(
            who,
            "request_borrow",
            lender_id=self.random.choice(self.people).id,
            amount=self.amount(self.model.budget - self.model.debt_of(who.id)),
            reason="Because",
            request_id=self.request_id(),
        )

    def respond(self) -> None:
        identity, request = self.one_of(self.model.requests, self.is_pending)
        if request:
            who = self.mostly(request.lender)
            action = self.random.choices(["approved", "declined"], [5, 1])[0]
            amount = self.random.choice([None, None, self.amount(request.amount)])
            self.act(
                who, "respond_borrow", borrow_request_id=identity, action=action, amount=amount
            )

    def cancel(self) -> None:
        identity, request = self.one_of(self.model.requests, self.is_pending)
        if request:
            self.act(self.mostly(request.borrower), "cancel_borrow", borrow_request_id=identity)

    def repay(self) -> None:
        identity, loan = self.one_of(self.model.loans, lambda one: one.status == "open")
        if loan:
            amount = self.amount(loan.outstanding)
            who, request_id = self.mostly(loan.borrower), self.request_id()
            self.act(who, "repay_loan", loan_id=identity, amount=amount, request_id=request_id)

    def forgive(self) -> None:
        identity, loan = self.one_of(self.model.loans, lambda one: one.outstanding > 0)
        if loan:
            amount = self.random.choice([None, self.amount(loan.outstanding)])
            self.act(self.mostly(loan.lender), "forgive_loan", loan_id=identity, amount=amount)

    def propose(self) -> None:
        who = self.somebody()
        self.act(
            who,
            "propose_tip_to_tip",
            title=f"Tip {self.random.random()}",
            stake_amount=self.amount(self.purse_of(who)),
            request_id=self.request_id(),
            amendment=self.amendment(),
        )

    def go_away(self) -> None:
        """Mostly tomorrow and for a day or two, now and then out of bounds."""
        first = self.model.day + timedelta(days=self.random.choice([0, 1, 1, 1, 2, 61]))
        last = first + timedelta(days=self.random.choice([-1, 0, 0, 0, 1, 1, 14]))
        self.act(self.somebody(), "declare_absence", from_day=first, to_day=last)

    def come_back(self) -> None:
        who = self.mostly(self.random.choice([*self.model.absences] or [self.people[0].id]))
        self.act(who, "end_absence")

    def amendment(self) -> Facts | None:
        """One proposal in five would change how all live here."""
        if self.random.random() < 0.8:
            return None
        if self.random.random() < 0.5:
            return {"timezone": self.random.choice(ZONES)}
        return {"daily_cc_budget": self.random.choice([*BUDGETS, 9])}

    def vote(self) -> None:
        """Mostly on the proposal nearest to its end, else few would come to one."""
        identity, tip = self.one_of(self.model.tips, self.is_active)
        active = [i for i, one in self.model.tips.items() if self.is_active(one)]
        if not active:
            self.propose()
        elif self.random.random() < 0.7:
            identity = min(active, key=lambda one: self.model.tips[one].awaiting)
            tip = self.model.tips[identity]
        if tip:
            awaited = [p for p in self.people if p.id in tip.roll - tip.voted]
            is_likely = awaited and self.random.random() < 0.9
            who = self.random.choice(awaited if is_likely else self.people)
            vote = self.random.choices(["accept", "decline"], [25, 1])[0]
            self.act(who, "vote_tip_to_tip", proposal_id=identity, vote=vote)

    def look(self) -> None:
        doors = ("get_balance", "list_ledger", "audit_ledger", "preview_dawn", "get_sunset")
        door = self.random.choice([*doors, "list_loans", "get_tip_to_tip"])
        if door == "list_loans":
            side = self.random.choice(["lent", "owed", "both"])
            self.act(self.somebody(), door, side=side)
        elif door != "get_tip_to_tip":
            self.act(self.somebody(), door)
        elif self.model.tips:
            self.act(self.somebody(), door, proposal_id=self.random.choice([*self.model.tips]))

    def retry(self) -> None:
        """The same call again, or another with an id already used."""
        if self.calls:
            recent = self.calls[-60:] if self.random.random() < 0.7 else self.calls
            who, rpc, said = self.random.choice(recent)
            if self.random.random() < 0.2:
                field = next(name for name in said if name in ("title", "amount", "invite_code"))
                said = said | {field: 1 if field == "amount" else said[field] + " "}
            self.act(who, rpc, **said)

    def tick(self) -> None:
        for job in JOBS if self.random.random() < 0.5 else [self.random.choice(JOBS)]:
            query = f"select private.{job}(%(now)s)"
            self.house.owner.sql(query, now=self.house.clock.now)
            self.model.now = self.house.clock.now
            self.model.run_job(job)
            self.story.append(f"{self.house.clock.now} {job}")
            self.done[job] += 1

    def join(self) -> None:
        outside = [p for p in self.people if p.id not in self.model.members]
        who = self.random.choice(outside or self.people)
        self.act(who, "join_community", invite_code=self.code, request_id=self.request_id())

    def leave(self) -> None:
        if len(self.model.members) > 4:
            successor = self.random.choice([None, self.random.choice(self.people).id])
            self.act(self.somebody(), "leave_community", successor_id=successor)

    def remove(self) -> None:
        if len(self.model.members) > 4:
            who = self.mostly(self.random.choice([*self.model.moderators]))
            ban = len(self.model.banned) < 2 and self.random.random() < 0.3
            whom = self.random.choice(self.people).id
            self.act(who, "remove_member", user_id=whom, reason="Because", ban=ban)

    def ban_or_lift(self) -> None:
        who = self.mostly(self.random.choice([*self.model.moderators]))
        outside = [p.id for p in self.people if p.id not in self.model.members]
        whom = self.random.choice([*self.model.banned] or outside or [who.id])
        if self.random.random() < 0.3:
            whom = self.random.choice(outside or [p.id for p in self.people])
            self.act(who, "ban_member", user_id=whom, reason="Because")
        else:
            self.act(who, "lift_ban", user_id=whom)

    def disable_or_restore(self) -> None:
        """By a steward or by Auth; never all but one: somebody goes on living here."""
        unable = [p for p in self.people if p.id in self.model.unable]
        able = [p for p in self.people if p.id in self.model.members and p not in unable]
        if unable and (len(able) < 4 or self.random.random() < 0.6):
            who = self.random.choice(unable)
            if self.model.unable[who.id] == SUSPENDED:
                self.house.service.restore_person(user_id=who.id)
            else:
                self.set_in_auth(who, None)
            self.model.restore(who.id)
            self.told("restored", who)
        elif len(able) > 3:
            who = self.random.choice(able)
            self.model.now = self.house.clock.now
            if self.random.random() < 0.5:
                self.house.service.suspend_person(user_id=who.id, reason="Because")
                self.model.suspend(who.id)
                self.told("suspended", who)
            else:
                self.set_in_auth(who, "infinity")
                self.model.ban_by_auth(who.id)
                self.told("banned by Auth", who)

    def set_in_auth(self, who: Member, banned_until: str | None) -> None:
        auth = Caller(house=self.house, role="supabase_auth_admin", login="supabase_auth_admin")
        query = "update auth.users set banned_until = %(until)s where id = %(id)s"
        auth.sql(query, until=banned_until, id=who.id)

    def erase(self) -> None:
        """Somebody goes for good, housekeeping lets them leave, and somebody new is let in."""
        inside = [p for p in self.people[1:] if p.id in self.model.members]
        if len(inside) < 4:
            return
        who = self.random.choice(inside)
        self.house.service.erase_user(user_id=who.id)
        query = "select private.housekeeping(%(now)s) as done"
        while self.house.owner.sql(query, now=self.house.clock.now)[0]["done"]:
            pass
        self.model.now = self.house.clock.now
        self.model.forget_requests()
        self.model.erase(who.id)
        self.told("erased", who)
        self.people.remove(who)
        self.gone.append(who)
        number = len(self.people) + len(self.gone)
        address, name = f"member{number}@chas.test", f"Member {number}"
        self.people.append(self.house.admit(self.house.sign_up(address, name)))

    def told(self, what: str, who: Member) -> None:
        self.story.append(f"{self.house.clock.now} {self.name_of(who.id)} is {what}")
        self.done[what] += 1

    def settings(self) -> None:
        who = self.mostly(self.random.choice([*self.model.moderators]))
        patch: Facts = {"daily_cc_budget": self.random.choice([*BUDGETS, 9])}
        if self.random.random() < 0.4:
            # A grant that may not cover the debts made under the last one.
            patch = {"daily_cc_budget": min(BUDGETS)}
        elif self.random.random() < 0.4:
            patch = {"timezone": self.random.choice(ZONES)}
        self.act(who, "update_community", patch=patch)

    # -------------------------------------------------------------------------- choosing

    def somebody(self) -> Member:
        """Mostly a member, now and then somebody outside."""
        inside = [p for p in self.people if p.id in self.model.members]
        if self.random.random() < 0.02:
            inside = [*self.people, *self.gone]
        return self.random.choice(inside)

    def mostly(self, user: str) -> Member:
        """This one, or once in a while anybody."""
        if self.random.random() < 0.05:
            return self.random.choice(self.people)
        return next(p for p in [*self.people, *self.gone] if p.id == user)

    def one_of(self, things: dict[str, Any], is_likely: Callable[[Any], bool]) -> tuple[str, Any]:
        likely = [identity for identity, thing in things.items() if is_likely(thing)]
        among = likely if likely and self.random.random() < 0.9 else [*things][-50:]
        if not among:
            return "", None
        identity = self.random.choice(among)
        return identity, things[identity]

    def is_pending(self, request: Request) -> bool:
        return request.seen(self.house.clock.now) == "pending"

    def is_active(self, tip: Tip) -> bool:
        return tip.status == "active" and not tip.is_overdue(self.house.clock.now)

    def purse_of(self, who: Member) -> int:
        return self.model.purses[who.id].remaining if who.id in self.model.purses else 50

    def amount(self, most: int) -> int:
        """Mostly possible, often exactly the most, sometimes too much by one, or nonsense."""
        chance = self.random.random()
        if chance < 0.03:
            return self.random.choice([0, -1, 10**9 + 1, 10**9])
        if chance < 0.15:
            return most + self.random.choice([0, 1])
        return self.random.randint(1, max(1, most // 2))

    def request_id(self) -> str | None:
        if self.random.random() < 0.3:
            return None
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    # -------------------------------------------------------------------------- acting

    def act(self, who: Member, rpc: str, **said: Any) -> None:
        """One call on the house and on the model; sometimes by a clock that is a little slow."""
        moment = self.house.clock.now
        if self.random.random() < 0.02:
            moment -= timedelta(minutes=self.random.uniform(0, 90))
        self.model.now = moment
        self.story.append(f"{moment} {self.name_of(who.id)}: {rpc} {said}")
        try:
            answer = getattr(who.at(moment), rpc)(**self.addressed(rpc, said))
        except Refusal as refusal:
            self.expect_refusal(who, rpc, said, refusal)
            return
        try:
            expected = self.model.play(who.id, rpc, self.identity_in(rpc, answer), **said)
        except Denied as denied:
            raise self.trouble(f"the model denies it: {denied}", answer) from None
        self.story[-1] += " ✓"
        if not matches(expected, answer):
            raise self.trouble(f"the model expects {expected}", answer)
        self.done[rpc] += 1
        self.days.add(self.model.day)
        self.expect_same_answer(who, rpc, said, answer)

    def expect_refusal(self, who: Member, rpc: str, said: Facts, refusal: Refusal) -> None:
        self.story[-1] += f" ✗ {refusal.code}"
        try:
            expected = self.model.play(who.id, rpc, "refused", **said)
        except Denied as denied:
            if denied.code != refusal.code or not matches(denied.facts, refusal.facts):
                raise self.trouble(f"the model denies it otherwise: {denied}", refusal) from None
            self.denied[denied.code] += 1
        else:
            raise self.trouble(f"the model expects {expected}", refusal)

    def expect_same_answer(self, who: Member, rpc: str, said: Facts, answer: Any) -> None:
        """The model knows that a call was answered before; that nothing was made anew, we see."""
        request_id = said.get("request_id")
        if request_id:
            key = f"{who.id} {rpc} {request_id} {self.model.memory[who.id, rpc, request_id]}"
            if key in self.answers:
                self.done["answered again"] += 1
            else:
                self.calls.append((who, rpc, said))
            made = made_by(answer)
            if self.answers.setdefault(key, made) != made:
                raise self.trouble(f"the same request_id made {self.answers[key]} before", made)

    def addressed(self, rpc: str, said: Facts) -> Facts:
        """Most doors want the community; those about one thing, or by a code, do not."""
        if {"invite_code", "borrow_request_id", "loan_id", "proposal_id"} & said.keys():
            return said
        return {"community_id": self.community} | said

    def identity_in(self, rpc: str, answer: Any) -> str:
        if rpc == "respond_borrow":
            newest = "select id from private.loans order by number desc limit 1"
            return next((str(row["id"]) for row in self.house.owner.sql(newest)), "none")
        made = {
            "declare_joy": "declaration",
            "request_borrow": "borrow_request",
            "propose_tip_to_tip": "proposal",
        }
        return str(answer[made[rpc]]["id"]) if rpc in made else "nothing"

    # -------------------------------------------------------------------------- comparing

    def compare_present(self) -> None:
        model, now = self.model, self.house.clock.now
        (row,) = self.house.owner.sql(PRESENT, community=self.community)
        expected = {
            "day": model.day,
            "open": model.open,
            "dawn_at": model.dawn_at,
            "zone": model.zone,
            "budget": model.budget,
            "pending": model.pending,
            "willed": sorted(model.willed),
            "absences": {u: [*a] for u, a in model.absences.items() if a[1] >= model.day},
            "members": sorted(model.members),
            "moderators": sorted(model.moderators),
            "banned": sorted(model.banned),
            "purses": {user: vars(purse) for user, purse in model.purses.items()},
            "requests": sorted(i for i, r in model.requests.items() if r.seen(now) == "pending"),
            "loans": {i: vars(loan) for i, loan in model.loans.items() if loan.outstanding},
            "tips": {i: t.awaiting for i, t in model.tips.items() if t.status == "active"},
            "escrow": {i: t.stake for i, t in model.tips.items() if t.escrow in ("held", "due")},
        }
        present = row["present"] | {
            name: sorted(row["present"][name])
            for name in ("members", "moderators", "banned", "requests", "willed")
        }
        for name, value in expected.items():
            if not is_same(value, present[name]):
                raise self.trouble(f"{name}: the model has {value}", present[name])

    def compare_everything(self) -> None:
        """Every row there is, its history included."""
        model, read = self.model, self.house.owner.read
        now, community = self.house.clock.now, {"community_id": self.community}
        requests = {
            str(row["id"]): Request(
                str(row["borrower_id"]),
                str(row["lender_id"]),
                row["amount"],
                row["created_at"],
                row["lapses_at"],
                row["status"],
            ).seen(now)
            for row in read("borrow_requests", **community)
        }
        self.expect({i: r.seen(now) for i, r in model.requests.items()}, requests)
        loans = {
            str(row["id"]): Loan(
                str(row["borrower_id"]),
                str(row["lender_id"]),
                row["amount"],
                row["outstanding"],
                row["status"],
            )
            for row in read("loans", **community)
        }
        self.expect(model.loans, loans)
        stakes = {row["proposal_id"]: row for row in read("stakes", **community)}
        tips = {
            str(row["id"]): (row["status"], row["awaiting"], stakes[row["id"]]["status"])
            for row in read("tip_to_tip_proposals", **community)
        }
        self.expect({i: (t.status, t.awaiting, t.escrow) for i, t in model.tips.items()}, tips)
        self.compare_ledger(read("ledger_entries", **community))
        sunsets: dict[date, dict[str, int]] = {}
        for row in read("sunset_entries", **community):
            sunsets.setdefault(row["day"], {})[str(row["user_id"])] = row["unspent_cc"]
        self.expect({day: lost for day, lost in model.sunsets.items() if lost}, sunsets)
        self.model.now = now
        self.model.settle()
        audit = self.house.books(self.community)
        self.expect(model.books(), {name: audit[name] for name in model.books()})

    def compare_ledger(self, rows: Iterable[Row]) -> None:
        """Each person's entries, in the order they were written."""
        found: dict[str, list[Any]] = {}
        for row in sorted(rows, key=itemgetter("id")):
            other = row["counterparty_id"] and str(row["counterparty_id"])
            of_whom = found.setdefault(str(row["user_id"]), [])
            of_whom.append((*(row[name] for name in OF_AN_ENTRY), other))
        expected: dict[str, list[Any]] = {}
        for e in self.model.ledger:
            told = (e.type, e.amount, e.moved, e.balance_after, e.day, e.counterparty)
            expected.setdefault(e.user, []).append(told)
        self.expect(expected, found)

    def expect(self, expected: Any, found: Any) -> None:
        if expected != found:
            if isinstance(expected, dict):
                keys = [k for k in expected | found if expected.get(k) != found.get(k)]
                expected, found = [{k: side.get(k) for k in keys} for side in (expected, found)]
            raise self.trouble(f"the model has {expected}", found)

    # -------------------------------------------------------------------------- telling

    def name_of(self, user: str) -> str:
        everybody = [*self.people, *self.gone]
        return next(f"{p.email}"[:-10] for p in everybody if p.id == user)

    def trouble(self, expected: str, found: Any) -> AssertionError:
        tail = "\n  ".join(self.story[-25:])
        return AssertionError(
            f"seed {self.seed}, act {len(self.story)}: {expected}, the house says {found}\n"
            f"The last acts:\n  {tail}"
        )

    def summary(self) -> str:
        acts, refusals = sum(self.done.values()), sum(self.denied.values())
        lines = [
            f"seed {self.seed}: {acts + refusals} acts ({refusals} refused) "
            f"by {len(self.people)} people over {len(self.days)} days lived",
            "  done: " + ", ".join(f"{name} {n}" for name, n in self.done.most_common()),
            "  refused: " + ", ".join(f"{name} {n}" for name, n in self.denied.most_common()),
            "  moved: " + ", ".join(f"{name} {n}" for name, n in self.moves().most_common()),
        ]
        return "\n".join(lines)

    def moves(self) -> Counter[str]:
        """How many entries of each type; refunds that waited and proposals void are named apart."""
        moves = Counter(entry.type for entry in self.model.ledger)
        moves["refunded at Dawn"] = self.model.refunded_at_dawn
        moves["proposals void"] = sum(tip.status == "void" for tip in self.model.tips.values())
        willed = (
            tip.status == "completed" and bool(tip.amendment) for tip in self.model.tips.values()
        )
        moves["amendments willed"] = sum(willed)
        return moves


def matches(expected: Any, found: Any) -> bool:
    """Whether an answer says at least what is expected; moments and days are compared as such."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            key in found and matches(value, found[key]) for key, value in expected.items()
        )
    if isinstance(expected, InAnyOrder):
        return len(expected) == len(found) and all(
            any(matches(one, other) for other in found) for one in expected
        )
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(matches, expected, found))
    if isinstance(expected, datetime):
        found = datetime.fromisoformat(found)
    elif isinstance(expected, date):
        found = date.fromisoformat(found)
    return bool(expected == found)


def is_same(expected: Any, found: Any) -> bool:
    """As `matches`, and nothing more than that is there."""
    return matches(expected, found) and (
        not isinstance(expected, dict) or expected.keys() == found.keys()
    )
