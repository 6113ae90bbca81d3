"""User-space instructions of a call of every member RPC: a figure that no neighbour can move.

A single-user server under callgrind makes each call of calls.py some times, as PostgREST would: in
the role and with the claims of the caller, a prepared statement and a transaction each, with plans
that are warm. Counted is all from reading the statement's `execute` to the commit, the answer
written out in between; broadcasts go through the stand-in of realtime.send in platform.sql. Setting
the claims is not counted. What was accepted last is in instructions.json.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from calls import BUSY, CALLS, HISTORY, MEMBERS, ask_all, door, towns
from cluster import (
    HERE,
    PLATFORM,
    ROOT,
    Cluster,
    Trouble,
    check,
    lay_platform,
    newest_server,
    push,
    run,
    run_as_owner,
    run_sql,
)
from people import House

BENCH = Path(__file__).parent
KEPT = BENCH / "instructions.json"
PLACE = ROOT / ".local" / "bench-instructions"

KEPT_SECONDS = 300

# The first five calls of a statement are planned for their own arguments each, then none is.
WARM = 7
COUNTED = 8
# Nobody else calls this function: at each of its calls callgrind begins a file of its own.
MARK = "pg_backend_pid"

# More than this has grown. Counting again differs by less.
GROWN = 1.05
# Thousands of instructions, at most.
BARS = {
    "declare_joy": 1_600,
    "send_message": 1_100,
    "witness_declaration": 1_400,
    "vote_tip_to_tip": 3_000,
    "vote_tip_to_tip, the last": 3_000,
    "respond_borrow": 3_000,
    "propose_tip_to_tip": 3_500,
}

MEMBER_DOORS = """
    select proname from pg_proc
    where pronamespace = 'public'::regnamespace
      and has_function_privilege('authenticated', oid, 'execute')
