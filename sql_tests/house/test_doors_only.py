"""Doors and nothing else: through PostgREST no table can be named, joined, counted or described.

Whoever asks, and however: for every table and view of the house the answer is the one for a name
that never was.
"""

import tomllib

import pytest
from cluster import ROOT
from rest import nothing_changes
from world import World

PEOPLE = ("anon", "unadmitted", "outsider", "member", "moderator", "service")


@pytest.fixture(scope="module")
def people(rest):
    world = World(rest.house, "Doors")
    outsider = rest.house.sign_up("sol@doors.chas.test", "Sol")
    return {
        "anon": None,
        "unadmitted": rest.house.sign_up("uma@doors.chas.test", "Uma"),
        "outsider": rest.house.admit(outsider),
        "member": world.member,
        "moderator": world.moderator,
        "service": rest.house.service,
    }


@pytest.fixture(scope="module")
def tables(rest):
    """Every table and view of the house, and of what stands beside it."""
    found = rest.house.owner.sql("""
      select c.relname as name from pg_class as c
      where
        c.relkind in ('r', 'p', 'v', 'm', 'f')
        and c.relnamespace::regnamespace::text in ('private', 'public', 'auth', 'cron', 'realtime')
    """)
    names = sorted({row["name"] for row in found})
    assert len(names) > 45
    return names


def test_public_is_all_that_is_exposed():
    config = tomllib.loads((ROOT / "supabase" / "config.toml").read_text())
    assert config["api"]["schemas"] == ["public"]


@pytest.mark.parametrize("who", PEOPLE)
def test_no_table_can_be_named(rest, people, tables, who):
    never: dict[str, str] = {}
    with nothing_changes(rest.house):
        for name in ("never_was", *tables):
            for method, body in (
                ("GET", None),
                ("HEAD", None),
                ("POST", {"id": 1}),
                ("PATCH", {"id": 1}),
                ("DELETE", None),
            ):
                # To HEAD an error comes with a body, which the next answer must not follow.
                closing = {"Connection": "close"} if method == "HEAD" else {}
                answer = rest.ask(method, f"/{name}", people[who], json=body, headers=closing)
                assert answer.status_code == 404, f"{method} {name}: {answer.text}"
                said = answer.text.replace(name, "")
                assert said == never.setdefault(method, said), f"{method} {name}: {answer.text}"


@pytest.mark.parametrize("who", PEOPLE)
def test_no_table_can_be_joined_counted_or_planned(rest, people, who):
    plan = {"Accept": "application/vnd.pgrst.plan+json"}
    asked = [
        ("/communities?select=chat_messages(communities(chat_messages(content)))", {}, 400),
        ("/users?select=*,community_members(*)", {}, 400),
        ("/declarations?select=count", {}, 404),
        ("/community_members?select=xmax", {}, 404),
        ("/users", {"Prefer": "count=exact"}, 404),
        ("/users", {"Prefer": "count=planned"}, 404),
        ("/users", plan, 415),
        ("/users?limit=0", {}, 404),
        ("/users?select=now()", {}, 400),
    ]
    for path, headers, status in asked:
        answer = rest.ask("GET", path, people[who], headers=headers)
        assert answer.status_code == status, answer.text
        # Without a relationship in the exposed schema there is nothing to join; it knows no table.
        assert status != 400 or answer.json()["code"] == "PGRST200"
        assert "content-range" not in answer.headers
        never = path.replace("communities", "never_was").replace("users", "never_was")
        assert rest.ask("GET", never, people[who], headers=headers).status_code == status


@pytest.mark.parametrize("who", ["member", "service"])
def test_what_a_door_answers_has_nothing_to_join(rest, people, who):
    door = "list_my_communities" if who == "member" else "list_invites"
    honest = rest.call(people[who], door)
    assert honest.status_code == 200
    for wish in ("*,users(*)", "communities(*)", "*,private.users(*)"):
        answer = rest.ask("POST", f"/rpc/{door}?select={wish}", people[who], json={})
        assert answer.status_code in (200, 400, 404)
        assert answer.text == honest.text or answer.json()["code"].startswith(("PGRST", "42"))


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("schema", ["private", "auth", "extensions", "graphql_public", "cron"])
def test_no_other_schema_can_be_asked_for(rest, people, who, schema):
    for method, header in (("GET", "Accept-Profile"), ("POST", "Content-Profile")):
        answer = rest.ask(method, "/users", people[who], headers={header: schema})
        assert (answer.status_code, answer.json()["code"]) == (406, "PGRST106")


@pytest.mark.parametrize("who", PEOPLE)
def test_the_description_lists_only_the_doors_one_may_open(rest, people, who):
    role = {"anon": "anon", "service": "service_role"}.get(who, "authenticated")
    query = """
      select '/rpc/' || proname as path from pg_proc
      where
        pronamespace = 'public'::regnamespace
        and has_function_privilege(%(role)s, oid, 'execute')
    """
    doors = {row["path"] for row in rest.house.owner.sql(query, role=role)}

    described = rest.ask("GET", "/", people[who]).json()
    assert described["paths"].keys() == {"/", *doors}
    assert not described.get("definitions")
    assert bool(doors) == (who != "anon")
