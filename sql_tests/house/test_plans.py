"""No reading door scans a big table: the plans of every one of them, as auto_explain tells them."""

import json
import re

import psycopg
import pytest
from cluster import ROOT, run_sql
from servers import ROOMS, Server

# Enough for the planner to see that a table is big, and that one community is a small part of it.
NUMBERS = {"communities": 300, "members": 20, "history": 60, "busy": 600, "purse": 100}
BIG = 5_000
# More often than a prepared statement is planned for its own arguments alone.
CALLS = 7


@pytest.fixture(scope="module")
def crowd(server: Server, template: str):
    """A connection to a house full of people, which tells the plan of all it does."""
    with server.clone(template) as database:
        url = server.cluster.url(database, "supabase_admin")
        given = [part for name, n in NUMBERS.items() for part in ("-v", f"{name}={n}")]
        run_sql(url, *given, "-f", ROOT / "sql_tests" / "bench" / "data.sql", "-c", "analyze")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("load 'auto_explain'")
            for setting in ("log_min_duration = 0", "log_nested_statements = on"):
                connection.execute(f"set auto_explain.{setting}".encode())
            connection.execute("set auto_explain.log_format = 'json'")
            connection.execute("set auto_explain.log_level = 'notice'")
            yield connection


@pytest.fixture(scope="module")
def big_tables(crowd):
    found = crowd.execute(
        "select relname from pg_class where relkind in ('r', 'p') and reltuples > %s", [BIG]
    )
    names = {name for (name,) in found}
    assert {"chat_messages", "declarations", "ledger_entries", "users", "notifications"} <= names
    return names


@pytest.fixture(scope="module")
def arguments(crowd):
    """What the moderator of a community of the crowd calls the doors with."""
    row = crowd.execute(
        """
        with c as (select bench.community(7) as id)
        select c.id, bench.person(51 + 6 * %s),
          (select min(d.id::text)::uuid from private.declarations as d where d.community_id = c.id),
          (select max(m.id) from private.chat_messages as m where m.community_id = c.id),
          gen_random_uuid()
        from c
    """,
        [NUMBERS["members"]],
    ).fetchone()
    return dict(
        zip(("community_id", "user_id", "declaration_id", "message_id", "no"), row, strict=True)
    )


def reading_doors(crowd):
    return crowd.execute("""
        select p.proname, coalesce(p.proargnames[1:p.pronargs - p.pronargdefaults], '{}')
        from pg_proc as p
        where p.pronamespace = 'public'::regnamespace
          and has_function_privilege('authenticated', p.oid, 'execute')
          and (p.provolatile <> 'v' or p.proname ~ '^(get|list|preview|audit)_')
        order by p.proname
    """).fetchall()


def plans_of(crowd, door, given):
    """Every plan a few calls of a door run, its helpers' and policies' included."""
    told = []
    crowd.add_notice_handler(note := lambda notice: told.append(notice.message_primary))
    claims = json.dumps({"sub": str(given["user_id"]), "app_metadata": {"chas_role": "steward"}})
    named = {name: given.get(name, given["no"]) for name in door[1]}
    words = ", ".join(f"{name} => %({name})s" for name in named)
    try:
        with crowd.transaction(force_rollback=True):
            crowd.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            crowd.execute("set local role authenticated")
            for _ in range(CALLS):
                with crowd.transaction():
                    crowd.execute(f"select public.{door[0]}({words})".encode(), named)
    except psycopg.DatabaseError as refusal:
        # Of an election or a proposal that is not there; it was looked for all the same.
        assert "NOT_FOUND" in str(refusal)
    finally:
        crowd.remove_notice_handler(note)
    return [
        json.loads(said.partition("plan:")[2])["Plan"] for said in told if said and "plan:" in said
    ]


def nodes(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def test_no_reading_door_scans_a_big_table(crowd, big_tables, arguments):
    scans = set()
    doors = reading_doors(crowd)
    for door in doors:
        plans = plans_of(crowd, door, arguments)
        assert plans, door
        scans |= {
            f"{door[0]}: {node['Relation Name']}"
            for plan in plans
            for node in nodes(plan)
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in big_tables
        }
    assert len(doors) > 20
    assert not scans


def test_a_scan_would_be_seen(crowd, big_tables):
    with crowd.transaction(force_rollback=True):
        crowd.execute("""
            create function public.get_everything() returns bigint
            language plpgsql stable set search_path = ''
            as 'begin return (select count(m.content) from private.chat_messages as m); end'
        """)
        told = []
        crowd.add_notice_handler(note := lambda notice: told.append(notice.message_primary))
        crowd.execute("select public.get_everything()")
        crowd.remove_notice_handler(note)
    plans = [json.loads(said.partition("plan:")[2])["Plan"] for said in told if "plan:" in said]
    found = {node.get("Relation Name") for plan in plans for node in nodes(plan)}
    assert found & big_tables


def test_no_room_pages_by_offset():
    for room in ROOMS:
        words = re.sub(r"--.*|'[^']*'", "", room.read_text())
        assert not re.search(r"\boffset\b", words, re.IGNORECASE), room.name
