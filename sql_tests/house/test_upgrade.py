"""The newest migration, applied to a house people live in: whoever asks is answered as before."""

import json

import psycopg
import pytest
from cluster import ROOT, run_sql

MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))

QUESTIONS = (
    "list_messages(%(c)s, 200)",
    "list_messages(%(c)s, 2)",
    "list_gazette(%(c)s)",
    "list_gazette(%(c)s, 50, null, %(u)s)",
    "get_leaderboard(%(c)s)",
    "get_member_profile(%(c)s, %(u)s)",
    "get_jashn(%(c)s)",
    "list_members(%(c)s)",
    "list_ledger(%(c)s)",
    "get_balance(%(c)s)",
    "audit_ledger(%(c)s)",
    "preview_dawn(%(c)s)",
    "get_sunset(%(c)s)",
    "list_loans(%(c)s)",
    "list_tip_to_tips(%(c)s)",
    "list_elections(%(c)s)",
    "list_my_communities()",
    "list_notifications()",
)


@pytest.fixture
def yesterday(server):
    """A database with every migration but the newest, and the people of the seed."""
    database = server.copy(server.platform, "upgrade")
    files = [part for migration in MIGRATIONS[:-1] for part in ("-f", migration)]
    run_sql(server.cluster.url(database), *files, "-f", ROOT / "supabase" / "seed.sql")
    return server.cluster.url(database)


def answers(url):
    found = {}
    with psycopg.connect(url) as connection:
        people = connection.execute("select id from private.users order by id").fetchall()
        ((community,),) = connection.execute("select id from private.communities").fetchall()
        connection.execute("set local role authenticated")
        for (person,) in people:
            claims = json.dumps({"sub": str(person), "role": "authenticated"})
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            for question in QUESTIONS:
                named = {"c": community, "u": person}
                asked = connection.execute(f"select public.{question}".encode(), named)
                ((found[person, question],),) = asked.fetchall()
    return found


def test_the_newest_migration_changes_no_answer(yesterday):
    before = answers(yesterday)
    lines = [before[key]["messages"] for key in before if key[1] == QUESTIONS[0]]
    assert len(lines) > 3
    assert all(len({line["type"] for line in messages}) > 2 for messages in lines)

    run_sql(yesterday, "-f", MIGRATIONS[-1])
    after = answers(yesterday)
    assert {key for key in before if before[key] != after[key]} == set()
