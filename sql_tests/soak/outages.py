"""64 clients of the whole of CHAS while its parts are killed, crowded out or out of room.

Whatever a client hears is one of three: a refusal of the rules; a call to repeat, only while
something is out, until everybody has been answered again; or a bug, which ends the run.
"""

import os
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import psycopg
from cluster import free_port
from crashes import CUT_OFF, Crashes
from keys import PUBLISHABLE
from own_house import own_house
from people import STATUS_OF, House, Member, Refusal
from rest import stand_still
from service import Service

if TYPE_CHECKING:
    from stack import Stack

# The disk is full (53100), nobody else may connect (53300), or waiting took too long.
OUT_OF_ROOM = ("53100", "53300", "55P03", "57014")

# PostgREST has the status 500 for what Postgres interrupts, and 400 with an empty code where the
# server was killed: the code must tell.
INTERRUPTED = ("", *CUT_OFF[1:], "55P03", "57014")

# Of PostgREST itself, with the status 500, when it cannot write its own log to a full disk.
SPEECHLESS = "Something went wrong"


# ------------------------------------------------------------------------------ the whole of CHAS


@contextmanager
def whole_house(place: Path, megabytes: int) -> Iterator[tuple["Stack", House, bool]]:
    """The local stack under another name, and whether its place is one that can be filled."""
    parts = ("GATEWAY", "PG", "REST", "EDGE", "AUTH", "REALTIME")
    ports = [f"CHAS_{part}_PORT" for part in parts]
    os.environ |= {name: str(free_port()) for name in ports}
    os.environ |= {"CHAS_STACK": place.name, "INVITE_ATTEMPTS_PER_MINUTE": "1000000"}
    from stack import Stack  # it reads its name and ports when it is imported

    place.mkdir(parents=True, exist_ok=True)
    with (
        limited(place.absolute(), megabytes) as is_limited,
        own_house(place, port=int(os.environ["CHAS_PG_PORT"]), durable=True) as (_, house),
    ):
        house.clock.forward(days=1)
        stand_still(house)
        stack = Stack()
        try:
            for service in stack.services:
                service.start()
                service.wait()
            yield stack, house, is_limited
        finally:
            for service in reversed(stack.services):
                service.stop()


@contextmanager
def limited(place: Path, megabytes: int) -> Iterator[bool]:
    """A disk of its own in memory, so that filling it fills no other; only root can have one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(place)]
    is_limited = os.geteuid() == 0 and not subprocess.run(mount, check=False).returncode
    if not is_limited:
        print("  skipped: the disk is not filled, for a small one of our own takes root to mount")
    try:
        yield is_limited
    finally:
        if is_limited:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
            place.rmdir()


# ------------------------------------------------------------------------------ its clients


class Unanswered(Exception):
    """No answer, or one in the range 5xx."""

    def __init__(self, name: str, at_edge: bool, may_be_repeated: bool, text: str = "") -> None:
        self.name = name
        self.at_edge = at_edge
        self.may_be_repeated = may_be_repeated
        super().__init__(f"{name}{' at the edge' if at_edge else ''} {text}")


class HttpRefusal(Refusal):
    """A refusal as it came over the wire."""

    def __init__(self, answer: httpx.Response) -> None:
        told = answer.json()
        assert STATUS_OF.get(told["code"]) == answer.status_code, f"no refusal: {answer.text}"
        self.code = told["code"]
        Exception.__init__(self, answer.text)


class Line:
    """One client's way to PostgREST, straight or through the gateway, and to the edge."""

    def __init__(self, rest: str, edge: str, token: str) -> None:
        self.rest = rest
        self.edge = edge
        headers = {"apikey": PUBLISHABLE, "Authorization": f"Bearer {token}"}
        self.http = httpx.Client(timeout=30, headers=headers)
        self.calls = 0
        self.last_heard = 0.0

    def ask(self, method: str, address: str, **request: Any) -> Any:
        begun, at_edge = time.monotonic(), address.startswith(self.edge)
        self.calls += 1
        try:
            answer = self.http.request(method, address, **request)
        except httpx.TransportError as error:
            raise Unanswered(type(error).__name__, at_edge, True) from None
        status, code = answer.status_code, code_of(answer)
        if status >= 500 or code == "":
            may_be = status in (502, 503, 504) or code in INTERRUPTED or answer.text == SPEECHLESS
            raise Unanswered(f"{status} {code or 'without a code'}", at_edge, may_be, answer.text)
        self.last_heard = begun
        if status >= 400:
            raise HttpRefusal(answer)
        return answer.json()


