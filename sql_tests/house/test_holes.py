"""The holes of the system CHAS replaces, each asked again by the same request and shut.

There, somebody with the public key or a login could do all of this straight at PostgREST (or, at
the end, through its API). Whatever is asked here is refused, and leaves every row as it was.
"""

import pytest
from people import refused
from rest import nothing_changes
from world import World


@pytest.fixture(scope="module")
def rain(rest):
    return World(rest.house, "Rain")


@pytest.fixture(scope="module")
def hill(rest):
    return World(rest.house, "Hill")


@pytest.fixture(scope="module")
def outsider(rest):
    return rest.house.admit(rest.house.sign_up("sol@holes.chas.test", "Sol"))


@pytest.fixture(scope="module")
def unadmitted(rest):
    return rest.house.sign_up("uma@holes.chas.test", "Uma")


@pytest.fixture
def shut(rest):
    """Asks, and hears that there is no such thing, or of a door of others that it is not theirs."""

    def shut(person, method, path, *, missing=False, **request):
        signed_in = person is not None and person.role == "authenticated"
        missing = missing or not path.startswith("/rpc/")
        status = 404 if missing else 403 if signed_in else 401
        for prefer in ("return=representation", "return=minimal"):
            with nothing_changes(rest.house):
                answer = rest.ask(method, path, person, headers={"Prefer": prefer}, **request)
            assert answer.status_code == status, answer.text
            assert missing or answer.json()["code"] == "42501", answer.text

    return shut


@pytest.fixture
def refuse(rest):
    """Calls a door, and wants this code of RULES 12."""

    def refuse(person, code, door, **arguments):
        with nothing_changes(rest.house):
            answer = rest.call(person, door, **arguments)
        assert answer.json()["code"] == code, answer.text
        assert 400 <= answer.status_code < 500

    return refuse


# ------------------------------------------------------------------------------ with no login


def test_hole_01_anon_read_every_address_and_admission(shut, rain, outsider):
    for person in (None, outsider, rain.member):
        shut(person, "GET", "/users?select=email,is_whitelisted")
        shut(person, "GET", "/users")


def test_hole_02_anon_read_who_witnessed_and_who_voted_for_whom(rest, shut, rain):
    shut(None, "GET", "/witnesses")
    shut(None, "GET", "/tip_to_tip_votes")
    for person in (None, rain.member, rain.moderator, rest.house.service):
        for table in ("election_votes", "ballots", "ballot_boxes"):
            shut(person, "GET", f"/{table}")
            private = rest.ask("GET", f"/{table}", person, headers={"Accept-Profile": "private"})
            assert private.status_code == 406


def test_hole_03_anon_moved_balances(shut, rain):
    body = {"borrower_id": rain.member.id, "lender_id": rain.council.id, "amount": 60}
    for person in (None, rain.member, rain.moderator):
        shut(person, "POST", "/rpc/transfer_cc_for_borrow", missing=True, json=body)
        for door in ("change_purse", "post_entry", "post_entries"):
            shut(person, "POST", f"/rpc/{door}", missing=True, json=body)


def test_hole_04_anon_redeemed_an_invite_for_another(rest, shut, rain, unadmitted):
    (invite,) = rest.house.service.mint_invites(email="somebody@else.test")["invites"]
    body = {"user_id": unadmitted.id, "code": invite["code"]}
    for person in (None, unadmitted, rain.moderator):
        shut(person, "POST", "/rpc/redeem_invite", json=body)
        shut(person, "POST", "/rpc/preview_invite", json={"code": invite["code"]})
        old = body | {"email": "somebody@else.test"}
        shut(person, "POST", "/rpc/redeem_invite_code", missing=True, json=old)
    answer = rest.call(rest.house.service, "redeem_invite", **body)
    assert answer.json()["refused"]["code"] == "INVITE_EMAIL_MISMATCH"
    assert "somebody@else.test" not in answer.text


def test_anon_is_shown_nothing_to_ask_for(rest):
    shown = rest.ask("GET", "/").json()
    assert list(shown["paths"]) == ["/"]
    assert not shown.get("definitions")


# ------------------------------------------------------------------------------ from outside


def test_hole_05_somebody_admitted_themselves(shut, refuse, unadmitted):
    myself = f"/users?id=eq.{unadmitted.id}"
    shut(unadmitted, "PATCH", myself, json={"is_whitelisted": True})
    shut(unadmitted, "PATCH", myself, json={"display_name": "Admitted"})
    shut(unadmitted, "POST", "/admissions", json={"user_id": unadmitted.id})
    for door in ("admit", "is_admitted"):
        asked = {"p_user_id": unadmitted.id}
        shut(unadmitted, "POST", f"/rpc/{door}", missing=True, json=asked)
    refuse(unadmitted, "INVITE_REQUIRED", "get_me")


