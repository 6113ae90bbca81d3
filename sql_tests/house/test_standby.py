"""A hot standby answers whatever only reads (RULES 3.6, 6.3)."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from cluster import Cluster, check, newest_server, run_as_owner
from people import House, refused
from world import World


class Standby(Cluster):
    """A copy of a running cluster that follows it."""

    def __init__(self, primary, directory):
        super().__init__(directory, durable=False)
        self.primary = primary

    def _create(self):
        self.data.mkdir(mode=0o700)
        owner = self.primary.data.stat()
        shutil.chown(self.data, owner.st_uid, owner.st_gid)
        source = self.primary.url(role="supabase_admin")
        program = newest_server() / "pg_basebackup"
        copy: list[str | Path] = [program, "-R", "-X", "stream", "--no-sync", "-c", "fast"]
        check(run_as_owner(self.data, *copy, "-d", source))


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
