"""A change after the release: drafted, read, pushed onto a house people live in.

The change is made up, a room more in a copy of the project, so that the way is tried at every
commit and not only when there is a migration to try.
"""

import hashlib
import json
import shutil
from pathlib import Path

import houses
import psycopg
import pytest
from cluster import ROOT, push, run_sql

# Each migration that was released, with the SHA-256 of what it then was.
RELEASED = Path(__file__).parent / "released.json"

ROOM = """-- A room that is in no release.

alter table private.communities add column motto text;
comment on column private.communities.motto is 'What is written above its door.';

create function private.get_motto(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_member(p_community_id);
  return (
    select jsonb_build_object('motto', c.motto)
    from private.communities as c where c.id = p_community_id
  );
end;
$$;
create function public.get_motto(community_id uuid)
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_motto(get_motto.community_id);
end;
comment on function public.get_motto is
'The motto of a community.

Returns {motto}. Refuses: NOT_FOUND.';
grant execute on function public.get_motto, private.get_motto to authenticated;
"""

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


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A copy of the project as if all its migrations had been released."""
    project = tmp_path_factory.mktemp("released")
    for part in ("schemas", "migrations"):
        shutil.copytree(ROOT / "supabase" / part, project / "supabase" / part)
    shutil.copy(ROOT / "supabase" / "config.toml", project / "supabase")
    return project


@pytest.fixture(scope="module")
def changed(released, tmp_path_factory):
    """The same with a room more, and the migration that `make db-draft` makes of it."""
    project = tmp_path_factory.mktemp("changed")
    shutil.copytree(released / "supabase", project / "supabase")
    (project / "supabase" / "schemas" / "999_motto.sql").write_text(ROOM)
    statements, differing = houses.drafted(project)
    migration = project / "supabase" / "migrations" / "20990101000000_motto.sql"
    migration.write_text(f"{statements}\n")
    return project, statements, differing


def people_of(url):
    with psycopg.connect(url) as connection:
        people = connection.execute("select id from private.users order by id").fetchall()
        ((community,),) = connection.execute("select id from private.communities").fetchall()
    return [person for (person,) in people], community


def ask(url, questions):
    """What everybody is answered, as each of them."""
    people, community = people_of(url)
    found = {}
    with psycopg.connect(url) as connection:
        connection.execute("set local role authenticated")
        for person in people:
            claims = json.dumps({"sub": str(person), "role": "authenticated"})
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            for question in questions:
                named = {"c": community, "u": person}
                asked = connection.execute(f"select public.{question}".encode(), named)
                ((found[person, question],),) = asked.fetchall()
    return found


def test_the_draft_is_plain_sql_and_knows_every_object(changed):
    _, statements, differing = changed
    words = statements.lower()
    # A push makes one transaction of a file and its row in the history; a `commit` would end it.
    assert not {"begin;", "commit;"} & set(words.split("\n"))
    for part in ("add column", "private.get_motto", "public.get_motto"):
        assert part in words.replace('"', "")
    for heading in ("get_motto", "TABLE; Schema: private"):
        assert heading in differing


def test_the_draft_makes_the_house_of_the_rooms_in_both_modes(changed):
    project, _, _ = changed
    assert list(houses.compared(project)) == []


def test_a_house_that_lags_behind_its_rooms_is_told(changed, released, tmp_path):
    project = tmp_path / "behind"
    shutil.copytree(changed[0] / "supabase", project / "supabase")
    (project / "supabase" / "migrations" / "20990101000000_motto.sql").unlink()
    told = "\n".join(houses.compared(project))
    assert "get_motto" in told
    assert "motto text" in told


def test_a_migration_changes_no_answer_of_a_house_with_people_in_it(server, released, changed):
    url = server.cluster.url(server.copy(server.platform, "upgrade"))
    push(url, released)
    run_sql(url, "-f", ROOT / "supabase" / "seed.sql")
    before = ask(url, QUESTIONS)
    lines = [before[key]["messages"] for key in before if key[1] == QUESTIONS[0]]
    assert len(lines) > 3
    assert all(len({line["type"] for line in messages}) > 2 for messages in lines)

    project, _, _ = changed
    push(url, project)
    after = ask(url, QUESTIONS)
    assert {key for key in before if before[key] != after[key]} == set()
    assert set(map(str, ask(url, ["get_motto(%(c)s)"]).values())) == {"{'motto': None}"}


def test_what_was_released_stays_as_it_was():
    released = json.loads(RELEASED.read_text())
    history = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
    now = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in history}
    assert {name: now.get(name) for name in released} == released, "write a migration of its own"
    # What is not released yet comes after all that is: a house that was pushed meets it next.
    assert list(now)[: len(released)] == list(released)
