"""CHAS measured against what the machine allows: `bench.py quick|full`.

A cluster of its own, durable and with autovacuum as shipped; every figure is a ratio of two things
measured in turn in the same rounds. Writes bench.json and bench.svg to .local/bench.
"""

import argparse
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import psycopg
from attacks import Attacks
from calls import bench_id
from cluster import (
    ROOT,
    Cluster,
    Trouble,
    check,
    lay_platform,
    newest_server,
    push,
    run,
    run_sql,
)
from keys import PUBLISHABLE, SECRET, Keys
from meters import (
    Call,
    PacedLoad,
    act_as,
    cpu_per_call,
    drive,
    median,
    milliseconds,
    on_one_core,
    percentile,
    pgbench,
    session,
)
from people import House
from psycopg.rows import dict_row
from report import Figure, table, write
from running import project, resident, rest, served
from service import Service

HERE = Path(__file__).parent
OUT = ROOT / ".local" / "bench"
PURSE = 1_000_000
HOUSE = "house"
# Ten million joys with all that hangs on them, twice that of lines, the log and what is sorted.
GROWTH_NEEDS = 40 << 30

# A page of a table as PostgREST asks for it, by the index that begins with the community, for a
# member and the owner alike. Asked as `community_id = …`, the owner's page would be read by the
# primary key, past everybody else's lines, since half the table is this community's: a worse plan,
# and no evidence.
FIFTY_ROWS = """
    with page as (
      select * from private.chat_messages where (community_id, id) < (%s, 9223372036854775807)
      order by community_id desc, id desc limit 50
    )
    select count(p), coalesce(json_agg(p), '[]')::text from page as p
"""

VISITORS = 100

# Every read door whose tables grow, but the two that tell a member everything there is. Pages are
# the default of 50 lines, or of 10 where after ten weeks a member has not yet 50 of their own.
READS = {
    "get_balance": "select public.get_balance(%(c)s)",
    "list_messages": "select public.list_messages(%(c)s)",
    "list_messages, an old page": "select public.list_messages(%(c)s, before_id => %(m)s)",
    "list_gazette": "select public.list_gazette(%(c)s)",
    "list_gazette, an old page": "select public.list_gazette(%(c)s, before_id => %(d)s)",
    "list_gazette of one author": "select public.list_gazette(%(c)s, 10, author_id => %(u)s)",
    "list_ledger": "select public.list_ledger(%(c)s, 10)",
    "get_leaderboard": "select public.get_leaderboard(%(c)s)",
    "get_member_profile": "select public.get_member_profile(%(c)s, %(u)s)",
    "get_community": "select public.get_community(%(c)s)",
    "list_members": "select public.list_members(%(c)s)",
    "get_sunset": "select public.get_sunset(%(c)s)",
    "preview_dawn": "select public.preview_dawn(%(c)s)",
    "get_declaration": "select public.get_declaration(%(d)s)",
    "get_message": "select public.get_message(%(m)s)",
    "list_notifications": "select public.list_notifications()",
    "list_my_communities": "select public.list_my_communities()",
}

# CPU of a call through PostgREST, at most so many times that of a call that does nothing.
CPU_BARS = {
    "get_balance": 1.4,
    "send_message": 2,
    "declare_joy": 2.3,
    "list_messages": 3,
    "list_gazette": 3,
    "get_leaderboard": 3.5,
    "get_member_profile": 2.5,
    "list_ledger": 4,
    "witness_declaration": 2.2,
    "vote_tip_to_tip": 4,
}
# How many of a community of fifty vote on one proposal.
VOTERS = 12
# Who is erased while others declare: so many one after the other, that there is something to see.
LEAVERS = 5

# Each round these are done by others, in the same communities as the readings. A day has no more
# than twenty of a minute's messages, five requests to a lender and one proposal of a member.
ACTS = {
    "declare_joy": "select public.declare_joy(%(c)s, 'A joy', 1, request_id => gen_random_uuid())",
    "send_message": (
        "select public.send_message(%(c)s, 'What a day', request_id => gen_random_uuid())"
    ),
    "witness_declaration": "select public.witness_declaration(%(unseen)s)",
    "request_borrow": "select public.request_borrow(%(c)s, %(lender)s, 1, 'A need')",
    "propose_tip_to_tip": "select public.propose_tip_to_tip(%(c)s, 'A tip', 1)",
    "mark_chamber_read": "select public.mark_chamber_read(%(c)s, %(newest)s)",
}


@dataclass(frozen=True)
class Form:
    rounds: int
    seconds: float  # of each pgbench run
    calls: int  # over HTTP, of each door and round
    day_communities: int  # of 100 members each
    day_rounds: int
    growth: tuple[int, ...]  # joys of each of 2,000 communities


