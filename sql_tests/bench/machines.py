"""More than one machine: what a standby adds, how far it is behind, what a move takes.

`machines.py [reading|lag|moves ...]`: five minutes, 6 GB in .local/bench. Each server and those who
ask it keep to one core of their own, so that two of them stand for two machines of one core each;
what they share all the same, memory and disk, is shared. Nothing else should run meanwhile.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import psycopg
from bench import COMMUNITY, DECLARE, HOUSE, OUT, Bench, Form, as_member, house
from cluster import Cluster, Trouble
from meters import TICK, PacedLoad, median, percentile, pgbench, session
from move import connect, move
from servers import Standby

FORM = Form(rounds=5, seconds=4, calls=0, day_communities=0, day_rounds=0, growth=())
RATES = (100, 300, 1_000)
PACED_SECONDS = 15

EVERYBODY = "\\set i random(51, 100050)\n\\set c (:i - 51) / 50 + 1\n"
# A screen's reads, as PostgREST asks for them by GET: in a transaction that may not write.
READING = f"""{EVERYBODY}begin read only;
select set_config('role', 'authenticated', true);
{as_member("true")};
select public.list_messages({COMMUNITY});
select public.list_gazette({COMMUNITY});
select public.get_balance({COMMUNITY});
commit;
"""
DOORS_READ = 3


class Machines(Bench):
    standby: Standby

    @contextmanager
    def following(self) -> Iterator[None]:
        self.standby = Standby(self.cluster, OUT / "standby", durable=True)
        self.standby.stop()
        shutil.rmtree(self.standby.data, ignore_errors=True)
        self.standby.start()
        try:
            yield
        finally:
            self.standby.stop()
            shutil.rmtree(self.standby.directory, ignore_errors=True)

    # ------------------------------------------------------------------------- reads

    def reading(self) -> None:
        script = self.script("reading", READING)
        cores = sorted(os.sched_getaffinity(0))[:2]
        homes = dict(zip((self.cluster, self.standby), cores, strict=True))
        spent: dict[str, list[float]] = {"primary": [], "standby": []}

        def ask(*asked: Cluster) -> float:
            """Doors answered a second by all of them together."""
            with ThreadPoolExecutor(len(asked)) as threads:
                rates = threads.map(lambda home: one(home), asked)
                return sum(rates) * DOORS_READ

        def one(home: Cluster) -> float:
            # A thread's core is that of the programs it begins.
            os.sched_setaffinity(0, {homes[home]})
            keep_to(home, homes[home])
            url = home.url(HOUSE)
            before = spent_by_gone(home)
            rate = pgbench(url, "-f", str(script), seconds=self.form.seconds, clients=4)
            calls = rate * self.form.seconds * DOORS_READ
            name = "primary" if home is self.cluster else "standby"
            time.sleep(0.5)  # until the last connection has gone
            spent[name].append((spent_by_gone(home) - before) * 1000 / calls)
            return rate

        acts: dict[str, Callable[[], float]] = {
            "primary": partial(ask, self.cluster),
            "standby": partial(ask, self.standby),
            "both": partial(ask, self.cluster, self.standby),
        }
        found = self.in_turn(acts)
        said = "{:,.0f} : {:,.0f} a second"
        for name in ("standby", "both"):
            what = f"reads, {name} : the primary alone"
            self.compare(what, found[name], found["primary"], 0, said, at_least=True)
        for name, each in spent.items():
            print(f"  CPU of a read on the {name}: {median(each):.3f} ms")

    # --------------------------------------------------------------------------- lag

    def lag(self) -> None:
        script = self.script("declaring", EVERYBODY + as_member("false") + ", " + DECLARE)
        for rate in RATES:
            before = self.declared()
            begun = time.monotonic()
            load = PacedLoad(self.cluster.url(HOUSE), script, rate, PACED_SECONDS, clients=16)
            time.sleep(2)
            behind = list(self.behind(PACED_SECONDS - 4))
            load.latencies(0, 0)
            made = (self.declared() - before) / (time.monotonic() - begun)
            shares = [percentile(behind, share) for share in (0.5, 0.95, 1)]
            told = " · ".join(f"{share:,.0f}" for share in shares)
            print(f"  lag at {rate} declarations a second ({made:,.0f} made): {told} ms")

    def declared(self) -> int:
        asked = "select count(*) from private.repeats"
        with session(self.cluster.url(HOUSE)) as connection:
            ((count,),) = connection.execute(asked).fetchall()
        return int(count)

    def behind(self, seconds: float) -> Iterator[float]:
        """Milliseconds until what is in the primary's log is to be seen on the standby."""
        with session(self.cluster.url()) as here, session(self.standby.url()) as there:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                ((place,),) = here.execute("select pg_current_wal_flush_lsn()::text").fetchall()
                begun = time.perf_counter()
                replayed = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
                while there.execute(replayed, [place]).fetchone() != (True,):
                    time.sleep(0.0005)
                yield (time.perf_counter() - begun) * 1000
                time.sleep(0.02)

    # -------------------------------------------------------------------------- moves

    def moves(self) -> None:
        """The busy community, and one of ten joys, into a house of a thousand others."""
        self.copy("second", "empty")
        with session(self.cluster.url(HOUSE)) as here, session(self.cluster.url("second")) as there:
            here.execute("select private.number_database(0)")
            ((key,),) = here.execute("select address_key from private.settings").fetchall()
            there.execute("select private.number_database(1, %s)", [key])
        self.fill("second", communities=1_000, members=50, history=10, busy=0)
        with session(self.cluster.url("second")) as there:
            for c, name in ((0, "busy"), (7, "small")):
                ((community,),) = there.execute("select bench.community(%s)", [c]).fetchall()
                # Whoever is laid in is called alike in both: these two make room.
                there.execute("set session_replication_role = replica")
                there.execute("select count(*) from private.pack_community(%s)", [community])
                self.move_one(name, community, there)

    def move_one(self, name: str, community: UUID, there: psycopg.Connection) -> None:
        with connect(self.cluster.url(HOUSE)) as old, connect(self.cluster.url("second")) as new:
            at = {"begun": time.monotonic()}
            for step in move(str(community), old, new):
                at[step.split(":")[0]] = time.monotonic()
        rows = sum(count_rows(there, community))
        steps = list(at)
        took = ", ".join(f"{b} {at[b] - at[a]:.1f} s" for a, b in pairwise(steps))
        print(f"  a {name} community of {rows:,} rows: {took}; ", end="")
        print(f"away for {at['open'] - at['ready']:.1f} s")


