"""Tip-to-tip: a stake on a unanimous vote (RULES 8)."""

import uuid
from functools import partial

import pytest
from doors import assert_shape
from people import Refusal, paged, purse, refused, together


@pytest.fixture
def expire(house):
    """The job that ends what is overdue, at the moment of the test."""

    def run():
        query = "select private.tip_to_tip_expiry(%(now)s) as served"
        (row,) = house.owner.sql(query, now=house.clock.now)
        return row["served"]

    return run


def system_events(member, rain):
    messages = member.list_messages(community_id=rain)["messages"]
    return [message["event"] for message in messages if message["type"] == "system"]


def told(member):
    """What a member's tip-to-tip notices say."""
    notices = member.list_notifications()["notifications"]
    return [notice for notice in notices if notice["type"] == "tip_to_tip"]


# ------------------------------------------------------------------------------ proposing


def test_a_proposal_stakes_coins_and_calls_everybody_to_vote(rain, asha, bram, chloe, books):
    answer = asha.propose_tip_to_tip(
        community_id=rain, title="A day at the sea", stake_amount=30, description="All of us"
    )
    proposal, message, balance = answer["proposal"], answer["message"], answer["balance"]

    assert_shape("proposal", proposal)
    assert proposal["proposer"]["id"] == asha.id
    assert proposal["stake_amount"] == 30
    assert proposal["deadline"] == "2026-03-02T16:00:00+00:00"
    assert proposal["status"] == "active"
    assert [(vote["user"]["id"], vote["vote"]) for vote in proposal["votes"]] == [
        (asha.id, "accept")
    ]
    assert (proposal["electors"], proposal["awaiting"], proposal["can_vote"]) == (3, 2, False)
    assert message["type"] == "tip_to_tip"
    assert message["tip_to_tip"] == proposal
    assert (balance["remaining"], balance["spent_today"]) == (70, 30)
    assert books(rain)["escrow"] == 30
    for voter in (bram, chloe):
        assert voter.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]["can_vote"] is True
        (call,) = told(voter)
        assert call["ref_id"] == proposal["id"]
    assert bram.list_my_communities()["communities"][0]["awaiting_my_vote"] == 1


def test_nobody_proposes_where_nobody_else_can_vote(rain, asha, propose):
    with refused("NO_ELECTORS"):
        propose(asha)
    assert purse(asha, rain) == 100


def test_a_stake_is_at_most_the_purse(rain, asha, bram, propose, books):
    with refused("INSUFFICIENT_CC", short_by=1, largest_possible=100):
        propose(asha, 101)
    with refused("INVALID_INPUT", field="stake_amount"):
        propose(asha, 0)
    propose(asha, 100)
    books(rain)


def test_one_member_has_one_active_proposal(rain, asha, bram, propose, books):
    answers = together(*[partial(propose, asha, 30)] * 4)

    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [refusal.code for refusal in refusals] == ["ACTIVE_TIP_TO_TIP_EXISTS"] * 3
    (made,) = asha.list_tip_to_tips(community_id=rain)["proposals"]
    in_the_way = {"proposal_id": made["id"], "possible_at": made["deadline"]}
    assert all(refusal.facts == in_the_way for refusal in refusals)
    assert purse(asha, rain) == 70
    propose(bram)
    books(rain)


def test_one_request_id_proposes_once(asha, bram, propose):
    request_id = str(uuid.uuid4())
    answers = together(*[partial(propose, asha, 30, request_id=request_id)] * 8)
    assert answers == [answers[0]] * 8


def test_nothing_is_staked_while_the_day_is_closed(asha, bram, propose, clock):
    clock.at("2026-03-02 23:59:30+00:00")
    with refused("DAY_CLOSED"):
        propose(asha)


# ------------------------------------------------------------------------------ voting


def test_when_all_have_accepted_the_stake_comes_back(rain, asha, bram, chloe, propose, books):
    proposal = propose(asha)
    first = bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    assert (first["resolved"], first["outcome"]) == (False, None)
    last = chloe.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")

    assert (last["resolved"], last["outcome"]) == (True, "completed")
    assert last["proposal"]["status"] == "completed"
    balance = asha.get_balance(community_id=rain)["balance"]
    assert (balance["remaining"], balance["spent_today"]) == (100, 0)
    assert asha.list_ledger(community_id=rain)["entries"][0]["type"] == "stake_refund"
    assert books(rain)["escrow"] == 0
    assert len(told(asha)) == 1
    assert "tip_to_tip_completed" in system_events(bram, rain)


