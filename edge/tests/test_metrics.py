"""/metrics: what an operator watches, and only where the settings say so."""

import pytest

from edge.tests.project import refused


@pytest.fixture(scope="module")
def watched(project):
    with project.edge(METRICS="true", INVITE_ATTEMPTS_PER_MINUTE="3") as edge:
        yield edge


def figures(edge) -> dict[str, float]:
    answer = edge.ask("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = (line for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_unless_asked_for_there_are_none(edge, project):
    refused(edge.ask("GET", "/metrics"), "NOT_FOUND", 404)
    with project.edge(METRICS="false") as unwatched:
        refused(unwatched.ask("GET", "/metrics"), "NOT_FOUND", 404)


def test_every_answer_is_counted_by_door_and_status(watched, asha):
    watched.ask("GET", "/auth/session", asha)
    watched.ask("GET", "/auth/session")
    watched.ask("PUT", "/auth/session")
    watched.ask("GET", "/no/such/door")
    codes = ["ABCD-EFGH-0", "ABCD-EFGH-1", "ABCD-EFGH-2", "ABCD-EFGH-3"]
    for code in codes:
        watched.ask("GET", f"/invites/{code}")
    now = figures(watched)

    def counted(door: str, status: int) -> float:
        return now[f'chas_edge_request_seconds_count{{door="{door}",status="{status}"}}']

    assert counted("GET /auth/session", 200) == 1
    assert counted("GET /auth/session", 401) == 1
    assert counted("none", 405) == 1
    assert counted("none", 404) == 1
    assert counted("GET /invites/{invite}", 404) == 3
    assert counted("GET /invites/{invite}", 429) == 1
    shown = watched.ask("GET", "/metrics").text
    assert [secret for secret in (*codes, asha.email, asha.id, "sb_") if secret in shown] == []


def test_the_house_is_timed_too(watched, asha):
    name = 'chas_edge_house_seconds_{}{{rpc="get_access"}}'
    before = figures(watched).get(name.format("count"), 0)
    watched.ask("GET", "/auth/access", asha)

    after = figures(watched)
    assert after[name.format("count")] == before + 1
    assert 0 < after[name.format("sum")] < 10


def test_the_program_itself_is_measured(watched):
    now = figures(watched)

    assert now["process_resident_memory_bytes"] > 10_000_000
    assert now["process_open_fds"] > 0
    assert now["chas_edge_requests_under_way"] == 1  # this very one


def test_the_api_document_is_for_frontends(watched):
    assert "/metrics" not in watched.ask("GET", "/openapi.json").text
