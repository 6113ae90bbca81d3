"""The leaderboard, streaks and Jashn-e-Chas (RULES 10). The tests begin on a Monday."""

import uuid
from functools import partial

import pytest
from people import Refusal, refused, together

THIS_WEEK, NEXT_WEEK = "2026-03-01", "2026-03-08"
SUNDAY = "2026-03-08 00:05+00:00"  # the hour of the Jashn of this week, then that of the next
SUNDAY_AFTER = "2026-03-15 00:05+00:00"


@pytest.fixture
def declare(rain):
    def declare_one(member, cc_spent, times=1):
        for _ in range(times):
            member.declare_joy(community_id=rain, title="A joy", cc_spent=cc_spent)

    return declare_one


@pytest.fixture
def hold(house):
    """The Dawns, then the job, at a moment; how many communities it served."""

    def run(moment):
        house.clock.at(moment)
        while house.owner.sql("select 1 where private.daily_reset(%(now)s) > 0", now=moment):
            pass
        query = "select private.weekly_jashn(%(now)s) as served"
        (row,) = house.owner.sql(query, now=moment)
        return row["served"]

    return run


@pytest.fixture
def full_week(rain, asha, bram, chloe, clock):
    """Everybody is there before the week that begins on Sunday the 8th."""
    clock.at("2026-03-09 12:00+00:00")


def board(member, rain, **week):
    return member.get_leaderboard(community_id=rain, **week)


def ranks(member, rain, **week):
    entries = board(member, rain, **week)["entries"]
    return [(entry["rank"], entry["user"]["display_name"]) for entry in entries]


def jashn(member, rain, **week):
    return member.get_jashn(community_id=rain, **week)["jashn"]


def honored(held):
    return held["honored_user"] and held["honored_user"]["display_name"]


def eligible(held):
    entries = held["reckoning"]["entries"]
    return {entry["user"]["display_name"]: entry["eligible"] for entry in entries}


def system_events(member, rain):
    messages = member.list_messages(community_id=rain)["messages"]
    return [message["event"] for message in messages if message["event"]]


def honours(member):
    listed = member.list_notifications()["notifications"]
    return [notice for notice in listed if notice["type"] == "jashn_e_chas"]


# ------------------------------------------------------------------------------ the board


def test_the_board_shows_the_figures_of_the_week(rain, asha, bram, declare, clock):
    joy = asha.declare_joy(community_id=rain, title="First", cc_spent=10)["declaration"]
    bram.witness_declaration(declaration_id=joy["id"])
    declare(asha, 5)
    clock.at("2026-03-03 12:00+00:00")
    declare(asha, 5)

    (entry,) = board(bram, rain)["entries"]
    assert entry["user"]["id"] == asha.id
    assert {name: value for name, value in entry.items() if name != "user"} == {
        "rank": 1,
        "total_declarations": 3,
        "total_cc_spent": 20,
        "avg_cc_per_declaration": 6.67,
        "witnessed_received": 1,
        "streak_days": 2,
        "active_days": 2,
    }


def test_it_ranks_by_coins_then_by_joys_and_equal_figures_share_a_rank(
    rain, asha, bram, chloe, join_rain, declare
):
    dora = join_rain("dora@chas.test", "Dora")
    declare(chloe, 10)
    declare(bram, 10)
    declare(dora, 5, times=2)
    declare(asha, 3)
    assert ranks(asha, rain) == [(1, "Dora"), (2, "Bram"), (2, "Chloe"), (4, "Asha")]


def test_any_day_names_its_week_and_the_default_is_this_one(rain, asha, declare, clock):
    declare(asha, 10)
    clock.at("2026-03-07 12:00+00:00")
    declare(asha, 1)
    clock.at("2026-03-08 12:00+00:00")
    declare(asha, 2)

    for day in range(1, 8):
        past = board(asha, rain, week_start=f"2026-03-0{day}")
        assert (past["week_start"], past["week_end"]) == (THIS_WEEK, "2026-03-07")
        assert past["entries"][0]["total_cc_spent"] == 11
    now = board(asha, rain)
    assert (now["week_start"], now["week_end"]) == (NEXT_WEEK, "2026-03-14")
    assert now["entries"][0]["total_cc_spent"] == 2


