"""Being away: nothing granted, nothing collected, on no roll (RULES 16.2), from a Monday on."""

import json
from functools import partial

import pytest
from people import Refusal, purse, refused, together

TUESDAY, WEDNESDAY, THURSDAY = "2026-03-03", "2026-03-04", "2026-03-05"


@pytest.fixture
def away(rain):
    def declare(member, from_day=TUESDAY, to_day=WEDNESDAY):
        return member.declare_absence(community_id=rain, from_day=from_day, to_day=to_day)[
            "member"
        ]["away"]

    return declare


def back(member, rain):
    return member.end_absence(community_id=rain)["member"]["away"]


def balance(member, rain):
    return member.get_balance(community_id=rain)["balance"]


def seen(member, rain, whom):
    members = member.list_members(community_id=rain)["members"]
    (found,) = (one["away"] for one in members if one["user"]["id"] == whom.id)
    return found


# ------------------------------------------------------------------------------ declaring it


def test_members_see_an_absence_from_its_declaration_to_its_end(rain, asha, bram, away, clock):
    assert seen(asha, rain, bram) is None
    assert away(bram) == {"from": TUESDAY, "to": WEDNESDAY}
    for moment, shown in (
        ("2026-03-02 12:00+00:00", True),
        ("2026-03-03 00:00+00:00", True),
        ("2026-03-04 23:59:59+00:00", True),
        ("2026-03-05 00:00+00:00", False),
    ):
        clock.at(moment)
        assert (seen(asha, rain, bram) is not None) is shown
        assert seen(asha, rain, asha) is None


@pytest.mark.parametrize(
    ("from_day", "to_day", "field"),
    [
        ("2026-03-02", "2026-03-03", "from_day"),
        ("2026-05-02", "2026-05-02", "from_day"),
        ("2026-03-03", "2026-03-17", "to_day"),
        ("2026-03-03", "2026-03-02", "to_day"),
        (None, "2026-03-03", "from_day"),
        ("2026-03-03", None, "to_day"),
        ("infinity", "infinity", "from_day"),
        ("-infinity", "2026-03-03", "from_day"),
        ("2026-03-03", "infinity", "to_day"),
    ],
)
def test_an_absence_out_of_bounds_is_refused(rain, asha, bram, away, from_day, to_day, field):
    with refused("INVALID_INPUT", field=field):
        away(bram, from_day, to_day)
    assert seen(asha, rain, bram) is None


def test_the_longest_and_the_latest_are_allowed(rain, asha, bram, away):
    assert away(bram, "2026-05-01", "2026-05-14")


def test_one_at_a_time(rain, asha, bram, away, clock):
    away(bram)
    with refused("CONFLICT", **{"from": TUESDAY, "to": WEDNESDAY}):
        away(bram, "2026-03-10", "2026-03-11")
    clock.at("2026-03-05 08:00+00:00")
    assert away(bram, "2026-03-10", "2026-03-11")


def test_of_two_declared_at_once_one_stands(rain, asha, bram, away):
    answers = together(partial(away, bram), partial(away, bram, "2026-03-10", "2026-03-11"))
    assert sum(isinstance(answer, Refusal) for answer in answers) == 1


def test_what_has_not_begun_is_taken_back(rain, asha, bram, away, clock):
    away(bram)
    assert back(bram, rain) is None
    with refused("CONFLICT"):
        back(bram, rain)
    clock.at("2026-03-03 08:00+00:00")
    assert balance(bram, rain)["remaining"] == 100


def test_what_has_begun_ends_from_tomorrow_on(rain, asha, bram, away, clock):
    away(bram, TUESDAY, "2026-03-09")
    clock.at("2026-03-03 08:00+00:00")
    assert back(bram, rain) == {"from": TUESDAY, "to": TUESDAY}
    assert balance(bram, rain)["remaining"] == 0
    clock.at("2026-03-04 08:00+00:00")
    assert balance(bram, rain)["remaining"] == 100
    with refused("CONFLICT"):
        back(bram, rain)


