"""The day: Dawn, Sunset, and who turns it when the clock says so (RULES 5.5 and 6)."""

from functools import partial

import pytest
from people import purse, refused, together

DAWN = "2026-03-03 00:00+00:00"


@pytest.fixture
def run(house):
    """One call of a job at a moment, as pg_cron makes it; how many communities it served."""

    def run_job(job, moment):
        (row,) = house.owner.sql(f"select private.{job}(%(now)s) as served", now=moment)
        return row["served"]

    return run_job


def types(member, rain):
    """What happened to a purse, oldest first."""
    return [entry["type"] for entry in member.list_ledger(community_id=rain)["entries"]][::-1]


# ------------------------------------------------------------------------------ the turn


def test_at_sunset_what_is_left_expires_into_the_public_list(rain, asha, bram, clock, books):
    asha.declare_joy(community_id=rain, title="Most of it", cc_spent=90)
    bram.declare_joy(community_id=rain, title="All of it", cc_spent=100)
    clock.at("2026-03-02 23:59+00:00")

    assert purse(asha, rain) == 0
    assert bram.get_sunset(community_id=rain) == {
        "date": "2026-03-02",
        "entries": [{"user": asha_as_seen(bram, rain, asha), "unspent_cc": 10}],
        "total_expired": 10,
    }
    assert books(rain)["expired"] == 10


def asha_as_seen(member, rain, asha):
    members = member.list_members(community_id=rain)["members"]
    return next(one["user"] for one in members if one["user"]["id"] == asha.id)


def test_at_dawn_everyone_has_the_budget_again(rain, asha, clock, books):
    asha.declare_joy(community_id=rain, title="Something", cc_spent=30)
    clock.at(DAWN)
    balance = asha.get_balance(community_id=rain)["balance"]

    assert balance["remaining"] == 100
    assert balance["spent_today"] == 0
    assert balance["day"] == "2026-03-03"
    assert balance["day_open"] is True
    assert balance["last_reset"] == "2026-03-03T00:00:00+00:00"
    assert types(asha, rain) == ["daily_reset", "declaration", "expired", "daily_reset"]
    assert books(rain)["minted"] == 200


def test_a_purse_left_over_at_dawn_expires_first(rain, asha, clock):
    clock.at(DAWN)
    assert purse(asha, rain) == 100
    assert types(asha, rain) == ["daily_reset", "expired", "daily_reset"]


def test_spending_settles_an_overdue_day_by_itself(rain, asha, clock, books):
    clock.at(DAWN)
    answer = asha.declare_joy(community_id=rain, title="Early bird", cc_spent=100)

    assert answer["balance"]["remaining"] == 0
    assert answer["balance"]["day"] == "2026-03-03"
    assert books(rain)["spent"] == 100


def test_a_night_passed_in_one_go_leaves_what_an_evening_and_a_morning_do(rain, asha, bram, clock):
    asha.declare_joy(community_id=rain, title="Something", cc_spent=30)
    mist = bram.create_community(name="Mist")["community"]["id"]
    bram.declare_joy(community_id=mist, title="Something", cc_spent=30)
    clock.at("2026-03-02 23:59+00:00")
    assert purse(asha, rain) == 0
    clock.at(DAWN)
    assert purse(asha, rain) == purse(bram, mist) == 100

    def night(member, community):
        entries = member.list_ledger(community_id=community)["entries"]
        told = [(entry["type"], entry["balance_after"], entry["day"]) for entry in entries]
        sunset = member.get_sunset(community_id=community)["entries"]
        edition = member.get_edition(community_id=community, number=1)["edition"]
        lost = next(entry["unspent_cc"] for entry in sunset if entry["user"]["id"] == member.id)
        return told, lost, edition["day"]

    assert night(asha, rain) == night(bram, mist)


def test_days_missed_whole_are_not_replayed(rain, asha, clock, books):
    asha.declare_joy(community_id=rain, title="Something", cc_spent=30)
    clock.at("2026-03-06 12:00+00:00")

    assert purse(asha, rain) == 100
    assert types(asha, rain) == ["daily_reset", "declaration", "expired", "daily_reset"]
    assert asha.get_sunset(community_id=rain)["date"] == "2026-03-02"
    assert books(rain)["minted"] == 200


def test_a_community_woken_late_in_the_evening_has_lived_the_day(rain, asha, clock, books):
    clock.at("2026-03-06 23:59:30+00:00")
    balance = asha.get_balance(community_id=rain)["balance"]

    assert balance["day"] == "2026-03-06"
    assert balance["day_open"] is False
    assert balance["remaining"] == 0
    books(rain)


# ------------------------------------------------------------------------------ closed


def test_what_the_closed_day_refuses_says_when_it_opens(rain, asha, clock):
    clock.at("2026-03-02 23:59:59+00:00")
    with refused("DAY_CLOSED", possible_at="2026-03-03T00:00:00+00:00"):
        asha.declare_joy(community_id=rain, title="Too late", cc_spent=1)
    clock.at(DAWN)
    asha.declare_joy(community_id=rain, title="In time", cc_spent=1)


# ------------------------------------------------------------------------------ jobs


def test_the_jobs_serve_each_community_once(rain, asha, run, clock, books):
    asha.declare_joy(community_id=rain, title="Something", cc_spent=30)
    sunset = "2026-03-02 23:59+00:00"

    assert run("daily_sunset", "2026-03-02 23:58:59+00:00") == 0
    assert run("daily_sunset", sunset) == 1
    assert run("daily_sunset", sunset) == 0
    assert run("daily_reset", sunset) == 0
    assert run("daily_reset", DAWN) == 1
    assert run("daily_reset", DAWN) == 0

    clock.at(DAWN)
    assert purse(asha, rain) == 100
    assert types(asha, rain) == ["daily_reset", "declaration", "expired", "daily_reset"]
    books(rain)


