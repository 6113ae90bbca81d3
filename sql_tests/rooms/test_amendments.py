"""Amendments: a tip-to-tip that changes the settings if all accept (RULES 16.1)."""

import json
from functools import partial

import pytest
from people import Refusal, refused, together

DAWN = "2026-03-03T00:00:00+00:00"


@pytest.fixture
def amend(rain):
    def amend_one(member, **amendment):
        return member.propose_tip_to_tip(
            community_id=rain, title="Another way", stake_amount=10, amendment=amendment
        )["proposal"]

    return amend_one


def rules(member, rain):
    return member.get_rules(community_id=rain)


def accept(member, proposal):
    return member.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")


def lines(member, rain, event):
    messages = member.list_messages(community_id=rain)["messages"]
    return [message for message in messages if message["event"] == event]


def test_what_all_accept_pends_and_takes_force_at_dawn(rain, asha, bram, amend, clock):
    proposal = amend(bram, daily_cc_budget=50, electorate="members")
    assert proposal["amendment"] == {"daily_cc_budget": 50, "electorate": "members"}
    assert rules(asha, rain)["pending"] == {}
    assert accept(asha, proposal)["outcome"] == "completed"

    shown = rules(asha, rain)
    assert shown["pending"] == {"daily_cc_budget": 50, "electorate": "members"}
    assert shown["willed"] == ["daily_cc_budget", "electorate"]
    (line,) = lines(bram, rain, "settings_willed")
    assert line["content"] == (
        "It is the will of all. From the next Dawn: daily cc budget 50, electorate members."
    )
    assert line["facts"]["next_dawn_at"] == DAWN
    entries = asha.list_audit(community_id=rain)["entries"]
    assert "settings_willed" in [entry["action"] for entry in entries]
    assert asha.preview_dawn(community_id=rain)["grant"] == 50

    clock.at("2026-03-03 08:00+00:00")
    assert bram.get_balance(community_id=rain)["balance"]["daily_budget"] == 50
    shown = rules(asha, rain)
    assert (shown["in_force"]["electorate"], shown["pending"], shown["willed"]) == (
        "members",
        {},
        [],
    )


def test_a_proposal_without_one_has_none(rain, asha, bram, propose):
    assert propose(asha)["amendment"] is None


@pytest.mark.parametrize("vote", ["decline", "nothing"])
def test_without_unanimity_nothing_pends(rain, asha, bram, chloe, amend, clock, vote):
    proposal = amend(bram, daily_cc_budget=50)
    accept(asha, proposal)
    if vote == "decline":
        chloe.vote_tip_to_tip(proposal_id=proposal["id"], vote="decline")
    clock.at("2026-03-03 08:00+00:00")
    shown = rules(asha, rain)
    assert (shown["in_force"]["daily_cc_budget"], shown["pending"]) == (100, {})


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        {"name": "Storm"},
        {"daily_cc_budget": 50, "description": "Wet"},
        {"daily_cc_budget": 100},
        {"daily_cc_budget": 50, "timezone": "UTC"},
        {"daily_cc_budget": 5},
        {"daily_cc_budget": "50"},
        {"daily_cc_budget": None},
        {"timezone": "Nowhere/Land"},
        {"timezone": "CET"},
        {"electorate": "everybody"},
    ],
    ids=str,
)
def test_what_is_no_change_of_these_settings_is_refused(rain, asha, bram, wrong):
    with refused("INVALID_INPUT"):
        asha.propose_tip_to_tip(
            community_id=rain, title="Another way", stake_amount=10, amendment=wrong
        )
    assert asha.get_balance(community_id=rain)["balance"]["remaining"] == 100


def test_no_moderator_overrides_the_will_of_all(rain, asha, bram, amend, clock):
    asha.update_community(community_id=rain, patch={"daily_cc_budget": 200})
    accept(asha, amend(bram, daily_cc_budget=50))
    assert rules(asha, rain)["pending"] == {"daily_cc_budget": 50}
    for patch in ({"daily_cc_budget": 300}, {"daily_cc_budget": 100}, {"daily_cc_budget": 50}):
        with refused("CONFLICT", field="daily_cc_budget", possible_at=DAWN):
            asha.update_community(community_id=rain, patch=patch)
    # Everything else stays theirs.
    asha.update_community(community_id=rain, patch={"electorate": "members", "name": "Storm"})
    assert rules(asha, rain)["pending"] == {"daily_cc_budget": 50, "electorate": "members"}

    clock.at(DAWN)
    asha.update_community(community_id=rain, patch={"daily_cc_budget": 300})
    assert rules(asha, rain)["pending"] == {"daily_cc_budget": 300}