"""

# Who asks, by their claims, and what: as it is kept in a file.
Call = tuple[dict[str, str], dict[str, Any]]


# ------------------------------------------------------------------------------------- the house


def built() -> tuple[Path, dict[str, list[Call]]]:
    """The data of a house in which all is ready to be called, and the calls. It is kept for some
    minutes: what was said in it can be edited for fifteen."""
    parts = [*(ROOT / "supabase" / "migrations").iterdir(), PLATFORM, BENCH / "data.sql"]
    parts += [BENCH / "calls.py", Path(__file__)]
    key = hashlib.sha256(b"".join(part.read_bytes() for part in sorted(parts)))
    key.update(str(newest_server()).encode())
    place = PLACE / key.hexdigest()[:12]
    written = place / "calls.json"
    if not written.exists() or time.time() - written.stat().st_mtime > KEPT_SECONDS:
        shutil.rmtree(PLACE, ignore_errors=True)
        print("Building a house ...", file=sys.stderr, flush=True)
        cluster = Cluster(place, durable=False)
        try:
            cluster.start()
            calls = build(cluster)
        finally:
            cluster.stop()
        written.write_text(json.dumps(calls))
    return place / "pg", json.loads(written.read_text())


def build(cluster: Cluster) -> dict[str, list[Call]]:
    lay_platform(cluster)
    push(cluster.url())
    admin = cluster.url(role="supabase_admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        require_calls(name for (name,) in connection.execute(MEMBER_DOORS))
        connection.execute("create extension pg_prewarm")
    travel = "alter database postgres {} chas.time_travel"
    rounds = WARM + COUNTED
    numbers = {"communities": towns(rounds), "members": MEMBERS, "history": HISTORY, "busy": BUSY}
    options = [part for name, n in numbers.items() for part in ("-v", f"{name}={n}")]
    run_sql(admin, "-v", "purse=1000", *options, "-f", BENCH / "data.sql", "-c", "analyze")
    run_sql(admin, "-c", travel.format("set") + " = 'on'")
    house = House(lambda login: cluster.url(role=login), frozenset())
    try:
        asked = ask_all(house, rounds)
    finally:
        house.close()
    run_sql(admin, "-c", travel.format("reset"), "-c", "vacuum analyze", "-c", "checkpoint")
    return {
        name: [({"sub": who.id, "role": "authenticated"}, what) for who, what in some]
        for name, some in asked.items()
    }


def require_calls(doors: Iterable[str]) -> None:
    """Every door has its call, and every call its door."""
    called, doors = {door(name) for name in CALLS}, set(doors)
    if missing := sorted(doors - called):
        raise Trouble(f"No call is written down in calls.py of: {', '.join(missing)}.")
    if gone := sorted(called - doors):
        raise Trouble(f"calls.py calls what is no member's RPC: {', '.join(gone)}.")


# ------------------------------------------------------------------------------------ the counting


def script(calls: Mapping[str, Sequence[Call]]) -> str:
    """Line by line what the server is asked; every pair of marks parts what is counted."""
    be = "prepare be as select set_config('request.jwt.claims', $1, false)"
    prewarm = "select sum(pg_prewarm(oid)) from pg_class where relkind in ('r', 'i', 't')"
    lines = [prewarm, "set session authorization authenticator", "set role authenticated"]
    lines += ["set search_path = public, extensions", f"prepare mark as select {MARK}()", be]
    somebody = execute("be", json.dumps(next(iter(calls.values()))[0][0]))
    lines += [somebody] * WARM + ["execute mark", "execute mark"]
    lines += [somebody] * COUNTED + ["execute mark"]
    for name, some in calls.items():
        given = ", ".join(f"{argument} => ${n}" for n, argument in enumerate(some[0][1], 1))
        lines.append(f'prepare "{name}" as select public.{door(name)}({given})')
        asked = [
            (execute("be", json.dumps(claims)), execute(f'"{name}"', *what.values()))
            for claims, what in some
        ]
        lines += [line for pair in asked[:WARM] for line in pair] + ["execute mark"]
        lines += [line for pair in asked[WARM:] for line in pair] + ["execute mark"]
    return "\n".join(lines) + "\n"


def execute(name: str, *values: object) -> str:
    return f"execute {name}({', '.join(map(literal, values))})" if values else f"execute {name}"


def literal(value: object) -> str:
    if isinstance(value, bool | int):
        return str(value)
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return "'" + text.replace("'", "''") + "'"


def count(data: Path, calls: Mapping[str, Sequence[Call]], place: Path) -> dict[str, Path]:
    """The file of callgrind for each call, and under "" that of setting the claims alone."""
    shutil.rmtree(place, ignore_errors=True)
    check(run("cp", "-a", data, place))
    place.joinpath("calls.sql").write_text(script(calls))
    server = newest_server() / "postgres"
    grind = f"valgrind --tool=callgrind --trace-children=yes --vgdb=no --dump-before={MARK}"
    grind += f" --callgrind-out-file={HERE}/counted"
    # The last words are the data directory, put there by run_as_owner, and the database.
    asked = f'exec {grind} {server} --single "$@" postgres <{HERE}/calls.sql'
    done = run_as_owner(place, "sh", "-c", asked, "sh")
    if wrong := re.findall(r"(?:ERROR|WARNING|FATAL|PANIC):  .*(?:\n.*){0,6}", done.stdout):
        raise Trouble(f"A call was refused:\n{wrong[0]}")
    check(done)
    # The first two parts are the start and the empty one between two marks.
    parts = [place / f"counted.{n}" for n in range(3, 4 + 2 * len(calls))]
    return dict(zip(["", *calls], parts[::2], strict=True))


def total(part: Path) -> int:
    (found,) = re.findall(r"^totals: (\d+)$", part.read_text(), re.MULTILINE)
    return int(found)


def thousands_a_call(part: int, claims: int) -> float:
    """Of a part, less another in which as often only the claims were set."""
    return round((part - claims) / COUNTED / 1000, 1)


# ----------------------------------------------------------------------------------- the comparison


def grown(found: Mapping[str, float], kept: Mapping[str, float]) -> list[str]:
    return [name for name, cost in found.items() if cost > kept.get(name, cost) * GROWN]


def table(found: Mapping[str, float], kept: Mapping[str, float]) -> str:
    width = max(map(len, found))
    lines = [f"{'':<{width}}  {'thousand':>8}  {'kept':>8}  {'':>7}  {'bar':>5}"]
    for name, cost in found.items():
        before, bar = kept.get(name), BARS.get(name)
        change = f"{cost / before - 1:+.1%}" if before else "new"
        verdict = "missed" if bar and cost > bar else ""
        lines.append(
            f"{name:<{width}}  {cost:>8,.0f}  {before or 0:>8,.0f}  {change:>7}"
            f"  {bar or '':>5}  {verdict}".rstrip()
        )
    return "\n".join(lines)


def top(part: Path, lines: int) -> str:
    """The server's functions by what each costs itself, in thousands a call, and what was begun."""
    costs, begun, names = read_profile(part)
    told = sorted(costs, key=costs.__getitem__, reverse=True)[:lines]
    functions = begun["plpgsql_exec_function"] / COUNTED
    statements = begun["ExecutorStart"] / COUNTED
    head = f"{functions:.0f} calls of plpgsql functions, {statements:.0f} statements run"
    return "\n".join([head, *(f"{costs[n] / COUNTED / 1000:>9,.0f}  {names[n]}" for n in told)])