def code_of(answer: httpx.Response) -> str | None:
    """Of what went wrong; none at all where the gateway speaks for a part that is gone."""
    is_json = answer.is_error and answer.headers.get("Content-Type", "").find("json") > 0
    return str(answer.json().get("code")) if is_json else None


@dataclass(frozen=True, kw_only=True)
class Client(Member):
    """A member whose calls go over the wire."""

    line: Line

    def _call(self, name: str, /, **arguments: Any) -> Any:
        return self.line.ask("POST", f"{self.line.rest}/rpc/{name}", json=arguments)

    def read(self, table: str, **wanted: Any) -> list[dict[str, Any]]:
        filters = {column: f"eq.{value}" for column, value in wanted.items()}
        query = filters | {"limit": "50"}
        return list(self.line.ask("GET", f"{self.line.rest}/{table}", params=query))

    def visit(self, path: str) -> Any:
        return self.line.ask("GET", self.line.edge + path)


# ------------------------------------------------------------------------------ the run


@dataclass
class Outage:
    """`over` when everybody has been answered again, and a little later: an answer may be late."""

    what: str
    begun: float
    over: float = inf

    def excuses(self, begun: float, at_edge: bool) -> bool:
        """What goes wrong elsewhere has nothing to do with an edge that is out."""
        return begun <= self.over and (at_edge or self.what != "edge")


