"""The jobs as pg_cron has them: scheduled, fired, recorded, pruned (RULES 6).

pg_cron works in one database of a server only, so these tests have a server of their own.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cluster import Cluster, Trouble, lay_platform, newest_server, push, run_sql
from houses import ROOMS
from people import Caller, House, Row

JOBS = {
    "daily_reset",
    "daily_sunset",
    "weekly_jashn",
    "tip_to_tip_expiry",
    "election_close",
    "housekeeping",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, request) -> Iterator[Cluster]:
    """A server in whose database postgres the house stands, as hosted: from the migrations."""
    try:
        newest_server()
    except Trouble as trouble:
        pytest.skip(str(trouble))
    place = Path(tmp_path_factory.mktemp("cron"))
    cluster = Cluster(place, durable=False)
    cluster.start()
    try:
        lay_platform(cluster)
        if request.config.getoption("house") == "schemas":
            for room in ROOMS:
                run_sql(cluster.url(), "--single-transaction", "-f", room)
        else:
            push(cluster.url())
        run_sql(
            cluster.url(role="supabase_admin"),
            "-c",
            "alter database postgres set chas.time_travel = 'on'",
        )
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def cron(cluster) -> Iterator[House]:
    """The house beside pg_cron, which lives by the real clock; people may live in the past."""
    query = (
        "select proname from pg_proc where provolatile <> 'v' and pronamespace = %s::regnamespace"
    )
    with psycopg.connect(cluster.url()) as connection:
        doors = connection.execute(query, ["public"])
        read_only = frozenset(str(name) for (name,) in doors)
    house = House(lambda login: cluster.url("postgres", login), read_only)
    yield house
    house.close()


@pytest.fixture(scope="module")
def founder(cron):
    cron.clock.at(datetime.now(UTC) - timedelta(days=3))
    return cron.admit(cron.sign_up("founder@chas.test", "Founder"))


@pytest.fixture(scope="module", autouse=True)
def overdue(founder):
    """Founded three days ago, and nobody has come since: before any test, for pg_cron to find."""
    community = founder.create_community(name="Overdue")["community"]["id"]
    founder.declare_joy(community_id=community, title="Long ago", cc_spent=30)
    return str(community)


def scheduled(house: House) -> dict[str, Row]:
    return {row["jobname"]: row for row in house.owner.read("cron.job")}


def execute(cluster: Cluster, job: str, house: House, at: datetime | None = None) -> None:
    """What pg_cron does when the minute comes: that text, as that user, in that database."""
    row = scheduled(house)[job]
    url = cluster.url(str(row["database"]), str(row["username"]))
    with psycopg.connect(url, autocommit=True) as worker:
        worker.execute("select set_config('chas.now', %s, false)", [at.isoformat() if at else ""])
        worker.execute(str(row["command"]).encode())


def runs(house: House, community: str, job: str) -> list[Row]:
    rows = house.owner.read("private.job_runs", community_id=community, job=job)
    return sorted(rows, key=lambda row: row["id"])


# ------------------------------------------------------------------------------ scheduled


def test_every_job_is_scheduled_under_its_own_name(cron):
    jobs = scheduled(cron)
    assert set(jobs) == JOBS
    for name, job in jobs.items():
        assert f"private.{name}()" in str(job["command"])
        assert job["active"] is True
        # Hosted, no job may be the superuser's; whose it is decides what it may do.
        assert job["username"] == "postgres"
        assert job["database"] == "postgres"
    # The clock of a community may strike at any minute of the hour, somewhere.
    for name in ("daily_reset", "daily_sunset", "weekly_jashn", "election_close"):
        assert jobs[name]["schedule"] == "* * * * *"
    assert jobs["tip_to_tip_expiry"]["schedule"] == "*/15 * * * *"


def test_scheduling_again_replaces(cron):
    before = scheduled(cron)
    cron.owner.sql("select private.schedule_jobs()")
    assert scheduled(cron) == before


@pytest.mark.parametrize("job", sorted(JOBS))
def test_every_scheduled_command_runs_as_its_user(cluster, cron, job):
    execute(cluster, job, cron)


# ------------------------------------------------------------------------------ recorded


def test_each_run_is_recorded_community_by_community(cluster, cron, founder):
    cron.clock.at("2026-03-02 12:00+00:00")
    community = founder.create_community(name="Recorded")["community"]["id"]
    execute(cluster, "daily_sunset", cron, datetime(2026, 3, 2, 23, 59, tzinfo=UTC))
    execute(cluster, "daily_reset", cron, datetime(2026, 3, 3, tzinfo=UTC))
    execute(cluster, "daily_reset", cron, datetime(2026, 3, 3, tzinfo=UTC))

    for job, day in (("daily_sunset", "2026-03-02"), ("daily_reset", "2026-03-03")):
        (run,) = runs(cron, community, job)
        assert (str(run["day"]), run["rows"], run["error"]) == (day, 1, None)
        assert run["started_at"] <= run["finished_at"]


def test_a_broken_community_is_told_retried_less_and_less_often_and_stops_nobody(
    cluster, cron, founder
):
    cron.clock.at("2026-03-02 12:00+00:00")
    broken = founder.create_community(name="Broken")["community"]["id"]
    whole = founder.create_community(name="Whole")["community"]["id"]
    cron.owner.sql(f"""
        create function private.break() returns trigger language plpgsql as $$
        begin
          raise exception 'broken';
        end;
        $$;
        create trigger broken before insert on public.ledger_entries for each row
        when (new.community_id = '{broken}') execute function private.break()
    """)
    dawn = datetime(2026, 3, 3, tzinfo=UTC)
    tried = []
    for minute in range(20):
        before = len(runs(cron, broken, "daily_reset"))
        execute(cluster, "daily_reset", cron, dawn + timedelta(minutes=minute))
        if len(runs(cron, broken, "daily_reset")) > before:
            tried.append(minute)
    assert tried == [0, 1, 3, 7, 15]
    assert all("broken" in str(run["error"]) for run in runs(cron, broken, "daily_reset"))
    assert len(runs(cron, whole, "daily_reset")) == 1

    # Mended, it is served when its time has come, and no trouble is remembered.
    cron.owner.sql("drop trigger broken on public.ledger_entries")
    execute(cluster, "daily_reset", cron, dawn + timedelta(minutes=31))
    last = runs(cron, broken, "daily_reset")[-1]
    assert (last["error"], str(last["day"])) == (None, "2026-03-03")
    assert cron.owner.read("private.job_troubles", community_id=broken) == []
    cron.clock.at(dawn + timedelta(minutes=31))
    assert cron.books(broken)["minted"] == 200


def test_a_member_settles_what_a_job_could_not(cluster, cron, founder):
    """A job in trouble with a community keeps away from it; its members need no job."""
    cron.clock.at("2026-03-02 12:00+00:00")
    community = founder.create_community(name="Left alone")["community"]["id"]
    cron.owner.sql(
        "insert into private.job_troubles values ('daily_reset', %(id)s, '2026-03-04', 3)",
        id=community,
    )
    cron.clock.at("2026-03-03 00:05+00:00")
    execute(cluster, "daily_reset", cron, cron.clock.now)
    assert runs(cron, community, "daily_reset") == []
    assert founder.get_balance(community_id=community)["balance"]["day"] == "2026-03-03"


# ------------------------------------------------------------------------------ housekeeping


def test_what_is_kept_for_a_while_goes_after_that(cluster, cron, founder):
    now = datetime.now(UTC)
    old_run, new_run = now - timedelta(days=31), now - timedelta(days=29)
    for started in (old_run, new_run):
        cron.owner.sql(
            """
            insert into private.job_runs (job, community_id, started_at, finished_at, rows)
            values ('kept', gen_random_uuid(), %(at)s, %(at)s, 0)
            """,
            at=started,
        )
    admin = Caller(house=cron, role="supabase_admin", login="supabase_admin")
    for runid, days in ((-1, 8), (-2, 6)):
        admin.sql(
            """
            insert into cron.job_run_details (jobid, runid, command, status, start_time, end_time)
            values (1, %(runid)s, 'kept', 'succeeded', %(at)s, %(at)s)
            """,
            runid=runid,
            at=now - timedelta(days=days),
        )
    execute(cluster, "housekeeping", cron)

    kept = cron.owner.sql("select started_at from private.job_runs where job = 'kept'")
    assert [row["started_at"] for row in kept] == [new_run]
    details = admin.sql("select runid from cron.job_run_details where command = 'kept'")
    assert [row["runid"] for row in details] == [-2]


# ------------------------------------------------------------------------------ the gauge


def test_the_gauge_says_how_late_the_latest_dawn_is(cron, founder):
    """On communities of years ago, so that what pg_cron does meanwhile is no part of it."""
    service = cron.service
    cron.clock.at("2020-03-02 12:00+00:00")
    first = founder.create_community(name="Late", timezone="Pacific/Kiritimati")
    dawn = datetime.fromisoformat(first["balance"]["next_dawn_at"])
    assert service.at(dawn).get_health() == {"status": "ok", "dawn_late_seconds": 0}
    late = dawn + timedelta(minutes=11)
    assert service.at(late).get_health()["dawn_late_seconds"] == 660

    cron.owner.sql("select private.daily_reset(%(now)s)", now=late)
    assert service.at(late).get_health()["dawn_late_seconds"] == 0


# ------------------------------------------------------------------------------ fired


@pytest.mark.slow
def test_pg_cron_fires_the_jobs_and_a_day_begins_without_anybody(cron, founder, overdue):
    """Last in this file: by now the minute has mostly passed; at worst it takes a full one more."""
    until = time.monotonic() + 130
    fired: set[str] = set()
    while time.monotonic() < until and not fired >= {"daily_reset", "daily_sunset"}:
        details = cron.owner.sql(
            """
            select distinct j.jobname, d.status
            from cron.job_run_details as d join cron.job as j using (jobid)
            where d.status <> 'running' and d.runid > 0
            """
        )
        assert {row["status"] for row in details} <= {"starting", "succeeded"}, details
        fired = {row["jobname"] for row in details if row["status"] == "succeeded"}
        time.sleep(0.2)
    assert fired >= {"daily_reset", "daily_sunset"}

    (day,) = cron.owner.read("community_days", community_id=overdue)
    assert day["day"] >= (datetime.now(UTC) - timedelta(minutes=3)).date()
    assert [run["error"] for run in runs(cron, overdue, "daily_reset")][:1] == [None]
    cron.clock.at(datetime.now(UTC))
    entries = founder.list_ledger(community_id=overdue)["entries"][::-1]
    assert [entry["type"] for entry in entries][:4] == [
        "daily_reset",
        "declaration",
        "expired",
        "daily_reset",
    ]
    cron.books(overdue)
