"""How things are measured: pgbench, CPU seconds out of /proc, and calls over HTTP."""

import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cluster import Trouble, newest_server, run

TICK = os.sysconf("SC_CLK_TCK")


def median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


# --------------------------------------------------------------------------------- pgbench


def pgbench(url: str, *flags: str, seconds: float = 0, calls: int = 0, clients: int = 16) -> float:
    """Transactions a second, for so long or so many of each client; any error of a script ends the
    whole benchmark."""
    length = ("-t", str(calls)) if calls else ("-T", str(max(1, int(seconds))))
    done = run(
        newest_server() / "pgbench",
        *("-n", "-M", "prepared", "-c", str(clients), "-j", "2", *length),
        *flags,
        url,
    )
    rates = [line for line in done.stdout.splitlines() if line.startswith("tps = ")]
    if done.returncode or not rates or "aborted" in done.stdout:
        raise Trouble(f"pgbench failed:\n{done.stdout[-2000:]}")
    return float(rates[0].split()[2])


class PacedLoad:
    """pgbench at a fixed rate in the background, its latencies counted from when a call was due."""

    def __init__(self, url: str, script: Path, rate: int, seconds: float, clients: int = 4) -> None:
        self._place = tempfile.TemporaryDirectory()
        self._flags = ["-R", str(rate), "-l", f"--log-prefix={self._place.name}/log"]
        self._run = (url, "-f", str(script), *self._flags)
        self._seconds = seconds
        self._clients = clients
        self._trouble: Trouble | None = None
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def _go(self) -> None:
        try:
            pgbench(*self._run, seconds=self._seconds, clients=self._clients)
        except Trouble as trouble:
            self._trouble = trouble

    def latencies(self, begin: float, end: float) -> list[float]:
        """Milliseconds of the calls that ended between the two moments."""
        self._thread.join()
        if self._trouble:
            raise self._trouble
        found = []
        for log in Path(self._place.name).iterdir():
            for line in log.read_text().splitlines():
                fields = line.split()
                if begin <= int(fields[4]) + int(fields[5]) / 1e6 <= end:
                    found.append(int(fields[2]) / 1000)
        self._place.cleanup()
        return found


# ------------------------------------------------------------------------------------- CPU


def ticks(pid: int) -> int:
    """Of all threads of a process, gone ones included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


def cpu_seconds(pids: Iterable[int]) -> float:
    return sum(map(ticks, pids)) / TICK


# ------------------------------------------------------------------------------------ HTTP


@dataclass(frozen=True)
class Call:
    path: str
    token: str = ""
    body: dict[str, Any] | None = None


def drive(port: int, calls: Sequence[Call], clients: int = 4) -> None:
    """Makes the calls over kept-alive connections; an answer that is no success is an error."""
    waiting: Iterator[Call] = iter(calls)
    turn = threading.Lock()
    wrong: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not wrong:
            with turn:
                call = next(waiting, None)
            if call is None:
                break
            headers = {"Authorization": f"Bearer {call.token}"} if call.token else {}
            headers |= {"Content-Type": "application/json"}
            body = None if call.body is None else json.dumps(call.body)
            connection.request("GET" if body is None else "POST", call.path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                wrong.append(f"{call.path}: {answer.status} {said.decode()[:300]}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise Trouble(wrong[0])


def cpu_per_call(port: int, calls: Sequence[Call], pids: Callable[[], Iterable[int]]) -> float:
    """CPU milliseconds the processes spent on each call."""
    before = cpu_seconds(pids())
    drive(port, calls)
    return (cpu_seconds(pids()) - before) * 1000 / len(calls)


# ------------------------------------------------------------------------------ statements


@contextmanager
def session(url: str, role: str = "postgres") -> Iterator[psycopg.Connection]:
    """A connection as PostgREST has one: prepared statements, the role taken on."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("set statement_timeout = 0")
        connection.execute(f"set role {role}".encode())
        yield connection


def act_as(connection: psycopg.Connection, user_id: object) -> None:
    claims = json.dumps({"sub": str(user_id), "role": "authenticated"})
    connection.execute("select set_config('request.jwt.claims', %s, false)", [claims])


@contextmanager
def on_one_core(*connections: psycopg.Connection) -> Iterator[None]:
    """Who asks and who answers take turns there: waking another core costs as much as a small call,
    and which of two connections has to pay for it is chance."""
    before = os.sched_getaffinity(0)
    try:
        for pid in (0, *(connection.info.backend_pid for connection in connections)):
            os.sched_setaffinity(pid, {max(before)})
        yield
    finally:
        os.sched_setaffinity(0, before)


def milliseconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000