class Outages(Crashes):
    pause = 0.2

    def __init__(self, stack: "Stack", house: House, seed: int, members: int = 64) -> None:
        super().__init__(stack.cluster, house, seed, members)
        self.stack = stack
        self.rest, self.edge, self.gateway = stack.services
        self.invite = house.service.mint_invites()["invites"][0]["code"]
        self.outages: list[Outage] = []
        self.bugs: list[Exception] = []
        self.unanswered: Counter[str] = Counter()
        self.died_of_it = 0
        self.back_after: dict[str, list[float]] = defaultdict(list)
        edge_address = f"http://127.0.0.1:{self.edge.port}"
        ways = [f"http://127.0.0.1:{self.rest.port}", f"{stack.url}/rest/v1"]
        self.lines: list[Line] = []
        for number, member in enumerate(self.members):
            assert member.claims
            key, kid = stack.keys.signing_key, {"kid": stack.keys.key_id}
            token = jwt.encode(member.claims, key, "ES256", headers=kid)
            line = Line(ways[number % 2], edge_address, token)
            self.lines.append(line)
            self.members[number] = Client(**vars(member), line=line)

    def endure(self, seconds: float, may_fill: bool) -> None:
        faults: list[Callable[[], None]] = [
            partial(self._kill_service, self.rest),
            self._kill_postgres,
            partial(self._kill_service, self.edge),
            self._hold_every_purse,
            *([self._fill_the_disk] if may_fill else []),
            self._take_every_connection,
        ]
        until = time.monotonic() + seconds
        with self._load():
            for fault in cycle(faults):
                self._wait_for_acts(100)
                if self.over.is_set() or time.monotonic() > until:
                    break
                fault()
        self.house.close()

    # -------------------------------------------------------------------------- the faults

    def _kill_service(self, service: Service) -> None:
        with self._outage(service.name):
            self._kill(service)
            self.over.wait(self.random.uniform(0, 2))
            service.start()

    def _kill(self, service: Service) -> None:
        pid = service.pid()
        assert pid, f"{service.name} does not run"
        os.kill(pid, signal.SIGKILL)
        self.kills[service.name] += 1
        while service.pid():
            time.sleep(0.01)

    def _kill_postgres(self) -> None:
        """The connections that come after it live some hours later."""
        with self._outage("PostgreSQL"):
            self.house.clock.forward(hours=self.random.randint(3, 11))
            self._insist(partial(stand_still, self.house))
            self._kill_server()

    def _hold_every_purse(self) -> None:
        """Longer than anybody may wait for a lock; to the others PostgREST has nothing to lend."""
        with self._outage("the pool"), psycopg.connect(self.cluster.url()) as holder:
            holder.execute("lock table private.purses in access exclusive mode")
            self.over.wait(12)

    def _take_every_connection(self) -> None:
        """PostgREST comes back, and finds nobody at home."""
        with self._outage("connections"), ExitStack() as taken:
            self._kill(self.rest)
            until = time.monotonic() + 5
            self._take_what_is_free(taken)
            self.rest.start()
            while time.monotonic() < until:
                self._take_what_is_free(taken)
                time.sleep(0.05)

    def _take_what_is_free(self, taken: ExitStack) -> None:
        try:
            while True:
                taken.enter_context(psycopg.connect(self.cluster.url(role="authenticator")))
        except psycopg.OperationalError:
            pass

    def _fill_the_disk(self) -> None:
        """To the last page, and whatever is freed meanwhile is taken as well."""
        ballast = self.cluster.directory / "ballast"
        with self._outage("the disk"):
            with ballast.open("wb") as file:
                until, taken, more = time.monotonic() + 5, 0, 2**28
                while time.monotonic() < until:
                    try:
                        os.posix_fallocate(file.fileno(), taken, more)
                        taken += more
                    except OSError:
                        more = max(more // 2, 4096)
                        time.sleep(0.001)
            ballast.unlink()

    @contextmanager
    def _outage(self, what: str) -> Iterator[None]:
        outage = Outage(what, time.monotonic())
        self.outages.append(outage)
        try:
            yield
            mended = time.monotonic()
            while min(line.last_heard for line in self.lines) < mended and not self.over.is_set():
                assert time.monotonic() < mended + 90, f"{what}: not everybody is answered again"
                self._start_what_died(what)
                time.sleep(0.1)
            self.back_after[what].append(time.monotonic() - mended)
        finally:
            outage.over = time.monotonic() + 2

    def _start_what_died(self, what: str) -> None:
        """As whatever watches over it would: PostgreSQL may die of a full disk, and of nothing else
        may anything."""
        if not self.cluster.is_running():
            assert what == "the disk", f"PostgreSQL died by itself: {what}"
            self.died_of_it += 1
            self.cluster.start()
        for service in self.stack.services:
            assert service.pid(), f"{service.name} died by itself"

    # -------------------------------------------------------------------------- the load

    def _deeds(self, number: int) -> list[Callable[[Member, Random], None]]:
        """One in sixteen asks only the edge."""
        return [self._visit] if number % 16 == 15 else super()._deeds(number)

    def _visit(self, me: Member, random: Random) -> None:
        assert isinstance(me, Client)
        path = random.choice(["/health", "/health/ready", f"/invites/{self.invite}"])
        self._insist(partial(me.visit, path), "the edge")
        self.done["asked the edge"] += 1

    def _turn_days(self) -> None:
        """The clock is the server's, and moves when it is killed."""

    def _is_cut_off(self, error: Exception, begun: float) -> bool:
        at_edge = False
        if isinstance(error, Unanswered):
            name, at_edge, may_be = error.name, error.at_edge, error.may_be_repeated
        else:
            state = error.sqlstate if isinstance(error, psycopg.OperationalError) else "none"
            name, may_be = f"a job {state or 'cut off'}", state in (*CUT_OFF, *OUT_OF_ROOM)
        if not may_be or not any(one.excuses(begun, at_edge) for one in self.outages):
            self.bugs.append(error)
            error.add_note(f"in {self.outages[-1:]}; the first bug of all: {self.bugs[0]!r}")
            return False
        self.unanswered[name] += 1
        return True

    # -------------------------------------------------------------------------- the reckoning

    def summary(self) -> str:
        back = ", ".join(
            f"{what} {len(times)} times ({max(times):.1f} s)"
            for what, times in self.back_after.items()
        )
        errors = ", ".join(f"{name} {n}" for name, n in self.unanswered.most_common())
        return (
            f"{sum(line.calls for line in self.lines)} calls of {len(self.lines)} clients; "
            f"bugs 0, refused {self.refused.total()}, to repeat {self.unanswered.total()}: "
            f"{errors}\n"
            f"  out, and everybody answered again after at most: {back}; "
            f"of a full disk PostgreSQL died {self.died_of_it} times\n  " + super().summary()
        )