def read_profile(part: Path) -> tuple[Counter[str], Counter[str], dict[str, str]]:
    """Of a file of callgrind: what each function costs itself, by its number; how often each was
    called, by its name; and the names."""
    costs: Counter[str] = Counter()
    called: Counter[str] = Counter()
    names: dict[str, str] = {}
    here = callee = ""
    lines = iter(part.read_text().splitlines())
    for line in lines:
        if named := re.match(r"(c?)fn=(\(\d+\))(?: (.*))?", line):
            is_callee, number, name = named.groups()
            if name:
                names[number] = name.partition("'")[0]
            here, callee = (here, number) if is_callee else (number, callee)
        elif line.startswith("calls="):
            called[names[callee]] += int(line[6:].split()[0])
            next(lines)  # what the callee cost
        elif re.match(r"[\d+*-]", line):
            costs[here] += int(line.split()[1])
    return costs, called, names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help="these alone; else all")
    parser.add_argument("--accept", action="store_true", help="keep what is found, of all doors")
    parser.add_argument(
        "--top", type=int, default=0, help="so many functions of the server that cost most"
    )
    asked = parser.parse_args()
    if asked.accept and asked.doors:
        parser.error("what is kept is of all doors, counted together")
    kept = json.loads(KEPT.read_text())
    try:
        data, calls = built()
        if unknown := set(asked.doors) - set(map(door, calls)):
            raise Trouble(f"No RPC of members: {', '.join(sorted(unknown))}.")
        calls = {
            name: some
            for name, some in calls.items()
            if not asked.doors or door(name) in asked.doors
        }
        parts = count(data, calls, PLACE / "counting")
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    version = newest_server().parent.name
    claims = total(parts.pop(""))
    found = {name: thousands_a_call(total(part), claims) for name, part in parts.items()}
    print(table(found, kept["thousands"]))
    for name in parts if asked.top else ():
        print(f"\n{name}\n{top(parts[name], asked.top)}")
    if asked.accept:
        commit = run("git", "-C", ROOT, "describe", "--always", "--dirty").stdout.strip()
        facts = {"commit": commit, "postgresql": version}
        KEPT.write_text(json.dumps(facts | {"thousands": found}, indent=2) + "\n")
        return 0
    if version != kept["postgresql"]:
        print(f"\nWhat is kept was counted on PostgreSQL {kept['postgresql']}.")
    elif more := grown(found, kept["thousands"]):
        print(f"\nGrown by more than 5 % since {kept['commit']}: {', '.join(more)}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