def test_hole_06_somebody_took_the_name_and_address_of_another(rest, shut, rain, outsider):
    name = {"display_name": rain.moderator.email}
    for whom in (outsider, rain.moderator):
        shut(outsider, "PATCH", f"/users?id=eq.{whom.id}", json=name)
    with nothing_changes(rest.house):
        answer = rest.call(outsider, "update_me", email="bram@rain.chas.test")
    assert answer.json()["code"] == "PGRST202"


def test_hole_07_an_outsider_made_themselves_moderator(rest, shut, refuse, rain, outsider):
    seat = {"community_id": rain.community, "user_id": outsider.id, "roles": ["moderator"]}
    shut(outsider, "POST", "/community_members", json=seat)
    keys = f"community_id=eq.{rain.community}&user_id=eq.{outsider.id}"
    with nothing_changes(rest.house):
        # Asked of a name that never was, PostgREST says the same.
        for table in ("community_members", "never_was"):
            answer = rest.ask("PUT", f"/{table}?{keys}", outsider, json=seat)
            assert (answer.status_code, answer.json()["code"]) == (405, "PGRST105")
    refuse(outsider, "NOT_FOUND", "get_community", community_id=rain.community)


def test_hole_08_an_outsider_voted_for_themselves(shut, refuse, rain, outsider):
    election = {"election_id": rain.things["election_id"], "candidate_id": outsider.id}
    for table in ("election_votes", "ballots"):
        shut(outsider, "POST", f"/{table}", json=election)
    refuse(outsider, "NOT_FOUND", "vote_election", **election)
    refuse(rain.council, "NOT_FOUND", "vote_election", **election)


def test_hole_09_an_outsider_declined_a_tip_to_tip(shut, refuse, rain, outsider):
    proposal = {"proposal_id": rain.things["proposal_id"]}
    vote = proposal | {"user_id": outsider.id, "vote": "decline"}
    shut(outsider, "POST", "/tip_to_tip_votes", json=vote)
    refuse(outsider, "NOT_FOUND", "vote_tip_to_tip", **proposal, vote="decline")


def test_hole_10_an_outsider_witnessed_and_celebrated(shut, refuse, rain, outsider):
    joy = {"declaration_id": rain.things["declaration_id"]}
    shut(outsider, "POST", "/witnesses", json=joy | {"user_id": outsider.id})
    refuse(outsider, "NOT_FOUND", "witness_declaration", **joy)
    jashn = {"jashn_id": rain.things["jashn_id"], "message": "Well done"}
    shut(outsider, "POST", "/jashn_celebrations", json=jashn | {"user_id": outsider.id})
    refuse(outsider, "NOT_FOUND", "celebrate_jashn", **jashn)


# ------------------------------------------------------------------------------ from inside


def test_hole_11_a_member_made_themselves_moderator(shut, refuse, rain):
    here = {"community_id": rain.community}
    seat = here | {"user_id": rain.member.id, "roles": ["member", "moderator"]}
    shut(rain.member, "POST", "/community_members", json=seat)
    shut(rain.member, "PATCH", f"/community_members?user_id=eq.{rain.member.id}", json=seat)
    refuse(rain.member, "FORBIDDEN", "close_election", election_id=rain.things["election_id"])
    council = {"user_id": rain.member.id, "granted": True}
    refuse(rain.member, "FORBIDDEN", "set_council", **here, **council)


def test_hole_12_a_member_declared_a_million_unpaid(shut, refuse, rain):
    joy = {"community_id": rain.community, "title": "A million", "cc_spent": 1_000_000}
    shut(rain.member, "POST", "/declarations", json=joy | {"created_at": "2020-01-01"})
    refuse(rain.member, "INSUFFICIENT_CC", "declare_joy", **joy)


def test_hole_13_a_member_forged_the_voice_of_the_system(rest, shut, rain):
    here = {"community_id": rain.community, "content": "Everybody gets 1000 CC"}
    forged = here | {"user_id": None, "type": "system", "event": "announcement"}
    shut(rain.member, "POST", "/chat_messages", json=forged)
    with nothing_changes(rest.house):
        answer = rest.call(rain.member, "send_message", **here, type="system")
    assert answer.json()["code"] == "PGRST202"


def test_hole_14_a_member_read_another_community_through_a_card(rest, shut, rain, hill):
    card = {"community_id": rain.community, "type": "declaration", "content": ""}
    foreign = {"declaration_id": hill.things["declaration_id"]}
    shut(
        rain.member,
        "POST",
        "/chat_messages",
        json=card | {"reference_id": foreign["declaration_id"]},
    )
    for joined in ("declarations(*)", "*,users(*)"):
        answer = rest.ask("GET", f"/chat_messages?select=*,{joined}", rain.moderator)
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST200")
    with refused("NOT_FOUND"):
        rain.moderator.get_declaration(**foreign)


def test_hole_15_a_member_forged_an_approved_request(shut, rain):
    request = {
        "community_id": rain.community,
        "borrower_id": rain.member.id,
        "lender_id": rain.moderator.id,
        "amount": 50,
        "reason": "Forged",
        "status": "approved",
    }
    shut(rain.member, "POST", "/borrow_requests", json=request)
    shut(rain.member, "POST", "/loans", json={"amount": 50})