def test_the_week_is_the_communitys_own(asha):
    """In Auckland it is Sunday the 8th thirteen hours before it is in London."""
    moment = "2026-03-07 12:00+00:00"
    auckland = asha.at(moment).create_community(name="Far", timezone="Pacific/Auckland")
    london = asha.at(moment).create_community(name="Near", timezone="Europe/London")
    weeks = [
        board(asha.at(moment), answer["community"]["id"])["week_start"]
        for answer in (auckland, london)
    ]
    assert weeks == [NEXT_WEEK, THIS_WEEK]


def test_the_board_knows_the_day_though_no_dawn_was_settled(rain, asha, clock):
    clock.at("2026-03-08 00:00+00:00")
    assert board(asha.getting(), rain)["week_start"] == NEXT_WEEK


def test_who_left_is_not_on_the_board(rain, asha, bram, declare):
    declare(asha, 1)
    declare(bram, 5)
    bram.leave_community(community_id=rain)
    assert ranks(asha, rain) == [(1, "Asha")]


def test_an_empty_week_has_an_empty_board(rain, asha):
    empty = board(asha, rain)
    assert (empty["entries"], empty["most_restrained"]) == ([], None)


@pytest.mark.parametrize("day", ["infinity", "-infinity", "4000-01-01 BC", "99999-01-01"])
def test_a_week_is_a_week_of_our_calendar(rain, asha, day):
    with refused("INVALID_INPUT", field="week_start"):
        board(asha, rain, week_start=day)
    with refused("INVALID_INPUT", field="week_start"):
        jashn(asha, rain, week_start=day)


def test_the_most_restrained_is_whom_the_jashn_would_honour(rain, asha, bram, declare, full_week):
    declare(asha, 3)
    declare(bram, 2)
    assert board(asha, rain)["most_restrained"]["id"] == bram.id


# ------------------------------------------------------------------------------ streaks


@pytest.fixture
def live(house, rain, clock):
    """Lives day after day; a member declares joys on days that are so many days ago at the end."""

    def through(member, ages):
        for age in range(max(ages, default=0), -1, -1):
            house.owner.sql("select private.settle_day(%(c)s, %(at)s)", c=rain, at=clock.now)
            for _ in range(ages.count(age)):
                member.declare_joy(community_id=rain, title="A joy", cc_spent=1)
            if age > 0:
                clock.forward(days=1)

    return through


def streaks(member, rain):
    profile = member.get_member_profile(community_id=rain, user_id=member.id)
    return profile["current_streak"], profile["longest_streak"]


@pytest.mark.parametrize(
    ("ages", "current", "longest"),
    [
        ([], 0, 0),
        ([0], 1, 1),
        ([1], 1, 1),
        ([2], 0, 1),
        ([2, 3, 4], 0, 3),
        ([0, 1, 3, 4, 5], 2, 3),
        ([1, 2, 4], 2, 2),
        ([0, 0, 0, 1], 2, 2),
        ([0, 2, 3, 4], 1, 3),
        ([0, 2, 4, 5, 6, 7], 1, 4),
        ([0, 1, 5, 6, 7, 8, 9], 2, 5),
        ([*range(1, 34)], 33, 33),
        ([*range(12), *range(13, 40)], 12, 27),
    ],
    ids=str,
)
def test_a_streak_is_of_days_without_a_gap_up_to_today_or_yesterday(
    rain, asha, live, ages, current, longest
):
    live(asha, ages)
    assert streaks(asha, rain) == (current, longest)


def test_a_streak_ends_when_a_day_has_passed_without_a_joy(rain, asha, declare, clock):
    declare(asha, 1)
    clock.at("2026-03-03 23:58+00:00")
    asha.get_balance(community_id=rain)
    assert streaks(asha, rain) == (1, 1)
    clock.at("2026-03-04 00:00+00:00")
    assert streaks(asha, rain) == (0, 1)


