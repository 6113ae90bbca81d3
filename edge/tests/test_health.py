"""/health and /health/ready."""

from datetime import UTC, datetime, timedelta


def test_the_edge_says_it_is_up_and_which_one_it_is(project):
    with project.edge(APP_VERSION="1.2.3") as edge:
        assert edge.ask("GET", "/health").json() == {"status": "ok", "version": "1.2.3"}


def test_ready_asks_the_house(edge):
    answer = edge.ask("GET", "/health/ready")

    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "version", "dawn_late_seconds"}


def test_ready_says_when_a_dawn_is_more_than_ten_minutes_late(edge, house, asha):
    assert edge.ask("GET", "/health/ready").json()["status"] == "ok"
    asha.at(datetime.now(UTC) - timedelta(days=2)).create_community(name="Overslept")

    late = edge.ask("GET", "/health/ready").json()

    assert late["status"] == "late"
    assert late["dawn_late_seconds"] > 600
