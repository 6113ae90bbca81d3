"""Profiles, the council, stepping down, leaving and being removed (RULES 2.3, 2.5, 2.6)."""

import time
import uuid
from contextlib import ExitStack
from functools import partial

import pytest
from doors import assert_shape
from people import Refusal, lines, meanwhile, notices, purse, refused, roles, together


def audited(person, rain):
    """The newest entry of the audit log."""
    return person.list_audit(community_id=rain)["entries"][0]


def movements(house, rain, person):
    """The ledger of somebody who may be gone: types and amounts, oldest first."""
    entries = house.owner.read("ledger_entries", community_id=rain, user_id=person.id)
    return [(entry["type"], entry["amount"]) for entry in sorted(entries, key=lambda e: e["id"])]


def proposal(person, one):
    return person.get_tip_to_tip(proposal_id=one["id"])["proposal"]


def loan_status(house, rain):
    (loan,) = house.owner.read("loans", community_id=rain)
    return loan["status"]


@pytest.fixture
def second_moderator(house, rain, asha, bram):
    """Bram moderates rain beside Asha, as an election might have made him."""
    house.owner.sql(
        "select private.set_role(%(rain)s, %(bram)s, 'moderator', true)", rain=rain, bram=bram.id
    )
    return bram


@pytest.fixture
def code(asha, rain):
    return asha.set_join_code(community_id=rain)["invite_code"]


# ------------------------------------------------------------------------------ the council


def test_a_moderator_calls_to_the_council_and_releases(rain, asha, bram, chloe):
    member = asha.set_council(community_id=rain, user_id=bram.id, granted=True)["member"]

    assert_shape("member", member)
    assert member["user"]["id"] == bram.id
    assert sorted(member["roles"]) == ["council", "member"]
    (line,) = lines(chloe, rain, "council_appointed")
    assert line["user"] is None
    assert line["facts"] == {"user_id": bram.id, "by_id": asha.id}
    assert "“Bram”" in line["content"]
    assert "“Asha”" in line["content"]
    assert audited(asha, rain)["action"] == "council_appointed"
    assert audited(asha, rain)["subject"]["id"] == bram.id
    assert len(notices(bram, "system")) == 1

    asha.set_council(community_id=rain, user_id=bram.id, granted=False)
    assert roles(chloe, rain)["Bram"] == ["member"]
    assert len(lines(chloe, rain, "council_released")) == 1
    assert audited(asha, rain)["action"] == "council_released"


def test_what_is_so_already_is_told_to_nobody_again(rain, asha, bram):
    call = partial(asha.set_council, community_id=rain, user_id=bram.id, granted=True)
    together(*[call] * 4)
    assert call()["member"]["roles"].count("council") == 1
    assert len(lines(bram, rain, "council_appointed")) == 1


def test_a_moderator_may_sit_on_the_council_too(rain, asha):
    asha.set_council(community_id=rain, user_id=asha.id, granted=True)
    assert roles(asha, rain)["Asha"] == ["member", "moderator", "council"]


def test_only_moderators_call_to_the_council(rain, asha, bram, chloe):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    with refused("FORBIDDEN"):
        bram.set_council(community_id=rain, user_id=chloe.id, granted=True)


def test_only_members_are_called_and_only_with_a_yes_or_no(rain, asha, bram, stranger):
    for nobody in (stranger.id, str(uuid.uuid4())):
        with refused("NOT_FOUND"):
            asha.set_council(community_id=rain, user_id=nobody, granted=True)
    with refused("INVALID_INPUT", field="granted"):
        asha.set_council(community_id=rain, user_id=bram.id, granted=None)


def test_an_election_that_is_over_has_changed_who_moderates_job_or_no_job(rain, asha, bram, clock):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    election = asha.create_election(
        community_id=rain, title="Spring", ends_at="2026-03-02 14:00+00:00", seat_rule="renew"
    )["election"]
    bram.vote_election(election_id=election["id"], candidate_id=bram.id)
    clock.at("2026-03-02 14:00+00:00")

    with refused("FORBIDDEN"):
        asha.set_council(community_id=rain, user_id=bram.id, granted=False)
    with refused("LAST_MODERATOR"):
        bram.leave_community(community_id=rain)
    asha.leave_community(community_id=rain)


