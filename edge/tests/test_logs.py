"""One line for each request, and no secret in any."""

import io
import json
import logging

from edge.gateway import Gateway
from edge.logs import JsonLines
from edge.tests.project import ask_inside, refused, settings_from


def test_a_request_can_be_found_again_in_the_log(edge):
    answer = edge.ask("GET", "/health")

    line = edge.line_of(answer)
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health", 200)
    assert line["level"] == "INFO"
    assert line["ms"] >= float(answer.headers["X-Process-Time-Ms"]) >= 0


def test_a_name_given_to_a_request_is_kept_if_it_is_one(edge):
    def id_given(value):
        return edge.ask("GET", "/health", headers={"X-Request-Id": value}).headers["X-Request-Id"]

    assert id_given("frontend-00042") == "frontend-00042"
    assert id_given('"}{"level": "fake"') != '"}{"level": "fake"'
    assert len(id_given("x" * 500)) == 32


def test_a_slow_request_stands_out(project):
    with project.edge(SLOW_REQUEST_LOG_THRESHOLD_MS="0") as edge:
        slow = edge.line_of(edge.ask("GET", "/health"))

    assert (slow["message"], slow["level"]) == ("slow request", "WARNING")


def test_the_level_is_kept(project):
    with project.edge(LOG_LEVEL="warning") as edge:
        edge.ask("GET", "/health")
        assert edge.lines() == []


def test_no_line_holds_a_token_a_code_a_key_or_an_address(project, steward, uma, asha):
    """Even at the chattiest level, even when things go wrong."""
    with project.edge(LOG_LEVEL="DEBUG", INVITE_ATTEMPTS_PER_MINUTE="9") as edge:
        wishes = {"email": uma.email, "note": "for the picnic"}
        (invite,) = edge.ask("POST", "/invites", steward, json=wishes).json()["invites"]
        edge.ask("GET", f"/invites/{invite['code']}")
        edge.ask("GET", f"/invites/{invite['code']}?code={invite['code']}")
        edge.ask("GET", f"/no/{invite['code']}")
        edge.ask("POST", "/auth/invite/redeem", asha, json={"invite_code": invite["code"]})
        edge.ask("POST", "/auth/invite/redeem", uma, json={"invite_code": invite["code"]})
        edge.ask("POST", "/auth/invite/redeem", uma, json={"wrong_field": invite["code"]})
        edge.ask("GET", "/auth/session", project.token(uma)[:-2])
        edge.ask("GET", "/auth/access", uma)
        edge.ask("DELETE", "/account", uma)
        for _ in range(9):
            edge.ask("GET", f"/invites/{invite['code']}")
        text = edge.log.read_text()

    assert len(text.splitlines()) > 15
    keys = project.keys
    secrets = [invite["code"], invite["code"].replace("-", ""), uma.email, "for the picnic"]
    secrets += ["@chas.test", "eyJ", "sb_secret", "sb_publishable", keys.secret, "Bearer"]
    assert [secret for secret in secrets if secret in text] == []


def test_an_unforeseen_error_is_told_to_the_log_and_not_to_the_caller(project, monkeypatch):
    """The words of an error may quote what was sent: even the log tells only its kind and place."""

    async def broken(*_: object, **__: object) -> None:
        raise KeyError("asha@chas.test")

    monkeypatch.setattr(Gateway, "call", broken)
    settings = settings_from(project.environment)
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonLines(settings))
    logging.getLogger("edge").addHandler(handler)

    answer = ask_inside(settings, "/health/ready")
    logging.getLogger("edge").removeHandler(handler)

    assert refused(answer, "INTERNAL_ERROR", 500) == {}
    assert "chas.test" not in answer.text + lines.getvalue()
    line = json.loads(lines.getvalue().splitlines()[0])
    assert line["error"] == "KeyError"
    assert line["where"][-1].endswith(" broken")
    assert line["request_id"] == answer.headers["X-Request-Id"]