def test_what_is_answered_of_a_proposal_is_what_is_read_of_it(rain, asha, bram, chloe):
    """Answers are made of what an act has in hand."""
    plan = {"title": "A plan", "stake_amount": 5, "description": "In short"}
    made = asha.propose_tip_to_tip(community_id=rain, **plan)
    proposal = {"proposal_id": made["proposal"]["id"]}
    assert made["proposal"] == asha.get_tip_to_tip(**proposal)["proposal"]
    assert made["message"] == asha.list_messages(community_id=rain)["messages"][-1]
    assert made["balance"] == asha.get_balance(community_id=rain)["balance"]
    for voter in (bram, chloe):
        voted = voter.vote_tip_to_tip(**proposal, vote="accept")
        assert voted["proposal"] == voter.get_tip_to_tip(**proposal)["proposal"]


def test_the_first_decline_loses_the_stake(rain, asha, bram, chloe, propose, books):
    proposal = propose(asha)
    answer = bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="decline")

    assert (answer["resolved"], answer["outcome"]) == (True, "declined")
    assert purse(asha, rain) == 70
    entry = asha.list_ledger(community_id=rain)["entries"][0]
    assert (entry["type"], entry["amount"], entry["balance_after"]) == ("stake_forfeit", 0, 70)
    audit = books(rain)
    assert (audit["forfeited"], audit["escrow"]) == (30, 0)
    with refused("PROPOSAL_EXPIRED"):
        chloe.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")


def test_a_vote_is_final(asha, bram, chloe, propose):
    proposal = propose(asha)
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    for voter, vote in ((bram, "decline"), (bram, "accept"), (asha, "decline")):
        with refused("ALREADY_VOTED"):
            voter.vote_tip_to_tip(proposal_id=proposal["id"], vote=vote)
    with refused("INVALID_INPUT", field="vote"):
        chloe.vote_tip_to_tip(proposal_id=proposal["id"], vote="perhaps")


def test_whoever_joins_later_is_not_on_the_roll(asha, bram, join_rain, propose):
    proposal = propose(asha)
    dora = join_rain("dora@chas.test", "Dora")

    assert dora.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]["can_vote"] is False
    with refused("NOT_ELECTOR"):
        dora.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")


def test_the_last_two_votes_at_once_refund_once(rain, asha, bram, chloe, propose, books):
    proposal = propose(asha)
    vote = {"proposal_id": proposal["id"], "vote": "accept"}
    answers = together(
        partial(bram.vote_tip_to_tip, **vote), partial(chloe.vote_tip_to_tip, **vote)
    )
    assert sorted(answer["resolved"] for answer in answers) == [False, True]
    assert purse(asha, rain) == 100
    books(rain)


def test_the_last_vote_cast_twice_at_once_counts_once(rain, asha, bram, propose, books):
    vote = {"proposal_id": propose(asha)["id"], "vote": "accept"}
    answers = together(*[partial(bram.vote_tip_to_tip, **vote)] * 4)

    assert sum(not isinstance(answer, Refusal) for answer in answers) == 1
    assert purse(asha, rain) == 100
    books(rain)


# ------------------------------------------------------------------------------ the deadline


def test_at_the_deadline_a_proposal_reads_as_expired_job_or_no_job(
    rain, asha, bram, propose, clock, expire, books
):
    proposal = propose(asha)
    clock.at("2026-03-02 15:59:59+00:00")
    assert bram.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]["status"] == "active"

    clock.at("2026-03-02 16:00+00:00")
    assert bram.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]["status"] == "expired"
    assert bram.list_tip_to_tips(community_id=rain, status="active")["proposals"] == []
    with refused("PROPOSAL_EXPIRED"):
        bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    assert books(rain)["escrow"] == 30

    assert expire() == 1
    assert expire() == 0
    assert books(rain)["forfeited"] == 30
    assert "tip_to_tip_expired" in system_events(bram, rain)
    assert len(told(asha)) == 1


