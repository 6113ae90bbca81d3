"""The scheduled jobs: what pg_cron is told, that it fires, what is recorded (RULES 6.2, 6.4)."""

import time
from collections.abc import Iterator

import psycopg
import pytest
from people import House

JOBS = {"daily_reset", "daily_sunset", "weekly_jashn", "tip_to_tip_expiry", "election_close"}
DAWN = "2026-03-03 00:00+00:00"


def commands(house):
    """What pg_cron would execute, by name."""
    return {row["jobname"]: row["command"] for row in house.owner.read("cron.job")}


def execute(house, command, moment):
    """As pg_cron does: outside any transaction, so that the command can commit."""
    with house.connection("postgres") as connection:
        connection.execute("select set_config('chas.now', %s, false)", [moment])
        connection.execute(command)


def days(house):
    return sorted(str(row["day"]) for row in house.owner.read("community_days"))


def test_every_job_is_scheduled_under_its_own_name_by_the_owner(house):
    jobs = house.owner.read("cron.job")
    assert {job["jobname"] for job in jobs} >= JOBS
    assert {job["username"] for job in jobs} == {"postgres"}
    assert all(job["active"] for job in jobs)


def test_scheduling_again_changes_nothing(house):
    before = house.owner.read("cron.job")
    house.owner.sql("select private.schedule_jobs()")
    assert house.owner.read("cron.job") == before


def test_every_scheduled_command_runs(house, rain):
    for command in commands(house).values():
        execute(house, command, DAWN)
    assert days(house) == ["2026-03-03"]


def test_a_command_goes_on_until_everybody_is_served(house, sign_up, admit):
    for n in range(3):
        founder = admit(sign_up(f"founder{n}@chas.test"))
        for _ in range(8):
            founder.create_community(name="One of many")

    execute(house, commands(house)["daily_reset"], DAWN)
    assert days(house) == ["2026-03-03"] * 24


def test_a_command_ends_though_a_community_is_broken(house, rain):
    house.owner.sql(
        "alter table public.ledger_entries add constraint broken check (id < 0) not valid"
    )
    execute(house, commands(house)["daily_reset"], DAWN)

    (run,) = house.owner.read("private.job_runs")
    assert "broken" in run["error"]
    assert days(house) == ["2026-03-02"]


def test_each_run_is_recorded(house, rain, asha, bram):
    execute(house, commands(house)["daily_reset"], DAWN)

    (run,) = house.owner.read("private.job_runs")
    assert (run["job"], str(run["community_id"]), str(run["day"])) == (
        "daily_reset",
        rain,
        "2026-03-03",
    )
    assert run["started_at"] <= run["finished_at"]
    assert run["rows"] == 4, "two purses expired and two grants"
    assert run["error"] is None


def test_old_records_are_pruned(house, rain, asha, bram):
    joy = asha.declare_joy(community_id=rain, title="First rain", cc_spent=5)["declaration"]
    bram.witness_declaration(declaration_id=joy["id"])
    execute(house, commands(house)["daily_reset"], DAWN)
    assert asha.list_notifications()["notifications"] != []

    execute(house, commands(house)["housekeeping"], "2126-01-01 00:00+00:00")
    assert asha.list_notifications()["notifications"] == []
    assert house.owner.read("private.job_runs") == []


def test_health_tells_how_late_a_dawn_is(house, rain, service, clock):
    assert service.get_health() == {"status": "ok", "dawn_late_seconds": 0}
    clock.at("2026-03-03 00:11+00:00")
    assert service.get_health()["dawn_late_seconds"] == 660

    execute(house, commands(house)["daily_reset"], clock.now.isoformat())
    assert service.get_health()["dawn_late_seconds"] == 0


# ------------------------------------------------------------------------------ for real


@pytest.fixture
def watched_house(server) -> Iterator[House]:
    """The house in the one database pg_cron watches, where the date is already tomorrow."""
    if server.is_given:
        pytest.skip("the pg_cron of a given server went when its database was copied")
    house = House(lambda login: server.cluster.url("postgres", login), frozenset())
    yield house
    house.close()


@pytest.mark.slow
def test_pg_cron_fires_the_jobs(server, watched_house, build_rooms):
    build_rooms("postgres")
    admin = psycopg.connect(server.cluster.url("postgres", "supabase_admin"), autocommit=True)
    admin.execute("alter database postgres set chas.time_travel = 'on'")
    asha = watched_house.admit(watched_house.sign_up("asha@chas.test"))
    rain = asha.create_community(name="Rain")["community"]["id"]
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=30)
    admin.execute(f"alter database postgres set chas.now = '{DAWN}'")
    admin.close()

    every_minute = JOBS - {"tip_to_tip_expiry"}
    patience = time.monotonic() + 75
    fired: set[str] = set()
    while not fired >= every_minute and time.monotonic() < patience:
        time.sleep(0.5)
        runs = watched_house.owner.sql("""
          select j.jobname, r.status, r.return_message
          from cron.job_run_details as r
          join cron.job as j using (jobid)
          where r.end_time is not null
        """)
        assert {run["status"] for run in runs} <= {"succeeded"}, runs
        fired = {run["jobname"] for run in runs}

    assert fired >= every_minute
    watched_house.clock.at(DAWN)
    types = [entry["type"] for entry in asha.list_ledger(community_id=rain)["entries"]]
    assert types == ["daily_reset", "expired", "declaration", "daily_reset"]
    assert days(watched_house) == ["2026-03-03"]
    watched_house.books(rain)