def test_a_date_that_nobody_lived_breaks_no_streak(rain, asha, declare, clock):
    declare(asha, 1)
    clock.at("2026-03-05 12:00+00:00")
    declare(asha, 1)
    assert streaks(asha, rain) == (2, 2)


# ------------------------------------------------------------------------------ the Jashn


def test_a_community_is_looked_at_when_its_week_has_ended_and_on_no_other_day(house, rain, hold):
    def look():
        (day,) = house.owner.read("community_days", community_id=rain)
        return day["jashn_look_at"].isoformat()

    assert look() == "2026-03-08T00:05:00+00:00"
    for day in range(3, 8):
        assert hold(f"2026-03-0{day} 00:05+00:00") == 0
        assert look() == "2026-03-08T00:05:00+00:00"
    assert hold(SUNDAY) == 1
    assert look() == "2026-03-15T00:05:00+00:00"


def test_a_dawn_settled_late_does_not_lose_the_jashn_it_is_late_for(house, rain, hold):
    """A week without any job, and Dawn after Dawn settled by members before the Jashn's job is."""
    for day in ("2026-03-08 00:01", "2026-03-09 09:00", "2026-03-10 09:00"):
        house.owner.sql("select private.settle_day(%(c)s, %(at)s)", c=rain, at=f"{day}+00:00")
    assert hold("2026-03-10 09:30+00:00") == 1
    assert [str(row["week_start"]) for row in house.owner.read("jashns")] == [THIS_WEEK]


def test_the_job_settles_a_late_dawn_itself(house, rain, asha, clock):
    clock.at(SUNDAY)
    house.owner.sql("select private.weekly_jashn(%(now)s)", now=SUNDAY)
    assert jashn(asha, rain)["week_start"] == THIS_WEEK


def test_the_jashn_honours_who_spent_least(rain, asha, bram, chloe, declare, full_week, hold):
    declare(asha, 30)
    declare(bram, 5, times=2)
    assert hold(SUNDAY_AFTER) == 1

    held = jashn(chloe, rain)
    assert held["community_id"] == rain
    assert (held["week_start"], held["week_end"]) == (NEXT_WEEK, "2026-03-14")
    assert held["honored_user"]["id"] == bram.id
    assert (held["total_declarations"], held["total_cc_spent"]) == (2, 10)
    assert held["reckoning"]["decided_by"] == "total_cc_spent"
    assert [entry["user"]["id"] for entry in held["reckoning"]["entries"]] == [
        bram.id,
        asha.id,
        chloe.id,
    ]
    first = held["reckoning"]["entries"][0]
    assert {name: value for name, value in first.items() if name != "user"} == {
        "eligible": True,
        "total_cc_spent": 10,
        "total_declarations": 2,
        "witnessed_received": 0,
        "joined_at": "2026-03-02T12:00:00+00:00",
    }
    assert eligible(held) == {"Bram": True, "Asha": True, "Chloe": False}
    assert held["celebrations"] == []


def test_the_honoree_is_told_and_the_chamber_too(rain, asha, bram, declare, full_week, hold):
    declare(bram, 5)
    hold(SUNDAY_AFTER)

    (notice,) = honours(bram)
    assert (notice["ref_kind"], notice["ref_id"]) == ("jashn", jashn(bram, rain)["id"])
    assert honours(asha) == []
    line = asha.list_messages(community_id=rain)["messages"][-1]
    assert (line["event"], line["user"]) == ("jashn_held", None)
    assert line["facts"] == {
        "jashn_id": jashn(bram, rain)["id"],
        "user_id": bram.id,
        "week_start": NEXT_WEEK,
        "total_declarations": 1,
        "total_cc_spent": 5,
    }
    assert "“Bram”" in line["content"]
    assert line["created_at"] == "2026-03-15T00:05:00+00:00"