FORMS = {
    "quick": Form(3, 2, 1_000, 1_000, 1, ()),
    "full": Form(9, 10, 2_000, 10_000, 3, (50, 500, 5_000)),
}


class Bench:
    def __init__(self, form: Form, cluster: Cluster, workplace: Path) -> None:
        self.form = form
        self.cluster = cluster
        self.workplace = workplace
        self.figures: list[Figure] = []

    # --------------------------------------------------------------------------- the houses

    def build(self) -> None:
        self.cluster.start()
        admin = self.cluster.url(role="supabase_admin")
        # Memory as a small hosted project has it; everything about durability stays as shipped.
        for setting in ("shared_buffers = '1GB'", "max_wal_size = '8GB'"):
            run_sql(admin, "-c", f"alter system set {setting}")
        self.cluster.stop()
        self.cluster.start()
        lay_platform(self.cluster)
        push(self.cluster.url())
        # pg_cron's launcher sits in the database that is to be copied; the restart brings it back.
        elsewhere = self.cluster.url("template1", "supabase_admin")
        send_away = (
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'postgres'"
        )
        create = "create database empty template postgres"
        run_sql(elsewhere, "-c", send_away, "-c", create)
        self.cluster.stop()
        self.cluster.start()
        self.copy(HOUSE, "empty")
        self.fill(HOUSE, communities=2_000, members=50, history=10, busy=21_000)
        self.copy("tpcb", "template1")
        check(run(newest_server() / "pgbench", "-i", "-q", "-s", "50", self.admin("tpcb")))

    def admin(self, database: str = "postgres") -> str:
        return self.cluster.url(database, "supabase_admin")

    def copy(self, name: str, template: str) -> None:
        drop = f"drop database if exists {name} with (force)"
        create = f"create database {name} template {template} strategy file_copy"
        run_sql(self.admin("template1"), "-c", drop, "-c", create)

    def fill(
        self, database: str, purse: int = PURSE, in_bulk: bool = False, **numbers: int
    ) -> None:
        given = [part for name, n in numbers.items() for part in ("-v", f"{name}={n}")]
        names = ["data.sql", "references.sql"]
        if in_bulk:
            names = ["indexes_away.sql", "data.sql", "indexes_back.sql", "references.sql"]
        files = [part for name in names for part in ("-f", HERE / name)]
        run_sql(self.admin(database), *given, "-v", f"purse={purse}", *files)
        # What was laid in is on the disk before anything is measured.
        run_sql(self.admin(database), "-c", "vacuum analyze", "-c", "checkpoint")

    # ------------------------------------------------------------------------------- figures

    def add(
        self, what: str, rounds: list[float], bar: float, medians: str, at_least: bool = False
    ) -> None:
        self.figures.append(Figure(what, median(rounds), bar, at_least, medians, rounds))
        print(f"  {what}: {median(rounds):.2f}", file=sys.stderr, flush=True)

    def compare(
        self,
        what: str,
        these: Sequence[float],
        those: Sequence[float],
        bar: float,
        said: str = "{:.2f} : {:.2f} ms",
        at_least: bool = False,
    ) -> None:
        """Round by round; what is said are the two medians."""
        ratios = [a / b for a, b in zip(these, those, strict=True)]
        self.add(what, ratios, bar, said.format(median(these), median(those)), at_least)

    def script(self, name: str, text: str) -> Path:
        path = self.workplace / f"{name}.pgbench"
        path.write_text(text)
        path.chmod(0o644)
        return path

    def throughput(self) -> None:
        # What is declared here must not weigh on the boards measured after it.
        self.copy("busy_house", HOUSE)
        everybody = "\\set i random(51, 100050)\n\\set c (:i - 51) / 50 + 1\n"
        the_fifty = "\\set i random(1, 50)\n\\set c 0\n"
        scripts = {
            "bare": everybody + as_member("false") + ", " + DECLARE,
            "busy": the_fifty + as_member("false") + ", " + DECLARE,
            "minimum": everybody + MINIMUM,
            "envelope": everybody + ENVELOPE,
        }
        acts: dict[str, Callable[[], float]] = {
            "tpcb": lambda: pgbench(
                self.admin("tpcb"), "-b", "tpcb-like", seconds=self.form.seconds
            )
        }
        for name, text in scripts.items():
            path = str(self.script(name, text))
            login = "authenticator" if name == "envelope" else "postgres"
            url = self.cluster.url("busy_house", login)
            acts[name] = partial(pgbench, url, "-f", path, seconds=self.form.seconds)
        # First the log, whose pages are the more the bigger the tables have become.
        everybody_declares = str(self.workplace / "bare.pgbench")
        wal = self.in_turn(
            {
                "tpcb": partial(self.wal_per_call, "tpcb", "-b", "tpcb-like"),
                "bare": partial(self.wal_per_call, "busy_house", "-f", everybody_declares),
            }
        )
        tps = self.in_turn(acts)
        # On 17 tpcb-like gained more than functions did.
        bare = 0.6 if int(newest_server().parent.name) < 17 else 0.55
        for what, one, other, bar in (
            ("declare_joy, bare : pgbench tpcb-like, 16 clients", "bare", "tpcb", bare),
            ("declare_joy, bare : the hand-written minimum", "bare", "minimum", 0.6),
            ("declare_joy in PostgREST's envelope : tpcb-like", "envelope", "tpcb", 0.45),
            ("one busy community : the same load spread", "busy", "bare", 0.9),
        ):
            self.compare(what, tps[one], tps[other], bar, "{:,.0f} : {:,.0f} tps", at_least=True)
        what = "WAL of a declare_joy : of tpcb-like, after a checkpoint"
        self.compare(what, wal["bare"], wal["tpcb"], 1.3, "{:,.0f} : {:,.0f} bytes")

    def wal_per_call(self, database: str, *script: str) -> float:
        """Of the first 2,000 after a checkpoint, when most pages are written whole."""
        now = "select pg_current_wal_insert_lsn() - '0/0'"
        with session(self.admin(database), "supabase_admin") as connection:
            connection.execute("checkpoint")
            before = one(connection, now)
            pgbench(self.admin(database), *script, calls=125)
            return float(str(one(connection, now))) / 2_000 - float(str(before)) / 2_000

    def in_turn(self, acts: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Every round does each act once, in an order of its own; one unmeasured round first."""
        found: dict[str, list[float]] = {name: [] for name in acts}
        for number in range(self.form.rounds + 1):
            for name in random.sample(list(acts), len(acts)):
                value = acts[name]()
                if number:
                    found[name].append(value)
        return found

    def cpu(self) -> None:
        keys = Keys.kept_in(self.workplace / "keys.json")
        with rest(self.cluster.url(HOUSE, "authenticator"), self.workplace, keys) as service:
            calls = Callers(self.cluster, keys, votes=self.form.calls * (self.form.rounds + 1))

            def pids() -> list[int]:
                """PostgREST and its backends; not those that vacuum what was measured before."""
                with session(self.cluster.url()) as connection:
                    found = connection.execute(
                        "select pid from pg_stat_activity where usename = 'authenticator'"
                    )
                    return [service.pid() or 0, *(pid for (pid,) in found)]

            def cost(door: str) -> float:
                return cpu_per_call(service.port, calls.to(door, self.form.calls), pids)

            found = self.in_turn({door: partial(cost, door) for door in ("noop", *CPU_BARS)})
        for door, bar in CPU_BARS.items():
            what = f"CPU through PostgREST, {door} : no-op"
            self.compare(what, found[door], found["noop"], bar, "{:.2f} : {:.2f} CPU ms")

    def pages(self) -> None:
        """Deep pages, and what row level security costs one."""
        with (
            session(self.admin(HOUSE), "authenticated") as member,
            session(self.admin(HOUSE), "postgres") as owner,
            on_one_core(member, owner),
        ):
            who = one(owner, "select bench.person(1)")
            where = one(owner, "select bench.community(0)")
            for connection in (member, owner):
                act_as(connection, who)
            self.deep_pages(member, where)
            self.row_level_security(member, owner, where)

    def deep_pages(self, member: psycopg.Connection, where: object) -> None:
        for door, rows, key in (
            ("list_messages", "chat_messages", "id"),
            ("list_gazette", "declarations", "number"),
        ):
            deep = one(
                member,
                f"select id from private.{rows} where community_id = %s"
                f" order by {key} desc offset 19980 limit 1",
                where,
            )
            found = self.in_turn(
                {
                    "near": partial(latency, member, f"select public.{door}(%s, 20)", where),
                    "far": partial(
                        latency, member, f"select public.{door}(%s, 20, %s)", where, deep
                    ),
                }
            )
            self.compare(f"page 1,000 of {door} : page 1", found["far"], found["near"], 1.3)

    def row_level_security(
        self, member: psycopg.Connection, owner: psycopg.Connection, where: object
    ) -> None:
        """The same page, by the same plan, asked by a member and by whom no policy holds."""
        # Planned once: whether PostgreSQL keeps a plan is a guess of its own, for either of them.
        for connection in (member, owner):
            connection.execute("set plan_cache_mode = force_generic_plan")
        # Of the pages that doors give none: they ask once and then read as their owner.
        plans = {scan(connection, FIFTY_ROWS, where) for connection in (member, owner)}
        if len(plans) > 1:
            raise Trouble(f"Row level security changes the plan: {sorted(plans)}.")
        found = self.in_turn(
            {
                "seen": partial(latency, member, FIFTY_ROWS, where),
                "all": partial(latency, owner, FIFTY_ROWS, where),
            }
        )
        what = "row level security, 50 rows of chat_messages : none"
        self.compare(what, found["seen"], found["all"], 1.5)

    def proposals(self) -> None:
        """A proposal calls everybody else to vote: 1,999 notices against 4."""
        run_sql(self.admin(HOUSE), "-f", HERE / "roll.sql")
        big: list[float] = []
        small: list[float] = []
        with session(self.cluster.url(HOUSE)) as connection, on_one_core(connection):

            def propose(person: int, community: int) -> float:
                act_as(connection, one(connection, "select bench.person(%s)", person))
                where = one(connection, "select bench.community(%s)", community)
                statement = "select public.propose_tip_to_tip(%s, 'A tip', 5)"
                return milliseconds(lambda: connection.execute(statement, [where]))

            for number in range(self.form.rounds + 1):
                many = [propose(51 + 5 * number + n, -1) for n in range(5)]
                few = [propose(51 + 5 * number + n, -2 - number) for n in range(5)]
                if number:
                    big.append(median(many))
                    small.append(median(few))
        self.compare("a proposal among 2,000 : among 5", big, small, 100)

    # ------------------------------------------------------------------------------ the erasure

    def erasure(self) -> None:
        """It touches a handful of rows, however much a person wrote (RULES 13.2)."""
        self.copy("erasing", HOUSE)
        long: list[float] = []
        short: list[float] = []
        keys = Keys.kept_in(self.workplace / "keys.json")
        service_key = keys.role_token("service_role")
        with (
            session(self.admin("erasing")) as connection,
            rest(self.cluster.url("erasing", "authenticator"), self.workplace, keys) as service,
        ):

            def erase(number: int) -> float:
                who = {"user_id": bench_id("person", number)}
                call = Call("/rpc/erase_user", service_key, who)
                return milliseconds(lambda: drive(service.port, [call], clients=1))

            for number in range(self.form.rounds + 1):
                one(connection, "select bench.live_long(%s)", 60 + number)
                took = [erase(person) for person in (60 + number, 160 + number)]
                if number:
                    long.append(took[0])
                    short.append(took[1])
        what = "erase_user with 10,000 messages and 5,000 joys : of one with ten joys"
        self.compare(what, long, short, 3, "{:.2f} : {:.2f} ms, through PostgREST")

    def leavers(self) -> None:
        """Others declare while people with 15,000 messages and 97 communities are erased."""
        self.copy("leaving", HOUSE)
        people = "\\set i random(51, 4900)\n\\set c (:i - 51) / 50 + 1\n"
        script = self.script("beside", people + as_member("false") + ", " + DECLARE)
        waits = []
        with session(self.admin("leaving")) as connection:
            for number in range(self.form.day_rounds):
                leavers = range(10_001 + LEAVERS * number, 10_001 + LEAVERS * (number + 1))
                for person in leavers:
                    one(connection, "select bench.live_everywhere(%s, 97, 15000)", person)
                act = partial(self.erase, connection, leavers)
                waits.append(self.waits(script, "leaving", act, 10, 0.95))
        erasing, quiet = zip(*waits, strict=True)
        what = "declares' p95 while people of 97 communities are erased : quiet"
        self.compare(what, erasing, quiet, 2, "{:.1f} : {:.1f} ms, 100 a second")

    def erase(self, connection: psycopg.Connection, people: Sequence[int]) -> None:
        step = "private.go_on_erasing(private.clock())"
        job = f"do $$ begin while {step} > 0 loop commit; end loop; end $$"
        for person in people:
            one(connection, "select private.erase_user(bench.person(%s))", person)
            connection.execute(job.encode())

    def attacks(self) -> None:
        """What others notice of one login with sixteen connections, whatever it is after.

        Of what their calls take, waits for a processor are left out: who keeps two of them busy
        with ordinary calls (the first figure) costs everybody that.
        """
        self.copy("attacked", HOUSE)
        house = House(partial(self.cluster.url, "attacked"), frozenset())
        attacks = Attacks(house, house.address("authenticator"), datetime.now(UTC).isoformat())
        attacks.play(min(self.form.rounds, 5), seconds=2, pause=0.05)
        for name in [name for name in attacks.p95s if name != "quiet"]:
            for place, p95s in attacks.p95s[name].items():
                what = f"others' p95 {place} while one member {name} : quiet"
                self.compare(what, p95s, attacks.p95s["quiet"][place], 2)
        house.close()

    def sentences(self) -> None:
        """What the house says is made when a page is read, and must hardly be felt (RULES 3.1)."""
        self.copy("speaking", HOUSE)
        found: dict[int, list[float]] = {55: [], 105: []}
        with session(self.admin("speaking")) as connection:
            talk = "select bench.talk(%s, %s)"
            homes = {person: one(connection, talk, person, person == 55) for person in found}
            with on_one_core(connection):
                for number in range(self.form.rounds + 1):
                    for person, home in homes.items():
                        act_as(connection, one(connection, "select bench.person(%s)", person))
                        took = latency(connection, "select public.list_messages(%s)", home)
                        if number:
                            found[person].append(took)
        what = "a page with 5 lines of the house's own : their sentences left out"
        self.compare(what, found[55], found[105], 1.1)

    # ------------------------------------------------------------------------------ the day

    def day(self) -> None:
        communities = self.form.day_communities
        self.copy("morning", "empty")
        self.fill("morning", purse=30, communities=communities, members=100, history=0, busy=0)
        dawn = "(current_date + 1)::timestamptz + interval '1 minute'"
        job = f"do $$ begin while private.daily_reset({dawn}) > 0 loop commit; end loop; end $$"
        bare = f"select bench.bare_day({dawn})"
        by: dict[str, list[float]] = {"job": [], "bare": []}
        for _ in range(self.form.day_rounds):
            for name, statement in (("bare", bare), ("job", job)):
                by[name].append(self.on_a_morning(statement))
        what = f"{communities * 100:,} balances rolled in {communities:,} communities : bare"
        self.compare(what, by["job"], by["bare"], 1.1, "{:.1f} : {:.1f} s")
        if communities < 10_000:
            # Some 20 communities roll at a time: of a thousand, one joy in fifty meets one of them,
            # and the p99 would be theirs.
            return
        people = communities * 100 + 50
        everybody = f"\\set i random(51, {people})\n\\set c (:i - 51) / 100 + 1\n"
        script = self.script("paced", everybody + as_member("false") + ", " + DECLARE)
        waits = []
        for _ in range(self.form.day_rounds):
            self.copy("evening", "morning")
            with session(self.admin("evening"), "postgres") as connection:
                roll = partial(connection.execute, job.encode())
                waits.append(self.waits(script, "evening", roll, 2 * median(by["job"]), 0.99))
        rolling, quiet = zip(*waits, strict=True)
        said = "{:.1f} : {:.1f} ms, 100 a second"
        self.compare("declares' p99 while the day rolls : quiet", rolling, quiet, 3, said)

    def waits(
        self, script: Path, database: str, act: Callable[[], object], seconds: float, share: float
    ) -> tuple[float, float]:
        """How long calls at a steady pace take at most, but for a small share: while something is
        done, for which so many seconds are enough, and before it."""
        url = self.cluster.url(database)
        load = PacedLoad(url, script, rate=100, seconds=12)
        quiet = load.latencies(time.time() + 2, time.time() + 12)
        load = PacedLoad(url, script, rate=100, seconds=4 + seconds)
        time.sleep(2)
        begun = time.time()
        act()
        during = load.latencies(begun, time.time())
        return percentile(during, share), percentile(quiet, share)

    def on_a_morning(self, statement: str) -> float:
        self.copy("evening", "morning")
        run_sql(self.admin("evening"), "-c", "checkpoint")
        with session(self.admin("evening"), "postgres") as connection:
            return milliseconds(lambda: connection.execute(statement.encode())) / 1000

    # --------------------------------------------------------------------------- the growth

    def growth(self) -> None:
        """The same 2,000 communities after a week, ten weeks and two years, side by side."""
        sizes = self.form.growth
        if not sizes:
            return
        if shutil.disk_usage(self.cluster.directory).free < GROWTH_NEEDS:
            raise Trouble(f"The growth series needs {GROWTH_NEEDS >> 30} GB of free disk.")
        for size in sizes:
            begun = time.monotonic()
            self.copy(f"growth_{size}", "empty")
            numbers = {"communities": 2_000, "members": 50, "history": size, "busy": 0}
            self.fill(f"growth_{size}", in_bulk=True, **numbers)
            took = time.monotonic() - begun
            print(f"  {size * 2_000:,} joys in {took:.0f} s", file=sys.stderr, flush=True)
        found = self.visited(sizes)
        before, after = sizes[-2:]
        for door in (*READS, *ACTS, "erase_user"):
            said = " : ".join(f"{median(found[size, door]):.2f}" for size in reversed(sizes))
            ratios = [a / b for a, b in zip(found[after, door], found[before, door], strict=True)]
            what = f"{door} at {after * 2_000 / 1e6:g} million joys : at {before * 2_000 / 1e6:g}"
            self.add(what, ratios, 1.3, f"{said} ms")

    def visited(self, sizes: Sequence[int]) -> dict[tuple[int, str], list[float]]:
        """Each round's median of each door at each size; the first round is not counted."""
        found: dict[tuple[int, str], list[float]] = {}
        with ExitStack() as closing:
            houses: dict[int, psycopg.Connection] = {}
            services: dict[int, psycopg.Connection] = {}
            visitors: dict[int, list[dict[str, object]]] = {}
            for size in sizes:
                url = self.admin(f"growth_{size}")
                houses[size] = closing.enter_context(session(url, "authenticated"))
                services[size] = closing.enter_context(session(url, "service_role"))
                with session(url) as owner:
                    visitors[size] = visitors_of(owner)
            closing.enter_context(on_one_core(*houses.values(), *services.values()))
            for number in range(self.form.rounds + 1):
                times = visits(houses, visitors)
                for done in (acts(houses, visitors, number), erasures(services, number)):
                    times.update(done)
                if number:
                    for key, some in times.items():
                        found.setdefault(key, []).append(median(some))
        return found

    # ------------------------------------------------------------------------------ the edge

    def edge(self) -> None:
        keys = Keys.kept_in(self.workplace / "keys.json")
        with ExitStack() as closing:
            begin = closing.enter_context
            database = self.cluster.url(HOUSE, "authenticator")
            auth = self.cluster.url(HOUSE, "supabase_auth_admin")
            url = begin(project(database, auth, self.workplace, keys))
            settings = {
                "SUPABASE_URL": url,
                "SUPABASE_ANON_KEY": PUBLISHABLE,
                "SUPABASE_SERVICE_KEY": SECRET,
                "SUPABASE_JWT_SECRET": keys.secret,
                "ALLOWED_ORIGINS": "*",
                "ENVIRONMENT": "local",
            }
            python, place = sys.executable, self.workplace
            edge = begin(served("edge", [python, "-m", "edge"], settings, place))
            bare = begin(served("bare", [python, str(HERE / "bare.py")], settings, place))
            time.sleep(1)
            self.add("memory of the edge at rest, MB", [resident(edge.pid() or 0)], 120, "resident")
            tokens = self.tokens(keys, url)
            asked = {
                "GET /health": [Call("/health")] * self.form.calls * 4,
                "GET /auth/access, signed in": [
                    Call("/auth/access", random.choice(tokens)) for _ in range(self.form.calls)
                ],
            }
            for what, calls in asked.items():
                self.edge_beside_bare(what, calls, edge, bare)

    def edge_beside_bare(
        self, what: str, calls: Sequence[Call], edge: Service, bare: Service
    ) -> None:
        def served_per_second(service: Service) -> float:
            return 1000 / cpu_per_call(service.port, calls, lambda: [service.pid() or 0])

        found = self.in_turn({each.name: partial(served_per_second, each) for each in (edge, bare)})
        self.compare(
            f"requests per CPU-second, the edge : a bare Litestar route, {what}",
            *(found["edge"], found["bare"], 0.5, "{:,.0f} : {:,.0f}"),
            at_least=True,
        )

    def tokens(self, keys: Keys, url: str) -> list[str]:
        """Of the fifty, as Supabase Auth signs them: checking an ES256 signature is work."""
        with psycopg.connect(self.cluster.url(HOUSE), row_factory=dict_row) as connection:
            users = connection.execute("""
                select u.* from auth.users as u join bench.people as p on p.id = u.id
                where p.i <= 50
            """)
            return [keys.user_token(user, url) for user in users]

    def figures_for_scale(self) -> dict[str, object]:
        """What a plan for more than one machine starts from: bytes and rows of each table."""
        with session(self.cluster.url(HOUSE)) as connection:
            rows = connection.execute("""
                select c.oid::regclass::text, c.reltuples::bigint,
                  round(pg_total_relation_size(c.oid) / greatest(c.reltuples, 1))::integer
                from pg_class as c
                where c.relkind = 'r' and c.reltuples > 1000
                  and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
                order by 1
            """).fetchall()
        return {name: {"rows": count, "bytes_a_row": size} for name, count, size in rows}


PARTS: dict[str, Callable[[Bench], None]] = {
    "throughput": Bench.throughput,
    "cpu": Bench.cpu,
    "pages": Bench.pages,
    "proposals": Bench.proposals,
    "erasure": Bench.erasure,
    "attacks": Bench.attacks,
    "leavers": Bench.leavers,
    "sentences": Bench.sentences,
    "day": Bench.day,
    "growth": Bench.growth,
    "edge": Bench.edge,
}

# Person i and community c of data.sql, written out: who calls is no part of what is measured.
PERSON = "md5('person' || :i)::uuid"
COMMUNITY = "md5('community' || :c)::uuid"


def as_member(is_local: str) -> str:
    claims = f"""'{{"sub":"' || {PERSON} || '","role":"authenticated"}}'"""
    return f"select set_config('request.jwt.claims', {claims}, {is_local})"


DECLARE = (
    f"public.declare_joy(community_id => {COMMUNITY}, title => 'A joy', cc_spent => 1, "
    "request_id => gen_random_uuid());\n"
)
MINIMUM = f"select bench.declare_minimum({COMMUNITY}, {PERSON}, 'A joy', 1);\n"
# What PostgREST sends for one call: five statements, each a round trip.
ENVELOPE = f"""begin;
select set_config('search_path', 'public, extensions', true),
  set_config('role', 'authenticated', true), set_config('request.method', 'POST', true),
  set_config('request.path', '/rpc/declare_joy', true),
  set_config('request.headers', '{{"content-type": "application/json"}}', true),
  set_config('request.cookies', '{{}}', true);
{as_member("true")};
with called as (select {DECLARE.strip().rstrip(";")} as answer)
select c.answer, nullif(current_setting('response.headers', true), ''),
  nullif(current_setting('response.status', true), '')
from called as c;
commit;
"""


class Callers:
    """Who calls which door over HTTP, each with a token of their own."""

    def __init__(self, cluster: Cluster, keys: Keys, votes: int) -> None:
        self.keys = keys
        self.tokens: dict[int, str] = {}
        with session(cluster.url(HOUSE)) as connection:
            ids = connection.execute("""
                select i, id, bench.community(case when i <= 50 then 0 else (i - 51) / 50 + 1 end)
                from bench.people where i <= 50 or i % 30 = 27
            """)
            self.people = {i: (str(user), str(community)) for i, user, community in ids}
            self.unwitnessed = connection.execute("""
                select d.id, p.i
                from private.declarations as d
                join bench.people as p on p.i <= 50 and p.id <> d.user_id
                where d.community_id = bench.community(0) and not exists (
                  select from private.witnesses as w
                  where w.declaration_id = d.id and w.user_id = p.id
                )
                order by md5(d.id::text || p.i) limit 50000
            """).fetchall()
            self.unvoted = list(proposals_to_vote_on(connection, votes))

    def to(self, door: str, count: int) -> list[Call]:
        return [self._one(door) for _ in range(count)]

    def _one(self, door: str) -> Call:
        if door == "vote_tip_to_tip":
            proposal, i = self.unvoted.pop()
            return Call(f"/rpc/{door}", self._token(i), {"proposal_id": proposal, "vote": "accept"})
        body: dict[str, Any]
        # Reads go to the community with a past; messages are limited, so everybody writes.
        writes = door in ("send_message", "declare_joy")
        i = random.choice([i for i in self.people if i > 50] if writes else range(1, 51))
        user, community = self.people[i]
        body = {} if door in ("noop", "witness_declaration") else {"community_id": community}
        if door == "declare_joy":
            body |= {"title": "A joy", "cc_spent": 1, "request_id": some_id()}
        elif door == "send_message":
            body |= {"content": "What a day this has been", "request_id": some_id()}
        elif door == "get_member_profile":
            body |= {"user_id": user}
        elif door == "witness_declaration":
            declaration, i = self.unwitnessed.pop()
            body |= {"declaration_id": str(declaration)}
        return Call(f"/rpc/{door}", self._token(i), body)

    def _token(self, i: int) -> str:
        if i not in self.tokens:
            claims: dict[str, Any] = {
                "sub": bench_id("person", i),
                "role": "authenticated",
                "aud": "authenticated",
            }
            claims |= {"email": f"person{i}@example.org", "app_metadata": {"provider": "google"}}
            # Checking a shared secret's signature costs next to nothing, seen before or not.
            self.tokens[i] = jwt.encode(claims, self.keys.secret, "HS256")
        return self.tokens[i]


def proposals_to_vote_on(
    connection: psycopg.Connection, votes: int
) -> Iterator[tuple[object, int]]:
    """One in each of some communities, with everybody who is to vote on it."""
    for community in range(1, 2 + votes // VOTERS):
        first = 51 + 50 * (community - 1)
        act_as(connection, bench_id("person", first))
        statement = "select public.propose_tip_to_tip(%s, 'A tip', 5) -> 'proposal' ->> 'id'"
        proposal = one(connection, statement, bench_id("community", community))
        yield from ((proposal, first + n) for n in range(1, 1 + VOTERS))


def some_id() -> str:
    return f"{random.getrandbits(128):032x}"


def one(connection: psycopg.Connection, statement: str, *values: object) -> object:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row[0]


def latency(connection: psycopg.Connection, statement: str, *values: object) -> float:
    """The median over half a second of calls, in milliseconds; the first ten only warm."""
    found: list[float] = []
    while len(found) < 20 or sum(found) < 500:
        found.append(once(connection, statement, values))
    return median(found[10:])


def scan(connection: psycopg.Connection, statement: str, *values: object) -> str:
    """How the one table of a statement is read; nothing where a function reads it."""
    lines = connection.execute(f"explain (costs off) {statement}".encode(), values).fetchall()
    return next((line.strip(" ->") for (line,) in lines if "Scan" in line), "")


def visitors_of(connection: psycopg.Connection) -> list[dict[str, object]]:
    """A member of each of some communities, with its fiftieth joy and hundredth line, long past."""
    asked = connection.cursor(row_factory=dict_row).execute(
        """
        select bench.community(n) as c, bench.person(50 * n + 5) as u, (
          select l.id from private.chat_messages as l
          where l.community_id = bench.community(n) order by l.id offset 99 limit 1
        ) as m, (
          select d.id from private.declarations as d
          where d.community_id = bench.community(n) order by d.day, d.number offset 49 limit 1
        ) as d, (
          select max(l.id) from private.chat_messages as l where l.community_id = bench.community(n)
        ) as newest, (
          select d.id from private.declarations as d
          where d.community_id = bench.community(n) and d.user_id = bench.person(50 * n + 5)
          order by d.day desc, d.number desc limit 1
        ) as unseen
        from generate_series(1, %s) as n
    """,
        [VISITORS],
    )
    return asked.fetchall()


def visits(
    houses: Mapping[int, psycopg.Connection], visitors: Mapping[int, list[dict[str, object]]]
) -> dict[tuple[int, str], list[float]]:
    """What each door takes when asked a second time; everybody asks in every house, in turn."""
    found: dict[tuple[int, str], list[float]] = {}
    for number in range(VISITORS):
        for size in random.sample(list(houses), len(houses)):
            who = visitors[size][number]
            act_as(houses[size], who["u"])
            for door, statement in READS.items():
                once(houses[size], statement, who)
                found.setdefault((size, door), []).append(once(houses[size], statement, who))
    return found


def acts(
    houses: Mapping[int, psycopg.Connection],
    visitors: Mapping[int, list[dict[str, object]]],
    number: int,
) -> dict[tuple[int, str], list[float]]:
    """What each act takes: done by somebody else of the visitor's community in every round."""
    found: dict[tuple[int, str], list[float]] = {}
    for n in range(VISITORS):
        who, lender = (bench_id("person", 50 * (n + 1) + m + number) for m in (6, 26))
        for size in random.sample(list(houses), len(houses)):
            act_as(houses[size], who)
            given = visitors[size][n] | {"lender": lender}
            for door, statement in ACTS.items():
                found.setdefault((size, door), []).append(once(houses[size], statement, given))
    return found


def erasures(
    services: Mapping[int, psycopg.Connection], number: int
) -> dict[tuple[int, str], list[float]]:
    """Ten people of other communities than are visited, in every round."""
    found: dict[tuple[int, str], list[float]] = {}
    for n in range(10):
        who = bench_id("person", 60_051 + 500 * number + 50 * n)
        for size in random.sample(list(services), len(services)):
            took = once(services[size], "select public.erase_user(%s)", [who])
            found.setdefault((size, "erase_user"), []).append(took)
    return found


def once(
    connection: psycopg.Connection, statement: str, values: Sequence[object] | dict[str, object]
) -> float:
    """Milliseconds until the answer is here; what a client makes of it is its own affair."""
    return milliseconds(lambda: connection.execute(statement.encode(), values))


@contextmanager
def house(keep: bool) -> Iterator[tuple[Cluster, Path]]:
    """A cluster in a directory that is gone afterwards."""
    place = OUT / "house"
    cluster = Cluster(place)
    with ExitStack() as closing:
        cluster.stop()
        shutil.rmtree(cluster.data, ignore_errors=True)
        if not keep:
            closing.callback(shutil.rmtree, place, ignore_errors=True)
            closing.callback(shutil.rmtree, cluster.directory, ignore_errors=True)
        closing.callback(cluster.stop)
        workplace = cluster.directory / "work"
        workplace.mkdir(exist_ok=True)
        yield cluster, workplace


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=FORMS)
    only = parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART")
    only.help = f"these parts alone, and nothing written: {', '.join(PARTS)}"
    parser.add_argument("--keep", action="store_true", help="leave the data behind")
    asked = parser.parse_args()
    begun = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        with house(asked.keep) as (cluster, workplace):
            bench = Bench(FORMS[asked.form], cluster, workplace)
            bench.build()
            print(f"Built in {time.monotonic() - begun:.0f} s.", file=sys.stderr, flush=True)
            sizes = bench.figures_for_scale()
            for name, measure in PARTS.items():
                if not asked.only or name in asked.only:
                    measure(bench)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    print(table(bench.figures))
    facts: dict[str, object] = {
        "form": asked.form,
        "seconds": round(time.monotonic() - begun),
        "cores": os.cpu_count(),
        "tables": sizes,
    }
    if not asked.only:
        write(bench.figures, facts, OUT)
        print(f"\nWritten to {OUT.relative_to(ROOT)}/bench.json and bench.svg.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
