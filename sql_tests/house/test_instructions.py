"""What `make bench-instructions` counts, without counting: every call is answered."""

import instructions
import psycopg
import pytest
from calls import CALLS, MEMBERS, ask_all, door, towns
from cluster import ROOT, Trouble, run_sql
from people import House
from servers import Server

NUMBERS = {"communities": towns(1), "members": MEMBERS, "history": 7, "busy": 60, "purse": 1000}


@pytest.fixture(scope="module")
def asked(server: Server, template: str):
    with server.clone(template) as database:
        url = server.cluster.url(database, "supabase_admin")
        given = [part for name, n in NUMBERS.items() for part in ("-v", f"{name}={n}")]
        run_sql(url, *given, "-f", ROOT / "sql_tests" / "bench" / "data.sql", "-c", "analyze")
        house = House(lambda login: server.cluster.url(database, login), frozenset())
        yield ask_all(house, 1)
        house.close()


def test_every_door_of_members_has_a_call(server, template):
    with psycopg.connect(server.cluster.url(template)) as connection:
        doors = [name for (name,) in connection.execute(instructions.MEMBER_DOORS)]
    instructions.require_calls(doors)
    with pytest.raises(Trouble, match=r"No call is written down .*: sing_along\."):
        instructions.require_calls([*doors, "sing_along"])
    with pytest.raises(Trouble, match="no member's RPC: get_me"):
        instructions.require_calls(set(doors) - {"get_me"})


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_answered(asked, name):
    ((who, what),) = asked[name]
    assert getattr(who, door(name))(**what) is not None


def test_a_call_is_what_it_adds():
    """Of eight, each adding ten thousand to the sixty it takes to set their claims."""
    assert instructions.thousands_a_call(140_000, 60_000) == 10


def test_only_what_grew_by_more_than_a_twentieth_is_told():
    kept = {"grown": 100.0, "steady": 100.0, "leaner": 100.0}
    found = {"grown": 105.1, "steady": 105.0, "leaner": 60.0, "new": 500.0}
    assert instructions.grown(found, kept) == ["grown"]


def test_a_table_says_what_changed_and_what_misses_its_bar():
    found = {"declare_joy": 1700.0, "get_me": 50.0}
    _, joy, other = instructions.table(found, {"get_me": 100.0}).splitlines()
    assert joy.split() == ["declare_joy", "1,700", "0", "new", "1600", "missed"]
    assert other.split() == ["get_me", "50", "100", "-50.0%"]
