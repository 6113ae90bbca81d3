"""Leaving for good."""

import jwt
import psycopg
import pytest

from edge.tests.project import refused


def sign_ins(project, person) -> int:
    with psycopg.connect(project.auth.database_url) as auth:
        return auth.execute("select from auth.users where id = %s", [person.id]).rowcount


def profile(house, person):
    return house.owner.read("users", id=person.id)[0]


@pytest.fixture(params=[500, 404], ids=["broken", "not found by somebody else"])
def auth_fails(project, request):
    """A 404 that is not Auth's own word about the person says nothing of the person."""
    project.auth.fails, project.auth.failure = True, request.param
    yield
    project.auth.fails = False


def test_a_person_erases_themselves(edge, project, house, asha):
    asha.create_community(name="Left behind")

    assert edge.ask("DELETE", "/account", asha).json() == {"erased": True}

    assert sign_ins(project, asha) == 0
    assert profile(house, asha)["erased_at"] is not None
    assert profile(house, asha)["display_name"] != "Asha"
    refused(edge.ask("GET", "/auth/session", asha), "UNAUTHORIZED", 401)


def test_the_admin_api_is_asked_with_the_secret_key_where_it_belongs(edge, project, asha):
    edge.ask("DELETE", "/account", asha)

    asked = project.auth.headers[-1]
    assert asked["apikey"] == "sb_secret_local"
    # The gateway turns the key into its role's token; Asha's own goes no further than the edge.
    told = jwt.decode(
        asked["authorization"].removeprefix("Bearer "), options={"verify_signature": False}
    )
    assert told["role"] == "service_role"


def test_an_erasure_that_stopped_half_way_is_finished_by_asking_again(
    edge, project, house, asha, auth_fails
):
    refused(edge.ask("DELETE", "/account", asha), "UNAVAILABLE", 502)
    assert sign_ins(project, asha) == 1
    assert profile(house, asha)["erased_at"] is not None
    refused(edge.ask("GET", "/auth/session", asha), "UNAUTHORIZED", 401)

    project.auth.fails = False
    assert edge.ask("DELETE", "/account", asha).json() == {"erased": True}
    assert sign_ins(project, asha) == 0


def test_erasing_what_is_gone_changes_nothing(edge, asha):
    for _ in range(2):
        assert edge.ask("DELETE", "/account", asha).json() == {"erased": True}


def test_one_who_waits_for_an_invite_may_leave_too(edge, project, uma):
    assert edge.ask("DELETE", "/account", uma).json() == {"erased": True}
    assert sign_ins(project, uma) == 0


def test_nobody_erases_without_signing_in(edge):
    refused(edge.ask("DELETE", "/account"), "UNAUTHORIZED", 401)