# ------------------------------------------------------------------------------ stepping down


def test_one_of_two_moderators_may_step_down(rain, asha, second_moderator):
    asha.set_council(community_id=rain, user_id=asha.id, granted=True)
    member = asha.step_down(community_id=rain)["member"]

    assert sorted(member["roles"]) == ["council", "member"]
    assert "invite_code" not in asha.get_community(community_id=rain)["community"]
    (line,) = lines(asha, rain, "moderator_stepped_down")
    assert line["facts"]["user_id"] == asha.id
    assert audited(second_moderator, rain)["action"] == "moderator_stepped_down"


def test_the_last_moderator_names_a_successor(rain, asha, bram):
    with refused("LAST_MODERATOR", needs="successor_id"):
        asha.step_down(community_id=rain)

    asha.step_down(community_id=rain, successor_id=bram.id)
    assert roles(asha, rain)["Asha"] == ["member"]
    assert roles(asha, rain)["Bram"] == ["member", "moderator"]
    assert len(lines(asha, rain, "moderator_appointed")) == 1
    assert len(notices(bram, "system")) == 1
    assert [entry["action"] for entry in bram.list_audit(community_id=rain)["entries"]][:2] == [
        "moderator_stepped_down",
        "moderator_appointed",
    ]


def test_a_successor_is_another_member(rain, asha, bram, stranger):
    for door in (asha.step_down, asha.leave_community):
        with refused("INVALID_INPUT", field="successor_id"):
            door(community_id=rain, successor_id=asha.id)
        for nobody in (stranger.id, str(uuid.uuid4())):
            with refused("NOT_FOUND"):
                door(community_id=rain, successor_id=nobody)
    assert roles(bram, rain)["Asha"] == ["member", "moderator"]


def test_a_successor_counts_only_where_one_is_needed(rain, asha, second_moderator, chloe):
    asha.step_down(community_id=rain, successor_id=chloe.id)
    asha.leave_community(community_id=rain, successor_id=chloe.id)
    assert roles(chloe, rain)["Chloe"] == ["member"]


def test_nobody_steps_down_to_leave_nobody(rain, asha):
    with refused("LAST_MODERATOR"):
        asha.step_down(community_id=rain)


def test_only_moderators_step_down(rain, bram):
    with refused("FORBIDDEN"):
        bram.step_down(community_id=rain)


def test_of_two_moderators_stepping_down_at_once_one_stays(rain, asha, second_moderator, chloe):
    answers = together(
        partial(asha.step_down, community_id=rain),
        partial(second_moderator.step_down, community_id=rain),
    )
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "LAST_MODERATOR"
    moderators = [
        member
        for member in chloe.list_members(community_id=rain)["members"]
        if "moderator" in member["roles"]
    ]
    assert len(moderators) == 1


# ------------------------------------------------------------------------------ leaving


def test_whoever_leaves_is_gone_and_their_purse_expires(house, rain, asha, bram, books):
    bram.declare_joy(community_id=rain, title="First rain", cc_spent=40)

    assert bram.leave_community(community_id=rain) == {
        "left": True,
        "expired": 60,
        "forfeited": 0,
    }
    with refused("NOT_FOUND"):
        bram.get_community(community_id=rain)
    assert bram.read("chat_messages") == []
    assert asha.get_community(community_id=rain)["community"]["member_count"] == 1
    (line,) = lines(asha, rain, "member_left")
    assert line["facts"] == {"user_id": bram.id}
    assert "“Bram”" in line["content"]
    assert movements(house, rain, bram)[-1] == ("expired", -60)
    assert books(rain)["expired"] == 60
    assert asha.get_sunset(community_id=rain)["entries"] == []