def test_a_job_finds_nothing_to_do_where_a_member_was_first(rain, asha, run, clock):
    clock.at(DAWN)
    purse(asha, rain)
    assert run("daily_sunset", DAWN) == 0
    assert run("daily_reset", DAWN) == 0


def test_jobs_and_members_turning_the_day_at_once_turn_it_once(
    rain, asha, bram, chloe, run, clock, books
):
    clock.at(DAWN)
    together(
        partial(run, "daily_reset", DAWN),
        partial(run, "daily_reset", DAWN),
        partial(run, "daily_sunset", DAWN),
        *[partial(purse, member, rain) for member in (asha, bram, chloe) * 3],
    )
    for member in (asha, bram, chloe):
        assert types(member, rain) == ["daily_reset", "expired", "daily_reset"]
    assert books(rain)["minted"] == 600


def test_each_community_lives_by_its_own_clock(asha, rain, run, clock):
    kolkata = asha.create_community(name="Kolkata", timezone="Asia/Kolkata")["community"]["id"]
    midnight_there = "2026-03-02 18:30+00:00"

    assert run("daily_reset", midnight_there) == 1
    clock.at(midnight_there)
    assert asha.get_balance(community_id=kolkata)["balance"]["day"] == "2026-03-03"
    assert asha.get_balance(community_id=rain)["balance"]["day"] == "2026-03-02"


def test_a_broken_community_stops_no_other(house, asha, rain, run, clock):
    other = asha.create_community(name="Whole")["community"]["id"]
    house.owner.sql(f"""
        create function private.break() returns trigger language plpgsql as $$
        begin
          raise exception 'broken';
        end;
        $$;
        create trigger broken before insert on private.ledger_entries for each row
        when (new.community_id = '{rain}') execute function private.break()
    """)
    run("daily_reset", DAWN)
    house.owner.sql("drop trigger broken on private.ledger_entries")

    days = {str(row["community_id"]): str(row["day"]) for row in house.owner.read("community_days")}
    assert days == {other: "2026-03-03", rain: "2026-03-02"}
    errors = {str(r["community_id"]): r["error"] for r in house.owner.read("private.job_runs")}
    assert errors[other] is None
    assert "broken" in errors[rain]
    assert run("daily_reset", DAWN) == 0
    assert run("daily_reset", "2026-03-03 00:01+00:00") == 1


def test_more_communities_than_one_batch_are_served_batch_by_batch(house, sign_up, admit, run):
    for n in range(3):
        founder = admit(sign_up(f"founder{n}@chas.test"))
        for _ in range(8):
            founder.create_community(name="One of many")
    assert [run("daily_reset", DAWN) for _ in range(3)] == [20, 4, 0]


# ------------------------------------------------------------------------------ odd days

ODD_DAYS = [
    # zone, a noon in UTC, the day lived then, its Sunset and the next Dawn
    ("Europe/Lisbon", "2026-03-28", "2026-03-28", "2026-03-28T23:59", "2026-03-29T00:00"),
    ("Europe/Lisbon", "2026-03-29", "2026-03-29", "2026-03-29T22:59", "2026-03-29T23:00"),
    # The clocks jump over midnight ...
    ("Asia/Beirut", "2026-03-28", "2026-03-28", "2026-03-28T21:59", "2026-03-28T22:00"),
    # ... at midnight go back to 23:00, and the old date goes on for an hour ...
    ("Asia/Beirut", "2026-10-24", "2026-10-24", "2026-10-24T21:59", "2026-10-24T22:00"),
    # ... or go back to midnight, which comes twice: the first one is Dawn.
    # (Of 2024, for Cuba changed its mind about 2026 four days before.)
    ("America/Havana", "2024-11-02", "2024-11-02", "2024-11-03T03:59", "2024-11-03T04:00"),
    ("America/Havana", "2024-11-03", "2024-11-03", "2024-11-04T04:59", "2024-11-04T05:00"),
    ("UTC", "2028-02-28", "2028-02-28", "2028-02-28T23:59", "2028-02-29T00:00"),
    ("UTC", "2028-02-29", "2028-02-29", "2028-02-29T23:59", "2028-03-01T00:00"),
    ("Pacific/Kiritimati", "2026-03-02", "2026-03-03", "2026-03-03T09:59", "2026-03-03T10:00"),
]


@pytest.mark.parametrize(("zone", "noon", "day", "sunset", "dawn"), ODD_DAYS)
def test_a_day_ends_when_the_date_does(asha, clock, zone, noon, day, sunset, dawn):
    clock.at(f"{noon} 12:00+00:00")
    balance = asha.create_community(name="Odd", timezone=zone)["balance"]

    assert balance["day"] == day
    assert balance["next_sunset_at"] == f"{sunset}:00+00:00"
    assert balance["next_dawn_at"] == f"{dawn}:00+00:00"


def test_a_skipped_day_is_not_lived(asha, clock):
    """Samoa went from 29 to 31 December 2011."""
    clock.at("2011-12-29 12:00+00:00")
    samoa = asha.create_community(name="Samoa", timezone="Pacific/Apia")
    assert samoa["balance"]["day"] == "2011-12-29"
    assert samoa["balance"]["next_dawn_at"] == "2011-12-30T10:00:00+00:00"

    clock.at("2011-12-30 10:00+00:00")
    balance = asha.get_balance(community_id=samoa["community"]["id"])["balance"]
    assert balance["day"] == "2011-12-31"
    assert balance["remaining"] == 100
