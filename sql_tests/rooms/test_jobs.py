"""The jobs as pg_cron has them: scheduled, fired, recorded, pruned (RULES 6).

pg_cron works in one database of a server only, so most tests execute what it would.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from cluster import Trouble, newest_server
from own_house import own_house
from people import Caller, House, Row

# The clock of a community may strike at any minute of the hour, somewhere.
EVERY_MINUTE = {
    "daily_reset",
    "daily_sunset",
    "weekly_jashn",
    "election_close",
    "last_light",
    "housekeeping",
}

DAWN = datetime(2026, 3, 3, tzinfo=UTC)


def scheduled(house: House) -> dict[str, Row]:
    return {row["jobname"]: row for row in house.owner.read("cron.job")}


@pytest.fixture
def execute(house):
    """What pg_cron does when the minute comes: the scheduled text, as its user."""

    def at(job: str, moment: datetime) -> None:
        row = scheduled(house)[job]
        with psycopg.connect(house.address(row["username"]), autocommit=True) as worker:
            worker.execute("select set_config('chas.now', %s, false)", [moment.isoformat()])
            worker.execute(row["command"].encode())

    return at


@pytest.fixture
def found(stranger):
    """Founds a community on Monday noon; its id."""

    def found_one(name: str) -> str:
        return str(stranger.create_community(name=name)["community"]["id"])

    return found_one


def runs(house: House, community: str, job: str) -> list[Row]:
    rows = house.owner.read("private.job_runs", community_id=community, job=job)
    return sorted(rows, key=lambda row: row["id"])


# ------------------------------------------------------------------------------ scheduled


def test_every_job_is_scheduled_under_its_own_name(house):
    jobs = scheduled(house)
    assert set(jobs) == EVERY_MINUTE | {"tip_to_tip_expiry"}
    for name, job in jobs.items():
        assert f"private.{name}()" in job["command"]
        assert job["active"] is True
        # Hosted, no job may be the superuser's; whose it is decides what it may do.
        assert job["username"] == "postgres"
    for name in EVERY_MINUTE:
        assert jobs[name]["schedule"] == "* * * * *"
    assert jobs["tip_to_tip_expiry"]["schedule"] == "*/15 * * * *"


def test_what_is_scheduled_is_the_one_list(house):
    listed = house.owner.sql("select * from private.jobs()")
    told = {row["name"]: row["schedule"] for row in listed}
    assert {name: job["schedule"] for name, job in scheduled(house).items()} == told
    for job in listed:
        house.owner.sql(f"select 'private.{job['name']}(timestamptz)'::regprocedure")
        if job["serves"]:
            house.owner.sql(f"select 'private.{job['serves']}(uuid, timestamptz)'::regprocedure")


def test_scheduling_again_replaces(house):
    before = scheduled(house)
    house.owner.sql("select private.lay_surroundings()")
    assert scheduled(house) == before


def test_every_scheduled_command_runs_to_its_end(house, found, execute):
    found("One")
    for job in scheduled(house):
        execute(job, DAWN)
    assert str(house.owner.read("community_days")[0]["day"]) == "2026-03-03"


# ------------------------------------------------------------------------------ recorded


def test_each_run_is_recorded_community_by_community(house, found, execute):
    community = found("Recorded")
    execute("daily_sunset", DAWN - timedelta(minutes=1))
    for _ in range(2):
        execute("daily_reset", DAWN)

    for job, day in (("daily_sunset", "2026-03-02"), ("daily_reset", "2026-03-03")):
        (run,) = runs(house, community, job)
        assert (str(run["day"]), run["rows"], run["error"]) == (day, 1, None)
        assert run["started_at"] <= run["finished_at"]


def test_a_broken_community_is_told_of_and_tried_again_less_and_less_often(
    house, found, execute, clock, books
):
    broken, whole = found("Broken"), found("Whole")
    house.owner.sql(f"""
        create function private.break() returns trigger language plpgsql as $$
        begin
          raise exception 'broken';
        end;
        $$;
        create trigger broken before insert on private.ledger_entries for each row
        when (new.community_id = '{broken}') execute function private.break()
    """)
    tried = []
    for minute in range(20):
        before = len(runs(house, broken, "daily_reset"))
        execute("daily_reset", DAWN + timedelta(minutes=minute))
        if len(runs(house, broken, "daily_reset")) > before:
            tried.append(minute)
    assert tried == [0, 1, 3, 7, 15]
    assert all("broken" in run["error"] for run in runs(house, broken, "daily_reset"))
    assert len(runs(house, whole, "daily_reset")) == 1

    # Mended, it is served when its time has come, and no trouble is remembered.
    house.owner.sql("drop trigger broken on private.ledger_entries")
    execute("daily_reset", DAWN + timedelta(minutes=31))
    last = runs(house, broken, "daily_reset")[-1]
    assert (last["error"], str(last["day"])) == (None, "2026-03-03")
    assert house.owner.read("private.job_troubles") == []
    clock.at(DAWN + timedelta(minutes=31))
    assert books(broken)["minted"] == 200


def test_members_need_no_job_that_is_in_trouble(house, stranger, found, execute, clock):
    community = found("Left alone")
    house.owner.sql(
        """
        insert into private.job_troubles (community_id, job, retry_at, tries)
        values (%(id)s, 'daily_reset', '2026-03-04', 3)
        """,
        id=community,
    )
    execute("daily_reset", DAWN)
    assert runs(house, community, "daily_reset") == []
    clock.at(DAWN)
    assert stranger.get_balance(community_id=community)["balance"]["day"] == "2026-03-03"


# ------------------------------------------------------------------------------ housekeeping


def test_what_is_kept_for_a_while_goes_after_that(house, execute):
    for days in (29, 31):
        house.owner.sql(
            """
            insert into private.job_runs (job, community_id, started_at, finished_at, rows)
            values ('kept', gen_random_uuid(), %(at)s, %(at)s, 0)
            """,
            at=DAWN - timedelta(days=days),
        )
    # pg_cron writes these itself; here its superuser does.
    pg_cron = Caller(house=house, role="supabase_admin", login="supabase_admin")
    for days in (6, 8):
        pg_cron.sql(
            """
            insert into cron.job_run_details (jobid, runid, command, status, start_time, end_time)
            values (1, %(days)s, 'kept', 'succeeded', %(at)s, %(at)s)
            """,
            days=days,
            at=DAWN - timedelta(days=days),
        )
    execute("housekeeping", DAWN)

    (run,) = house.owner.read("private.job_runs")
    assert run["started_at"] == DAWN - timedelta(days=29)
    (detail,) = pg_cron.read("cron.job_run_details")
    assert detail["runid"] == 6


# ------------------------------------------------------------------------------ the gauge


def test_the_gauge_says_how_late_the_latest_dawn_is(service, found, execute):
    found("Late")
    assert service.at(DAWN).get_health() == {
        "status": "ok",
        "dawn_late_seconds": 0,
        "missing": [],
    }
    late = DAWN + timedelta(minutes=11)
    assert service.at(late).get_health()["dawn_late_seconds"] == 660
    assert service.at(late).get_health()["status"] == "late"

    execute("daily_reset", late)
    assert service.at(late).get_health()["dawn_late_seconds"] == 0


# ------------------------------------------------------------------------------ fired


@pytest.fixture
def cron(tmp_path) -> Iterator[House]:
    """A house beside a pg_cron at work: in the database postgres, where alone it is."""
    try:
        newest_server()
    except Trouble as trouble:
        pytest.skip(str(trouble))
    with own_house(tmp_path / "cron", with_cron=True) as (_, house):
        yield house


@pytest.mark.slow
def test_pg_cron_fires_the_jobs_and_a_day_begins_without_anybody(cron):
    """People of three days ago; pg_cron lives by the real clock, and its minute comes."""
    evening = datetime.now(UTC).replace(hour=23, minute=58) - timedelta(days=3)
    cron.clock.at(evening)
    founder = cron.admit(cron.sign_up("founder@chas.test", "Founder"))
    community = founder.create_community(name="Overdue")["community"]["id"]
    founder.declare_joy(community_id=community, title="Long ago", cc_spent=30)
    # Night has fallen: were the Sunset due as well, its job might hold the day till next minute.
    cron.clock.forward(minutes=1)
    assert founder.get_balance(community_id=community)["balance"]["day_open"] is False

    until = time.monotonic() + 130
    fired: set[str] = set()
    while time.monotonic() < until and not fired >= EVERY_MINUTE:
        time.sleep(0.2)
        details = cron.owner.sql(
            """
            select j.jobname, d.status, d.return_message
            from cron.job_run_details as d join cron.job as j using (jobid)
            """
        )
        assert "failed" not in {row["status"] for row in details}, details
        fired = {row["jobname"] for row in details if row["status"] == "succeeded"}
    assert fired >= EVERY_MINUTE

    (day,) = cron.owner.read("community_days", community_id=community)
    assert day["day"] >= (datetime.now(UTC) - timedelta(minutes=3)).date()
    assert runs(cron, community, "daily_reset")[0]["error"] is None
    cron.clock.at(datetime.now(UTC))
    entries = founder.list_ledger(community_id=community)["entries"][::-1]
    assert [entry["type"] for entry in entries][:4] == [
        "daily_reset",
        "declaration",
        "expired",
        "daily_reset",
    ]
    cron.books(community)


def test_nobody_waits_for_a_whole_batch_where_much_is_to_be_done(house, found):
    """Who has been served holds their day until the batch is committed."""
    homes = sorted(found(name) for name in ("One", "Two", "Three"))
    light = datetime(2026, 3, 2, 22, 59, 30, tzinfo=UTC)

    def serve() -> int:
        (row,) = house.owner.at(light).sql("select private.last_light(%(now)s) as n", now=light)
        return int(row["n"])

    held = "select from private.community_days where community_id = %(id)s for update"
    with ThreadPoolExecutor(1) as thread:
        with house.owner.transaction() as slow:
            slow.sql(held, id=homes[0])
            first = thread.submit(serve)
            time.sleep(1)
        assert [first.result(), serve(), serve()] == [1, 2, 0]