def test_an_own_active_proposal_is_withdrawn_and_its_stake_lost(rain, asha, bram, books, propose):
    tea = propose(bram, stake=25)

    assert bram.leave_community(community_id=rain) == {
        "left": True,
        "expired": 75,
        "forfeited": 25,
    }
    assert proposal(asha, tea)["status"] == "withdrawn"
    assert books(rain)["forfeited"] == 25


def test_loans_owed_to_the_leaver_are_released(house, rain, asha, bram, books, lend):
    lend(bram, asha, 30)
    bram.leave_community(community_id=rain)

    assert loan_status(house, rain) == "released"
    assert asha.get_balance(community_id=rain)["balance"]["debt"] == 0
    books(rain)


def test_loans_owed_by_the_leaver_sleep_and_wake_when_they_return(
    house, rain, code, asha, bram, clock, books, lend
):
    lend(asha, bram, 30)
    bram.leave_community(community_id=rain)
    assert loan_status(house, rain) == "asleep"

    clock.at("2026-03-03 09:00+00:00")
    assert purse(asha, rain) == 100
    assert bram.join_community(invite_code=code)["balance"]["debt"] == 30
    assert loan_status(house, rain) == "open"
    clock.at("2026-03-04 09:00+00:00")
    assert purse(bram, rain) == 70
    assert purse(asha, rain) == 130
    books(rain)


def test_open_requests_of_the_leaver_are_cancelled_and_those_to_them_lapse(rain, asha, bram, chloe):
    mine = bram.request_borrow(community_id=rain, lender_id=asha.id, amount=5, reason="Tea")
    theirs = chloe.request_borrow(community_id=rain, lender_id=bram.id, amount=5, reason="Tea")
    bram.leave_community(community_id=rain)

    with refused("CONFLICT", status="cancelled"):
        asha.respond_borrow(borrow_request_id=mine["borrow_request"]["id"], action="approved")
    with refused("CONFLICT", status="lapsed"):
        chloe.cancel_borrow(borrow_request_id=theirs["borrow_request"]["id"])


def test_a_proposal_that_awaited_only_the_leaver_is_decided(
    rain, asha, bram, chloe, books, propose
):
    tea = propose(asha, stake=10)
    chloe.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    assert proposal(asha, tea)["awaiting"] == 1

    bram.leave_community(community_id=rain)
    decided = proposal(asha, tea)
    assert decided["status"] == "completed"
    assert decided["electors"] == 2
    assert purse(asha, rain) == 100
    books(rain)


def test_a_proposal_that_awaits_others_goes_on_without_the_leaver(rain, asha, bram, chloe, propose):
    tea = propose(asha, stake=10)
    bram.leave_community(community_id=rain)

    still = proposal(asha, tea)
    assert (still["status"], still["electors"], still["awaiting"]) == ("active", 2, 1)
    answer = chloe.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    assert answer["outcome"] == "completed"


def test_a_vote_cast_before_leaving_stands(rain, asha, bram, chloe, propose):
    tea = propose(asha, stake=10)
    bram.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    bram.leave_community(community_id=rain)

    still = proposal(asha, tea)
    assert (still["electors"], still["awaiting"]) == (3, 1)
    assert [vote["user"]["id"] for vote in still["votes"]] == [asha.id, bram.id]


def test_a_refund_that_waited_for_dawn_expires_with_the_leaver(
    house, rain, asha, bram, clock, books, propose
):
    clock.at("2026-03-02 21:00+00:00")
    tea = propose(bram, stake=25)
    clock.at("2026-03-02 23:59:30+00:00")
    asha.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    assert purse(bram, rain) == 0

    assert bram.leave_community(community_id=rain) == {
        "left": True,
        "expired": 25,
        "forfeited": 0,
    }
    assert movements(house, rain, bram)[-2:] == [("stake_refund", 25), ("expired", -25)]
    clock.at("2026-03-03 09:00+00:00")
    assert purse(asha, rain) == 100
    assert books(rain)["escrow"] == 0


def test_an_overdue_dawn_is_settled_before_somebody_leaves(rain, asha, bram, clock, books):
    clock.at("2026-03-04 09:00+00:00")
    assert bram.leave_community(community_id=rain)["expired"] == 100
    assert books(rain)["minted"] == 400


