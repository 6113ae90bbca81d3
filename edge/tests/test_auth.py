"""/auth/session and /auth/access."""

import psycopg
import pytest

from edge.tests.project import refused


def test_a_session_shows_the_person_themselves(edge, uma):
    user = edge.ask("GET", "/auth/session", uma).json()["user"]

    assert (user["id"], user["email"]) == (uma.id, uma.email)
    assert user["display_name"] == "Uma"
    assert user["is_steward"] is False


def test_a_session_is_true_now(edge, asha):
    edge.ask("GET", "/auth/session", asha)
    asha.update_me(display_name="Asha the Second")

    user = edge.ask("GET", "/auth/session", asha).json()["user"]

    assert user["display_name"] == "Asha the Second"


def test_who_signed_up_while_the_house_did_not_look_is_taken_in(edge, house, sign_up):
    """Their profile is missing; asking who one is makes it."""
    kiri = sign_up("Kiri")
    with psycopg.connect(house.address("supabase_admin")) as power:
        power.execute("set session_replication_role = replica")
        power.execute("delete from private.users where id = %s", [kiri.id])

    user = edge.ask("GET", "/auth/session", kiri).json()["user"]

    assert (user["id"], user["display_name"]) == (kiri.id, "Kiri")


def test_access_tells_whether_one_is_admitted(edge, uma, asha):
    waiting, inside = (edge.ask("GET", "/auth/access", person).json() for person in (uma, asha))

    assert (waiting["whitelisted"], waiting["whitelist_required"]) == (False, True)
    assert (inside["whitelisted"], inside["whitelist_required"]) == (True, True)


@pytest.mark.parametrize("path", ["/auth/session", "/auth/access"])
def test_strangers_are_asked_to_sign_in(edge, path):
    answer = edge.ask("GET", path)

    refused(answer, "UNAUTHORIZED", 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
