"""One login and a friend's, sixteen connections, a free evening: what others notice of it.

The same acts of other members, in the same community and in another one, are timed in turn while
nothing happens, while sixteen connections make ordinary calls, and while they attack. How much an
attack wrote is counted.
"""

import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from people import Clock, House, Member, Refusal, Row

CONNECTIONS = 16

# What a member who sees these grow would call being flooded.
GROWING = (
    *("chat_messages", "notifications", "borrow_requests", "tip_to_tip_proposals"),
    *("audit_entries", "words", "absences", "communities", "repeats", "gazette_items"),
)


class RunningClock(Clock):
    """It runs with the time of the machine, and ahead of it."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    @property
    def now(self) -> datetime:  # type: ignore[override]  # elsewhere it is set, here it runs
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Scene:
    """What the attackers know, in a form that another process can be given."""

    address: str
    ahead: timedelta
    me: str
    friend: str
    home: str
    code: str
    line: int
    amendment: str
    victim: str


class Attacker:
    """One connection of theirs; refusals are what they are after."""

    def __init__(self, scene: Scene) -> None:
        self.house = House(lambda login: scene.address, frozenset())
        self.house.clock = RunningClock(scene.ahead)
        self.me, self.friend = (
            Member.of(self.house, {"id": one, "email": "evil@chas.test"}, {})
            for one in (scene.me, scene.friend)
        )
        self.scene = scene
        self.at_home = {"community_id": scene.home}
        self.heard: Counter[str] = Counter()

    def tries(self, who: Member, rpc: str, **said: Any) -> Row:
        try:
            answer = getattr(who, rpc)(**said)
        except Refusal as refusal:
            self.heard[refusal.code] += 1
            return {}
        self.heard["done"] += 1
        return dict(answer)

    def talks(self) -> None:
        """Ordinary calls: what any frontend makes all day."""
        self.tries(self.me, "get_balance", **self.at_home)
        self.tries(self.me, "list_messages", page_size=20, **self.at_home)

    def asks_and_takes_back(self) -> None:
        said = {"lender_id": self.scene.victim, "amount": 1, "reason": "Please"}
        asked = self.tries(self.me, "request_borrow", **said, **self.at_home)
        if asked:
            self.tries(self.me, "cancel_borrow", borrow_request_id=asked["borrow_request"]["id"])

    def comes_and_goes(self) -> None:
        self.tries(self.friend, "leave_community", **self.at_home)
        self.tries(self.friend, "join_community", invite_code=self.scene.code)

    def proposes_and_declines(self) -> None:
        said = {"title": "Look here", "stake_amount": 1}
        made = self.tries(self.me, "propose_tip_to_tip", **said, **self.at_home)
        if made:
            tip = made["proposal"]["id"]
            self.tries(self.friend, "vote_tip_to_tip", proposal_id=tip, vote="decline")

    def rewrites(self) -> None:
        self.tries(self.me, "edit_message", message_id=self.scene.line, content="x" * 2000)

    def is_away_and_back(self) -> None:
        tomorrow = self.house.clock.now.date() + timedelta(days=1)
        days = {"from_day": tomorrow, "to_day": tomorrow}
        self.tries(self.me, "declare_absence", **days, **self.at_home)
        self.tries(self.me, "end_absence", **self.at_home)

    def plays_the_moderator(self) -> None:
        them = {"user_id": self.scene.victim, **self.at_home}
        self.tries(self.me, "remove_member", reason="No", **them)
        self.tries(self.me, "ban_member", reason="No", **them)
        self.tries(self.me, "lift_ban", **them)
        self.tries(self.me, "set_council", granted=True, **them)
        self.tries(self.me, "step_down", **self.at_home)
        self.tries(self.me, "update_community", patch={"timezone": "Asia/Tokyo"}, **self.at_home)
        self.tries(self.me, "set_join_code", rotate=True, **self.at_home)

    def votes_again(self) -> None:
        self.tries(self.me, "vote_tip_to_tip", proposal_id=self.scene.amendment, vote="accept")

    def reads_everything(self) -> None:
        self.tries(self.me, "export_my_data")
        self.tries(self.me, "verify_gazette", **self.at_home)

    def pages_forward(self) -> None:
        self.tries(self.me, "list_messages", after_id=0, page_size=200, **self.at_home)

    def guesses(self) -> None:
        self.tries(self.me, "join_community", invite_code=f"{random.getrandbits(60):015x}")
        self.tries(self.me, "update_me", display_name=f"{random.getrandbits(60):015x}")


ORDINARY = Attacker.talks
ATTACKS = (
    *(Attacker.asks_and_takes_back, Attacker.comes_and_goes, Attacker.proposes_and_declines),
    *(Attacker.rewrites, Attacker.is_away_and_back, Attacker.plays_the_moderator),
    *(Attacker.votes_again, Attacker.reads_everything, Attacker.pages_forward, Attacker.guesses),
)


def named(what: Callable[[Attacker], None]) -> str:
    return what.__name__.replace("_", " ")


def attack(scene: Scene, what: str, pause: float, over: Any, heard: Any) -> None:
    """Sixteen connections, each with this pause between two tries, until it is over."""
    attackers = [Attacker(scene) for _ in range(CONNECTIONS)]

    def go_on(attacker: Attacker) -> None:
        while not over.is_set():
            getattr(attacker, what)()
            time.sleep(pause)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for one in [threads.submit(go_on, attacker) for attacker in attackers]:
            one.result()
    for attacker in attackers:
        attacker.house.close()
    heard.put(sum((attacker.heard for attacker in attackers), Counter()))


@contextmanager
def under_attack(
    scene: Scene, what: Callable[[Attacker], None] | None, pause: float
) -> Iterator[Counter[str]]:
    """What the attackers heard is in the counter when it is over."""
    heard: Counter[str] = Counter()
    if what is None:
        yield heard
        return
    apart = multiprocessing.get_context("spawn")
    over, queue = apart.Event(), apart.Queue()
    process = apart.Process(target=attack, args=(scene, what.__name__, pause, over, queue))
    process.start()
    try:
        time.sleep(1.5)  # until all of them are connected
        yield heard
    finally:
        over.set()
        heard.update(queue.get(timeout=60))
        process.join()


# What is timed: acts of other members, at home with the attackers and far from them, and whether
# they write a line.
TIMED: tuple[tuple[Callable[[Member, str], Any], bool], ...] = (
    (lambda who, where: who.declare_joy(community_id=where, title="Tea", cc_spent=1), True),
    (lambda who, where: who.send_message(community_id=where, content="Hello"), True),
    (lambda who, where: who.list_messages(community_id=where), False),
)

Times = dict[str, list[float]]


class Attacks:
    def __init__(self, house: House, address: str, begins: str, members: int = 40) -> None:
        ahead = datetime.fromisoformat(begins) - datetime.now(UTC)
        house.clock = RunningClock(ahead)
        self.house = house
        self.home, people = house.gather("Attacked", members)
        self.far, others = house.gather("Far", members)
        self.turns = {self.home: count(), self.far: count()}
        me, friend, *victims = reversed(people)
        # Messages are limited for each of them; there are enough of them for all to be sent.
        self.victims = {self.home: victims, self.far: others}
        line = me.send_message(community_id=self.home, content="Hello")["message"]
        amendment = victims[0].propose_tip_to_tip(
            community_id=self.home,
            title="East",
            stake_amount=1,
            amendment={"timezone": "Asia/Tokyo"},
        )["proposal"]
        me.vote_tip_to_tip(proposal_id=amendment["id"], vote="accept")
        self.scene = Scene(
            address=address,
            ahead=ahead,
            me=me.id,
            friend=friend.id,
            home=self.home,
            code=people[0].set_join_code(community_id=self.home)["invite_code"],
            line=line["id"],
            amendment=amendment["id"],
            victim=victims[-1].id,
        )
        # Of others' acts, round by round, in ms: at home with the attackers and elsewhere.
        self.p95s: dict[str, Times] = defaultdict(lambda: defaultdict(list))
        self.heard: dict[str, Counter[str]] = defaultdict(Counter)
        self.wrote: dict[str, Counter[str]] = defaultdict(Counter)

    def play(self, rounds: int, seconds: float, pause: float) -> None:
        """Each round all of it once, in an order of its own; the first only warms."""
        everything = [None, ORDINARY, *ATTACKS]
        for number in range(rounds + 1):
            found: dict[str, Times] = {}
            for what in random.sample(everything, len(everything)):
                name = named(what) if what else "quiet"
                before = self._rows()
                with under_attack(self.scene, what, pause) as heard:
                    found[name] = self._time(seconds)
                self.heard[name] += heard
                self.wrote[name] += self._rows() - before - Counter(self.own)
            for name, times in found.items() if number else ():
                for place, taken in times.items():
                    self.p95s[name][place].append(sorted(taken)[int(len(taken) * 0.95)])

    def strike_at_once(
        self, what: Callable[[Attacker], None], tries: int
    ) -> tuple[Counter[str], Counter[str]]:
        """So many tries of each connection, all of them at once; what was heard and written."""
        before = self._rows()
        attackers = [Attacker(self.scene) for _ in range(CONNECTIONS)]
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            work = [threads.submit(what, one) for one in attackers for _ in range(tries)]
            for one in work:
                one.result()
        for attacker in attackers:
            attacker.house.close()
        heard: Counter[str] = sum((one.heard for one in attackers), Counter())
        return heard, self._rows() - before

    def _time(self, seconds: float) -> Times:
        """Milliseconds of each act, one after the other with a breath between."""
        times: Times = defaultdict(list)
        self.own: Counter[str] = Counter()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for where, place in ((self.home, "at home"), (self.far, "elsewhere")):
                victims = self.victims[where]
                who = victims[next(self.turns[where]) % len(victims)]
                for act, is_line in TIMED:
                    begun, queued = time.perf_counter_ns(), self._queued()
                    act(who, where)
                    taken = time.perf_counter_ns() - begun - (self._queued() - queued)
                    times[place].append(taken / 1e6)
                    self.own["chat_messages"] += is_line
                    time.sleep(0.005)
        return times

    def _queued(self) -> int:
        """Nanoseconds that caller and backend have been ready and without a processor.

        Sixteen busy connections leave little of two processors to anybody, whatever they do. That
        is no fault of what they call: what is timed is what a call takes but for that wait.
        """
        with self.house.connection("authenticator") as connection:
            backend = connection.info.backend_pid
        both = (Path("/proc/thread-self/schedstat"), Path(f"/proc/{backend}/schedstat"))
        return sum(int(place.read_text().split()[1]) for place in both)

    def _rows(self) -> Counter[str]:
        counted = [f"(select count(*) from private.{table}) as {table}" for table in GROWING]
        (row,) = self.house.owner.sql("select " + ", ".join(counted))
        return Counter({table: int(rows) for table, rows in row.items()})

    def costs(self, name: str, place: str) -> list[float]:
        """How many times the quiet p95 of the same round others' acts took there."""
        both = zip(self.p95s[name][place], self.p95s["quiet"][place], strict=True)
        return [one / quiet for one, quiet in both]

    def summary(self) -> str:
        lines = []
        for name, places in self.p95s.items():
            costs = ", ".join(
                f"{place} {median(p95s):.2f} ms ({median(self.costs(name, place)):.2f} times)"
                for place, p95s in places.items()
            )
            heard = ", ".join(f"{code} {n}" for code, n in self.heard[name].most_common())
            wrote = ", ".join(f"{rows} {table}" for table, rows in self.wrote[name].most_common())
            told = f"heard {heard or 'nothing'}; wrote {wrote or 'nothing'}"
            lines.append(f"  {name}: p95 of others {costs}; {told}")
        return "\n".join(lines)