def test_whoever_returns_has_no_role_and_an_empty_purse_until_dawn(rain, code, asha, bram, clock):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    bram.leave_community(community_id=rain)

    answer = bram.join_community(invite_code=code)
    assert answer["member"]["roles"] == ["member"]
    assert answer["balance"]["remaining"] == 0
    clock.at("2026-03-03 00:00+00:00")
    assert purse(bram, rain) == 100


def test_a_candidate_who_leaves_stands_no_more(rain, asha, bram, chloe, clock):
    for person in (bram, chloe):
        asha.set_council(community_id=rain, user_id=person.id, granted=True)
    election = asha.create_election(
        community_id=rain, title="Spring", ends_at="2026-03-02 14:00+00:00"
    )["election"]
    for voter, choice in ((asha, bram), (bram, bram), (chloe, chloe)):
        voter.vote_election(election_id=election["id"], candidate_id=choice.id)
    bram.leave_community(community_id=rain)

    clock.at("2026-03-02 14:00+00:00")
    over = asha.get_election(election_id=election["id"])["election"]
    assert over["winner"]["id"] == chloe.id
    assert bram.id not in str(over)


# ------------------------------------------------------------------------------ the last moderator


def test_the_last_moderator_leaves_only_with_a_successor(rain, asha, bram):
    with refused("LAST_MODERATOR", needs="successor_id"):
        asha.leave_community(community_id=rain)
    assert purse(asha, rain) == 100

    asha.leave_community(community_id=rain, successor_id=bram.id)
    assert roles(bram, rain)["Bram"] == ["member", "moderator"]
    assert bram.set_join_code(community_id=rain)["open"] is True


def keep_house(house):
    while house.owner.sql("select private.housekeeping() as done")[0]["done"] > 0:
        pass


def test_an_erased_moderators_seat_passes_to_who_can_act(
    house, service, rain, code, asha, bram, chloe, clock, join_rain
):
    for member in (bram, chloe):
        asha.set_council(community_id=rain, user_id=member.id, granted=True)
    service.suspend_person(user_id=bram.id, reason="Asked to pause")
    service.erase_user(user_id=asha.id)
    keep_house(house)

    assert "moderator" in roles(chloe, rain)["Chloe"]
    assert "moderator" not in roles(chloe, rain)["Bram"]
    (line,) = lines(chloe, rain, "moderator_seated")
    assert line["facts"] == {"user_id": chloe.id}
    assert audited(chloe, rain)["action"] == "moderator_seated"
    assert notices(chloe, "system")[0]["title"] == "You are moderator now"
    assert chloe.set_join_code(community_id=rain)["invite_code"] == code


def test_an_erasure_does_not_manufacture_unanimity(
    house, service, rain, asha, bram, chloe, propose, books
):
    tea = propose(chloe)
    asha.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    service.erase_user(user_id=bram.id)
    keep_house(house)
    assert proposal(asha, tea)["status"] == "void"
    books(rain)


def test_a_seat_is_passed_on_to_who_can_act_only(service, rain, asha, bram, chloe):
    service.suspend_person(user_id=bram.id, reason="Asked to pause")
    for door in (asha.step_down, asha.leave_community):
        with refused("LAST_MODERATOR", needs="successor_id"):
            door(community_id=rain, successor_id=bram.id)
    service.suspend_person(user_id=chloe.id, reason="Asked to pause")
    with refused("LAST_MODERATOR"):
        asha.step_down(community_id=rain)
    assert asha.leave_community(community_id=rain)["left"] is True


def test_of_two_moderators_leaving_at_once_one_stays(rain, asha, second_moderator, chloe, books):
    answers = together(
        partial(asha.leave_community, community_id=rain),
        partial(second_moderator.leave_community, community_id=rain),
    )
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "LAST_MODERATOR"
    assert len(chloe.list_members(community_id=rain)["members"]) == 2
    books(rain)


