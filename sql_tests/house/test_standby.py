"""A hot standby answers whatever only reads (RULES 3.6, 6.3)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cluster import free_port
from doors import FOR_PEOPLE
from keys import Keys
from people import House, Member, refused
from programs import postgrest
from rest import Rest, nothing_changes, stand_still
from servers import Standby
from world import IN_ORDER, World


class Followed(House):
    follow: Callable[[], None]


@pytest.fixture
def standby(house, server, tmp_path_factory):
    """The house of the test as a standby shows it; `follow` waits until it shows all there is."""
    if not hasattr(server.cluster, "data"):
        pytest.skip("the server somebody else started is not ours to copy")
    cluster = Standby(server.cluster, tmp_path_factory.mktemp("standby"))
    database = house.address("postgres").rsplit("/", 1)[1].split("?")[0]
    cluster.start()
    copy = Followed(lambda login: cluster.url(database, login), house.read_only_doors)
    copy.follow = lambda: follow(house, copy)
    try:
        yield copy
    finally:
        copy.close()
        cluster.stop()


def follow(primary, copy):
    (here,) = primary.owner.sql("select pg_current_wal_lsn()::text as lsn")
    query = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
    with psycopg.connect(copy.address("postgres"), autocommit=True) as connection:
        for _ in range(300):
            if connection.execute(query, [here["lsn"]]).fetchone() == (True,):
                return
            time.sleep(0.1)
    raise AssertionError("the standby does not follow")


def test_what_only_reads_answers_on_a_standby_what_is_stored(house, standby):
    world = World(house, "Rain")
    here = {"community_id": world.community}
    member = world.member
    doors = {
        "get_balance": here,
        "list_ledger": here,
        "audit_ledger": here,
        "preview_dawn": here,
        "list_loans": here,
        "get_sunset": here,
        "get_rules": here,
        "list_tip_to_tips": here,
        "get_tip_to_tip": {"proposal_id": world.things["proposal_id"]},
        "list_my_communities": {},
    }
    expected = {name: getattr(member.getting(), name)(**said) for name, said in doors.items()}
    standby.follow()
    standby.clock.at(house.clock.now)
    reader = replace(member, house=standby, by_get=True)
    for name, said in doors.items():
        assert getattr(reader, name)(**said) == expected[name], name

    # Days later nobody has settled anything, and nothing here can.
    standby.clock.forward(days=3)
    assert reader.get_balance(**here) == expected["get_balance"]
    assert reader.list_messages(**here)["messages"]
    with refused("READ_REPLICA"):
        reader.list_messages(after_id=world.things["message_id"], **here)


def test_a_stranger_reads_nothing_on_a_standby(house, standby, rain, asha, stranger):
    standby.follow()
    for person, code in ((stranger, "NOT_FOUND"), (asha, None)):
        reader = replace(person, house=standby, by_get=True)
        if code:
            with refused(code):
                reader.get_balance(community_id=rain)
        else:
            assert reader.get_balance(community_id=rain)["balance"]["remaining"] == 100


# ------------------------------------------------------------------------------ through PostgREST


@contextmanager
def asked_at(house: House, keys: Keys, place: Path) -> Iterator[Rest]:
    place.mkdir()
    service = postgrest(place, free_port(), house.address("authenticator"), keys)
    with (
        service.running() as there,
        httpx.Client(base_url=f"http://127.0.0.1:{there.port}", timeout=30) as http,
    ):
        yield Rest(house, http, keys)


def calls_of(house: House, world: World, member: Member) -> dict[str, dict[str, Any]]:
    """Every door of a member's, with what it cannot do without."""
    asked = house.owner.sql(
        """
        select proname as name, proargnames[:pronargs - pronargdefaults] as arguments
        from pg_proc where pronamespace = 'public'::regnamespace and proname = any(%(names)s)
        order by proname
        """,
        names=list(FOR_PEOPLE),
    )
    return {
        door["name"]: {
            name: world.things.get(name) or IN_ORDER.get(name) or member.id
            for name in door["arguments"] or []
        }
        for door in asked
    }


def test_postgrest_answers_there_what_it_would_answer_here(house, standby, tmp_path):
    world = World(house, "Rain")
    stand_still(house)
    keys = Keys.kept_in(tmp_path / "keys.json")
    member = world.moderator
    calls = calls_of(house, world, member)
    with (
        asked_at(house, keys, tmp_path / "here") as here,
        asked_at(standby, keys, tmp_path / "there") as there,
    ):
        standby.follow()
        read = set()
        for door, said in calls.items():
            if any(isinstance(one, dict) for one in said.values()):
                continue
            # By GET the primary reads, and so does the standby: the same answer, or the same no.
            answers = [
                rest.ask("GET", f"/rpc/{door}", member, params=said) for rest in (here, there)
            ]
            assert answers[1].status_code == answers[0].status_code, door
            assert answers[1].json() == answers[0].json(), door
            read |= {door} if answers[0].is_success else set()
        assert read >= house.read_only_doors & set(FOR_PEOPLE)
        assert read >= {"get_balance", "list_ledger", "preview_dawn", "list_messages"}

        # By POST what only reads does so there too; whatever might write is refused.
        refusals = set()
        with nothing_changes(house):
            for door, said in calls.items():
                answer = there.call(member, door, **said)
                if door in house.read_only_doors:
                    assert answer.is_success, (door, answer.text)
                else:
                    assert not answer.is_success, door
                    refusals.add((answer.status_code, answer.json()["code"]))
        assert refusals == {(400, "0A000")}

        forward = {"after_id": world.things["message_id"], "community_id": world.community}
        answer = there.ask("GET", "/rpc/list_messages", member, params=forward)
        assert (answer.status_code, answer.json()["code"]) == (503, "READ_REPLICA")
        assert here.ask("GET", "/rpc/list_messages", member, params=forward).is_success
