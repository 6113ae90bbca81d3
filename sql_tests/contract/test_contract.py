"""The contract as a frontend lives it: `make run`'s own stack, supabase-js and supabase-py."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import ROOT
from doors import FOR_PEOPLE, SCHEMA, assert_shape, errors
from keys import PUBLISHABLE, SECRET
from postgrest.exceptions import APIError
from supabase import create_client

pytestmark = pytest.mark.contract

FRONTEND = Path(__file__).with_name("frontend.mjs")


def test_starting_it_again_changes_nothing(stack):
    assert "Up in" in stack.run("up")


def test_what_is_printed_fits_a_screen_and_declares_a_joy(stack):
    assert len(stack.printed.splitlines()) <= 25
    assert stack.printed.splitlines()[-1].endswith(f"{stack.url}/example/")
    curl = re.search(r"^curl .*?\}'$", stack.printed, re.S | re.M)
    assert curl

    answer = json.loads(stack.shell(curl.group()))
    assert answer.keys() == {"declaration", "message", "balance"}, answer
    assert answer["declaration"]["cc_spent"] == 5
    assert_shape("balance", answer["balance"])


def test_the_first_call_of_the_readme_works_as_it_is_pasted(stack):
    shown = re.search(r"^```sh\n(TOKEN=.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M)
    assert shown
    answer = json.loads(stack.shell(shown[1].replace("http://127.0.0.1:54321", stack.url)))
    assert answer["declaration"]["title"] == "The smell of rain"
    assert_shape("balance", answer["balance"])


def test_descriptions_name_the_public_address(stack):
    """As a generator of clients reads them: where to call, not where a server listens."""
    rest = httpx.get(f"{stack.url}/rest/v1/", headers={"apikey": SECRET}).json()
    assert f"{rest['schemes'][0]}://{rest['host']}{rest['basePath']}" == f"{stack.url}/rest/v1"
    assert "/rpc/declare_joy" in rest["paths"] or "/rpc/erase_user" in rest["paths"]
    edge = httpx.get(f"{stack.url}/openapi.json").json()
    assert [server["url"] for server in edge["servers"]] == [stack.url]


def test_an_invite_lets_somebody_in(stack):
    """Minted by the service role, redeemed through the edge by somebody who has just signed up."""
    token = stack.token("yuki@example.org", "--sign-up")
    yuki = stack.client(token)
    with pytest.raises(APIError) as waiting:
        yuki.rpc("get_me").execute()
    assert waiting.value.code == "INVITE_REQUIRED"

    service = create_client(stack.url, SECRET)
    minted: Any = service.rpc("mint_invites", {"theme": "mint"}).execute().data
    code = minted["invites"][0]["code"]
    preview = httpx.get(f"{stack.url}/invites/{code}").json()
    assert (preview["state"], preview["theme"]) == ("open", "mint")
    welcome = httpx.post(
        f"{stack.url}/auth/invite/redeem",
        json={"invite_code": code.lower()},
        headers={"Authorization": f"Bearer {token}"},
    ).json()
    assert (welcome["whitelisted"], welcome["already_whitelisted"]) == (True, False)

    me: Any = yuki.rpc("get_me").execute().data
    assert me["email"] == "yuki@example.org"


def test_a_refusal_reaches_supabase_py_with_its_facts(stack):
    asha = stack.client(stack.token("Asha"))
    homes: Any = asha.rpc("list_my_communities").execute().data
    home = homes["communities"][0]
    left = home["balance"]["remaining"]
    arguments = {"community_id": home["id"], "title": "Everything", "cc_spent": left + 7}
    with pytest.raises(APIError) as refused:
        asha.rpc("declare_joy", arguments).execute()
    assert refused.value.code == "INSUFFICIENT_CC"
    facts = json.loads(refused.value.details or "")
    assert (facts["short_by"], facts["largest_possible"]) == (7, left)


# Who is refused what, in the order frontend.mjs tries it.
REFUSALS = [
    ("zoe", "get_me", "INVITE_REQUIRED"),
    ("asha", "update_me", "INVALID_INPUT"),
    ("bram", "join_community", "CONFLICT"),
    ("bram", "join_community", "NOT_FOUND"),
    ("asha", "get_community", "NOT_FOUND"),
    ("bram", "update_community", "FORBIDDEN"),
    ("bram", "list_audit", "FORBIDDEN"),
    ("asha", "edit_message", "FORBIDDEN"),
    ("asha", "declare_joy", "INSUFFICIENT_CC"),
    ("asha", "declare_joy", "INVALID_INPUT"),
    ("bram", "witness_declaration", "CONFLICT"),
    ("asha", "witness_declaration", "CANNOT_WITNESS_OWN"),
    ("asha", "list_messages", "INVALID_INPUT"),
    ("bram", "strike_message", "FORBIDDEN"),
    ("bram", "request_borrow", "CONFLICT"),
    ("chloe", "request_borrow", "DEBT_LIMIT"),
    ("bram", "respond_borrow", "FORBIDDEN"),
    ("bram", "propose_tip_to_tip", "ACTIVE_TIP_TO_TIP_EXISTS"),
    ("asha", "vote_tip_to_tip", "ALREADY_VOTED"),
    ("dara", "vote_tip_to_tip", "PROPOSAL_EXPIRED"),
    ("bram", "create_election", "FORBIDDEN"),
    ("dara", "vote_election", "NOT_ELECTOR"),
    ("bram", "vote_election", "NOT_FOUND"),
    ("asha", "close_election", "CONFLICT"),
    ("asha", "vote_election", "ELECTION_CLOSED"),
    ("asha", "celebrate_jashn", "NOT_FOUND"),
    ("chloe", "end_absence", "CONFLICT"),
    ("asha", "mute_notifications", "INVALID_INPUT"),
    ("dara", "join_community", "FORBIDDEN"),
    ("dara", "get_community", "NOT_FOUND"),
    ("asha", "lift_ban", "NOT_FOUND"),
    ("bram", "leave_community", "LAST_MODERATOR"),
]


@pytest.fixture(scope="module")
def told(stack) -> list[dict[str, Any]]:
    tokens = {name: stack.token(name) for name in ("asha", "bram", "chloe", "dara")}
    tokens["zoe"] = stack.token("zoe@example.org", "--sign-up")
    stack.environment |= {
        "SUPABASE_URL": stack.url,
        "SUPABASE_ANON_KEY": PUBLISHABLE,
        "TOKENS": json.dumps(tokens),
    }
    # Node looks for packages beside the script, and they are in supabase/.
    script = f"cd supabase && node --input-type=module < {FRONTEND}"
    answers: list[dict[str, Any]] = json.loads(stack.shell(script))
    return answers


def test_supabase_js_calls_every_door(told):
    assert {call["rpc"] for call in told} - {None} == set(FOR_PEOPLE)


def test_supabase_js_is_refused_with_codes_and_facts(told):
    refusals = [call for call in told if call.get("error")]
    assert [(call["who"], call["rpc"], call["error"]["code"]) for call in refusals] == REFUSALS
    for call in refusals:
        of = SCHEMA["$defs"]["RefusalFacts"]["properties"][call["error"]["code"]]
        assert not errors(of, json.loads(call["error"]["details"]), call["error"]["code"])
        assert call["status"] in range(400, 430)


def test_supabase_js_gets_the_shapes_of_the_contract(told):
    for name, values in shapes(call["data"] for call in told if call.get("data")).items():
        for value in values:
            assert_shape(name, value)


def test_there_is_no_table_to_read_or_to_write(told):
    """Postgres's own word for a relation that is not there, PostgREST's for one it knows not."""
    tables = told[-1]
    assert (tables["read"], tables["joined"], tables["forged"]) == ("42P01", "PGRST200", 404)


def test_the_books_of_it_all_balance(told):
    audits = [call["data"] for call in told if call["rpc"] == "audit_ledger"]
    assert [audit["balanced"] for audit in audits] == [True, True]


def shapes(answers: Any) -> dict[str, list[dict[str, Any]]]:
    """Every value whose key names a shape, wherever it stands."""
    found: dict[str, list[dict[str, Any]]] = {}
    named = {
        "user": "person",
        "balance": "balance",
        "community": "community",
        "member": "member",
        "members": "member",
        "declaration": "declaration",
        "declarations": "declaration",
        "borrow_request": "borrow_request",
        "loan": "loan",
        "loans": "loan",
        "proposal": "proposal",
        "proposals": "proposal",
        "tip_to_tip": "proposal",
        "election": "election",
        "elections": "election",
        "message": "message",
        "messages": "message",
        "notifications": "notification",
    }

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, dict) and "exported_at" not in value:
            for key, inner in value.items():
                for one in inner if isinstance(inner, list) else [inner]:
                    if key in named and isinstance(one, dict):
                        found.setdefault(named[key], []).append(one)
                walk(inner)

    walk(list(answers))
    return found