def test_a_later_unanimity_replaces_an_earlier(rain, asha, bram, amend):
    accept(asha, amend(bram, daily_cc_budget=50))
    accept(bram, amend(asha, daily_cc_budget=70))
    shown = rules(asha, rain)
    assert (shown["pending"], shown["willed"]) == ({"daily_cc_budget": 70}, ["daily_cc_budget"])


def test_a_zone_all_willed_moves_the_next_dawn_as_promised(rain, asha, bram, amend, clock):
    accept(asha, amend(bram, timezone="America/New_York"))
    promised = asha.get_balance(community_id=rain)["balance"]["next_dawn_at"]
    assert promised == "2026-03-03T05:00:00+00:00"
    (line,) = lines(bram, rain, "settings_willed")
    assert line["facts"]["next_dawn_at"] == promised
    clock.at("2026-03-03 04:59+00:00")
    assert rules(asha, rain)["in_force"]["timezone"] == "UTC"
    clock.at(promised)
    assert rules(asha, rain)["in_force"]["timezone"] == "America/New_York"
    assert asha.get_balance(community_id=rain)["balance"]["day"] == "2026-03-03"


def test_a_leaver_completes_an_amendment_and_a_removal_voids_it(
    rain, asha, bram, chloe, amend, join_rain
):
    first = amend(bram, daily_cc_budget=50)
    accept(asha, first)
    chloe.leave_community(community_id=rain)
    assert rules(asha, rain)["pending"] == {"daily_cc_budget": 50}

    dora = join_rain("dora@chas.test", "Dora")
    second = amend(bram, electorate="members")
    accept(asha, second)
    asha.remove_member(community_id=rain, user_id=dora.id, reason="No unanimity of this kind")
    assert rules(asha, rain)["pending"] == {"daily_cc_budget": 50}


def test_the_last_vote_and_a_moderator_at_once(rain, asha, bram, amend):
    """Whoever is first, in the end it pends what all willed, or the moderator was refused."""
    proposal = amend(bram, daily_cc_budget=50)
    by_asha = partial(asha.update_community, community_id=rain, patch={"daily_cc_budget": 300})
    voted, set_it = together(partial(accept, asha, proposal), by_asha)
    assert voted["outcome"] == "completed"
    assert not isinstance(set_it, Refusal) or set_it.code == "CONFLICT"
    assert rules(asha, rain)["pending"] == {"daily_cc_budget": 50}


def test_two_last_votes_on_two_amendments_at_once(rain, asha, bram, amend):
    ours, theirs = amend(asha, timezone="Asia/Tokyo"), amend(bram, timezone="America/New_York")
    answers = together(partial(accept, bram, ours), partial(accept, asha, theirs))
    assert [answer["outcome"] for answer in answers] == ["completed", "completed"]
    assert rules(asha, rain)["pending"]["timezone"] in ("Asia/Tokyo", "America/New_York")
    assert rules(asha, rain)["willed"] == ["timezone"]


def test_a_repeat_asks_for_the_same_amendment(rain, asha, bram):
    once = {
        "community_id": rain,
        "title": "Another way",
        "stake_amount": 10,
        "request_id": "00000000-0000-4000-8000-00000000000a",
    }
    first = asha.propose_tip_to_tip(amendment={"daily_cc_budget": 50}, **once)
    again = asha.propose_tip_to_tip(amendment={"daily_cc_budget": 50}, **once)
    assert again["proposal"] == first["proposal"]
    with refused("CONFLICT"):
        asha.propose_tip_to_tip(amendment={"daily_cc_budget": 60}, **once)


def test_it_stands_in_the_edition_and_survives_its_author(
    service, rain, asha, bram, chloe, amend, clock
):
    proposal = amend(bram, daily_cc_budget=50)
    for voter in (asha, chloe):
        accept(voter, proposal)
    service.erase_user(user_id=bram.id)
    clock.at("2026-03-03 08:00+00:00")
    assert asha.get_balance(community_id=rain)["balance"]["daily_budget"] == 50
    assert asha.verify_gazette(community_id=rain)["holds"]
    assert "Another way" not in json.dumps(asha.get_edition(community_id=rain))


def test_a_stranger_amends_nothing(rain, asha, bram, stranger, amend):
    with refused("NOT_FOUND"):
        amend(stranger, daily_cc_budget=50)
    proposal = amend(asha, daily_cc_budget=50)
    with refused("NOT_FOUND"):
        stranger.get_tip_to_tip(proposal_id=proposal["id"])