def test_a_successor_who_leaves_at_the_same_time_does_not_leave_a_house_without_a_moderator(
    rain, asha, bram, chloe
):
    together(
        partial(asha.leave_community, community_id=rain, successor_id=bram.id),
        partial(bram.leave_community, community_id=rain),
    )
    assert any(
        "moderator" in member["roles"]
        for member in chloe.list_members(community_id=rain)["members"]
    )


def test_the_very_last_member_just_leaves_and_the_code_opens_nothing_any_more(
    house, rain, code, asha, stranger
):
    assert asha.leave_community(community_id=rain)["expired"] == 100

    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=code)
    assert house.owner.read("community_members", community_id=rain, left_at=None) == []


# ------------------------------------------------------------------------------ removing


def test_a_moderator_removes_a_member_with_a_reason(house, rain, asha, bram, chloe, books):
    removed = asha.remove_member(community_id=rain, user_id=bram.id, reason="Rude to the rain")

    assert removed == {"removed": True}
    with refused("NOT_FOUND"):
        bram.get_community(community_id=rain)
    (line,) = lines(chloe, rain, "member_removed")
    assert line["facts"] == {"user_id": bram.id, "by_id": asha.id, "ban": False}
    assert "Rude" not in str(line)
    entry = audited(asha, rain)
    assert entry["action"] == "member_removed"
    assert set(entry["facts"]) == {"reason_id", "reason", "ban"}
    assert entry["facts"]["ban"] is False
    assert "“Rude to the rain”" in entry["sentence"]
    (notice,) = notices(bram, "system")
    assert notice["body"] == "“Rude to the rain”"
    assert "“Rain”" in notice["title"]
    assert movements(house, rain, bram)[-1] == ("expired", -100)
    books(rain)


def test_whoever_is_removed_may_come_back_unless_banned(rain, code, asha, bram, chloe):
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Cool down")
    bram.join_community(invite_code=code)

    asha.remove_member(community_id=rain, user_id=bram.id, reason="Enough", ban=True)
    with refused("FORBIDDEN"):
        bram.join_community(invite_code=code)
    assert lines(chloe, rain, "member_removed")[-1]["facts"]["ban"] is True


def test_a_removal_is_heard_through_every_mute(rain, asha, bram):
    bram.mute_notifications(community_id=rain, type="system", muted=True)
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Rude to the rain")
    assert len(notices(bram, "system")) == 1


def test_a_removal_does_not_manufacture_unanimity(rain, asha, bram, chloe, books, propose):
    tea = propose(chloe, stake=25)
    asha.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Would not vote")

    assert proposal(chloe, tea)["status"] == "void"
    assert purse(chloe, rain) == 100
    assert [notice["title"] for notice in notices(chloe, "tip_to_tip")] != []
    books(rain)


def test_a_proposal_the_removed_person_had_voted_on_goes_on(rain, asha, bram, chloe, propose):
    tea = propose(chloe, stake=10)
    bram.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Rude to the rain")

    assert proposal(chloe, tea)["status"] == "active"
    assert asha.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")["outcome"] == "completed"


@pytest.mark.parametrize("moment", ["2026-03-02 22:00+00:00", "2026-03-02 23:59:30+00:00"])
def test_the_removed_members_own_stake_comes_back_and_expires(
    house, rain, asha, bram, clock, books, moment, propose
):
    clock.at("2026-03-02 21:00+00:00")
    tea = propose(bram, stake=25)
    clock.at(moment)
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Rude to the rain")

    assert proposal(asha, tea)["status"] == "void"
    assert ("stake_refund", 25) in movements(house, rain, bram)
    audit = books(rain)
    assert (audit["forfeited"], audit["escrow"]) == (0, 0)
    clock.at("2026-03-03 09:00+00:00")
    assert purse(asha, rain) == 100
    books(rain)


def test_loans_part_on_removal_as_on_leaving(house, rain, asha, bram, chloe, books, lend):
    lend(bram, chloe, 30)
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Rude to the rain")
    assert loan_status(house, rain) == "released"
    books(rain)


