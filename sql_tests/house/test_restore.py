"""A house restored on another server, in each way an operator may go, months later (RULES 14.1)."""

import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import houses
import pytest
from cluster import Cluster, check, newest_server, run, run_as_owner, run_sql, server_user
from losses import JOBS, One, database_of
from people import House
from world import World

pytestmark = [
    pytest.mark.xdist_group("restore"),
    pytest.mark.skipif("PGHOST" in os.environ, reason="it makes servers of its own"),
]

# As the CLI's own scripts dump: Auth's people come along with what the house knows of them.
DUMP = ["--quote-all-identifiers", "--schema=public", "--schema=private"]
DATA = [*DUMP, "--data-only", "--schema=auth"]


@pytest.fixture(scope="module")
def lived(server, template):
    """A community in which everything has happened, in March."""
    database = server.copy(template, "lived")
    house = House(lambda login: server.cluster.url(database, login), frozenset())
    world = World(house, "Rain")
    house.close()
    return world


@pytest.fixture(scope="module")
def dumps(server, lived, tmp_path_factory):
    """Schema and data, as two files."""
    place = tmp_path_factory.mktemp("dumps")
    place.chmod(0o755)
    url = server.cluster.url(database_of(lived.house), "supabase_admin")
    lived.house.close()
    tool = newest_server() / "pg_dump"
    schema = check(run(tool, *DUMP, "--schema-only", url))
    # As the CLI does: every project has this schema, and a superuser of its own.
    theirs = r'^((?:CREATE|ALTER|COMMENT ON) SCHEMA "public"|.* FOR ROLE "supabase_admin")'
    schema = re.sub(theirs, r"-- \1", schema, flags=re.MULTILINE)
    data = check(run(tool, *DATA, url))
    (place / "schema.sql").write_text(schema)
    (place / "data.sql").write_text(f"set session_replication_role = replica;\n{data}")
    return place / "schema.sql", place / "data.sql"


@pytest.fixture(scope="module")
def wanted():
    """What a new project holds after a push."""
    with houses.house_of_migrations() as cluster:
        return houses.inventory(cluster)


def load(cluster, data):
    run_sql(cluster.url(role="supabase_admin"), "-f", data)


def differing(found, wanted):
    """A body that was dumped and read again may have fewer brackets, and means the same."""
    without = [
        {name: [re.sub(r"[()]", "", line) for line in lines] for name, lines in one.items()}
        for one in (found, wanted)
    ]
    return list(houses.differences(*without))


def goes_on(house, world):
    """People find their house as they left it, and the days between are settled."""
    house.clock.at(datetime.now(UTC))
    assert house.service.get_health()["missing"] == []
    assert {job["jobname"] for job in house.owner.read("cron.job")} >= set(JOBS)

    mina, bram = (replace(one, house=house) for one in (world.moderator, world.member))
    here = {"community_id": world.community}
    assert mina.get_balance(**here)["balance"]["day"] == house.clock.now.date().isoformat()
    assert house.books(world.community)["balanced"]
    assert "Secret words" in str(mina.list_messages(**here))

    zoe = house.admit(house.sign_up("zoe@chas.test", "Zoe"))
    zoe.join_community(invite_code=world.code)
    assert zoe.declare_joy(title="A new house", cc_spent=1, **here)
    house.service.erase_user(user_id=bram.id)
    while house.owner.sql("select private.go_on_erasing(private.clock()) as n")[0]["n"]:
        pass
    assert "Secret words" not in str(mina.list_messages(**here))
    assert "Bram" not in str(mina.list_members(**here))
    assert house.books(world.community)["balanced"]
    house.close()


@pytest.mark.parametrize("mode", ["hosted_new", "hosted_old"])
def test_a_push_and_then_the_data(lived, dumps, wanted, mode):
    with houses.house_of_migrations(mode) as cluster:
        load(cluster, dumps[1])
        house = House(lambda login: cluster.url(role=login), frozenset())
        assert house.service.mend() == {"mended": [], "missing": []}
        assert differing(houses.inventory(cluster), wanted) == []
        goes_on(house, lived)


@pytest.mark.parametrize("mode", ["hosted_new", "hosted_old"])
def test_schema_and_data_and_then_mend(lived, dumps, wanted, mode):
    with houses.empty_house("restored", mode) as cluster:
        run_sql(cluster.url(), "-f", dumps[0])
        load(cluster, dumps[1])
        house = House(lambda login: cluster.url(role=login), frozenset())
        assert house.service.get_health()["status"] == "broken"
        assert house.service.mend()["missing"] == []
        assert differing(houses.inventory(cluster), wanted) == []
        goes_on(house, lived)


def test_a_copy_to_a_point_in_time(server, lived, tmp_path):
    database = database_of(lived.house)
    lived.house.close()
    before = houses.inventory(One(server.cluster, database))
    copy = Cluster(tmp_path / "copy", durable=False)
    copy.data.mkdir(mode=0o700)
    os.chown(copy.data, server_user().pw_uid, server_user().pw_gid)
    source = server.cluster.url("", "supabase_admin")
    tool = newest_server() / "pg_basebackup"
    check(run_as_owner(copy.data, tool, "-d", source, "-X", "stream", "-c", "fast", "-N"))
    try:
        copy.start()
        assert list(houses.differences(before, houses.inventory(One(copy, database)))) == []
        goes_on(House(lambda login: copy.url(database, login), frozenset()), lived)
    finally:
        copy.stop()
        shutil.rmtree(copy.directory)
