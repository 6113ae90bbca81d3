"""A house made by `supabase db push` alone, and a life in it.

That it is the house of the rooms to the last grant, in both modes, `make db-diff` proves; here
somebody moves in, asks, spends, lends, votes and is honoured, and the books balance.
"""

import pytest
from cluster import CLI, free_port, push, run
from people import House
from world import World


@pytest.fixture
def pushed(server):
    database = server.copy(server.platform, "pushed")
    push(server.cluster.url(database))
    house = House(lambda login: server.cluster.url(database, login), frozenset())
    yield house
    house.close()


def test_people_live_in_a_house_of_migrations(pushed):
    world = World(pushed, "Rain")
    books = pushed.books(world.community)
    assert books["balanced"]
    jobs = {row["jobname"] for row in pushed.owner.read("cron.job")}
    assert {"daily_reset", "daily_sunset", "weekly_jashn"} <= jobs


def test_pushing_again_changes_nothing(pushed, server):
    (database,) = pushed.owner.sql("select current_database() as name")
    history = "select version from supabase_migrations.schema_migrations"
    before = pushed.owner.sql(history)
    push(server.cluster.url(database["name"]))
    assert pushed.owner.sql(history) == before


def test_the_cli_keeps_nothing_at_home_or_in_tmp(tmp_path, monkeypatch):
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    nobody = f"127.0.0.1:{free_port()}"
    told = run(CLI, "migration", "list", f"--remote=postgresql://postgres@{nobody}/postgres")
    assert nobody in told.stdout
    assert list(tmp_path.iterdir()) == []
