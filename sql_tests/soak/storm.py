"""Everybody lends to everybody in both directions, spends, repays and proposes, all at once.

Each member is a thread with connections of its own. Refusals are counted; anything else the
database says, a deadlock first of all, ends the storm and is raised.
"""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

from people import House, Member, Refusal

JOBS = ("daily_sunset", "daily_reset", "tip_to_tip_expiry")


class Storm:
    def __init__(self, house: House, members: int, seed: int = 1) -> None:
        self.house = house
        self.seed = seed
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.over = threading.Event()
        self.community, self.members = house.gather("Storm", members)

    def blow(self, seconds: float) -> None:
        """For so long, then everybody comes to rest; what went wrong is raised."""
        with ThreadPoolExecutor(len(self.members) + 1) as threads:
            sky = threads.submit(self._turn_days)
            work = [threads.submit(self._live, n) for n in range(len(self.members))]
            self.over.wait(timeout=seconds)
            self.over.set()
            for one in (sky, *work):
                one.result()

    def _live(self, number: int) -> None:
        random, me = Random(self.seed * 1000 + number), self.members[number]
        try:
            while not self.over.is_set():
                deed, share = random.choice(
                    [(self._ask, 5), (self._answer, 5), (self._settle, 2), (self._tip, 2)]
                )
                for _ in range(share):
                    deed(me, random)
        finally:
            self.over.set()

    def _ask(self, me: Member, random: Random) -> None:
        other = random.choice([m for m in self.members if m is not me])
        self._call(
            me,
            "request_borrow",
            community_id=self.community,
            lender_id=other.id,
            amount=random.randint(1, 60),
            reason="Because",
        )

    def _answer(self, me: Member, random: Random) -> None:
        waiting = me.read("borrow_requests", lender_id=me.id, status="pending")
        if waiting:
            request = random.choice(waiting)["id"]
            self._call(me, "respond_borrow", borrow_request_id=request, action="approved")

    def _settle(self, me: Member, random: Random) -> None:
        loans = me.read("loans", status="open")
        if loans:
            loan = random.choice(loans)
            deed = "repay_loan" if str(loan["borrower_id"]) == me.id else "forgive_loan"
            self._call(me, deed, loan_id=loan["id"], amount=1)
        self._call(me, "declare_joy", community_id=self.community, title="Thunder", cc_spent=1)

    def _tip(self, me: Member, random: Random) -> None:
        tips = me.read("tip_to_tip_proposals", status="active")
        if tips and random.random() < 0.9:
            tip = random.choice(tips)["id"]
            self._call(me, "vote_tip_to_tip", proposal_id=tip, vote="accept")
        else:
            self._call(
                me, "propose_tip_to_tip", community_id=self.community, title="Rain?", stake_amount=2
            )

    def _turn_days(self) -> None:
        """Hours pass in a second, and the jobs see to it, as would pg_cron."""
        try:
            while not self.over.is_set():
                self.house.clock.forward(hours=3)
                for job in JOBS:
                    now = self.house.clock.now
                    self.house.owner.sql(f"select private.{job}(%(now)s)", now=now)
                    self.done[job] += 1
                time.sleep(0.3)
        finally:
            self.over.set()

    def _call(self, who: Member, rpc: str, **said: object) -> None:
        try:
            getattr(who, rpc)(**said)
            self.done[rpc] += 1
        except Refusal as refusal:
            self.refused[refusal.code] += 1

    def summary(self) -> str:
        acts = self.done + self.refused
        return (
            f"{acts.total()} acts of {len(self.members)} members at once; done: "
            + ", ".join(f"{name} {n}" for name, n in self.done.most_common())
            + "; refused: "
            + ", ".join(f"{name} {n}" for name, n in self.refused.most_common())
        )