def test_a_moderator_may_be_removed_like_anyone_else(rain, asha, second_moderator, chloe):
    second_moderator.remove_member(community_id=rain, user_id=asha.id, reason="Never here")
    assert len(chloe.list_members(community_id=rain)["members"]) == 2


def test_of_two_moderators_removing_each_other_at_once_one_is_too_late(
    rain, asha, second_moderator, chloe
):
    answers = together(
        partial(asha.remove_member, community_id=rain, user_id=second_moderator.id, reason="No"),
        partial(second_moderator.remove_member, community_id=rain, user_id=asha.id, reason="No"),
    )
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "NOT_FOUND"
    assert len(chloe.list_members(community_id=rain)["members"]) == 2


def test_nobody_removes_themselves(rain, asha, bram, second_moderator):
    with refused("FORBIDDEN"):
        asha.remove_member(community_id=rain, user_id=asha.id, reason="Tired")
    second_moderator.step_down(community_id=rain)
    with refused("LAST_MODERATOR", needs="successor_id"):
        asha.remove_member(community_id=rain, user_id=asha.id, reason="Tired")


def test_only_moderators_remove_and_only_members(rain, asha, bram, chloe, stranger):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    with refused("FORBIDDEN"):
        bram.remove_member(community_id=rain, user_id=chloe.id, reason="No")
    chloe.leave_community(community_id=rain)
    for nobody in (chloe.id, stranger.id, str(uuid.uuid4())):
        with refused("NOT_FOUND"):
            asha.remove_member(community_id=rain, user_id=nobody, reason="No")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 281, None])
def test_a_removal_has_a_reason(rain, asha, bram, reason):
    with refused("INVALID_INPUT", field="reason"):
        asha.remove_member(community_id=rain, user_id=bram.id, reason=reason)
    assert roles(asha, rain)["Bram"] == ["member"]


def test_a_removed_member_who_leaves_at_the_same_time_goes_once(rain, asha, bram, books):
    answers = together(
        partial(asha.remove_member, community_id=rain, user_id=bram.id, reason="No"),
        partial(bram.leave_community, community_id=rain),
    )
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "NOT_FOUND"
    assert books(rain)["expired"] == 100


def test_somebody_banned_while_they_come_back_stays_out(house, rain, code, asha, bram):
    with ExitStack() as removing:
        moderator = removing.enter_context(asha.transaction())
        moderator.remove_member(community_id=rain, user_id=bram.id, reason="No", ban=True)
        with meanwhile(partial(bram.join_community, invite_code=code)) as coming:
            wait_for_a_lock(house, coming)
            removing.close()
    with pytest.raises(Refusal, match="FORBIDDEN"):
        coming.result()
    assert len(asha.list_members(community_id=rain)["members"]) == 1


def test_a_member_who_votes_while_being_removed_is_counted_once(
    house, rain, asha, bram, chloe, propose
):
    tea = propose(asha, stake=10)
    with ExitStack() as voting:
        voter = voting.enter_context(bram.transaction())
        voter.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
        remove = partial(asha.remove_member, community_id=rain, user_id=bram.id, reason="No")
        with meanwhile(remove) as removing:
            wait_for_a_lock(house, removing)
            voting.close()
    assert removing.result() == {"removed": True}
    still = proposal(chloe, tea)
    assert (still["status"], still["electors"], still["awaiting"]) == ("active", 3, 1)


def wait_for_a_lock(house, call):
    """Until the call begun meanwhile waits for what somebody else holds."""
    while not house.owner.sql("""
      select pid from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    """):
        assert not call.done(), call.result()
        time.sleep(0.01)


# ------------------------------------------------------------------------------ profiles