def test_only_members_of_the_whole_week_are_eligible(
    rain, asha, bram, declare, clock, hold, join_rain
):
    clock.at("2026-03-08 23:30+00:00")
    dora = join_rain("dora@chas.test", "Dora")
    clock.at("2026-03-09 00:00+00:00")
    emil = join_rain("emil@chas.test", "Emil")
    for member in (bram, dora, emil):
        declare(member, 5)
    bram.leave_community(community_id=rain)
    clock.at("2026-03-10 12:00+00:00")
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    bram.join_community(invite_code=code)
    hold(SUNDAY_AFTER)

    held = jashn(asha, rain)
    assert eligible(held) == {"Dora": True, "Asha": False, "Bram": False, "Emil": False}
    assert (honored(held), held["reckoning"]["decided_by"]) == ("Dora", "only_one")


def test_a_change_of_zone_moves_no_joining_into_another_week(asha, hold, clock):
    """Founded on a Sunday in UTC, which is a Monday already in Tokyo."""
    clock.at("2026-03-08 20:00+00:00")
    rain = asha.create_community(name="Rain")["community"]["id"]
    asha.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    clock.at("2026-03-10 12:00+00:00")
    asha.update_community(community_id=rain, patch={"timezone": "Asia/Tokyo"})
    hold("2026-03-14 15:05+00:00")

    assert eligible(jashn(asha, rain, week_start=NEXT_WEEK)) == {"Asha": True}


def test_nor_into_an_earlier_one(asha, hold, clock):
    """Founded on a Monday in Auckland, when it is still Sunday in UTC."""
    clock.at("2026-03-08 19:00+00:00")
    rain = asha.create_community(name="Rain", timezone="Pacific/Auckland")["community"]["id"]
    asha.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    clock.at("2026-03-10 12:00+00:00")
    asha.update_community(community_id=rain, patch={"timezone": "UTC"})
    hold(SUNDAY_AFTER)

    held = jashn(asha, rain, week_start=NEXT_WEEK)
    assert (honored(held), eligible(held)) == (None, {"Asha": False})


def test_who_came_after_a_sunday_that_was_passed_over_was_not_there_all_week(
    rain, asha, bram, hold, clock, join_rain
):
    """The zone moves a day ahead in the night to Sunday, which nobody lives."""
    clock.at("2026-03-06 12:00+00:00")
    zones = ("Pacific/Honolulu", "Pacific/Kiritimati")
    for zone, then in zip(zones, ("2026-03-07 12:00+00:00", "2026-03-08 10:00+00:00"), strict=True):
        asha.update_community(community_id=rain, patch={"timezone": zone})
        clock.at(then)
        asha.get_balance(community_id=rain)
    day = asha.get_balance(community_id=rain)["balance"]["day"]
    assert day == "2026-03-09"
    dora = join_rain("dora@chas.test", "Dora")
    for member in (asha, dora):
        member.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    hold(SUNDAY_AFTER)

    held = jashn(asha, rain, week_start=NEXT_WEEK)
    assert eligible(held) == {"Asha": True, "Bram": False, "Dora": False}


def test_who_cannot_act_is_not_honoured(service, rain, asha, bram, chloe, declare, full_week, hold):
    declare(asha, 9)
    declare(bram, 1)
    declare(chloe, 2)
    service.suspend_person(user_id=bram.id, reason="Because")
    service.erase_user(user_id=chloe.id)
    hold(SUNDAY_AFTER)

    held = jashn(asha, rain)
    assert honored(held) == "Asha"
    assert eligible(held) == {"Asha": True, "Bram": False}
    assert board(asha, rain, week_start=NEXT_WEEK)["most_restrained"]["id"] == asha.id


def test_who_left_is_not_in_the_reckoning(rain, asha, bram, declare, full_week, hold):
    declare(asha, 9)
    declare(bram, 1)
    bram.leave_community(community_id=rain)
    hold(SUNDAY_AFTER)
    assert eligible(jashn(asha, rain)) == {"Asha": True, "Chloe": False}


