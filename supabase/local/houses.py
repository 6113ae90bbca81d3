"""The two houses: `houses.py diff|docs|draft|lint`.

One is built from the rooms in supabase/schemas, one from the history in supabase/migrations. They
must not differ in anything a member, a client or an operator could notice.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import docs
from cluster import (
    CLI,
    PLATFORM,
    ROOT,
    Cluster,
    Mode,
    Trouble,
    check,
    lay_platform,
    newest_server,
    push,
    run,
    run_sql,
)

LINTED = ROOT / ".local" / "linted.json"

# What pg_dump leaves out, one object to a line.
BEYOND_THE_DUMP = {
    "cron jobs": """
        select format('%s | %s | %s | %s | %s', jobname, schedule, command, username, active)
        from cron.job order by jobname
    """,
    "settings of roles and databases": """
        select format('%s | %s | %s', coalesce(d.datname, '*'), s.setrole::regrole, setting)
        from pg_db_role_setting as s left join pg_database as d on d.oid = s.setdatabase,
          unnest(s.setconfig) as setting
        order by 1
    """,
    "roles": """
        select format('%s | super %s | inherit %s | login %s | bypass rls %s | in %s',
          rolname, rolsuper, rolinherit, rolcanlogin, rolbypassrls, (
            select array_agg(roleid::regrole order by roleid::regrole::text)
            from pg_auth_members where member = r.oid
          ))
        from pg_roles as r where rolname !~ '^pg_' order by rolname
    """,
}

# `supabase db lint` reads every plpgsql function but those of triggers.
LINT_TRIGGERS = """
    select distinct format('%s: %s', t.tgfoid::regprocedure, problem)
    from pg_trigger as t
    join pg_proc as p on p.oid = t.tgfoid
    join pg_namespace as n on n.oid = p.pronamespace and n.nspname in ('public', 'private')
    join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql',
      extensions.plpgsql_check_function(t.tgfoid, t.tgrelid, extra_warnings => false) as problem
    where not t.tgisinternal
"""

# A body in quotes is read when it runs; `begin atomic` is checked and bound when it is loaded.
LINT_SQL_BODIES = """
    select format('%s: its body is text: begin atomic', p.oid::regprocedure)
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
      and l.lanname = 'sql' and p.prosqlbody is null
"""

# Lints 0028 and 0029, which this CLI does not have yet.
LINT_EXPOSED_DEFINERS = """
    select format('%s: exposed, and runs with its owner''s rights', p.oid::regprocedure)
    from pg_proc as p
    where p.prosecdef and p.pronamespace in ('public'::regnamespace, 'graphql_public'::regnamespace)
      and (
        has_function_privilege('anon', p.oid, 'execute')
        or has_function_privilege('authenticated', p.oid, 'execute')
      )
