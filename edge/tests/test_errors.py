"""Every error has one shape, and says nothing it should not."""

import os

import psycopg
import pytest
from cluster import free_port

from edge.errors import OF_THE_EDGE, OF_THE_HOUSE
from edge.tests.project import gateway_before, refused


def test_the_edge_knows_the_refusals_of_the_house_and_their_status(house):
    rows = house.owner.sql("select code, status from private.refusal_codes()")

    assert {row["code"]: row["status"] for row in rows} == OF_THE_HOUSE
    assert not OF_THE_HOUSE.keys() & OF_THE_EDGE.keys()


def test_what_is_not_there_is_not_found(edge):
    for path in ("/nowhere", "/invites/a/b", "/auth", "/schema", "/docs"):
        refused(edge.ask("GET", path), "NOT_FOUND", 404)


def test_a_wrong_method_is_told_the_right_ones(edge):
    answer = edge.ask("PUT", "/auth/session")

    refused(answer, "METHOD_NOT_ALLOWED", 405)
    assert "GET" in answer.headers["Allow"]


def test_a_body_too_large_is_not_read(edge, uma):
    answer = edge.ask("POST", "/auth/invite/redeem", uma, json={"invite_code": "x" * 70_000})

    refused(answer, "BODY_TOO_LARGE", 413)


def test_an_endless_body_is_not_read_either(edge, uma):
    """Sent in chunks, it does not tell its length."""
    pieces = (b"x" * 10_000 for _ in range(10))
    headers = {"Content-Type": "application/json"}
    answer = edge.ask("POST", "/auth/invite/redeem", uma, content=pieces, headers=headers)

    refused(answer, "BODY_TOO_LARGE", 413)


def test_a_wrong_value_is_named_but_not_repeated(edge, uma):
    answer = edge.ask("POST", "/auth/invite/redeem", uma, json={"invite_code": 424242})

    (field,) = refused(answer, "INVALID_INPUT", 422)["fields"]
    assert field["field"] == "invite_code"
    assert "424242" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/ready"),
        ("GET", "/auth/session"),
        ("GET", "/auth/access"),
        ("POST", "/auth/invite/redeem"),
        ("GET", "/invites/ABCD"),
        ("POST", "/invites"),
        ("GET", "/invites"),
        ("DELETE", "/invites/3f2b8e62-0f4c-4a43-9a57-6f6a5d0c5f10"),
        ("DELETE", "/account"),
    ],
)
def test_a_house_out_of_reach_is_unavailable(cut_off, steward, method, path):
    for edge in cut_off:
        token = edge.project.token(steward, iss=edge.issuer)
        refused(
            edge.ask(method, path, token, json={"invite_code": "x"} if "redeem" in path else {}),
            "UNAVAILABLE",
            502,
        )
        assert edge.ask("GET", "/health").status_code == 200


@pytest.fixture(scope="module")
def cut_off(project, server):
    """Two edges: one with nothing behind it, one whose PostgREST has lost its database."""
    nothing = f"http://127.0.0.1:{free_port()}"
    lost = f"lost_{os.getpid()}"
    as_superuser(server, f"create database {lost} template template0")
    address = server.cluster.url(lost, "authenticator")
    with (
        gateway_before(address, project.auth, project.place / lost, project.keys) as no_database,
        project.edge(SUPABASE_URL=nothing) as first,
        project.edge(SUPABASE_URL=no_database) as second,
    ):
        as_superuser(server, f"drop database {lost} with (force)")
        first.issuer, second.issuer = f"{nothing}/auth/v1", f"{no_database}/auth/v1"
        yield first, second


def as_superuser(server, statement) -> None:
    with psycopg.connect(server.cluster.url(role="supabase_admin"), autocommit=True) as admin:
        admin.execute(statement)


def test_a_wrong_service_key_is_our_trouble_and_not_the_callers(project, uma):
    with project.edge(SUPABASE_SERVICE_KEY="sb_secret_another") as edge:
        refused(edge.ask("GET", "/auth/session", uma), "UNAVAILABLE", 502)


def test_either_kind_of_key_will_do(project, uma):
    keys = project.keys
    legacy = {
        "SUPABASE_ANON_KEY": keys.role_token("anon"),
        "SUPABASE_SERVICE_KEY": keys.role_token("service_role"),
    }
    with project.edge(**legacy) as edge:
        assert edge.ask("GET", "/auth/session", uma).status_code == 200
        assert edge.ask("GET", "/auth/access", uma).status_code == 200


# ------------------------------------------------------------------------------ browsers


def test_a_browser_may_call_from_an_allowed_origin(edge):
    asked = {
        "Origin": "https://chas.test",
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization, apikey, content-type, x-client-info",
    }

    preflight = edge.ask("OPTIONS", "/account", headers=asked)

    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://chas.test"
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in allowed for name in ("authorization", "apikey", "content-type", "x-client"))
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("path", ["/auth/session", "/nowhere", "/health"])
def test_a_browser_may_read_refusals_too(edge, path):
    answer = edge.ask("GET", path, headers={"Origin": "https://chas.test"})

    assert answer.headers["Access-Control-Allow-Origin"] == "https://chas.test"
    assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"].lower()


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "https://chas.test.evil.test", "http://chas.test", "null"]
)
def test_no_other_origin_may(edge, origin):
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}

    assert "Access-Control-Allow-Origin" not in edge.ask("GET", "/health", headers=asked).headers
    preflight = edge.ask("OPTIONS", "/health", headers=asked)
    assert preflight.headers.get("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/auth/session"])
def test_every_answer_is_guarded(edge, path):
    headers = edge.ask("GET", path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert "server" not in headers
