"""The API document is true: every door is asked what it may be asked, and more, at random.

EDGE_FUZZ_EXAMPLES (default 25) is how many examples each door gets.
"""

import os

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from edge.tests.project import ask_inside, refused, settings_from

EXAMPLES = int(os.environ.get("EDGE_FUZZ_EXAMPLES", "25"))


# What the document says does not depend on the project.
ANY_PROJECT = settings_from(
    {
        "SUPABASE_URL": "https://abc.supabase.co",
        "SUPABASE_ANON_KEY": "sb_publishable_abc",
        "SUPABASE_SERVICE_KEY": "sb_secret_abc",
    }
)
DOCUMENT = ask_inside(ANY_PROJECT, "/openapi.json").json()

doors = schemathesis.openapi.from_dict(DOCUMENT)


@doors.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == 25,
    suppress_health_check=list(HealthCheck),
)
def test_every_door_answers_as_the_document_says(case, edge, project, house):
    """Each time somebody new calls: one erases themselves, one guesses codes too often."""
    someone = house.admit(house.sign_up(f"{os.urandom(8).hex()}@chas.test", "Fuzz", steward=True))
    headers = {"Authorization": f"Bearer {project.token(someone)}"}

    # A code that fits the pattern need not exist.
    case.call_and_validate(
        base_url=str(edge.http.base_url),
        headers=headers,
        excluded_checks=[positive_data_acceptance],
    )


def test_every_door_is_in_the_document(edge):
    assert edge.ask("GET", "/openapi.json").json() == DOCUMENT
    assert {
        f"{method.upper()} {path}"
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
    } == {
        "GET /health",
        "GET /health/ready",
        "GET /auth/session",
        "GET /auth/access",
        "POST /auth/invite/redeem",
        "GET /invites/{invite}",
        "POST /invites",
        "GET /invites",
        "DELETE /invites/{invite}",
        "DELETE /account",
    }


def test_the_document_says_which_doors_want_a_token(edge):
    for path, methods in DOCUMENT["paths"].items():
        for method, door in methods.items():
            answer = edge.ask(method, path.replace("{invite}", "x"))
            if door.get("security"):
                assert "401" in door["responses"]
                refused(answer, "UNAUTHORIZED", 401)
            else:
                assert answer.status_code != 401
