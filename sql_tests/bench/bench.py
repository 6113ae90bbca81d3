"""CHAS measured against what the machine allows: `bench.py quick|full`.

A cluster of its own, durable and with autovacuum as shipped; every figure is a ratio of two things
measured in turn in the same rounds. Writes bench.json and bench.svg to .local/bench.
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import psycopg
from cluster import (
    ROOT,
    Cluster,
    Trouble,
    check,
    free_port,
    lay_platform,
    newest_server,
    push,
    run,
    run_sql,
)
from keys import Keys
from meters import (
    Call,
    PacedLoad,
    act_as,
    cpu_per_call,
    median,
    milliseconds,
    percentile,
    pgbench,
    session,
)
from report import Figure, table, write
from service import Service
from stack import POSTGREST, answers

HERE = Path(__file__).parent
OUT = ROOT / ".local" / "bench"
PURSE = 1_000_000
HOUSE = "house"

# Read doors, as a member of a community calls them; page sizes are the defaults of 50.
READS = {
    "get_balance": "select public.get_balance(%(c)s)",
    "list_messages": "select public.list_messages(%(c)s)",
    "list_gazette": "select public.list_gazette(%(c)s)",
    "list_ledger": "select public.list_ledger(%(c)s)",
    "get_leaderboard": "select public.get_leaderboard(%(c)s)",
    "get_member_profile": "select public.get_member_profile(%(c)s, %(u)s)",
    "get_sunset": "select public.get_sunset(%(c)s)",
    "list_notifications": "select public.list_notifications()",
    "list_my_communities": "select public.list_my_communities()",
}

# CPU of a call through PostgREST, at most so many times that of a call that does nothing.
CPU_BARS = {
    "get_balance": 2,
    "send_message": 3,
    "declare_joy": 4,
    "list_messages": 6,
    "list_gazette": 6,
    "get_leaderboard": 6,
    "get_member_profile": 6,
    "list_ledger": 4,
    "witness_declaration": 4,
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
    "quick": Form(3, 2, 400, 1_000, 1, ()),
    "full": Form(7, 5, 2_000, 10_000, 3, (50, 500, 5_000)),
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

    def fill(self, database: str, purse: int = PURSE, **numbers: int) -> None:
        given = [part for name, n in numbers.items() for part in ("-v", f"{name}={n}")]
        files = ("-f", HERE / "data.sql", "-f", HERE / "references.sql")
        run_sql(self.admin(database), *given, "-v", f"purse={purse}", *files)
        run_sql(self.admin(database), "-c", "vacuum analyze")

    # ------------------------------------------------------------------------------- figures

    def add(
        self, what: str, rounds: list[float], bar: float, medians: str, at_least: bool = False
    ) -> None:
        self.figures.append(Figure(what, median(rounds), bar, at_least, medians, rounds))
        print(f"  {what}: {median(rounds):.2f}", file=sys.stderr, flush=True)

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
        tps = self.in_turn(acts)
        said = {name: f"{median(values):,.0f} tps" for name, values in tps.items()}

        def compare(what: str, one: str, other: str, bar: float) -> None:
            ratios = [a / b for a, b in zip(tps[one], tps[other], strict=True)]
            self.add(what, ratios, bar, f"{said[one]} : {said[other]}", at_least=True)

        compare("declare_joy, bare : pgbench tpcb-like, 16 clients", "bare", "tpcb", 1.2)
        compare("declare_joy, bare : the hand-written minimum", "bare", "minimum", 0.6)
        compare("declare_joy in PostgREST's envelope : tpcb-like", "envelope", "tpcb", 0.9)
        compare("one busy community : the same load spread", "busy", "bare", 0.8)

    def in_turn(self, acts: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Every round does each act once, in an order of its own; one unmeasured round first."""
        found: dict[str, list[float]] = {name: [] for name in acts}
        for number in range(self.form.rounds + 1):
            for name in random.sample(list(acts), len(acts)):
                value = acts[name]()
                if number:
                    found[name].append(value)
        return found

    def cpu_through_postgrest(self) -> None:
        keys = Keys.kept_in(self.workplace / "keys.json")
        with rest(self.cluster, self.workplace, keys) as service:
            calls = Callers(self.cluster, keys)

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
            ratios = [a / b for a, b in zip(found[door], found["noop"], strict=True)]
            said = f"{median(found[door]):.2f} : {median(found['noop']):.2f} CPU ms"
            self.add(f"CPU through PostgREST, {door} : no-op", ratios, bar, said)

    def pages(self) -> None:
        """Deep pages, and what row level security costs one."""
        with session(self.admin(HOUSE), "authenticated") as member:
            who = one(member, "select bench.person(1)")
            where = one(member, "select bench.community(0)")
            act_as(member, who)
            for door, table, key in (
                ("list_messages", "chat_messages", "id"),
                ("list_gazette", "declarations", "number"),
            ):
                deep = one(
                    member,
                    f"select id from public.{table} where community_id = %s"
                    f" order by {key} desc offset 19980 limit 1",
                    where,
                )
                near, far = (
                    self.timed(member, f"select public.{door}(%s, 20, {before})", (where, *more))
                    for before, more in (("null", ()), ("%s", (deep,)))
                )
                ratios = [a / b for a, b in zip(far, near, strict=True)]
                said = f"{median(far):.2f} : {median(near):.2f} ms"
                self.add(f"page 1,000 of {door} : page 1", ratios, 1.3, said)
            statements = {
                "list_messages(50)": "select public.list_messages(%s)",
                "50 bare rows of chat_messages": "select * from public.chat_messages "
                "where community_id = %s order by id desc limit 50",
            }
            with session(self.admin(HOUSE), "postgres") as owner:
                act_as(owner, who)
                for name, statement in statements.items():
                    seen, all_ = (
                        self.timed(connection, statement, (where,))
                        for connection in (member, owner)
                    )
                    ratios = [a / b for a, b in zip(seen, all_, strict=True)]
                    said = f"{median(seen):.2f} : {median(all_):.2f} ms"
                    self.add(f"row level security, {name} : none", ratios, 1.5, said)

    def timed(
        self, connection: psycopg.Connection, statement: str, values: tuple[object, ...]
    ) -> list[float]:
        """The median latency of each round, in milliseconds."""

        def ask() -> float:
            return milliseconds(lambda: connection.execute(statement.encode(), values).fetchall())

        for _ in range(10):
            ask()
        return [median(ask() for _ in range(100)) for _ in range(self.form.rounds)]

    def proposals(self) -> None:
        """A proposal calls everybody else to vote: 1,999 notices against 4."""
        run_sql(self.admin(HOUSE), "-f", HERE / "roll.sql")
        rounds = []
        big: list[float] = []
        small: list[float] = []
        with session(self.cluster.url(HOUSE)) as connection:

            def propose(person: int, community: int) -> float:
                act_as(connection, one(connection, "select bench.person(%s)", person))
                statement = "select public.propose_tip_to_tip(bench.community(%s), 'A tip', 5)"
                return milliseconds(lambda: connection.execute(statement, [community]))

            for number in range(self.form.rounds + 1):
                many = [propose(51 + 5 * number + n, -1) for n in range(5)]
                few = [propose(51 + 5 * number + n, -2 - number) for n in range(5)]
                if number:
                    rounds.append(median(many) / median(few))
                    big.append(median(many))
                    small.append(median(few))
        said = f"{median(big):.1f} : {median(small):.2f} ms"
        self.add("a proposal among 2,000 : among 5", rounds, 100, said)

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
        ratios = [a / b for a, b in zip(by["job"], by["bare"], strict=True)]
        said = f"{median(by['job']):.1f} : {median(by['bare']):.1f} s"
        self.add(
            f"{communities * 100:,} balances rolled in {communities:,} communities : bare",
            *(ratios, 1.5, said),
        )
        people = communities * 100 + 50
        everybody = f"\\set i random(51, {people})\n\\set c (:i - 51) / 100 + 1\n"
        script = self.script("paced", everybody + as_member("false") + ", " + DECLARE)
        self.copy("evening", "morning")
        url = self.cluster.url("evening")
        quiet_load = PacedLoad(url, script, rate=100, seconds=12)
        quiet = quiet_load.latencies(time.time() + 2, time.time() + 12)
        load = PacedLoad(url, script, rate=100, seconds=4 + 2 * median(by["job"]))
        time.sleep(2)
        begun = time.time()
        with session(self.admin("evening"), "postgres") as connection:
            connection.execute(job.encode())
        rolling = load.latencies(begun, time.time())
        p99 = [percentile(values, 0.99) for values in (rolling, quiet)]
        said = f"{p99[0]:.1f} : {p99[1]:.1f} ms, 100 a second"
        self.add("declares' p99 while the day rolls : quiet", [p99[0] / p99[1]], 5, said)

    def on_a_morning(self, statement: str) -> float:
        self.copy("evening", "morning")
        run_sql(self.admin("evening"), "-c", "checkpoint")
        with session(self.admin("evening"), "postgres") as connection:
            return milliseconds(lambda: connection.execute(statement.encode())) / 1000

    # --------------------------------------------------------------------------- the growth

    def growth(self) -> None:
        """The same 2,000 communities after a week, ten weeks and two years."""
        found: dict[int, dict[str, float]] = {}
        for history in self.form.growth:
            name = f"growth_{history}"
            self.copy(name, "empty")
            self.fill(name, communities=2_000, members=50, history=history, busy=0)
            found[history] = self.reads(name)
        if found:
            before, after = self.form.growth[-2:]
            for door in READS:
                ratio = found[after][door] / found[before][door]
                said = " : ".join(f"{found[size][door]:.2f}" for size in reversed(self.form.growth))
                self.add(
                    f"{door} at {after * 2_000 / 1e6:g} million joys : at {before * 2_000 / 1e6:g}",
                    *([ratio], 1.3, f"{said} ms"),
                )

    def reads(self, database: str) -> dict[str, float]:
        """The median latency of each door over the same 100 members, warm."""
        found: dict[str, list[float]] = {door: [] for door in READS}
        with session(self.cluster.url(database, "supabase_admin"), "authenticated") as connection:
            for number in range(self.form.rounds + 1):
                for c in range(1, 101):
                    who = {
                        "u": one(connection, "select bench.person(%s)", 50 * c + 5),
                        "c": one(connection, "select bench.community(%s)", c),
                    }
                    act_as(connection, who["u"])
                    for door, statement in READS.items():
                        ask = partial(fetch, connection, statement, who)
                        ask()
                        if number:
                            found[door].append(milliseconds(ask))
        return {door: median(values) for door, values in found.items()}

    # ------------------------------------------------------------------------------ the edge

    def edge(self) -> None:
        keys = Keys.kept_in(self.workplace / "keys.json")
        environment = {
            "SUPABASE_URL": "http://127.0.0.1:9",
            "SUPABASE_ANON_KEY": "sb_publishable_local",
            "SUPABASE_SERVICE_KEY": "sb_secret_local",
            "SUPABASE_JWT_SECRET": keys.secret,
            "ALLOWED_ORIGINS": "*",
            "ENVIRONMENT": "local",
        }
        with (
            served(self.workplace, "edge", [sys.executable, "-m", "edge"], environment) as edge,
            served(self.workplace, "bare", [sys.executable, str(HERE / "bare.py")], {}) as bare,
        ):
            time.sleep(1)
            memory = resident(edge.pid() or 0)
            calls = [Call("/health")] * self.form.calls * 4

            def cost(service: Service) -> float:
                return cpu_per_call(service.port, calls, lambda: [service.pid() or 0])

            acts = {service.name: partial(cost, service) for service in (edge, bare)}
            spent = self.in_turn(acts)
        self.add("memory of the edge at rest, MB", [memory], 120, "resident")
        ratios = [b / a for a, b in zip(spent["edge"], spent["bare"], strict=True)]
        said = " : ".join(f"{1000 / median(spent[name]):,.0f}" for name in ("edge", "bare"))
        self.add(
            "requests per CPU-second, the edge : a bare Litestar route",
            *(ratios, 0.5, f"{said} GET /health"),
            at_least=True,
        )

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


