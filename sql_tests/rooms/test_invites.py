"""Invites: minting, redeeming, looking, listing, revoking (RULES 1.3 to 1.5)."""

import json
import uuid
from functools import partial

import psycopg
import pytest
from people import paged, refused, together


@pytest.fixture
def mint(service):
    """Mints one invite, as a steward would through the edge."""

    def mint_one(**wanted):
        (invite,) = service.mint_invites(**wanted)["invites"]
        return invite

    return mint_one


@pytest.fixture
def redeem(service):
    def redeem_code(person, code):
        return service.redeem_invite(user_id=person.id, code=code)

    return redeem_code


def refusal_in(answer, code):
    """This one refusal is returned, not raised, so that the count of misses survives."""
    assert answer.keys() == {"refused"}
    assert answer["refused"]["code"] == code
    return answer["refused"]


# ------------------------------------------------------------------------------ minting


def test_minting_shows_codes_that_cannot_be_guessed(service):
    invites = service.mint_invites(count=50, theme="mint", max_uses=3)["invites"]
    codes = [invite["code"] for invite in invites]

    assert len(set(codes)) == 50
    assert all(len(code) >= 16 for code in codes)
    assert len(set("".join(codes))) == 32
    assert all(invite["max_uses"] == 3 for invite in invites)
    assert all(invite["theme"] == "mint" for invite in invites)
    assert all(invite["expires_at"] is None for invite in invites)


def test_a_code_is_stored_nowhere(house, mint):
    code = mint(note="for a friend")["code"]
    (row,) = house.owner.sql("select i::text as everything from private.invites as i")

    assert code.lower() not in row["everything"].lower()


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"count": 101},
        {"max_uses": 0},
        {"max_uses": 101},
        {"theme": "neon"},
        {"email": "no address"},
        {"expires_at": "2026-03-02 12:00+00"},
        {"welcome_title": "  "},
        {"note": "x" * 281},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_invite_that_makes_no_sense_is_not_minted(service, wrong):
    with refused("INVALID_INPUT", field=next(iter(wrong))):
        service.mint_invites(**wrong)


