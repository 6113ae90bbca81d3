"""`python -m edge doctor`: each thing a deployment may lack is named, and only that."""

import asyncio
import json
import re
from contextlib import contextmanager

import pytest
from cluster import ROOT, free_port

from edge.__main__ import PARSER
from edge.steward.acts import Unwell
from edge.steward.doctor import DOORS, LACKING, UNSEEN
from edge.steward.program import answer_to
from edge.tests.project import gateway_before, settings_from


@pytest.fixture
def lacking(project):
    """What a visit finds lacking, and what is said of it, without starting a program."""

    def lacking(*words, **changed):
        settings = {name: text for name, text in (project.environment | changed).items() if text}
        asked = PARSER.parse_args(["doctor", *words])
        try:
            answer = asyncio.run(answer_to(asked, settings_from(settings)))
        except Unwell as unwell:
            answer = unwell.answer
        return {c["what"]: c["says"] for c in answer["checks"] if c["state"] == LACKING}

    return lacking


@pytest.fixture
def usual(lacking):
    """What this house lacks anyway, until the last of its doors is built."""
    return lacking().keys()


def test_a_list_is_checked_off(run):
    done = run("doctor")
    lacking = done.stdout.count("[ ] ")
    assert done.returncode == (1 if lacking else 0)
    count = f"{lacking} of {len(done.stdout.splitlines())} are lacking.\n"
    assert done.stderr == (count if lacking else "")
    assert {line[:4] for line in done.stdout.splitlines()} <= {"[x] ", "[ ] ", "[?] "}
    for line in (
        "[x] publishable key: known to the project, and opens no door by itself",
        "[x] tables: none can be named through the API",
        "[x] exposed schemas: public alone",
        "[x] secret key: known to the project",
        "[x] signing keys: published: ES256",
        "[x] ways to sign in: google",
        "[x] anonymous sign-ins: off",
        "[x] addresses: confirmed before they count",
        "[x] browsers: may call from https://chas.test",
    ):
        assert line in done.stdout.splitlines(), done.stdout


def test_what_cannot_be_seen_is_not_called_done(run):
    lines = run("doctor").stdout.splitlines()
    unseen = {line[4:].partition(":")[0] for line in lines if line.startswith("[?]")}

    assert {"migrations", "Realtime", "redirects", "mail", "backups", "edge"} <= unseen


def test_its_doors_are_those_the_edge_and_its_stewards_ask():
    code = "\n".join(
        file.read_text() for file in (ROOT / "edge").rglob("*.py") if "tests" not in file.parts
    )
    asked = r"\.(?:call|ask|act)\(\s*\"(\w+)\"|\.call_as\(\s*caller\.token,\s*\"(\w+)\""

    assert {one or other for one, other in re.findall(asked, code)} == DOORS


def test_another_projects_keys_are_told(lacking):
    found = lacking(
        SUPABASE_ANON_KEY="sb_publishable_another", SUPABASE_SERVICE_KEY="sb_secret_another"
    )

    assert found["publishable key"].startswith("status 401")
    assert {"health", "doors", "jobs on time"} <= found.keys()


def test_a_project_out_of_reach_is_told(lacking):
    found = lacking(SUPABASE_URL=f"http://127.0.0.1:{free_port()}")

    assert {"publishable key", "health", "signing keys", "Auth"} <= found.keys()
    assert "browsers" not in found


def test_auth_as_it_should_not_be_is_told(project, lacking, usual):
    auth, as_it_was = project.auth, project.auth.settings
    external = dict.fromkeys(as_it_was["external"], False) | {"anonymous_users": True}
    auth.settings = {"external": external, "disable_signup": True, "mailer_autoconfirm": True}
    try:
        found = lacking()
    finally:
        auth.settings = as_it_was

    assert found.keys() - usual == {
        "ways to sign in",
        "anonymous sign-ins",
        "addresses",
        "sign-ups",
    }


def test_keys_nobody_publishes_are_told(project, lacking):
    auth = project.auth
    published, auth.published = auth.published, {"keys": []}
    try:
        assert "signing keys" in lacking(SUPABASE_JWT_SECRET="")
        assert "signing keys" not in lacking()  # with the legacy secret
    finally:
        auth.published = published


@pytest.fixture
def exposing(project, house):
    """The same house through another PostgREST, which exposes these schemas."""

    @contextmanager
    def exposing(schemas):
        place = project.place / schemas.replace(", ", "-")
        address = house.address("authenticator")
        with gateway_before(address, project.auth, place, project.keys, schemas) as url:
            yield url

    return exposing


def test_a_schema_too_many_is_told(exposing, lacking):
    with exposing("public, auth") as url:
        assert lacking(SUPABASE_URL=url)["exposed schemas"].endswith("take auth out")
    with exposing("public, private") as url:
        assert lacking(SUPABASE_URL=url)["exposed schemas"].endswith("take private out")


def test_a_door_that_nobody_may_open_is_told(house, lacking):
    house.owner.sql("revoke execute on function public.declare_joy from authenticated")
    try:
        assert lacking()["grants on doors"] == "`mend` puts back: grants on doors"
    finally:
        house.owner.sql("grant execute on function public.declare_joy to authenticated")


def test_a_table_that_can_be_named_is_told(exposing, house, lacking):
    house.owner.sql("create table public.stray (id integer)")
    house.owner.sql("grant select on public.stray to service_role")
    try:
        with exposing("public") as url:
            assert lacking(SUPABASE_URL=url)["tables"].endswith("is a door: /stray")
    finally:
        house.owner.sql("drop table public.stray")


def test_a_frontend_that_may_not_call_is_told(lacking):
    def about(*words, **settings):
        return lacking(*words, **settings).get("browsers", "")

    assert about("--origin", "https://chas.test") == ""
    assert about("--origin", "https://other.test").endswith("not https://other.test")
    assert about(ALLOWED_ORIGINS="") == "ALLOWED_ORIGINS names nobody"
    assert about("--origin", "https://other.test", ALLOWED_ORIGINS="*") == ""


def test_the_edge_itself_is_asked(edge, run, lacking):
    url = str(edge.http.base_url).rstrip("/")
    assert not {"edge", "edge, from a browser"} & (
        lacking("--edge", url, "--origin", "https://chas.test").keys()
    )
    elsewhere = lacking("--edge", url, "--origin", "https://other.test")
    assert "edge, from a browser" in elsewhere
    assert "edge" in lacking("--edge", f"http://127.0.0.1:{free_port()}")
    assert run("doctor", "--edge", "not an address").returncode == 2


def test_what_is_lacking_ends_in_failure(run):
    done = run("doctor", "--origin", "https://other.test")

    assert done.returncode == 1
    assert "[ ] browsers: ALLOWED_ORIGINS names https://chas.test, not https://other.test" in (
        done.stdout.splitlines()
    )


def test_the_list_can_be_read_by_programs(run):
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    assert {check["state"] for check in checks} >= {"done", UNSEEN}
    assert {tuple(check) for check in checks} == {("what", "state", "says")}