def test_a_tie_goes_to_more_joys(rain, asha, bram, declare, full_week, hold):
    declare(asha, 6)
    declare(bram, 3, times=2)
    hold(SUNDAY_AFTER)
    held = jashn(asha, rain)
    assert (honored(held), held["reckoning"]["decided_by"]) == ("Bram", "total_declarations")


def test_then_to_more_witnesses(rain, asha, bram, chloe, declare, full_week, hold):
    declare(asha, 6)
    joy = bram.declare_joy(community_id=rain, title="Seen", cc_spent=6)["declaration"]
    chloe.witness_declaration(declaration_id=joy["id"])
    hold(SUNDAY_AFTER)
    held = jashn(asha, rain)
    assert (honored(held), held["reckoning"]["decided_by"]) == ("Bram", "witnessed_received")


def test_then_to_who_joined_earlier(rain, asha, declare, clock, hold, join_rain):
    clock.at("2026-03-03 12:00+00:00")
    dora = join_rain("dora@chas.test", "Dora")
    clock.at("2026-03-04 12:00+00:00")
    cleo = join_rain("cleo@chas.test", "Cleo")
    clock.at("2026-03-09 12:00+00:00")
    declare(cleo, 6)
    declare(dora, 6)
    hold(SUNDAY_AFTER)
    held = jashn(asha, rain)
    assert (honored(held), held["reckoning"]["decided_by"]) == ("Dora", "joined_at")


def test_nobody_eligible_is_recorded_and_told_to_nobody(rain, asha, bram, full_week, hold):
    told = system_events(asha, rain)
    assert hold(SUNDAY_AFTER) == 1
    held = jashn(asha, rain)
    assert held["week_start"] == NEXT_WEEK
    assert (held["honored_user"], held["reckoning"]["decided_by"]) == (None, None)
    assert (held["total_declarations"], held["total_cc_spent"]) == (0, 0)
    assert eligible(held) == {"Asha": False, "Bram": False, "Chloe": False}
    assert system_events(asha, rain) == told


def test_the_board_of_a_held_week_keeps_its_honoree(rain, asha, bram, declare, full_week, hold):
    declare(asha, 9)
    declare(bram, 1)
    hold(SUNDAY_AFTER)
    bram.leave_community(community_id=rain)
    assert board(asha, rain, week_start=NEXT_WEEK)["most_restrained"]["id"] == bram.id


# ------------------------------------------------------------------------------ when it is held


def test_it_is_held_on_sunday_at_five_past_midnight_and_once(rain, asha, declare, hold):
    declare(asha, 5)
    assert hold("2026-03-04 12:00+00:00") == 0
    assert hold("2026-03-08 00:04:59+00:00") == 0
    assert jashn(asha, rain) is None
    assert hold(SUNDAY) == 1
    assert hold(SUNDAY) == 0
    assert hold("2026-03-08 12:00+00:00") == 0
    assert hold("2026-03-11 12:00+00:00") == 0
    assert jashn(asha, rain)["week_start"] == THIS_WEEK


def test_two_jobs_at_once_hold_it_once(rain, asha, bram, declare, full_week, hold):
    declare(bram, 5)
    together(*[partial(hold, SUNDAY_AFTER)] * 4)
    assert system_events(asha, rain).count("jashn_held") == 1
    assert len(asha.read("jashns")) == 1
    assert [notice["count"] for notice in honours(bram)] == [1]


def test_a_late_run_holds_the_last_ended_week_and_no_older_one(rain, asha, declare, clock, hold):
    declare(asha, 5)
    clock.at("2026-03-09 12:00+00:00")
    declare(asha, 7)
    assert hold("2026-03-18 12:00+00:00") == 1
    assert hold("2026-03-18 12:00+00:00") == 0

    assert [str(row["week_start"]) for row in asha.read("jashns")] == [NEXT_WEEK]
    assert jashn(asha, rain)["total_cc_spent"] == 7
    assert jashn(asha, rain, week_start=THIS_WEEK) is None