def count_rows(home: psycopg.Connection, community: UUID) -> Iterator[int]:
    for table, column in home.execute("select name, home from private.moving_tables()").fetchall():
        query = f"select count(*) from private.{table} where {column} = %s"
        ((count,),) = home.execute(query.encode(), [community]).fetchall()
        yield int(count)


def postmaster(home: Cluster) -> int:
    return int((home.data / "postmaster.pid").read_text().split()[0])


def spent_by_gone(home: Cluster) -> float:
    """CPU seconds of a server's processes that have ended: pgbench's connections among them."""
    fields = Path(f"/proc/{postmaster(home)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICK


def keep_to(home: Cluster, core: int) -> None:
    """What it begins from now on stays there, too."""
    ours = postmaster(home)
    for pid in (ours, *children(ours)):
        os.sched_setaffinity(pid, {core})


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


PARTS = {"reading": Machines.reading, "lag": Machines.lag, "moves": Machines.moves}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    asked = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        with house(keep=False) as (cluster, workplace):
            bench = Machines(FORM, cluster, workplace)
            bench.build()
            with bench.following():
                for name in asked.parts or PARTS:
                    PARTS[name](bench)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    for figure in bench.figures:
        print(f"  {figure.what}: {median(figure.rounds):.2f} ({figure.medians})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
