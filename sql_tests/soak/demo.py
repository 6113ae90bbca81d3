"""A week in the life of a community, in seconds: its purses, debts and stakes, what all will, its
newspaper and books.

People act through the public RPCs alone; what happens by itself the scheduled jobs do, each with
its own command, while the clock is moved. At the end the audit must balance and the Gazette's chain
hold, or the status is 1.
"""

import json
import os
import sys
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from cluster import ROOT, Trouble
from own_house import own_house
from people import House, Member, Refusal, Row

# The clocks go forward on the Sunday this week begins with: a day an hour short.
ZONE = ZoneInfo("Europe/Lisbon")
SUNDAY = datetime(2026, 3, 29, tzinfo=ZONE)
HOUR = timedelta(hours=1)
NAMES = ("Asha", "Bram", "Chloe", "Dara", "Eli")


class Week:
    """The people of Rain, their clock, and the teller of what they do."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.people: dict[str, Member] = {}
        self.rain = ""
        jobs = house.owner.read("cron.job")
        self.jobs = [row["command"].encode() for row in jobs if row["jobname"] != "housekeeping"]
        self.worker = psycopg.connect(house.address("postgres"), autocommit=True)

    # -------------------------------------------------------------------------- the clock

    def at(self, day: int, hour: str) -> None:
        """Goes on to an hour of a day, told by the wall; on the way the jobs come."""
        hours, minutes = map(int, hour.split(":"))
        moment = (SUNDAY + timedelta(days=day)).replace(hour=hours, minute=minutes)
        while self.rain and self.house.clock.now < moment:
            self.house.clock.at(min(moment, self.next_tick()))
            self.run_jobs()
        self.house.clock.at(moment)

    def next_tick(self) -> datetime:
        """Every quarter of an hour, and the minutes in which something is due."""
        now, balance = self.house.clock.now, self.balance()
        quarter = now.replace(minute=now.minute // 15 * 15, second=0) + timedelta(minutes=15)
        sunset, dawn = (
            datetime.fromisoformat(balance[name]) for name in ("next_sunset_at", "next_dawn_at")
        )
        last_light = sunset - HOUR
        return min(tick for tick in (quarter, last_light, sunset, dawn) if tick > now)

    def balance(self) -> Row:
        """As it is stored: of all doors this one settles no day, so it is left to the jobs."""
        (rain,) = self.people["Asha"].list_my_communities()["communities"]
        balance: Row = rain["balance"]
        return balance

    def run_jobs(self) -> None:
        before, now = self.balance(), self.house.clock.now.isoformat()
        self.worker.execute("select set_config('chas.now', %s, false)", [now])
        for command in self.jobs:
            self.worker.execute(command)
        after = self.balance()
        if before["day_open"] and not after["day_open"]:
            self.tell_sunset()
        elif datetime.fromisoformat(after["next_sunset_at"]) - self.house.clock.now == HOUR:
            self.tell_last_light()
        elif before["day"] != after["day"]:
            self.tell_dawn()

    # -------------------------------------------------------------------------- telling

    def tell(self, words: str) -> None:
        print(f"  {self.house.clock.now.astimezone(ZONE):%H:%M}  {words}", flush=True)

    def tell_sunset(self) -> None:
        sunset = self.people["Asha"].get_sunset(community_id=self.rain)
        lost = [f"{one['user']['display_name']} {one['unspent_cc']}" for one in sunset["entries"]]
        took = (
            f"takes {sunset['total_expired']} CC: {', '.join(lost)}." if lost else "finds nothing."
        )
        edition = self.people["Asha"].get_edition(community_id=self.rain)["edition"]
        self.tell(f"Sunset {took}")
        if edition["day"] == sunset["date"]:
            self.tell(f"Number {edition['number']} of the Gazette is sealed: {self.front(edition)}")

    def front(self, edition: Row) -> str:
        """What an edition holds, and the digest that vouches for it and all before."""
        items = [json.loads(one["content"]) for one in edition["items"]]
        joys = [one for one in items if one["kind"] == "declaration"]
        best = max(joys, key=lambda one: one["witnessed"], default=None)
        lead = f"“{best['title']}”, " if best else ""
        return f"{lead}{len(items)} items, digest {edition['digest'][:8]}…"

    def tell_last_light(self) -> None:
        """Only where something is about to be lost, or nobody has seen a joy."""
        light = self.people["Asha"].get_last_light(community_id=self.rain)["last_light"]
        for joy in light["unwitnessed"]:
            asked = [name for name in self.people if self.is_asked_to_see(joy["id"], name)]
            whom = ", ".join(asked)
            self.tell(f"Nobody has seen “{joy['title']}” yet: {whom} are asked to look.")
        self.tell(f"Last light: {light['total']} CC are about to be lost.")

    def is_asked_to_see(self, joy: str, name: str) -> bool:
        notices = self.people[name].list_notifications(unread_only=True)["notifications"]
        return any(one["event"] == "joy_unwitnessed" and one["ref_id"] == joy for one in notices)

    def tell_dawn(self) -> None:
        print(f"\n{self.house.clock.now.astimezone(ZONE):%A, %d %B}")
        away = [one["user"]["display_name"] for one in self.members() if self.is_away(one)]
        but = f" but {', '.join(away)}, who is away," if away else ""
        self.tell(f"Dawn grants everyone{but} {self.balance()['daily_budget']} CC.")
        for name, member in self.people.items():
            entries = member.list_ledger(community_id=self.rain, page_size=20)["entries"]
            today = [one for one in entries if one["day"] == self.balance()["day"]]
            for entry in today[::-1]:
                if entry["type"] == "debt_repaid":
                    lender = self.name_of(entry["counterparty_id"])
                    self.tell(f"{name} repays {lender} {entry['moved']} CC.")
                elif entry["type"] == "stake_refund":
                    self.tell(f"{name}'s stake of {entry['moved']} CC, won last night, comes back.")

    def members(self) -> list[Row]:
        found: list[Row] = self.people["Asha"].list_members(community_id=self.rain)["members"]
        return found

    def is_away(self, member: Row) -> bool:
        away = member["away"]
        return bool(away and away["from"] <= self.balance()["day"] <= away["to"])

    def name_of(self, user: str) -> str:
        return next(name for name, member in self.people.items() if member.id == user)

    # -------------------------------------------------------------------------- the people

    def found(self) -> None:
        for name in NAMES:
            person = self.house.admit(self.house.sign_up(f"{name.lower()}@rain.test", name))
            self.people[name] = person
        founded = self.people["Asha"].create_community(name="Rain", timezone=ZONE.key)
        for name in NAMES[1:]:
            code = founded["community"]["invite_code"]
            self.people[name].join_community(invite_code=code)
        self.rain = founded["community"]["id"]
        budget = founded["balance"]["remaining"]
        self.tell(f"Asha founds Rain; {', '.join(NAMES[1:])} join. {budget} CC for each of them.")

    def declare(self, name: str, title: str, cc: int, *witnesses: str) -> None:
        try:
            answer = self.people[name].declare_joy(community_id=self.rain, title=title, cc_spent=cc)
        except Refusal as refusal:
            told = ", ".join(f"{k} {v}" for k, v in refusal.facts.items() if k != "possible_at")
            self.tell(f"{name} would declare “{title}” for {cc} CC. {refusal.message} ({told})")
            return
        for witness in witnesses:
            joy = answer["declaration"]["id"]
            self.people[witness].witness_declaration(declaration_id=joy)
        seen = f" Witnessed by {' and '.join(witnesses)}." if witnesses else ""
        left = answer["balance"]["remaining"]
        self.tell(f"{name} declares “{title}” for {cc} CC, {left} left.{seen}")

    def lend(self, lender: str, borrower: str, cc: int, reason: str) -> None:
        asked = self.people[borrower].request_borrow(
            community_id=self.rain, lender_id=self.people[lender].id, amount=cc, reason=reason
        )
        self.people[lender].respond_borrow(
            borrow_request_id=asked["borrow_request"]["id"], action="approved"
        )
        self.tell(f"{borrower} asks {lender} for {cc} CC: “{reason}” {lender} lends them.")

    def loan(self, lender: str, borrower: str) -> Any:
        loans = self.people[lender].list_loans(community_id=self.rain, side="lent")["loans"]
        return next(one for one in loans if one["borrower"]["display_name"] == borrower)["id"]

    def forgive(self, lender: str, borrower: str, cc: int) -> None:
        loan = self.loan(lender, borrower)
        answer = self.people[lender].forgive_loan(loan_id=loan, amount=cc)
        self.tell(answer["system_message"]["content"])

    def repay(self, borrower: str, lender: str, cc: int) -> None:
        loan = self.loan(lender, borrower)
        answer = self.people[borrower].repay_loan(loan_id=loan, amount=cc)
        owed = answer["loan"]["outstanding"]
        self.tell(f"{borrower} repays {lender} {cc} CC early and owes {owed} more.")

    def propose(self, name: str, title: str, stake: int, **amendment: object) -> str:
        answer = self.people[name].propose_tip_to_tip(
            community_id=self.rain, title=title, stake_amount=stake, amendment=amendment or None
        )
        self.tell(f"{name} stakes {stake} CC that everyone agrees: “{title}”")
        return str(answer["proposal"]["id"])

    def will(self, proposal: str, accepting: tuple[str, ...]) -> None:
        """An amendment that all accept, and a moderator who would have it otherwise."""
        self.vote(proposal, accepting)
        (line,) = self.people["Asha"].list_messages(community_id=self.rain, page_size=1)["messages"]
        self.tell(line["content"])
        try:
            self.people["Asha"].update_community(
                community_id=self.rain, patch={"daily_cc_budget": 300}
            )
        except Refusal as refusal:
            self.tell(f"Asha, the moderator, would rather have 300. {refusal.message}")

    def go_away(self, name: str, day: int) -> None:
        on = (SUNDAY + timedelta(days=day)).date()
        self.people[name].declare_absence(community_id=self.rain, from_day=on, to_day=on)
        self.tell(f"{name} will be away on {on:%A}: no grant, no vote, no Jashn.")

    def vote(
        self, proposal: str, accepting: tuple[str, ...], declining: tuple[str, ...] = ()
    ) -> None:
        for name in (*accepting, *declining):
            vote = "accept" if name in accepting else "decline"
            answer = self.people[name].vote_tip_to_tip(proposal_id=proposal, vote=vote)
            if answer["resolved"]:
                self.tell(f"{name} votes {vote}, and the proposal is {answer['outcome']}.")

    def tell_outcome(self, proposal: str) -> None:
        seen = self.people["Asha"].get_tip_to_tip(proposal_id=proposal)["proposal"]
        proposer, stake = seen["proposer"]["display_name"], seen["stake_amount"]
        self.tell(
            f"The proposal of {proposer} is {seen['status']}, {seen['awaiting']} votes short: "
            f"{stake} CC are lost."
        )

    def preview(self, name: str) -> None:
        dawn = self.people[name].preview_dawn(community_id=self.rain)
        self.tell(f"{name} looks ahead: with {dawn['wake_with']} CC will the next Dawn wake her.")

    # -------------------------------------------------------------------------- the end

    def tell_week(self) -> None:
        asha = self.people["Asha"]
        board = asha.get_leaderboard(community_id=self.rain, week_start=SUNDAY.date())["entries"]
        print("\nThe week")
        for one in board:
            print(
                f"  {one['rank']}. {one['user']['display_name']:<6} {one['total_cc_spent']:>4} CC "
                f"in {one['total_declarations']} joys, {one['witnessed_received']} witnesses"
            )
        (jashn,) = asha.list_honours(community_id=self.rain)["honours"]
        honored = jashn["honored_user"]["display_name"]
        spent = jashn["total_cc_spent"]
        print(f"  The Jashn honours {honored}, who was there all week and spent least, {spent} CC.")

    def prove(self) -> bool:
        """The chain of editions, by whoever wants to know."""
        chain = self.people["Chloe"].verify_gazette(community_id=self.rain)
        print("\nThe Gazette, for any member to prove")
        for one in self.people["Chloe"].list_editions(community_id=self.rain)["editions"][::-1]:
            print(
                f"  Number {one['number']}, {one['day']}: joys {one['joys']}, "
                f"{one['cc_spent']:>3} CC, digest {one['digest'][:8]}…"
            )
        head = f"head {(chain['head'] or '')[:8]}…"
        said = "holds" if chain["holds"] else "DOES NOT HOLD"
        print(f"  The chain {said}: {chain['editions']} editions, {chain['items']} items, {head}")
        return bool(chain["holds"])

    def audit(self) -> bool:
        books = self.people["Eli"].audit_ledger(community_id=self.rain)
        parts = ("spent", "forfeited", "expired", "purses", "escrow")
        print("\nThe audit, for any member to see")
        print(f"  minted {books['minted']} = " + " + ".join(f"{p} {books[p]}" for p in parts))
        print(f"  The books {'balance' if books['balanced'] else 'DO NOT BALANCE'}.")
        return bool(books["balanced"])


def live(week: Week) -> bool:
    print(f"{SUNDAY:%A, %d %B}")
    week.at(0, "08:00")
    week.found()
    week.at(0, "09:30")
    week.declare("Bram", "First rain", 20, "Asha", "Eli")
    week.at(0, "13:00")
    week.declare("Dara", "Soup, the second day", 35, "Chloe")
    week.at(0, "19:10")
    week.declare("Asha", "A roof that leaks in tune", 15)

    week.at(1, "10:00")
    week.lend("Eli", "Chloe", 60, "To thank the bus driver in cake.")
    week.at(1, "11:30")
    week.declare("Chloe", "The bus waited", 155, "Bram", "Dara", "Eli")
    week.at(1, "22:00")
    week.preview("Chloe")

    week.at(2, "12:00")
    roof = week.propose("Dara", "Nobody mends the roof before Sunday.", 40)
    week.at(2, "13:00")
    week.vote(roof, ("Asha", "Bram", "Chloe", "Eli"))
    week.at(2, "15:00")
    songs = week.propose("Bram", "We sing on the stairs at noon.", 30)
    week.at(2, "15:20")
    week.vote(songs, ("Asha",), declining=("Eli",))
    week.at(2, "18:00")
    week.declare("Eli", "Quiet stairs", 25, "Dara")

    week.at(3, "09:00")
    for lender, borrower in (("Bram", "Chloe"), ("Chloe", "Dara"), ("Dara", "Bram")):
        week.lend(lender, borrower, 30, "Round and round.")
    week.at(3, "14:00")
    umbrella = week.propose("Asha", "One umbrella is enough for five.", 20)
    week.at(3, "15:00")
    week.vote(umbrella, ("Bram", "Chloe"))
    week.at(3, "18:15")
    week.tell_outcome(umbrella)
    week.at(3, "21:00")
    lamp = week.propose("Eli", "The lamp on the landing stays on.", 50)

    # The last vote comes between Sunset and Dawn: the stake is safe, and back in the morning.
    week.at(3, "23:59")
    week.vote(lamp, ("Asha", "Bram", "Chloe", "Dara"))

    week.at(4, "10:00")
    week.declare("Bram", "A brass band, rented whole", 130)
    week.lend("Asha", "Bram", 40, "For at least the trombone.")
    week.declare("Bram", "A brass band, rented whole", 130, "Asha", "Chloe", "Dara", "Eli")
    week.at(4, "17:00")
    week.forgive("Asha", "Bram", 25)
    week.repay("Bram", "Asha", 5)

    week.go_away("Dara", 6)

    week.at(5, "08:30")
    more = week.propose("Chloe", "A little more for everyone.", 10, daily_cc_budget=120)
    week.will(more, ("Asha", "Bram", "Dara", "Eli"))
    week.at(5, "12:00")
    week.declare("Dara", "Rice pudding", 45, "Bram")
    week.declare("Asha", "Nothing dripped", 10, "Eli")

    week.at(6, "16:00")
    week.declare("Eli", "Sun on wet tiles", 70, "Asha", "Chloe")
    week.declare("Chloe", "The driver liked the cake", 25, "Eli")
    week.at(7, "00:15")
    week.tell_week()
    return all([week.prove(), week.audit()])


def main() -> int:
    try:
        with own_house(ROOT / ".local" / f"demo-{os.getpid()}") as (_, house):
            return 0 if live(Week(house)) else 1
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