def test_no_week_is_held_that_ended_before_the_community_was(asha, clock, hold):
    clock.at("2026-03-08 00:00+00:00")
    community = asha.create_community(name="New")["community"]["id"]
    assert hold(SUNDAY) == 0
    assert jashn(asha, community) is None
    assert hold(SUNDAY_AFTER) == 1


def test_a_week_a_community_was_founded_in_is_held(rain, asha, hold):
    hold(SUNDAY)
    assert jashn(asha, rain)["week_start"] == THIS_WEEK


def test_each_community_has_its_own_sunday(asha, hold):
    zones = ("Pacific/Auckland", "Asia/Kolkata", "America/Los_Angeles")
    far, mid, near = (
        asha.create_community(name="Far", timezone=zone)["community"]["id"] for zone in zones
    )
    hold("2026-03-04 12:00+00:00")
    assert hold("2026-03-07 11:04:59+00:00") == 0
    assert hold("2026-03-07 11:05+00:00") == 1
    assert hold("2026-03-07 18:35+00:00") == 1
    assert hold("2026-03-08 08:04:59+00:00") == 0
    assert hold("2026-03-08 08:05+00:00") == 1
    for community in (far, mid, near):
        assert jashn(asha, community)["week_start"] == THIS_WEEK


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "unsettled"])
@pytest.mark.parametrize(
    ("zone", "hour"),
    [
        ("Pacific/Auckland", "2026-03-07 11:05+00:00"),
        ("America/Los_Angeles", "2026-03-08 08:05+00:00"),
    ],
)
def test_after_a_change_of_zone_it_is_the_new_zones_sunday(
    rain, asha, hold, clock, zone, hour, settled
):
    hold("2026-03-05 12:00+00:00")
    asha.update_community(community_id=rain, patch={"timezone": zone})
    clock.at("2026-03-06 00:00+00:00")
    if settled:
        asha.get_balance(community_id=rain)
    hold("2026-03-06 00:05+00:00")

    clock.at(hour)
    clock.forward(seconds=-1)
    assert hold(clock.now) == 0
    assert hold(hour) == 1
    assert jashn(asha, rain)["week_start"] == THIS_WEEK


def test_reading_never_holds_one(rain, asha, declare, clock):
    declare(asha, 5)
    clock.at(SUNDAY)
    assert jashn(asha, rain) is None
    assert jashn(asha, rain, week_start=THIS_WEEK) is None
    assert asha.read("jashns") == []


def test_the_job_serves_twenty_communities_a_call(sign_up, admit, hold):
    for n in range(3):
        founder = admit(sign_up(f"founder{n}@chas.test"))
        for _ in range(7):
            founder.create_community(name="One of many")
    assert [hold(SUNDAY) for _ in range(3)] == [20, 1, 0]


@pytest.mark.parametrize(
    "breaking",
    [
        "update private.communities set timezone = 'Nowhere/Land' where id = '{rain}'",
        """
        create function public.break() returns trigger language plpgsql as $$
        begin raise exception 'broken'; end $$;
        create trigger broken before insert on private.jashns for each row
        when (new.community_id = '{rain}') execute function public.break();
        """,
    ],
    ids=["no such zone", "no Jashn can be written"],
)
def test_one_broken_community_does_not_stop_the_others(house, rain, asha, hold, breaking):
    sun = asha.create_community(name="Sun")["community"]["id"]
    house.owner.sql(breaking.format(rain=rain))
    hold(SUNDAY)
    assert [str(row["community_id"]) for row in asha.read("jashns")] == [sun]
    assert hold(SUNDAY) == 0


# ------------------------------------------------------------------------------ celebrating


@pytest.fixture
def honoured_bram(rain, asha, bram, chloe, declare, full_week, hold):
    """The id of the Jashn that honours Bram."""
    declare(bram, 5)
    hold(SUNDAY_AFTER)
    return jashn(asha, rain)["id"]