def test_hole_16_a_lender_raised_the_amount_before_approving(shut, refuse, rain):
    asked = rain.things["borrow_request_id"]
    shut(rain.member, "PATCH", f"/borrow_requests?id=eq.{asked}", json={"amount": 90})
    lend = {"borrow_request_id": asked, "action": "approved"}
    refuse(rain.member, "INVALID_INPUT", "respond_borrow", **lend, amount=90)


def test_hole_17_a_lender_rewrote_a_request(shut, rain):
    asked = rain.things["borrow_request_id"]
    for rewritten in ({"status": "approved"}, {"borrower_id": rain.moderator.id}):
        shut(rain.member, "PATCH", f"/borrow_requests?id=eq.{asked}", json=rewritten)
    shut(rain.member, "DELETE", f"/borrow_requests?id=eq.{asked}")


def test_hole_18_a_member_minted_a_million_by_an_unpaid_stake(shut, refuse, rain, outsider):
    stake = {"community_id": rain.community, "title": "Mint", "stake_amount": 1_000_000}
    shut(rain.member, "POST", "/tip_to_tip_proposals", json=stake)
    shut(rain.member, "POST", "/stakes", json={"amount": 1_000_000})
    # The puppets: votes of people on no roll.
    vote = {"proposal_id": rain.things["proposal_id"], "vote": "accept"}
    shut(rain.member, "POST", "/tip_to_tip_votes", json=vote | {"user_id": outsider.id})
    shut(rain.member, "POST", "/tip_to_tip_rolls", json={"user_id": outsider.id})
    refuse(rain.moderator, "ACTIVE_TIP_TO_TIP_EXISTS", "propose_tip_to_tip", **stake)


def test_hole_19_a_member_founded_a_community_of_a_thousand_million(shut, refuse, rain):
    riches = {"name": "Riches", "daily_cc_budget": 1_000_000_000}
    shut(rain.member, "POST", "/communities", json=riches)
    shut(rain.moderator, "PATCH", f"/communities?id=eq.{rain.community}", json=riches)
    refuse(rain.member, "INVALID_INPUT", "create_community", **riches)
    patch = {"community_id": rain.community, "patch": {"daily_cc_budget": 1_000_000_000}}
    refuse(rain.moderator, "INVALID_INPUT", "update_community", **patch)


def test_hole_20_somebody_not_on_the_roll_voted(shut, refuse, rain):
    ballot = {"election_id": rain.things["election_id"], "candidate_id": rain.member.id}
    shut(rain.member, "POST", "/election_votes", missing=True, json=ballot)
    refuse(rain.member, "NOT_ELECTOR", "vote_election", **ballot)


def test_hole_21_a_member_rewrote_a_notification(shut, rain):
    own = f"/notifications?id=eq.{rain.things['notification_id']}"
    for rewritten in ({"title": "You won"}, {"type": "system"}, {"user_id": rain.moderator.id}):
        shut(rain.member, "PATCH", own, json=rewritten)
    shut(rain.member, "POST", "/notifications", json={"title": "You won"})


# ------------------------------------------------------------------------------ through its API


def test_hole_22_a_joy_of_one_community_was_witnessed_from_another(refuse, rain, hill):
    joy = hill.things["declaration_id"]
    refuse(rain.member, "NOT_FOUND", "witness_declaration", declaration_id=joy)
    refuse(rain.moderator, "NOT_FOUND", "get_declaration", declaration_id=joy)


def test_hole_23_votes_were_counted_after_the_end(house, clock):
    over = World(house, "Over")
    election = {"election_id": over.things["election_id"]}
    clock.forward(hours=30)

    with refused("ELECTION_CLOSED"):
        over.council.vote_election(**election, candidate_id=over.moderator.id)


def test_hole_24_the_list_of_members_told_addresses_and_invites(rest, rain):
    here = {"community_id": rain.community}
    for person in (rain.member, rain.moderator):
        for door in ("list_members", "get_community"):
            answer = rest.call(person, door, **here)
            assert answer.status_code == 200
            assert "@" not in answer.text
            assert not {"email", "invite_code_id", "is_whitelisted"} & everywhere(answer.json())
    assert "invite_code" not in rest.call(rain.member, "get_community", **here).text


def everywhere(answer):
    """Every key at any depth."""
    if isinstance(answer, dict):
        return set(answer).union(*map(everywhere, answer.values()))
    return set().union(*map(everywhere, answer)) if isinstance(answer, list) else set()


def test_hole_25_a_message_had_no_limit(refuse, rain):
    here = {"community_id": rain.community}
    for long in ("x" * 2_000_000, "x" * 2001, "\U0001f600" * 2001):
        refuse(rain.member, "INVALID_INPUT", "send_message", **here, content=long)