def test_a_profile_counts_what_a_member_declared_and_witnessed(
    rain, asha, bram, chloe, clock, stranger
):
    for day, title, spent in (("02", "Rain", 10), ("03", "Sun", 40), ("05", "Wind", 5)):
        if day == "05":
            clock.at("2026-03-04 09:00+00:00")
            asha.get_balance(community_id=rain)
        clock.at(f"2026-03-{day} 09:00+00:00")
        joy = bram.declare_joy(community_id=rain, title=title, cc_spent=spent)["declaration"]
        asha.witness_declaration(declaration_id=joy["id"])
    chloe.witness_declaration(declaration_id=joy["id"])
    theirs = asha.declare_joy(community_id=rain, title="Tea", cc_spent=1)["declaration"]
    bram.witness_declaration(declaration_id=theirs["id"])

    profile = asha.get_member_profile(community_id=rain, user_id=bram.id)
    assert_shape("person", profile["user"])
    assert_shape("declaration", profile["most_expensive_declaration"])
    assert profile["user"]["id"] == bram.id
    assert profile["communities_shared"] == 1
    assert profile["total_declarations"] == 3
    assert profile["total_cc_spent"] == 55
    assert profile["avg_cc_per_declaration"] == 18.33
    assert profile["most_expensive_declaration"]["title"] == "Sun"
    assert profile["most_expensive_declaration"]["has_witnessed"] is True
    assert profile["current_streak"] == 1
    assert profile["longest_streak"] == 2
    assert profile["witnessed_given"] == 1
    assert profile["witnessed_received"] == 4
    assert profile["joined_at"] == "2026-03-02T12:00:00+00:00"

    for day in ("06", "07"):
        clock.at(f"2026-03-{day} 09:00+00:00")
        asha.get_balance(community_id=rain)
    assert asha.get_member_profile(community_id=rain, user_id=bram.id) == profile | {
        "current_streak": 0
    }


def test_a_profile_without_a_joy_is_full_of_noughts(rain, asha, bram):
    profile = asha.get_member_profile(community_id=rain, user_id=bram.id)
    for nought in (
        "total_declarations",
        "total_cc_spent",
        "avg_cc_per_declaration",
        "current_streak",
        "longest_streak",
        "witnessed_given",
        "witnessed_received",
    ):
        assert profile[nought] == 0
    assert profile["most_expensive_declaration"] is None


def test_communities_shared_are_those_both_are_in_now(rain, asha, bram):
    for name in ("Second", "Third"):
        made = asha.create_community(name=name)["community"]
        bram.join_community(invite_code=made["invite_code"])
    bram.leave_community(community_id=made["id"])
    bram.create_community(name="Bram's own")

    assert asha.get_member_profile(community_id=rain, user_id=bram.id)["communities_shared"] == 2
    assert bram.get_member_profile(community_id=rain, user_id=bram.id)["communities_shared"] == 3


def test_whoever_has_left_keeps_a_profile(rain, asha, bram):
    bram.declare_joy(community_id=rain, title="First rain", cc_spent=5)
    bram.leave_community(community_id=rain)

    profile = asha.get_member_profile(community_id=rain, user_id=bram.id)
    assert profile["total_declarations"] == 1
    assert profile["left_at"] == "2026-03-02T12:00:00+00:00"
    assert profile["communities_shared"] == 0


def test_a_profile_is_of_a_member_and_for_members(rain, asha, bram, stranger):
    for nobody in (stranger.id, str(uuid.uuid4())):
        with refused("NOT_FOUND"):
            asha.get_member_profile(community_id=rain, user_id=nobody)
    with refused("NOT_FOUND"):
        stranger.get_member_profile(community_id=rain, user_id=bram.id)


# ------------------------------------------------------------------------------ strangers


@pytest.mark.parametrize(
    ("door", "arguments"),
    [
        ("set_council", {"granted": True}),
        ("remove_member", {"reason": "No"}),
        ("get_member_profile", {}),
    ],
)
def test_a_stranger_learns_nothing_of_members(rain, bram, stranger, door, arguments):
    ask = partial(getattr(stranger, door), user_id=bram.id, **arguments)
    with refused("NOT_FOUND") as real:
        ask(community_id=rain)
    with refused("NOT_FOUND") as imagined:
        ask(community_id=str(uuid.uuid4()))
    assert real == imagined


@pytest.mark.parametrize("door", ["step_down", "leave_community"])
def test_a_stranger_has_nothing_to_leave(rain, stranger, door):
    with refused("NOT_FOUND"):
        getattr(stranger, door)(community_id=rain)