def test_a_stranger_is_not_away(rain, asha, bram, stranger, unadmitted, away):
    away(bram)
    with refused("NOT_FOUND"):
        away(stranger)
    with refused("NOT_FOUND"):
        back(stranger, rain)
    with refused("INVITE_REQUIRED"):
        away(unadmitted)
    assert stranger.read("absences") == []
    assert len(asha.read("absences")) == 1


# ------------------------------------------------------------------------------ money


def test_away_nothing_is_granted(rain, asha, bram, away, clock, books):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=30)
    away(bram)
    assert bram.preview_dawn(community_id=rain)["grant"] == 0
    for day in ("03", "04"):
        clock.at(f"2026-03-{day} 08:00+00:00")
        mine = balance(bram, rain)
        assert (mine["remaining"], mine["spent_today"]) == (0, 0)
        assert mine["last_reset"] == "2026-03-02T12:00:00+00:00"
        assert balance(asha, rain)["remaining"] == 100
    assert books(rain)["balanced"]
    assert bram.preview_dawn(community_id=rain)["grant"] == 100
    clock.at("2026-03-05 08:00+00:00")
    assert balance(bram, rain)["remaining"] == 100
    entries = bram.list_ledger(community_id=rain, entry_type="daily_reset")["entries"]
    assert [entry["day"] for entry in entries] == [THURSDAY, "2026-03-02"]


def test_a_promise_knows_of_the_absence(rain, asha, bram, away, clock):
    """INSUFFICIENT_CC says when it would do, and that is not the next Dawn."""
    away(bram)
    clock.at("2026-03-03 08:00+00:00")
    with refused("INSUFFICIENT_CC", possible_at=None):
        bram.declare_joy(community_id=rain, title="A joy", cc_spent=30)
    clock.at("2026-03-04 08:00+00:00")
    with refused("INSUFFICIENT_CC", possible_at="2026-03-05T00:00:00+00:00"):
        bram.declare_joy(community_id=rain, title="A joy", cc_spent=30)


@pytest.mark.parametrize("who", ["borrower", "lender"])
def test_debts_wait_on_both_sides(rain, asha, bram, chloe, lend, away, clock, books, who):
    lend(asha, bram, 40)
    lend(asha, chloe, 10)
    away(bram if who == "borrower" else asha)
    preview = bram.preview_dawn(community_id=rain)
    assert preview["repayments"] == []
    clock.at("2026-03-03 08:00+00:00")
    assert balance(bram, rain)["remaining"] == (0 if who == "borrower" else 100)
    assert balance(bram, rain)["debt"] == 40
    assert balance(asha, rain)["remaining"] == (110 if who == "borrower" else 0)
    clock.at("2026-03-04 08:00+00:00")
    assert bram.preview_dawn(community_id=rain)["repayments"][0]["amount"] == 40
    clock.at("2026-03-05 08:00+00:00")
    assert purse(bram, rain) == 60
    assert balance(bram, rain)["debt"] == 0
    assert books(rain)["balanced"]


def test_the_preview_of_the_other_side_waits_too(rain, asha, bram, lend, away, clock):
    lend(asha, bram, 40)
    away(bram)
    assert asha.preview_dawn(community_id=rain)["collections"] == []
    assert asha.preview_dawn(community_id=rain)["wake_with"] == 100


# ------------------------------------------------------------------------------ rolls


def test_away_one_is_on_no_new_roll_but_votes_on_older_ones(
    rain, asha, bram, chloe, propose, away, clock
):
    away(bram)
    clock.at("2026-03-02 22:00+00:00")
    older = propose(asha)
    assert older["electors"] == 3
    clock.at("2026-03-03 00:30+00:00")
    newer = propose(chloe)
    assert newer["electors"] == 2
    assert not bram.get_tip_to_tip(proposal_id=newer["id"])["proposal"]["can_vote"]
    with refused("NOT_ELECTOR"):
        bram.vote_tip_to_tip(proposal_id=newer["id"], vote="accept")
    bram.vote_tip_to_tip(proposal_id=older["id"], vote="accept")
    bram.send_message(community_id=rain, content="I can talk")


