"""Plays a random, seeded history and holds the house to every moment it names (RULES 5.5).

Whatever is promised is looked at when its moment comes, in a transaction of its own that is undone
afterwards: the day turns there as it will, by the jobs or by the act itself, and nobody acts in
between. The act that was refused must then do (of DAY_CLOSED and ACTIVE_TIP_TO_TIP_EXISTS: this
obstacle must be gone), and not a second before; where no moment is named, the next Dawn must not
have been one.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import psycopg
from driver import ZONES
from people import Connection, House, Member, Refusal, Row

BUDGETS = (10, 40, 100, 150, 400)
SECOND = timedelta(seconds=1)
# Of these it is promised that they themselves are out of the way, not that the act does.
OBSTACLES = ("DAY_CLOSED", "ACTIVE_TIP_TO_TIP_EXISTS")


@dataclass(frozen=True)
class Call:
    """What somebody asked for, to be asked again."""

    who: Member
    rpc: str
    said: Row


class Promises:
    """A few people in one community; `seed` decides everything they do."""

    def __init__(self, house: House, seed: int, people: int = 7) -> None:
        self.house = house
        self.random = Random(seed)
        self.seed = seed
        self.checked: Counter[str] = Counter()
        self.acts: Counter[str] = Counter()
        self.story: list[str] = []
        house.clock.at("2026-03-20 09:00+00:00")
        self.people = [
            house.admit(house.sign_up(f"one{n}@chas.test", f"One {n}")) for n in range(people)
        ]
        founded = self.people[0].create_community(name="Promise", timezone="Europe/Lisbon")
        self.community: str = founded["community"]["id"]
        self.code: str = founded["community"]["invite_code"]
        for person in self.people[1:]:
            person.join_community(invite_code=self.code)

    def play(self, acts: int) -> None:
        for _ in range(acts):
            self.forward()
            self.something()

    # -------------------------------------------------------------------------- the history

    def forward(self) -> None:
        clock, chance = self.house.clock, self.random.random()
        day = self.day()
        edges = [day["sunset_at"] - timedelta(minutes=1), day["dawn_at"] - SECOND, day["dawn_at"]]
        edges += [day["sunset_at"] - timedelta(hours=5), day["sunset_at"] - SECOND]
        ahead = [edge for edge in edges if edge > clock.now]
        if chance < 0.12 and ahead:
            clock.at(self.random.choice(ahead))
        elif chance < 0.14:
            clock.forward(hours=self.random.uniform(5, 40))
        else:
            clock.forward(minutes=self.random.expovariate(1 / 12))
        if self.random.random() < 0.3:
            for job in ("daily_sunset", "daily_reset", "tip_to_tip_expiry"):
                self.house.owner.sql(f"select private.{job}(%(now)s)", now=clock.now)

    def something(self) -> None:
        deeds: dict[Callable[[], None], float] = {
            self.declare: 20,
            self.ask: 16,
            self.answer: 14,
            self.repay: 8,
            self.propose: 8,
            self.vote: 6,
            self.look: 12,
            self.settings: 4,
            self.correct: 2,
            self.come_and_go: 2,
            self.hurry: 1.5,
        }
        (deed,) = self.random.choices(list(deeds), list(deeds.values()))
        deed()

    def declare(self) -> None:
        who = self.somebody()
        self.act(who, "declare_joy", **self.here(title="Joy", cc_spent=self.amount(who)))

    def propose(self) -> None:
        who = self.somebody()
        self.act(
            who, "propose_tip_to_tip", **self.here(title="All of us", stake_amount=self.amount(who))
        )

    def vote(self) -> None:
        open_ones = self.rows("tip_to_tip_proposals", status="active")
        if open_ones:
            proposal = str(self.random.choice(open_ones)["id"])
            vote = self.random.choices(["accept", "decline"], [9, 1])[0]
            for voter in self.random.sample(self.people, self.random.randint(1, len(self.people))):
                self.act(voter, "vote_tip_to_tip", proposal_id=proposal, vote=vote)

    def ask(self) -> None:
        who, lender = self.random.sample(self.people, 2)
        amount = self.random.choice([1, 10, 40, 60, 100, 100, 150, 150])
        self.act(
            who, "request_borrow", **self.here(lender_id=lender.id, amount=amount, reason="So")
        )

    def answer(self) -> None:
        asked = self.rows("borrow_requests", status="pending")
        for request in self.random.sample(asked, min(len(asked), 2)):
            action = self.random.choices(["approved", "declined"], [6, 1])[0]
            self.act(
                self.one(request["lender_id"]),
                "respond_borrow",
                borrow_request_id=str(request["id"]),
                action=action,
            )

    def repay(self) -> None:
        owed = self.rows("loans", status="open")
        if owed:
            loan = self.random.choice(owed)
            amount = self.random.choice([1, loan["outstanding"], max(1, loan["outstanding"] // 2)])
            who = self.one(loan["borrower_id"])
            self.act(who, "repay_loan", loan_id=str(loan["id"]), amount=amount)

    def settings(self) -> None:
        patch: Row = {"daily_cc_budget": self.random.choice(BUDGETS)}
        if self.random.random() < 0.5:
            patch = {"timezone": self.random.choice(ZONES)}
        answer = self.act(self.moderator(), "update_community", **self.here(patch=patch))
        if answer:
            line = self.moderator().list_messages(**self.here(page_size=1))["messages"][0]
            is_new = datetime.fromisoformat(line["created_at"]) == self.house.clock.now
            if is_new and line["event"] == "settings_changed":
                self.expect_dawn(datetime.fromisoformat(line["facts"]["next_dawn_at"]))

    def correct(self) -> None:
        who = self.somebody()
        amount = self.random.choice([50, 200, -self.amount(who)])
        said = {"user_id": who.id, "amount": amount, "reason": "Because"}
        self.act(self.house.service, "post_correction", **self.here(**said))

    def come_and_go(self) -> None:
        present = {str(row["user_id"]) for row in self.rows("community_members", left_at=None)}
        away = [person for person in self.people if person.id not in present]
        if away:
            self.act(self.random.choice(away), "join_community", invite_code=self.code)
        else:
            self.act(self.random.choice(self.people[1:]), "leave_community", **self.here())

    def hurry(self) -> None:
        """As often as they can: until a limit is met, or what they hold is gone."""
        borrower, lender = self.random.sample(self.people, 2)
        haste = self.random.choice(
            [self.ask_again, self.propose_again, self.forgive_again, self.talk]
        )
        refusals = 0
        for turn in range(34):
            refusals += not haste(borrower, lender, turn)
            if refusals > 3:
                break

    def ask_again(self, borrower: Member, lender: Member, turn: int) -> Any:
        amount = 1 if turn < 5 else self.random.choice([1, 10, 100, 150])
        said = {"lender_id": lender.id, "amount": amount, "reason": "So"}
        asked = self.act(borrower, "request_borrow", **self.here(**said))
        return asked and self.act(
            borrower, "cancel_borrow", borrow_request_id=asked["borrow_request"]["id"]
        )

    def propose_again(self, proposer: Member, voter: Member, turn: int) -> Any:
        stake = 1 if turn < 20 else self.amount(proposer)
        said = {"title": "Now", "stake_amount": stake}
        made = self.act(proposer, "propose_tip_to_tip", **self.here(**said))
        return made and self.act(
            voter, "vote_tip_to_tip", proposal_id=made["proposal"]["id"], vote="decline"
        )

    def forgive_again(self, *_: Any) -> Any:
        owed = self.rows("loans", status="open")
        loan = max(owed, key=lambda one: int(one["outstanding"]), default=None)
        return loan and self.act(
            self.one(loan["lender_id"]), "forgive_loan", loan_id=str(loan["id"]), amount=1
        )

    def talk(self, talker: Member, *_: Any) -> Any:
        return self.act(talker, "send_message", **self.here(content="And another"))

    # -------------------------------------------------------------------------- choosing

    def here(self, **said: Any) -> Row:
        return {"community_id": self.community} | said

    def somebody(self) -> Member:
        return self.random.choice(self.people)

    def one(self, user: Any) -> Member:
        return next(person for person in self.people if person.id == str(user))

    def moderator(self) -> Member:
        rows = self.rows("community_members", left_at=None)
        return self.one(next(row["user_id"] for row in rows if "moderator" in row["roles"]))

    def rows(self, table: str, **wanted: Any) -> list[Row]:
        key = "user_id" if table == "community_members" else "number"
        found = self.house.owner.read(table, community_id=self.community, **wanted)
        return sorted(found, key=lambda row: str(row[key]))

    def day(self) -> Row:
        return self.house.owner.read("community_days", community_id=self.community)[0]

    def amount(self, who: Member) -> int:
        """What the purse holds or will, and one more: where promises are kept or broken."""
        try:
            now = who.get_balance(**self.here())["balance"]["remaining"]
            then = who.preview_dawn(**self.here())["wake_with"]
        except Refusal:
            return 1
        around = [now // 3, now, now + 1, now + 1, then, then, then + 1, then - 1]
        return max(1, int(self.random.choice(around)))

    # -------------------------------------------------------------------------- acting

    def act(self, who: Any, rpc: str, **said: Any) -> Any:
        """One call; its answer, or None, and then what the refusal promised has been looked at."""
        self.story.append(f"{self.house.clock.now} {self.name_of(who)}: {rpc} {said}")
        try:
            answer = getattr(who, rpc)(**said)
        except Refusal as refusal:
            self.story[-1] += f" ✗ {refusal.code}"
            if "possible_at" in refusal.facts:
                self.hold(Call(who, rpc, said), refusal)
            return None
        self.acts[rpc] += 1
        return answer

    def hold(self, call: Call, refusal: Refusal) -> None:
        """Holds the house to what a refusal says."""
        promised = refusal.facts["possible_at"]
        if refusal.code == "RATE_LIMITED":
            self.expect_same(promised, refusal)
        if promised is None:
            self.checked[f"{refusal.code} never"] += 1
            dawn = self.day()["dawn_at"]
            if self.outcome(call, dawn) is None:
                raise self.trouble(f"null, but the Dawn at {dawn} would have done", refusal)
            return
        moment = datetime.fromisoformat(promised)
        self.checked[f"{refusal.code} {call.rpc}"] += 1
        if moment <= self.house.clock.now:
            raise self.trouble("what is possible now was refused", refusal)
        early, then = self.outcome(call, moment - SECOND), self.outcome(call, moment)
        if then == refusal.code or (then is not None and refusal.code not in OBSTACLES):
            raise self.trouble(f"then it is {then}", refusal)
        if early is None:
            raise self.trouble("it would have done a second before", refusal)

    def expect_same(self, promised: str | None, refusal: Refusal) -> None:
        """retry_after names the same moment in whole seconds, rounded up."""
        seconds = refusal.facts["retry_after"]
        if promised is None:
            assert seconds is None, refusal
            return
        left = (datetime.fromisoformat(promised) - self.house.clock.now).total_seconds()
        assert left <= seconds < left + 1, refusal

    def look(self) -> None:
        """A balance and a preview; what they promise is looked at when its moment has come."""
        who = self.somebody()
        try:
            balance = who.get_balance(**self.here())["balance"]
            preview = who.preview_dawn(**self.here())
        except Refusal:
            return
        self.story.append(f"{self.house.clock.now} {self.name_of(who)} looks: {balance} {preview}")
        dawn, sunset = (
            datetime.fromisoformat(balance[name]) for name in ("next_dawn_at", "next_sunset_at")
        )
        woken = self.expect_dawn(dawn, who)
        self.checked["wake_with"] += 1
        if woken["remaining"] != preview["wake_with"]:
            raise self.trouble(f"preview_dawn said {preview}", woken)
        self.checked["next_sunset_at"] += 1
        before, after = (self.balance_at(moment, who) for moment in (sunset - SECOND, sunset))
        last = balance["day"] if balance["day_open"] else woken["day"]
        is_right = (before["day"], before["day_open"]) == (last, True)
        if not is_right or (after["day"], after["day_open"]) != (last, False):
            raise self.trouble(f"Sunset was promised for {sunset}", [before, after])

    def expect_dawn(self, moment: datetime, who: Member | None = None) -> Row:
        """Comes then, and not a second before; the balance as it is then."""
        who = who or self.moderator()
        self.checked["next_dawn_at"] += 1
        lived = self.day()["day"].isoformat()
        before = self.balance_at(moment - SECOND, who)
        after = self.balance_at(moment, who)
        if moment > self.house.clock.now + SECOND and before["day"] != lived:
            raise self.trouble(f"Dawn was promised for {moment}, and came before", before)
        if after["day"] <= lived or not after["day_open"]:
            raise self.trouble(f"Dawn was promised for {moment}, and did not come", after)
        return after

    # -------------------------------------------------------------------------- looking ahead

    def balance_at(self, moment: datetime, who: Member) -> Row:
        found = self.ahead(Call(who, "get_balance", self.here()), moment)
        assert not isinstance(found, str), found
        balance: Row = found["balance"]
        return balance

    def outcome(self, call: Call, moment: datetime) -> str | None:
        """The code a call would be refused with at a moment, None if it would do."""
        found = self.ahead(call, moment)
        return found if isinstance(found, str) else None

    def ahead(self, call: Call, moment: datetime) -> Any:
        """What a call would answer, or be refused with, at a moment nobody acts before."""
        with (
            self.house.connection("postgres") as connection,
            connection.transaction(force_rollback=True),
        ):
            # What a refused act settled is undone with it: an overdue day is the jobs' to turn.
            if self.day()["due_at"] <= self.house.clock.now or self.random.random() < 0.5:
                self.let_it_turn(connection, moment)
            self.become(connection, moment, call.who)
            names = ", ".join(f"{name} => %({name})s" for name in call.said)
            said = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in call.said.items()}
            query = f"select public.{call.rpc}({names}) as answer"
            try:
                # The text is of names this module knows.
                row = connection.execute(query.encode(), said).fetchone()
            except psycopg.Error as error:
                if error.sqlstate != "PGRST":
                    raise
                return Refusal(error).code
            assert row
            return row["answer"]

    def let_it_turn(self, connection: Connection, until: datetime) -> None:
        """The jobs, each at the very moment it has something to do."""
        query = "select due_at from private.community_days where community_id = %s"
        while True:
            row = connection.execute(query, [self.community]).fetchone()
            assert row
            if row["due_at"] > until:
                break
            for job in ("tip_to_tip_expiry", "daily_sunset", "daily_reset"):
                connection.execute(f"select private.{job}(%s)".encode(), [row["due_at"]])

    def become(self, connection: Connection, moment: datetime, who: Any) -> None:
        connection.execute(
            """
            select
              set_config('chas.now', %s, true), set_config('request.jwt.claims', %s, true),
              set_config('role', %s, true)
            """,
            [moment.isoformat(), json.dumps(who.claims), who.role],
        )

    # -------------------------------------------------------------------------- telling

    def name_of(self, who: Any) -> str:
        return next((f"One {n}" for n, p in enumerate(self.people) if p is who), "A steward")

    def trouble(self, what: str, found: Any) -> AssertionError:
        tail = "\n  ".join(self.story[-25:])
        return AssertionError(f"seed {self.seed}: {what}; {found}\nThe last acts:\n  {tail}")

    def summary(self) -> str:
        held = ", ".join(f"{name} {n}" for name, n in self.checked.most_common())
        done = ", ".join(f"{name} {n}" for name, n in self.acts.most_common())
        return f"seed {self.seed}: {self.checked.total()} promises kept: {held}\n  done: {done}"