def as_member(is_local: str) -> str:
    claims = """'{"sub":"' || bench.person(:i) || '","role":"authenticated"}'"""
    return f"select set_config('request.jwt.claims', {claims}, {is_local})"


DECLARE = (
    "public.declare_joy(community_id => bench.community(:c), title => 'A joy', cc_spent => 1, "
    "request_id => gen_random_uuid());\n"
)
MINIMUM = "select bench.declare_minimum(bench.community(:c), bench.person(:i), 'A joy', 1);\n"
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

    def __init__(self, cluster: Cluster, keys: Keys) -> None:
        self.keys = keys
        self.tokens: dict[int, str] = {}
        with session(cluster.url(HOUSE)) as connection:
            ids = connection.execute("""
                select i, id, bench.community(case when i <= 50 then 0 else (i - 51) / 50 + 1 end)
                from bench.people where i <= 50 or i % 150 = 57
            """)
            self.people = {i: (str(user), str(community)) for i, user, community in ids}
            self.unwitnessed = connection.execute("""
                select d.id, p.i
                from public.declarations as d
                join bench.people as p on p.i <= 50 and p.id <> d.user_id
                where d.community_id = bench.community(0) and not exists (
                  select from public.witnesses as w
                  where w.declaration_id = d.id and w.user_id = p.id
                )
                order by md5(d.id::text || p.i) limit 50000
            """).fetchall()

    def to(self, door: str, count: int) -> list[Call]:
        return [self._one(door) for _ in range(count)]

    def _one(self, door: str) -> Call:
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
                "sub": self.people[i][0],
                "role": "authenticated",
                "aud": "authenticated",
            }
            claims |= {"email": f"person{i}@example.org", "app_metadata": {"provider": "google"}}
            # Checking a shared secret's signature costs next to nothing, seen before or not.
            self.tokens[i] = jwt.encode(claims, self.keys.secret, "HS256")
        return self.tokens[i]


