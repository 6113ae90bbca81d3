"""Odd days, changed zones, jobs cut short: each day is lived once, whatever happens (RULES 6)."""

import random
import threading
import time
import zoneinfo
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from functools import partial

import psycopg
import pytest
from model import ahead_of_utc, dawn_of
from people import refused, together


@pytest.fixture
def run(house):
    """One call of a job at a moment, as pg_cron makes it; how many communities it served."""

    def run_job(job, moment):
        (row,) = house.owner.sql(f"select private.{job}(%(now)s) as served", now=moment)
        return row["served"]

    return run_job


@pytest.fixture
def found(asha):
    """Founds a community of Asha's in a zone; its id."""

    def found_one(zone, budget=100):
        answer = asha.create_community(name="Somewhere", timezone=zone, daily_cc_budget=budget)
        return answer["community"]["id"]

    return found_one


def balance(member, community):
    return member.get_balance(community_id=community)["balance"]


def move(member, community, zone):
    member.update_community(community_id=community, patch={"timezone": zone})


def days_lived(house, community):
    """The days on which somebody was granted the budget, and how often."""
    rows = house.owner.sql(
        """
        select day, count(*) as grants from private.ledger_entries
        where community_id = %(community)s and type = 'daily_reset' group by day order by day
        """,
        community=community,
    )
    return {row["day"].isoformat(): row["grants"] for row in rows}


# ------------------------------------------------------------------------------ the first instant


def test_the_first_instant_of_a_day_is_what_the_zone_files_say(house):
    """Random zones and days, most of them near a change of the clocks."""
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    (known,) = house.owner.sql("select array_agg(name) as names from pg_timezone_names")
    zones = sorted(zoneinfo.available_timezones() & set(known["names"]))
    zones = [zone for zone in zones if "/" in zone]
    for _ in range(150):
        zone, year = chance.choice(zones), chance.randrange(1975, 2026)
        day = date(year, 1, 1) + timedelta(days=chance.randrange(365))
        for near in change_of_clocks(zone, year) or [day]:
            for day in (near - timedelta(days=1), near, near + timedelta(days=1)):
                (row,) = house.owner.sql(
                    "select private.dawn_of(%(zone)s, %(day)s) as dawn", zone=zone, day=day
                )
                assert row["dawn"] == dawn_of(zone, day), f"seed {seed}: {zone} {day}"


