"""Load that never rests while backends and whole servers are killed with SIGKILL under it.

Every member repeats a call whose answer was cut off, with the same request_id, until it is
answered. Only a lost connection counts as cut off: anything else the database says is a bug and
ends the run.
"""

import logging
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psycopg
from cluster import Cluster
from flaws import assert_flawless
from people import House, Member, Refusal

JOBS = ("daily_sunset", "daily_reset", "tip_to_tip_expiry")

# That a transaction cannot be rolled back on a dead line is what this is about, and no news.
logging.getLogger("psycopg").setLevel(logging.ERROR)

# The server goes (57P01, 57P02), is not yet back (57P03), or the line is dead (no code at all).
CUT_OFF = (None, "57P01", "57P02", "57P03")


def nothing() -> None:
    pass


class Acknowledged(NamedTuple):
    who: Member
    rpc: str
    request_id: str
    answer: Any


class Crashes:
    # How long whoever was cut off waits before the next try, in seconds.
    pause = 0.02

    def __init__(self, cluster: Cluster, house: House, seed: int, members: int) -> None:
        self.cluster = cluster
        self.house = house
        self.random = Random(seed)
        self.over = threading.Event()
        self.acknowledged: list[Acknowledged] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.cut_off: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.done_unheard = 0
        self.community, self.members = house.gather("Crash", members)

    # -------------------------------------------------------------------------- the run

    def survive(self, kills: int) -> None:
        with self._load():
            for number in range(kills):
                self._wait_for_acts(self.random.randint(15, 60))
                if number % 2:
                    self._kill_server()
                else:
                    self._kill_backend()
            self._wait_for_acts(50)

    @contextmanager
    def _load(self) -> Iterator[None]:
        """Around the block; what went wrong in it is raised when everybody has come to rest."""
        with ThreadPoolExecutor(len(self.members) + len(JOBS) + 1) as threads:
            work = [threads.submit(self._live, n) for n in range(len(self.members))]
            work += [threads.submit(self._work, job) for job in JOBS]
            work.append(threads.submit(self._turn_days))
            try:
                yield
            finally:
                self.over.set()
            for one in work:
                one.result()

    def _wait_for_acts(self, acts: int) -> None:
        """Until so many more have been acknowledged: every crash is survived before the next."""
        until, before = time.monotonic() + 60, len(self.acknowledged)
        while len(self.acknowledged) < before + acts and not self.over.is_set():
            assert time.monotonic() < until, "nothing was acknowledged for a minute"
            time.sleep(self.random.uniform(0.001, 0.02))

    def _kill_backend(self) -> None:
        """One at work; the postmaster then throws everybody out and recovers."""
        at_work = """
          select pid from pg_stat_activity
          where backend_type = 'client backend' and pid <> pg_backend_pid()
            and state = 'active' and usename = 'authenticator'
        """
        while not (found := self._insist(partial(self.house.owner.sql, at_work))):
            pass
        with suppress(ProcessLookupError):
            os.kill(self.random.choice(found)["pid"], signal.SIGKILL)
            self.kills["a backend"] += 1

    def _kill_server(self) -> None:
        while processes := [pid for pid in pids() if working_directory(pid) == self.cluster.data]:
            for pid in processes:
                # The others follow one that is gone, and may have done so already.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        self.cluster.start()
        self.kills["the whole server"] += 1

    # -------------------------------------------------------------------------- the load

    def _live(self, number: int) -> None:
        random, me = Random(self.random.random() + number), self.members[number]
        deeds = self._deeds(number)
        try:
            while not self.over.is_set():
                random.choice(deeds)(me, random)
        finally:
            self.over.set()

    def _deeds(self, number: int) -> list[Callable[[Member, Random], None]]:
        """What this member does, the more often the more often it is named."""
        deeds = [self._declare] * 4 + [self._ask] * 2 + [self._answer] * 3 + [self._settle] * 2
        return [*deeds, self._propose, self._vote, self._vote, self._talk]

    def _turn_days(self) -> None:
        """An hour passes in every fifth of a second."""
        while not self.over.wait(0.2):
            self.house.clock.forward(hours=1)

    def _work(self, job: str) -> None:
        """Each job comes again and again, in a backend of its own, as from pg_cron."""
        try:
            while not self.over.wait(0.1):
                self._insist(partial(self._run, job, self.house.clock.now), job)
        finally:
            self.over.set()

    def _run(self, job: str, now: datetime) -> None:
        self.house.owner.sql(f"select private.{job}(%(now)s)", now=now)

    def _declare(self, me: Member, random: Random) -> None:
        cc = random.randint(1, 20)
        self._call(me, "declare_joy", community_id=self.community, title=name(), cc_spent=cc)

    def _talk(self, me: Member, random: Random) -> None:
        self._call(me, "send_message", community_id=self.community, content=name())

    def _ask(self, me: Member, random: Random) -> None:
        lender = random.choice([m for m in self.members if m is not me]).id
        said = {"lender_id": lender, "amount": random.randint(1, 30), "reason": name()}
        self._call(me, "request_borrow", community_id=self.community, **said)

    def _answer(self, me: Member, random: Random) -> None:
        waiting = self._rows(me, "borrow_requests", lender_id=me.id, status="pending")
        if waiting:
            said = {"borrow_request_id": random.choice(waiting)["id"], "action": "approved"}
            self._call_without_id(me, "respond_borrow", **said)

    def _settle(self, me: Member, random: Random) -> None:
        loans = self._rows(me, "loans", status="open")
        if loans:
            loan = random.choice(loans)
            if str(loan["borrower_id"]) == me.id:
                self._call(me, "repay_loan", loan_id=loan["id"], amount=1)
            else:
                self._call_without_id(me, "forgive_loan", loan_id=loan["id"], amount=1)

    def _propose(self, me: Member, random: Random) -> None:
        stake = random.randint(1, 5)
        said = {"community_id": self.community, "title": name(), "stake_amount": stake}
        self._call(me, "propose_tip_to_tip", **said)

    def _vote(self, me: Member, random: Random) -> None:
        tips = self._rows(me, "tip_to_tip_proposals", status="active")
        if tips:
            said = {"proposal_id": random.choice(tips)["id"], "vote": "accept"}
            self._call_without_id(me, "vote_tip_to_tip", **said)

    # -------------------------------------------------------------------------- calling

    def _call(self, who: Member, rpc: str, **said: Any) -> None:
        """Repeated with the same request_id until there is an answer or a refusal."""
        request_id = str(uuid.uuid4())
        call = partial(called, who, rpc, request_id=request_id, **said)
        answer = self._insist(call, rpc, partial(self._look_for, request_id))
        if isinstance(answer, Refusal):
            self.refused[answer.code] += 1
        else:
            self.acknowledged.append(Acknowledged(who, rpc, request_id, answer))
            self.done[rpc] += 1

    def _call_without_id(self, who: Member, rpc: str, **said: Any) -> None:
        """Repeated, it is refused if it was done: approving and voting can be done only once. What
        is forgiven twice is told twice."""
        answer = self._insist(partial(called, who, rpc, **said), rpc)
        if isinstance(answer, Refusal):
            self.refused[answer.code] += 1
        else:
            self.done[rpc] += 1

    def _rows(self, me: Member, table: str, **wanted: Any) -> list[Any]:
        return list(self._insist(partial(me.read, table, **wanted)))

    def _look_for(self, request_id: str) -> None:
        """Whether a call that was cut off had been done."""
        kept = partial(self.house.owner.read, "private.repeats", request_id=request_id)
        self.done_unheard += len(self._insist(kept))

    def _insist(
        self, call: Callable[[], Any], what: str = "reading", once_cut: Callable[[], None] = nothing
    ) -> Any:
        """Until it is answered; `once_cut` is called the first time it was not."""
        is_cut_off = False
        while True:
            begun = time.monotonic()
            try:
                return call()
            except Exception as error:
                if not self._is_cut_off(error, begun):
                    raise
            if not is_cut_off:
                self.cut_off[what] += 1
                once_cut()
            is_cut_off = True
            time.sleep(self.pause)

    def _is_cut_off(self, error: Exception, begun: float) -> bool:
        """Whether a call begun at this moment ended so because the server was gone."""
        return isinstance(error, psycopg.OperationalError) and error.sqlstate in CUT_OFF

    # -------------------------------------------------------------------------- the reckoning

    def assert_nothing_lost_or_doubled(self) -> None:
        kept = {
            (str(row["user_id"]), row["rpc"], str(row["request_id"])): row["made"]
            for row in self.house.owner.read("private.repeats")
        }
        for one in self.acknowledged:
            made = kept.get((one.who.id, one.rpc, one.request_id))
            assert made is not None, f"lost: {one}"
            things = one.answer.items()
            shown = {f"{kind}_id": thing["id"] for kind, thing in things if "id" in thing}
            assert made.items() <= shown.items(), f"remembered otherwise: {one}"
        # What was done and never acknowledged would have been repeated: every call got its answer.
        assert len(kept) == len(self.acknowledged), "done, and never acknowledged"
        assert_flawless(self.house, all_with_request_id=True)

    def summary(self) -> str:
        def counted(counter: Counter[str]) -> str:
            return ", ".join(f"{name} {n}" for name, n in counter.most_common())

        return (
            f"killed: {counted(self.kills)}, by {self.house.clock.now:%d %B %Y}\n"
            f"  {len(self.acknowledged)} acknowledged acts with a request_id are there once each; "
            f"{self.done_unheard} of them were done, but the answer never came, and were repeated\n"
            f"  done: {counted(self.done)}\n  refused: {counted(self.refused)}\n"
            f"  calls cut off and repeated: {counted(self.cut_off)}"
        )


def called(who: Member, rpc: str, **said: Any) -> Any:
    try:
        return getattr(who, rpc)(**said)
    except Refusal as refusal:
        return refusal


def name() -> str:
    return str(uuid.uuid4())


def pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def working_directory(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").resolve()
    except OSError:
        return None