def test_away_one_proposes_nothing(rain, asha, bram, chloe, propose, away, clock):
    proposal = propose(bram)
    away(bram)
    clock.at("2026-03-02 15:00+00:00")
    for voter in (asha, chloe):
        voter.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    clock.at("2026-03-03 08:00+00:00")
    with refused("CONFLICT", away=True):
        propose(bram)


def test_away_one_is_neither_voter_nor_candidate(rain, asha, bram, chloe, away, clock):
    for person in (bram, chloe):
        asha.set_council(community_id=rain, user_id=person.id, granted=True)
    away(bram)
    clock.at("2026-03-03 08:00+00:00")
    election = asha.create_election(
        community_id=rain, title="Who", ends_at="2026-03-04 12:00+00:00"
    )["election"]
    names = {candidate["user"]["display_name"] for candidate in election["candidates"]}
    assert names == {"Asha", "Chloe"}
    assert election["electors"] == 2
    with refused("NOT_ELECTOR"):
        bram.vote_election(election_id=election["id"], candidate_id=chloe.id)


def test_away_one_is_not_asked_to_witness(house, rain, asha, bram, chloe, away, clock):
    away(bram)
    clock.at("2026-03-03 08:00+00:00")
    asha.declare_joy(community_id=rain, title="Unseen", cc_spent=5)
    clock.at("2026-03-03 22:59+00:00")
    house.owner.sql("select private.last_light(%(now)s)", now=clock.now)
    kinds = [notice["type"] for notice in bram.list_notifications()["notifications"]]
    assert "unwitnessed" not in kinds
    kinds = [notice["type"] for notice in chloe.list_notifications()["notifications"]]
    assert "unwitnessed" in kinds


# ------------------------------------------------------------------------------ streak, Jashn


def streak(member, rain):
    profile = member.get_member_profile(community_id=rain, user_id=member.id)
    return profile["current_streak"], profile["longest_streak"]


def test_a_streak_neither_grows_nor_breaks(rain, asha, bram, away, clock):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=1)
    away(bram)
    for day in ("03", "04", "05"):
        clock.at(f"2026-03-{day} 08:00+00:00")
        balance(asha, rain)
        assert streak(bram, rain) == (1, 1)
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=1)
    assert streak(bram, rain) == (2, 2)


def test_a_streak_that_was_broken_stays_broken(rain, asha, bram, away, clock):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=1)
    away(bram, WEDNESDAY, WEDNESDAY)
    for day in ("03", "04", "05"):
        clock.at(f"2026-03-{day} 08:00+00:00")
        balance(asha, rain)
    assert streak(bram, rain) == (0, 1)
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=1)
    assert streak(bram, rain) == (1, 1)


def test_who_was_away_is_not_weighed_by_the_jashn(house, rain, asha, bram, away, clock):
    for day in range(8, 15):
        clock.at(f"2026-03-{day:02} 12:00+00:00")
        if day == 9:
            away(bram, "2026-03-10", "2026-03-10")
        asha.declare_joy(community_id=rain, title="A joy", cc_spent=50)
        if day == 9:
            bram.declare_joy(community_id=rain, title="A joy", cc_spent=1)
    clock.at("2026-03-15 00:05+00:00")
    house.owner.sql("select private.weekly_jashn(%(now)s)", now=clock.now)
    jashn = asha.get_jashn(community_id=rain)["jashn"]
    assert jashn["honored_user"]["id"] == asha.id
    entries = jashn["reckoning"]["entries"]
    eligible = {entry["user"]["display_name"]: entry["eligible"] for entry in entries}
    assert eligible == {"Asha": True, "Bram": False}


# ------------------------------------------------------------------------------ going


def test_leaving_ends_an_absence(rain, asha, bram, away, clock):
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    away(bram, WEDNESDAY, THURSDAY)
    bram.leave_community(community_id=rain)
    bram.join_community(invite_code=code)
    assert seen(asha, rain, bram) is None


def test_an_erased_person_is_away_no_more(service, rain, asha, bram, away):
    away(bram)
    service.erase_user(user_id=bram.id)
    members = asha.list_members(community_id=rain)["members"]
    assert [member["away"] for member in members] == [None]
    assert TUESDAY not in json.dumps(asha.get_community(community_id=rain)["members"])