"""


@contextmanager
def empty_house(name: str, mode: Mode = "hosted_new") -> Iterator[Cluster]:
    """A new project, in a server of its own so that roles and jobs are compared as well."""
    place = ROOT / ".local" / f"house-{name}-{os.getpid()}"
    cluster = Cluster(place, durable=False)
    try:
        cluster.start()
        lay_platform(cluster, mode)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.directory, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


def rooms_of(project: Path = ROOT) -> list[Path]:
    return sorted((project / "supabase" / "schemas").glob("*.sql"))


@contextmanager
def house_of_rooms(project: Path = ROOT) -> Iterator[Cluster]:
    with empty_house("rooms") as cluster:
        for room in rooms_of(project):
            run_sql(cluster.url(), "--single-transaction", "-f", room)
        yield cluster


@contextmanager
def house_of_migrations(mode: Mode = "hosted_new", project: Path = ROOT) -> Iterator[Cluster]:
    with empty_house("migrations", mode) as cluster:
        push(cluster.url(), project)
        yield cluster


class Addressed(Protocol):
    """A server, or one database of it."""

    def url(self, *, role: str = ...) -> str: ...


def inventory(house: Addressed) -> dict[str, list[str]]:
    """Every object by its heading, with the lines that make it."""
    url = house.url(role="supabase_admin")
    skip = "--exclude-schema=supabase_migrations"
    dump = check(run(newest_server() / "pg_dump", "--schema-only", skip, url))
    objects: dict[str, list[str]] = {}
    # Above each object pg_dump writes a line: -- Name: x; Type: TABLE; Schema: public; Owner: y
    _, *parts = re.split(r"^--\n-- (Name: .*)\n--\n", dump, flags=re.MULTILINE)
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        lines = [
            line for line in body.splitlines() if not re.match(r"$|--$|-- PostgreSQL|SET |\\", line)
        ]
        # Grants come in the order they were given, which means nothing.
        objects.setdefault(heading, []).extend(sorted(lines) if "ACL" in heading else lines)
    for heading, query in BEYOND_THE_DUMP.items():
        objects[heading] = run_sql(url, "-c", query).splitlines()
    return objects


def differences(migrations: dict[str, list[str]], rooms: dict[str, list[str]]) -> Iterator[str]:
    for heading in sorted(migrations.keys() | rooms.keys()):
        before, after = migrations.get(heading, []), rooms.get(heading, [])
        if before != after:
            yield f"\n{heading}"
            yield from list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]


def compared(project: Path = ROOT) -> Iterator[str]:
    """Whatever a project grants by default, the house must come out the same."""
    with house_of_rooms(project) as rooms:
        wanted = inventory(rooms)
    modes: tuple[Mode, Mode] = ("hosted_new", "hosted_old")
    for mode in modes:
        with house_of_migrations(mode, project) as migrations:
            found = list(differences(inventory(migrations), wanted))
        if found:
            yield f"The house from migrations/ (-, {mode}) is not the house from schemas/ (+):"
            yield from found
            return


def diff() -> int:
    found = list(compared())
    print("\n".join(found) if found else "The two houses are the same.")
    return 1 if found else 0


def drafted(project: Path = ROOT) -> tuple[str, str]:
    """The next migration as the CLI sees it, and all that differs, to hold it against.

    The CLI knows shapes and order; grants, default privileges and jobs it may forget. It gets no
    `begin`: a push runs a file and its row in the history as one transaction.
    """
    with house_of_migrations(project=project) as migrations, house_of_rooms(project) as rooms:
        ends = [f"--from={migrations.url()}", f"--to={rooms.url()}"]
        told = check(run(CLI, "db", "diff", "--use-pg-delta", *ends, "--workdir", project))
        found = "\n".join(differences(inventory(migrations), inventory(rooms)))
    # It names the two databases and what it passes over (rights on parameters), which is no SQL.
    lines = [line for line in told.splitlines() if not line.startswith(("Target: ", "│", "▲", "●"))]
    return "\n".join(lines).strip(), found


def draft() -> int:
    statements, found = drafted()
    print(statements, end="\n\n")
    for line in found.splitlines():
        print(f"-- {line}".rstrip())
    return 0


def write_docs() -> int:
    with house_of_rooms() as house:
        docs.write(house)
    return 0


def lint() -> int:
    problems = lint_style()
    with house_of_rooms() as house:
        problems += docs.problems(house)
        admin = house.url(role="supabase_admin")
        # Hosted, the linter's own role may make it; here only the superuser may.
        run_sql(admin, "-c", "create extension plpgsql_check with schema extensions")
        remote = (f"--remote={house.url()}", f"--workdir={ROOT}")
        flags = ["--schema=public,private", "--level=warning", "--fail-on=warning"]
        told = run(CLI, "db", "lint", *flags, *remote)
        if told.returncode:
            problems.append(told.stdout)
        problems += advice(*remote)
        for query in (LINT_TRIGGERS, LINT_SQL_BODIES, LINT_EXPOSED_DEFINERS):
            problems += run_sql(admin, "-c", query).splitlines()
    print("\n".join(problems) if problems else "The SQL is as it should be.")
    return 1 if problems else 0


def advice(*remote: str) -> list[str]:
    """Everything the advisors say, but that nobody has used an index of an empty house."""
    flags = ["--level=info", "--output-format=json"]
    told = check(run(CLI, "db", "advisors", *flags, *remote))
    found = json.loads(told[told.index("{") :])["results"]
    assert found, "the advisors always speak of unused indexes; they looked at nothing"
    return [f"{one['name']}: {one['detail']}" for one in found if one["name"] != "unused_index"]


def lint_style() -> list[str]:
    """sqlfluff takes seconds for a long room: it reads only what changed since it was content."""
    tools = [ROOT / "pyproject.toml", ROOT / "supabase" / "local" / "requirements.txt"]
    config = b"".join(tool.read_bytes() for tool in tools)
    files = [*rooms_of(), ROOT / "supabase" / "seed.sql", PLATFORM]
    now = {
        str(file.relative_to(ROOT)): hashlib.sha256(config + file.read_bytes()).hexdigest()
        for file in files
    }
    before = json.loads(LINTED.read_text()) if LINTED.exists() else {}
    changed = [name for name, content in now.items() if before.get(name) != content]
    if not changed:
        return []
    told = run(sys.executable, "-m", "sqlfluff", "lint", "--processes=0", *changed, cwd=ROOT)
    bad = set(re.findall(r"^== \[(.*)\] FAIL$", told.stdout, flags=re.MULTILINE))
    if bad or not told.returncode:
        LINTED.write_text(json.dumps({name: now[name] for name in now if name not in bad}))
    return [told.stdout] if told.returncode else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    acts = {
        "diff": diff,
        "docs": write_docs,
        "draft": draft,
        "lint": lint,
    }
    parser.add_argument("act", choices=acts)
    try:
        return acts[parser.parse_args().act]()
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
