"""A house that lacks something: health, the jobs and the doctor see it, `mend` puts it back."""

import pytest


@pytest.fixture(autouse=True)
def whole_before_and_after(house):
    """Other tests let communities oversleep."""
    house.owner.sql("select private.daily_reset()")
    house.service.mend()
    yield
    house.service.mend()


@pytest.fixture
def without_a_job(house):
    house.owner.sql("select cron.unschedule('daily_reset')")


def test_a_house_that_lacks_a_job_is_broken_until_it_is_mended(edge, run, told, without_a_job):
    sick = run("health")
    assert sick.returncode == 1
    assert "status: broken" in sick.stdout.splitlines()
    assert "missing: job daily_reset" in sick.stdout.splitlines()
    assert "`mend` puts it back" in sick.stderr
    jobs = run("jobs")
    assert jobs.returncode == 1
    assert "missing: job daily_reset" in jobs.stdout.splitlines()
    ready = edge.ask("GET", "/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "broken")
    doctor = run("doctor")
    assert doctor.returncode == 1
    assert "[ ] jobs: `mend` puts back: job daily_reset" in doctor.stdout.splitlines()

    mended = told("mend")
    assert (mended["mended"], mended["missing"]) == (["job daily_reset"], [])

    assert told("health")["status"] == "ok"
    assert "daily_reset" in {job["name"] for job in told("jobs")["jobs"]}
    assert edge.ask("GET", "/health/ready").status_code == 200
    assert told("mend")["mended"] == []


def test_a_house_that_is_whole_is_checked_off_whole(edge, run):
    url = str(edge.http.base_url).rstrip("/")

    done = run("doctor", "--origin", "https://chas.test", "--edge", url)

    assert [line for line in done.stdout.splitlines() if line.startswith("[ ]")] == []
    assert done.returncode == 0


def test_what_a_stranger_sees_of_a_broken_house_is_no_list(edge, without_a_job):
    shown = edge.ask("GET", "/health/ready").json()

    assert shown.keys() == {"status", "version", "dawn_late_seconds"}


def test_a_steward_seats_a_moderator(told, run, asha, rain, sign_up, house):
    """Also where everyone has left."""
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    bram = house.admit(sign_up("Bram"))
    bram.join_community(invite_code=code)

    member = told("seat", rain, bram.email, "--reason", "Asha is ill")["member"]
    assert member["user"]["id"] == bram.id
    assert "moderator" in member["roles"]
    assert run("seat", rain, bram.email).returncode == 2  # not without a reason

    for person in (asha, bram):
        person.leave_community(community_id=rain)
    assert "moderator" in told("seat", rain, asha.id, "--reason", "Nobody left")["member"]["roles"]