def some_id() -> str:
    return f"{random.getrandbits(128):032x}"


def one(connection: psycopg.Connection, statement: str, *values: object) -> object:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row[0]


def fetch(connection: psycopg.Connection, statement: str, values: dict[str, object]) -> object:
    return connection.execute(statement.encode(), values).fetchall()


def resident(pid: int) -> float:
    """Megabytes of a process in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def rest(cluster: Cluster, directory: Path, keys: Keys) -> Iterator[Service]:
    """PostgREST as the local stack runs it."""
    at = free_port()
    settings = {
        "db-uri": cluster.url(HOUSE, "authenticator"),
        "db-schemas": "public",
        "db-extra-search-path": "public,extensions",
        "db-anon-role": "anon",
        "db-pool": 10,
        "server-host": "127.0.0.1",
        "server-port": at,
        "jwt-secret": json.dumps(keys.accepted),
        "jwt-cache-max-lifetime": 3600,
        "log-level": "error",
    }
    config = directory / "postgrest.conf"
    service = Service(
        *("PostgREST", directory, at, "CHAS_REST_PORT"),
        command=[POSTGREST, config],
        config=(config, "".join(f"{key} = {json.dumps(v)}\n" for key, v in settings.items())),
        is_ready=lambda: answers(f"http://127.0.0.1:{at}/"),
    )
    service.start()
    try:
        service.wait()
        yield service
    finally:
        service.stop()


@contextmanager
def served(
    directory: Path, name: str, command: list[str], environment: dict[str, str]
) -> Iterator[Service]:
    at = free_port()
    service = Service(
        *(name, directory, at, "EDGE_PORT"),
        command=command,
        environment=environment | {"EDGE_PORT": str(at)},
        is_ready=lambda: answers(f"http://127.0.0.1:{at}/health"),
    )
    service.start()
    try:
        service.wait()
        yield service
    finally:
        service.stop()


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
    parser.add_argument("--only", nargs="+", help="these parts alone, and nothing written")
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
            parts = {
                "throughput": bench.throughput,
                "cpu": bench.cpu_through_postgrest,
                "pages": bench.pages,
                "proposals": bench.proposals,
                "day": bench.day,
                "growth": bench.growth,
                "edge": bench.edge,
            }
            for name, measure in parts.items():
                if not asked.only or name in asked.only:
                    measure()
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