def test_an_expired_proposal_is_in_nobodys_way(rain, asha, bram, propose, clock, books):
    propose(asha)
    clock.forward(hours=4)
    propose(asha)
    assert books(rain)["forfeited"] == 30


def test_one_reminder_goes_an_hour_before_to_those_yet_to_vote(
    asha, bram, chloe, propose, clock, expire
):
    proposal = propose(asha)
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    for voter in (bram, chloe):
        voter.mark_all_notifications_read()
    clock.at("2026-03-02 14:59+00:00")
    expire()
    assert [notice["read"] for notice in told(chloe)] == [True]

    clock.at("2026-03-02 15:00+00:00")
    expire()
    expire()
    assert [(notice["read"], notice["count"]) for notice in told(chloe)] == [(False, 1), (True, 1)]
    assert [notice["read"] for notice in told(bram)] == [True]


def test_a_vote_and_the_deadline_at_once_settle_a_stake_once(
    rain, asha, bram, propose, clock, expire, books
):
    vote = {"proposal_id": propose(asha)["id"], "vote": "accept"}
    clock.forward(hours=4)
    voted, _, _ = together(
        partial(bram.at("2026-03-02 15:59:59+00:00").vote_tip_to_tip, **vote), expire, expire
    )
    audit = books(rain)
    assert audit["escrow"] == 0
    assert audit["forfeited"] == (30 if isinstance(voted, Refusal) else 0)


# ------------------------------------------------------------------------------ over midnight


def test_a_stake_outlives_sunset_and_comes_back_the_next_day(
    rain, asha, bram, propose, clock, books
):
    clock.at("2026-03-02 22:00+00:00")
    proposal = propose(asha)
    clock.at("2026-03-03 01:00+00:00")
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")

    balance = asha.get_balance(community_id=rain)["balance"]
    assert (balance["remaining"], balance["spent_today"]) == (130, 0)
    assert books(rain)["expired"] == 170


def test_a_stake_won_back_while_the_day_is_closed_is_booked_at_dawn(
    rain, asha, bram, propose, clock, books
):
    clock.at("2026-03-02 22:00+00:00")
    proposal = propose(asha)
    clock.at("2026-03-02 23:59:30+00:00")
    answer = bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    assert answer["outcome"] == "completed"
    assert purse(asha, rain) == 0
    assert books(rain)["escrow"] == 30
    assert asha.preview_dawn(community_id=rain)["refunds"] == 30

    clock.at("2026-03-03 00:00+00:00")
    assert purse(asha, rain) == 130
    types = [entry["type"] for entry in asha.list_ledger(community_id=rain)["entries"]]
    assert types[:2] == ["stake_refund", "daily_reset"]
    assert books(rain)["escrow"] == 0


# ------------------------------------------------------------------------------ looking


def test_proposals_are_listed_newest_first_page_by_page(rain, asha, bram, propose):
    made = []
    for n in range(5):
        proposal = propose((asha, bram)[n % 2], 1)
        (bram, asha)[n % 2].vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
        made.append(proposal["id"])

    listed = paged(bram.list_tip_to_tips, "proposals", community_id=rain, page_size=2)
    assert [proposal["id"] for proposal in listed] == made[::-1]
    completed = bram.list_tip_to_tips(community_id=rain, status="completed")["proposals"]
    assert completed == listed
    with refused("INVALID_INPUT", field="status"):
        bram.list_tip_to_tips(community_id=rain, status="lost")


def test_a_stranger_proposes_votes_and_sees_nothing(rain, asha, bram, stranger, propose):
    proposal = propose(asha)
    with refused("NOT_FOUND"):
        propose(stranger)
    with refused("NOT_FOUND"):
        stranger.list_tip_to_tips(community_id=rain)
    for door in (stranger.get_tip_to_tip, partial(stranger.vote_tip_to_tip, vote="decline")):
        with refused("NOT_FOUND") as real:
            door(proposal_id=proposal["id"])
        with refused("NOT_FOUND") as imagined:
            door(proposal_id=str(uuid.uuid4()))
        assert real == imagined
    for table in ("tip_to_tip_proposals", "tip_to_tip_rolls", "tip_to_tip_votes", "stakes"):
        assert asha.read(table) != []
        assert stranger.read(table) == []