def change_of_clocks(zone, year):
    """The days of a year on which a zone changes its clocks."""
    noons = [datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
    ahead = [ahead_of_utc(noon, zone) for noon in noons]
    return [
        noon.date()
        for noon, one, other in zip(noons[1:], ahead, ahead[1:], strict=False)
        if one != other
    ]


ODD_DAYS = [
    # zone, a moment, the day lived then, its next Dawn
    # The clocks jump from midnight to 01:00 ...
    ("America/Sao_Paulo", "2018-11-03 12:00", "2018-11-03", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2018-11-04 12:00", "2018-11-04", "2018-11-05T02:00"),
    ("America/Havana", "2026-03-07 12:00", "2026-03-07", "2026-03-08T05:00"),
    ("America/Havana", "2026-03-08 12:00", "2026-03-08", "2026-03-09T04:00"),
    ("Africa/Cairo", "2026-04-23 12:00", "2026-04-23", "2026-04-23T22:00"),
    ("Africa/Cairo", "2026-04-24 12:00", "2026-04-24", "2026-04-24T21:00"),
    # ... fall back from midnight to 23:00: the old day has 25 hours ...
    ("America/Sao_Paulo", "2018-02-17 12:00", "2018-02-17", "2018-02-18T03:00"),
    ("Africa/Cairo", "2026-10-29 12:00", "2026-10-29", "2026-10-29T22:00"),
    # ... or from 00:01 to 23:01: the new day has begun when yesterday's date comes back.
    ("America/St_Johns", "2010-11-06 12:00", "2010-11-06", "2010-11-07T02:30"),
    ("America/St_Johns", "2010-11-07 02:40", "2010-11-07", "2010-11-08T03:30"),
    # New Year, and a leap day.
    ("Asia/Kolkata", "2027-12-31 12:00", "2027-12-31", "2027-12-31T18:30"),
    ("Asia/Kathmandu", "2028-02-28 20:00", "2028-02-29", "2028-02-29T18:15"),
]


@pytest.mark.parametrize(("zone", "moment", "day", "dawn"), ODD_DAYS)
def test_a_day_founded_on_an_odd_date_ends_when_the_date_does(
    found, asha, clock, zone, moment, day, dawn
):
    clock.at(f"{moment}+00:00")
    seen = balance(asha, found(zone))
    assert (seen["day"], seen["next_dawn_at"]) == (day, f"{dawn}:00+00:00")


def test_a_date_that_comes_twice_is_lived_once(house, found, asha, clock, run, books):
    """St John's, 2010: at 00:01 of 7 November it was 23:01 of the 6th again."""
    clock.at("2010-11-06 12:00+00:00")
    community = found("America/St_Johns")
    moment = clock.now
    for minutes in range(0, 30 * 60, 7):
        clock.at(moment + timedelta(minutes=minutes))
        for job in ("daily_sunset", "daily_reset"):
            run(job, clock.now)
        day = balance(asha, community)["day"]
    assert day == "2010-11-07"
    assert days_lived(house, community) == {"2010-11-06": 1, "2010-11-07": 1}
    books(community)


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("Europe/Lisbon", "2026-03-29", 23),
        ("Europe/Lisbon", "2026-10-25", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ],
)
def test_a_day_is_as_long_as_it_is(found, asha, clock, run, zone, first, hours):
    clock.at(dawn_of(zone, date.fromisoformat(first)))
    community = found(zone)
    run("daily_reset", clock.now)
    clock.forward(hours=hours, minutes=-1, seconds=-1)
    assert balance(asha, community)["day_open"] is True
    clock.forward(seconds=1)
    assert balance(asha, community)["day_open"] is False
    clock.forward(minutes=1)
    assert balance(asha, community)["day"] > first


def test_four_hours_are_four_hours_whatever_the_clocks_do(
    house, found, sign_up, admit, asha, clock
):
    clock.at("2026-03-29 00:30+00:00")
    community = found("Europe/Lisbon")
    code = asha.get_community(community_id=community)["community"]["invite_code"]
    admit(sign_up("bo@chas.test", "Bo")).join_community(invite_code=code)
    answer = asha.propose_tip_to_tip(community_id=community, title="Early", stake_amount=1)
    assert answer["proposal"]["deadline"] == "2026-03-29T04:30:00+00:00"


# ------------------------------------------------------------------------------ moving zones


def test_moving_east_begins_the_new_zones_date_at_the_old_zones_dawn(
    house, found, asha, clock, books
):
    community = found("UTC")
    move(asha, community, "Pacific/Kiritimati")
    assert balance(asha, community)["next_dawn_at"] == "2026-03-03T00:00:00+00:00"

    clock.at("2026-03-03 00:00+00:00")
    seen = balance(asha, community)
    assert (seen["day"], seen["remaining"]) == ("2026-03-03", 100)
    assert seen["next_dawn_at"] == "2026-03-03T10:00:00+00:00"
    clock.at("2026-03-03 10:00+00:00")
    assert balance(asha, community)["day"] == "2026-03-04"
    assert days_lived(house, community) == {"2026-03-02": 1, "2026-03-03": 1, "2026-03-04": 1}
    books(community)


def test_moving_west_waits_for_the_new_zones_next_date(house, found, asha, run, clock, books):
    """At Dawn it is still the day before over there, and nobody lives that twice."""
    community = found("UTC")
    move(asha, community, "Pacific/Pago_Pago")
    clock.at("2026-03-03 00:00+00:00")
    run("daily_reset", clock.now)
    with refused("DAY_CLOSED", possible_at="2026-03-03T11:00:00+00:00"):
        asha.declare_joy(community_id=community, title="Too early", cc_spent=1)
    assert balance(asha, community)["remaining"] == 0
    assert run("daily_reset", "2026-03-03 10:59:59+00:00") == 0

    clock.at("2026-03-03 11:00+00:00")
    seen = balance(asha, community)
    assert (seen["day"], seen["remaining"]) == ("2026-03-03", 100)
    assert seen["next_dawn_at"] == "2026-03-04T11:00:00+00:00"
    assert days_lived(house, community) == {"2026-03-02": 1, "2026-03-03": 1}
    books(community)


def test_moving_from_the_far_west_to_the_far_east_passes_over_a_date(
    house, found, asha, clock, books
):
    community = found("Pacific/Pago_Pago")
    move(asha, community, "Pacific/Kiritimati")
    clock.at("2026-03-03 11:00+00:00")
    assert balance(asha, community)["day"] == "2026-03-04"
    assert days_lived(house, community) == {"2026-03-02": 1, "2026-03-04": 1}
    books(community)


def test_moving_zones_after_days_missed_still_opens_one_day(house, found, asha, clock, books):
    community = found("UTC")
    move(asha, community, "Pacific/Pago_Pago")
    clock.at("2026-03-06 05:00+00:00")
    seen = balance(asha, community)
    assert (seen["day"], seen["day_open"]) == ("2026-03-05", True)
    assert days_lived(house, community) == {"2026-03-02": 1, "2026-03-05": 1}
    books(community)


def test_whoever_moves_every_day_never_wakes_to_two_budgets(house, found, asha, run, clock, books):
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    zones = ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/Havana", "Asia/Kolkata"]
    community, days = found("UTC"), []
    for _ in range(120):
        clock.forward(hours=chance.choice([1, 3, 6, 9]))
        if chance.random() < 0.4:
            run(chance.choice(["daily_sunset", "daily_reset"]), clock.now)
        if chance.random() < 0.3:
            move(asha, community, chance.choice(zones))
        days.append(balance(asha, community)["day"])
    assert days == sorted(days), f"seed {seed}"
    assert set(days_lived(house, community).values()) == {1}, f"seed {seed}"
    books(community)


# ------------------------------------------------------------------------------ many communities

DAWN = "2026-03-03 00:00+00:00"


@pytest.fixture
def many(house, sign_up, admit):
    """Forty-eight communities of six founders, each with its founder alone."""
    founders = [admit(sign_up(f"founder{n}@chas.test")) for n in range(6)]
    for founder in founders:
        for _ in range(8):
            founder.create_community(name="One of many")
    return founders


def assert_all_lived(house, communities):
    lived = house.owner.sql(
        """
        select community_id, user_id, array_agg(day::text || ' ' || type order by id) as story
        from private.ledger_entries group by community_id, user_id
        """
    )
    assert len(lived) == communities
    for one in lived:
        assert one["story"] == [
            "2026-03-02 daily_reset",
            "2026-03-02 expired",
            "2026-03-03 daily_reset",
        ]


def serve(house, job, moment):
    """The scheduled command, batch by batch to the end, on a connection of its own."""
    with psycopg.connect(house.address("postgres"), autocommit=True) as worker:
        worker.execute("select set_config('chas.now', %s, false)", [moment])
        worker.execute(f"do $$ begin while private.{job}() > 0 loop commit; end loop; end $$")


def test_two_workers_at_once_serve_each_community_once(house, many, run):
    together(*[partial(serve, house, "daily_reset", DAWN)] * 3)

    assert_all_lived(house, 48)
    runs = house.owner.sql("select community_id from private.job_runs where job = 'daily_reset'")
    assert len(runs) == len({row["community_id"] for row in runs}) == 48
    assert run("daily_reset", DAWN) == 0


def test_workers_killed_in_the_middle_lose_nothing_and_repeat_nothing(house, many, run):
    """Each is killed while it works on its second batch; the next goes on where it was."""
    house.owner.sql(
        """
        create function private.take_time() returns trigger language plpgsql as $$
        begin
          perform pg_sleep(0.01);
          return null;
        end;
        $$;
        create trigger slow after insert on private.ledger_entries
        for each statement execute function private.take_time()
        """
    )
    with ThreadPoolExecutor(1) as thread:
        for _ in range(2):
            worker = thread.submit(serve, house, "daily_reset", DAWN)
            kill_in_the_second_batch(house)
            with pytest.raises(psycopg.OperationalError):
                worker.result(timeout=30)
    served = house.owner.read("community_days", day=date(2026, 3, 3))
    assert 20 <= len(served) < 48

    serve(house, "daily_reset", DAWN)
    assert_all_lived(house, 48)


def kill_in_the_second_batch(house):
    """A batch has committed since, and the worker is at the next one."""
    query = """
      select count(*) as served from private.community_days where day = '2026-03-03'
    """
    before = house.owner.sql(query)[0]["served"]
    while house.owner.sql(query)[0]["served"] == before:
        time.sleep(0.005)
    killed = house.owner.sql(
        """
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query like 'do $$%'
        """
    )
    assert len(killed) == 1


def test_a_member_is_never_kept_waiting_by_a_worker_elsewhere(house, many, clock):
    """What a member holds just now, a job passes over; and the member has settled it already."""
    clock.at(DAWN)
    founder = many[0]
    mine = founder.list_my_communities()["communities"][0]["id"]
    with founder.transaction() as spending:
        spending.declare_joy(community_id=mine, title="Dawn", cc_spent=1)
        served = threading.Thread(target=serve, args=(house, "daily_reset", DAWN))
        served.start()
        served.join(timeout=20)
        assert not served.is_alive()
    assert balance(founder, mine)["remaining"] == 99
    (row,) = house.owner.sql("select count(*) from private.community_days where day = '2026-03-03'")
    assert row["count"] == 48