def test_members_celebrate_with_one_message_each(rain, asha, bram, chloe, honoured_bram):
    answer = asha.celebrate_jashn(jashn_id=honoured_bram, message="So calm")["celebration"]
    assert answer["user"]["id"] == asha.id
    assert answer["message"] == "So calm"
    assert answer["created_at"] == "2026-03-15T00:05:00+00:00"
    chloe.celebrate_jashn(jashn_id=honoured_bram, message="Bravo")

    celebrations = jashn(bram, rain)["celebrations"]
    assert {one["user"]["display_name"]: one["message"] for one in celebrations} == {
        "Asha": "So calm",
        "Chloe": "Bravo",
    }
    assert honours(bram)[0]["count"] == 3


def test_a_celebration_is_edited_until_the_next_jashn(rain, asha, bram, honoured_bram, clock, hold):
    asha.celebrate_jashn(jashn_id=honoured_bram, message="So calm")
    told = honours(bram)[0]["count"]
    clock.at("2026-03-21 23:59+00:00")
    asha.celebrate_jashn(jashn_id=honoured_bram, message="So very calm")
    assert [one["message"] for one in jashn(bram, rain)["celebrations"]] == ["So very calm"]
    assert honours(bram)[0]["count"] == told

    hold("2026-03-22 00:05+00:00")
    with refused("FORBIDDEN", closed_at="2026-03-22T00:05:00+00:00"):
        asha.celebrate_jashn(jashn_id=honoured_bram, message="Too late")
    old = jashn(bram, rain, week_start=NEXT_WEEK)
    assert [one["message"] for one in old["celebrations"]] == ["So very calm"]


def test_nobody_celebrates_themselves(bram, honoured_bram):
    with refused("FORBIDDEN", honored_user=bram.id):
        bram.celebrate_jashn(jashn_id=honoured_bram, message="Me")


def test_where_nobody_was_honoured_there_is_nothing_to_celebrate(rain, asha, full_week, hold):
    hold(SUNDAY_AFTER)
    with refused("FORBIDDEN", honored_user=None):
        asha.celebrate_jashn(jashn_id=jashn(asha, rain)["id"], message="To us")


@pytest.mark.parametrize(
    "message", ["", " ", None, "x" * 281], ids=["none", "blank", "null", "long"]
)
def test_a_celebration_has_1_to_280_characters(asha, honoured_bram, message):
    with refused("INVALID_INPUT", field="message"):
        asha.celebrate_jashn(jashn_id=honoured_bram, message=message)


def test_an_erased_person_celebrates_no_more(service, rain, asha, bram, chloe, honoured_bram):
    chloe.celebrate_jashn(jashn_id=honoured_bram, message="Bravo")
    asha.celebrate_jashn(jashn_id=honoured_bram, message="So calm")
    service.erase_user(user_id=chloe.id)
    assert [one["message"] for one in jashn(bram, rain)["celebrations"]] == ["So calm"]
    assert "Bravo" not in str(honours(bram))


def test_celebrating_twice_at_once_is_one_message(rain, asha, honoured_bram):
    answers = together(
        *[
            partial(asha.celebrate_jashn, jashn_id=honoured_bram, message=f"No {n}")
            for n in range(4)
        ]
    )
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(jashn(asha, rain)["celebrations"]) == 1


# ------------------------------------------------------------------------------ strangers


def test_a_stranger_sees_and_celebrates_nothing(rain, asha, stranger, honoured_bram):
    asha.celebrate_jashn(jashn_id=honoured_bram, message="So calm")
    with refused("NOT_FOUND"):
        board(stranger, rain)
    with refused("NOT_FOUND"):
        jashn(stranger, rain)
    with refused("NOT_FOUND") as there:
        stranger.celebrate_jashn(jashn_id=honoured_bram, message="Hello")
    with refused("NOT_FOUND") as nowhere:
        stranger.celebrate_jashn(jashn_id=str(uuid.uuid4()), message="Hello")
    assert there.message == nowhere.message
    for table in ("jashns", "jashn_entries", "jashn_celebrations"):
        assert asha.read(table) != []
        assert stranger.read(table) == []