def test_people_cannot_mint_redeem_or_list(asha):
    for call in (
        asha.mint_invites,
        asha.list_invites,
        partial(asha.redeem_invite, user_id=asha.id, code="x"),
        partial(asha.preview_invite, code="x"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            call()


# ------------------------------------------------------------------------------ redeeming


def test_an_invite_lets_a_person_in_and_welcomes_them(mint, redeem, unadmitted):
    invite = mint(theme="ink", welcome_title="Come in", welcome_message="The kettle is on.")
    answer = redeem(unadmitted, invite["code"])

    assert answer == {
        "whitelisted": True,
        "already_whitelisted": False,
        "invite_code": invite["code"],
        "theme": "ink",
        "welcome_title": "Come in",
        "welcome_message": "The kettle is on.",
    }
    assert unadmitted.get_access()["whitelisted"] is True


def test_case_blanks_and_hyphens_do_not_matter(mint, redeem, unadmitted):
    code = mint()["code"].lower()
    assert redeem(unadmitted, f"  {code[:4]}-{code[4:9]} {code[9:]}\n")["whitelisted"] is True


def test_an_unknown_code_is_not_found(redeem, unadmitted):
    refusal_in(redeem(unadmitted, "0123456789ABCDEF"), "NOT_FOUND")
    refusal_in(redeem(unadmitted, ""), "NOT_FOUND")
    assert unadmitted.get_access()["whitelisted"] is False


def test_a_spent_an_expired_and_a_revoked_invite_let_nobody_in(
    service, clock, mint, redeem, unadmitted, sign_up
):
    spent, revoked = mint(), mint()
    expired = mint(expires_at="2026-03-02 13:00+00")
    redeem(sign_up("first@chas.test"), spent["code"])
    service.revoke_invite(invite_id=revoked["id"])
    clock.at("2026-03-02 13:00+00")

    for invite, state in ((spent, "spent"), (expired, "expired"), (revoked, "revoked")):
        refusal = refusal_in(redeem(unadmitted, invite["code"]), "INVITE_UNAVAILABLE")
        assert refusal["details"] == {"state": state}
    assert unadmitted.get_access()["whitelisted"] is False


def test_whoever_is_in_already_uses_nothing_up(service, mint, redeem, asha):
    invite = mint()
    answer = redeem(asha, invite["code"])

    assert answer["whitelisted"] is True
    assert answer["already_whitelisted"] is True
    listed = {row["id"]: row for row in service.list_invites()["invites"]}
    assert listed[invite["id"]]["uses"] == 0


def test_a_bound_invite_is_for_its_confirmed_address_alone(mint, redeem, sign_up):
    invite = mint(email="Vera@Chas.test")

    mismatch = refusal_in(
        redeem(sign_up("other@chas.test"), invite["code"]), "INVITE_EMAIL_MISMATCH"
    )
    assert "vera" not in json.dumps(mismatch).lower()
    vera = sign_up("vera@chas.test", confirmed=False)
    refusal_in(redeem(vera, invite["code"]), "EMAIL_UNCONFIRMED")


def test_a_bound_invite_opens_for_its_address_whatever_its_case(mint, redeem, sign_up):
    invite = mint(email="Vera@Chas.test")
    assert redeem(sign_up("vera@chas.test"), invite["code"])["whitelisted"] is True


def test_the_last_use_of_an_invite_admits_exactly_one(mint, redeem, sign_up):
    code = mint(max_uses=3)["code"]
    people = [sign_up(f"p{n}@chas.test") for n in range(8)]
    answers = together(*[partial(redeem, person, code) for person in people])

    assert sum("whitelisted" in answer for answer in answers) == 3
    assert sum(person.get_access()["whitelisted"] for person in people) == 3
    for answer in answers:
        if "refused" in answer:
            refusal_in(answer, "INVITE_UNAVAILABLE")


def test_one_person_redeeming_twice_at_once_uses_an_invite_once(service, mint, redeem, unadmitted):
    invite = mint(max_uses=5)
    answers = together(*[partial(redeem, unadmitted, invite["code"])] * 4)

    assert sorted(answer["already_whitelisted"] for answer in answers) == [False, True, True, True]
    (listed,) = service.list_invites()["invites"]
    assert listed["uses"] == 1


def test_after_ten_misses_within_an_hour_even_the_right_code_waits(
    clock, mint, redeem, unadmitted, sign_up
):
    code = mint(max_uses=2)["code"]
    for _ in range(10):
        refusal_in(redeem(unadmitted, "wrong"), "NOT_FOUND")
        clock.forward(minutes=5)

    refusal = refusal_in(redeem(unadmitted, code), "RATE_LIMITED")
    assert refusal["details"]["possible_at"] == "2026-03-02T13:00:00+00:00"
    assert redeem(sign_up("other@chas.test"), code)["whitelisted"] is True
    clock.at("2026-03-02 13:00+00")
    assert redeem(unadmitted, code)["whitelisted"] is True


def test_guesses_made_at_once_are_all_counted(redeem, unadmitted):
    answers = together(*[partial(redeem, unadmitted, f"guess {n}") for n in range(20)])
    codes = [answer["refused"]["code"] for answer in answers]

    assert codes.count("NOT_FOUND") == 10
    assert codes.count("RATE_LIMITED") == 10


def test_a_suspended_person_is_not_let_in_again_by_a_new_code(house, mint, redeem, asha):
    house.owner.sql(
        "update private.admissions set suspended_at = private.clock() where user_id = %(id)s",
        id=asha.id,
    )
    refusal_in(redeem(asha, mint()["code"]), "FORBIDDEN")
    assert asha.get_access()["whitelisted"] is False


def test_nobody_unknown_is_let_in(mint, service):
    refusal_in(
        service.redeem_invite(user_id=str(uuid.uuid4()), code=mint()["code"]), "UNAUTHORIZED"
    )


# ------------------------------------------------------------------------------ looking


def test_whoever_holds_a_code_sees_its_state_and_welcome_but_no_address(service, mint):
    invite = mint(email="vera@chas.test", theme="sunset", welcome_title="Evening")
    seen = service.preview_invite(code=invite["code"].lower())

    assert seen == {
        "state": "open",
        "theme": "sunset",
        "welcome_title": "Evening",
        "welcome_message": None,
    }


def test_an_unknown_code_shows_nothing(service):
    with refused("NOT_FOUND"):
        service.preview_invite(code="0123456789ABCDEF")


def test_invites_are_listed_newest_first_page_by_page(service):
    minted = [invite["id"] for invite in service.mint_invites(count=7)["invites"]]
    listed = paged(service.list_invites, "invites", page_size=3)

    assert [invite["id"] for invite in listed] == minted[::-1]
    assert all("code" not in invite for invite in listed)
    assert {"id", "state", "uses", "max_uses", "email", "expires_at", "note", "created_at"} <= (
        listed[0].keys()
    )


@pytest.mark.parametrize("page_size", [0, 201, -1])
def test_a_page_has_1_to_200_rows(service, page_size):
    with refused("INVALID_INPUT", field="page_size"):
        service.list_invites(page_size=page_size)


def test_revoking_is_for_good_and_may_be_repeated(service, mint, redeem, unadmitted):
    invite = mint(max_uses=2)
    redeem(unadmitted, invite["code"])

    first = service.revoke_invite(invite_id=invite["id"])["invite"]
    assert first["state"] == "revoked"
    assert service.revoke_invite(invite_id=invite["id"])["invite"] == first
    assert unadmitted.get_access()["whitelisted"] is True
    with refused("NOT_FOUND"):
        service.revoke_invite(invite_id=str(uuid.uuid4()))
