"""Invites, from the steward's hand to the person let in."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from litestar.stores.memory import MemoryStore

from edge import limits
from edge.tests.project import refused


def redeem(edge, person, code):
    return edge.ask("POST", "/auth/invite/redeem", person, json={"invite_code": code})


# ------------------------------------------------------------------------------ redeeming


def test_an_invite_lets_a_person_in(edge, uma, mint):
    code = mint(theme="mint", welcome_title="Come in", welcome_message="The kettle is on.")

    welcome = redeem(edge, uma, code.lower())

    assert welcome.status_code == 200
    assert welcome.json() | {"invite_code": None} == {
        "whitelisted": True,
        "already_whitelisted": False,
        "invite_code": None,
        "theme": "mint",
        "welcome_title": "Come in",
        "welcome_message": "The kettle is on.",
    }
    assert edge.ask("GET", "/auth/access", uma).json()["whitelisted"] is True
    assert uma.list_my_communities() == {"communities": []}


def test_whoever_is_in_does_not_use_up_an_invite(edge, asha, uma, mint):
    code = mint()

    assert redeem(edge, asha, code).json()["already_whitelisted"] is True
    assert redeem(edge, uma, code).json()["already_whitelisted"] is False


def test_two_people_race_for_the_last_use(edge, sign_up, mint):
    for _ in range(5):
        people, codes = [sign_up("Kiri"), sign_up("Lem")], [mint()] * 2
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(partial(redeem, edge), people, codes))

        (loser,) = [answer for answer in answers if answer.status_code != 200]
        refused(loser, "INVITE_UNAVAILABLE", 409)


def test_an_unknown_code_is_refused_and_counted(edge, uma, mint):
    for _ in range(10):
        refused(redeem(edge, uma, uuid.uuid4().hex), "NOT_FOUND", 404)

    refused(redeem(edge, uma, uuid.uuid4().hex), "RATE_LIMITED", 429)
    refused(redeem(edge, uma, mint()), "RATE_LIMITED", 429)


def test_a_spent_invite_is_unavailable(edge, sign_up, mint):
    code = mint()
    redeem(edge, sign_up("Kiri"), code)

    refused(redeem(edge, sign_up("Lem"), code), "INVITE_UNAVAILABLE", 409)


def test_an_invite_for_somebody_else_does_not_say_for_whom(edge, uma, sign_up, mint):
    code = mint(email="someone@chas.test")

    answer = redeem(edge, uma, code)

    refused(answer, "INVITE_EMAIL_MISMATCH", 403)
    assert "someone" not in answer.text


def test_an_invite_for_my_address_wants_it_confirmed(edge, sign_up, mint):
    kiri = sign_up("Kiri", confirmed=False)

    refused(redeem(edge, kiri, mint(email=kiri.email)), "EMAIL_UNCONFIRMED", 403)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"code"',
        b"{}",
        b'{"invite_code": null}',
        b'{"invite_code": 7}',
        b'{"invite_code": ["x"]}',
        b'{"invite_code": "x", "user_id": "y"}',
        b'{"invite_code": "\\ud800"}',
        b'{"invite_code": "\xff"}',
        b"[" * 5000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_makes_no_sense_is_invalid_input(edge, uma, body):
    sent = edge.ask(
        "POST",
        "/auth/invite/redeem",
        uma,
        content=body,
        headers={"Content-Type": "application/json"},
    )

    refused(sent, "INVALID_INPUT", 422)


@pytest.mark.parametrize("text", ["\0", "x\0y"])
def test_what_is_no_text_is_named(edge, uma, text):
    (field,) = refused(redeem(edge, uma, text), "INVALID_INPUT", 422)["fields"]

    assert field["field"] == "invite_code"


def test_who_you_are_is_asked_before_what_you_want(edge):
    refused(edge.ask("POST", "/auth/invite/redeem", content=b"{"), "UNAUTHORIZED", 401)


# ------------------------------------------------------------------------------ looking at one


def test_anyone_holding_a_code_may_look_at_it(edge, mint):
    code = mint(theme="ink", welcome_title="Psst", email="someone@chas.test")

    seen = edge.ask("GET", f"/invites/{code}")

    assert seen.json() == {
        "state": "open",
        "theme": "ink",
        "welcome_title": "Psst",
        "welcome_message": None,
    }
    assert "someone" not in seen.text


def test_a_code_nobody_minted_is_not_found(edge):
    refused(edge.ask("GET", f"/invites/{uuid.uuid4().hex}"), "NOT_FOUND", 404)
    refused(edge.ask("GET", "/invites/%F0%9F%8C%A7"), "NOT_FOUND", 404)
    refused(edge.ask("GET", "/invites/..%5C'--"), "NOT_FOUND", 404)


def test_a_code_with_a_nul_is_invalid_input(edge):
    refused(edge.ask("GET", "/invites/AB%00CD"), "INVALID_INPUT", 422)


def test_one_address_may_not_try_code_after_code(project, uma):
    with project.edge(INVITE_ATTEMPTS_PER_MINUTE="3") as edge:
        for _ in range(3):
            refused(edge.ask("GET", f"/invites/{uuid.uuid4().hex}"), "NOT_FOUND", 404)
        tried_once_more = edge.ask("GET", f"/invites/{uuid.uuid4().hex}")
        facts = refused(tried_once_more, "RATE_LIMITED", 429)
        assert type(facts["retry_after"]) is int
        assert 0 < facts["retry_after"] <= 60
        assert tried_once_more.headers["Retry-After"] == str(facts["retry_after"])
        refused(redeem(edge, uma, "x"), "RATE_LIMITED", 429)
        assert edge.ask("GET", "/auth/access", uma).status_code == 200


def test_what_was_counted_is_forgotten(monkeypatch):
    """Few addresses come again; a store that never forgot would grow with every one."""
    monkeypatch.setattr(limits, "SWEEP_SECONDS", 0.01)

    async def story() -> None:
        counts = MemoryStore()
        await counts.set("gone", "1", expires_in=timedelta(milliseconds=1))
        await counts.set("here", "1", expires_in=60)
        sweep = asyncio.create_task(limits.forget_the_old(counts))
        await asyncio.sleep(0.1)
        sweep.cancel()
        assert (await counts.exists("gone"), await counts.exists("here")) == (False, True)

    asyncio.run(story())


def test_addresses_are_told_apart_behind_a_proxy_but_not_within_a_household(project):
    with project.edge(INVITE_ATTEMPTS_PER_MINUTE="1") as edge:

        def look(address):
            headers = {"X-Forwarded-For": address}
            return edge.ask("GET", "/invites/ABCD", headers=headers).status_code

        assert look("203.0.113.7") == look("203.0.113.8") == look("2001:db8::1") == 404
        assert look("203.0.113.7") == look("2001:db8::ffff") == 429
        assert look("2001:db8:0:1::1") == look("::ffff:203.0.113.9") == 404
        assert look("::ffff:203.0.113.10") == 404
        assert look("198.51.100.1, 203.0.113.7") == 429  # what a caller adds is not believed


# ------------------------------------------------------------------------------ stewards


def test_a_steward_mints_lists_and_revokes(edge, steward, uma):
    until = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    wishes = {"count": 2, "max_uses": 3, "expires_at": until, "note": "for the picnic 🧺"}
    minted = edge.ask("POST", "/invites", steward, json=wishes)
    assert minted.status_code == 201
    first, second = minted.json()["invites"]
    assert first["code"] != second["code"]
    assert first["max_uses"] == 3

    page = edge.ask("GET", "/invites", steward, params={"page_size": 1}).json()
    assert page["has_more"] is True
    (newest,) = page["invites"]
    older = edge.ask(
        "GET", "/invites", steward, params={"page_size": 1, "before_id": newest["id"]}
    ).json()["invites"]
    assert {newest["id"], older[0]["id"]} == {first["id"], second["id"]}
    assert newest["note"] == "for the picnic 🧺"
    assert first["code"] not in edge.ask("GET", "/invites", steward).text

    revoked = edge.ask("DELETE", f"/invites/{first['id']}", steward)
    assert revoked.status_code == 200
    assert revoked.json()["invite"]["state"] == "revoked"
    refused(redeem(edge, uma, first["code"]), "INVITE_UNAVAILABLE", 409)
    assert redeem(edge, uma, second["code"]).status_code == 200


def test_a_plain_invite_needs_no_wishes(edge, steward, uma):
    (invite,) = edge.ask("POST", "/invites", steward, json={}).json()["invites"]

    assert redeem(edge, uma, invite["code"]).json()["whitelisted"] is True


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/invites"),
        ("GET", "/invites"),
        ("DELETE", "/invites/3f2b8e62-0f4c-4a43-9a57-6f6a5d0c5f10"),
    ],
)
def test_invites_are_for_stewards(edge, asha, uma, method, path):
    for person in (asha, uma):
        refused(edge.ask(method, path, person, json={}), "FORBIDDEN", 403)
    refused(edge.ask(method, path, json={}), "UNAUTHORIZED", 401)


def test_nobody_names_themselves_steward(edge, project, asha):
    """What people may write about themselves is no proof of office."""
    boast = project.token(asha, user_metadata={"chas_role": "steward"}, chas_role="steward")

    refused(edge.ask("GET", "/invites", boast), "FORBIDDEN", 403)


@pytest.mark.parametrize(
    "wishes",
    [
        {"count": 0},
        {"count": -1},
        {"count": 10**30},
        {"count": 2**31},
        {"count": 1.5},
        {"count": "2"},
        {"count": True},
        {"max_uses": 0},
        {"max_uses": 101},
        {"email": "no address"},
        {"email": "a\u0000@chas.test"},
        {"expires_at": "tomorrow"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"expires_at": 1900000000},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"theme": "neon"},
        {"note": {"a": 1}},
        {"created_by": "me"},
    ],
    ids=str,
)
def test_a_wish_that_makes_no_sense_is_invalid_input(edge, steward, wishes):
    refused(edge.ask("POST", "/invites", steward, json=wishes), "INVALID_INPUT", 422)


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=201",
        "page_size=x",
        "page_size=9999999999",
        "before_id=x",
        "size=1",
    ],
)
def test_a_page_that_makes_no_sense_is_invalid_input(edge, steward, query):
    refused(edge.ask("GET", f"/invites?{query}", steward), "INVALID_INPUT", 422)


def test_revoking_what_is_not_there(edge, steward):
    refused(edge.ask("DELETE", f"/invites/{uuid.uuid4()}", steward), "NOT_FOUND", 404)
    refused(edge.ask("DELETE", "/invites/7", steward), "INVALID_INPUT", 422)
