"""What breaks behind the edge, before it and within it while it serves."""

import asyncio
import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from cluster import free_port
from programs import gateway, postgrest

from edge import tokens
from edge.tests.project import refused
from edge.tests.wire import Wire


@pytest.fixture(scope="module")
def frail(project):
    """An edge at the end of a wire, that waits a second and no longer."""
    with (
        Wire(project.url).laid() as wire,
        project.edge(**behind(project, wire.url), HOUSE_TIMEOUT_SECONDS="1") as edge,
    ):
        yield edge, wire


def behind(project, url) -> dict[str, str]:
    """The project at another address, with the tokens it always had."""
    return {"SUPABASE_URL": url, "SUPABASE_ISSUER": f"{project.url}/auth/v1"}


@pytest.fixture
def wire(frail):
    """Whole before and after."""
    _, wire = frail
    yield wire
    wire.way = "whole"


@pytest.fixture
def edge(frail, wire, uma):
    """It knows the keys of the project, and Uma."""
    edge, _ = frail
    assert edge.ask("GET", "/auth/session", uma).status_code == 200
    return edge


def redeem(edge, person, code):
    return edge.ask("POST", "/auth/invite/redeem", person, json={"invite_code": code})


def timed(act):
    begun = time.monotonic()
    return act(), time.monotonic() - begun


def uses(house) -> int:
    """Of the invite minted last."""
    return int(house.service.list_invites(page_size=1)["invites"][0]["uses"])


# ------------------------------------------------------------------------------ the house


def test_a_session_asks_the_house_once(edge, wire, sign_up):
    kiri = sign_up("Kiri")
    wire.asked = b""

    assert edge.ask("GET", "/auth/session", kiri).status_code == 200

    assert wire.asked.count(b"POST ") == 1
    assert b"/rpc/get_account " in wire.asked


def test_a_house_that_hangs_is_waited_for_a_while_by_everybody_at_once(edge, wire, uma):
    """Twice as many as there are connections; the edge itself goes on answering."""
    wire.way = "hangs"
    with ThreadPoolExecutor(200) as crowd:
        asking = [crowd.submit(edge.ask, "GET", "/auth/session", uma) for _ in range(200)]
        time.sleep(0.5)
        alive, patience = timed(lambda: httpx.get(f"{edge.http.base_url}/health"))
        begun = time.monotonic()
        answers = [asked.result() for asked in asking]

    assert (alive.status_code, patience < 1) == (200, True)
    assert time.monotonic() - begun < 5
    for answer in answers:
        refused(answer, "UNAVAILABLE", 502)
    wire.way = "whole"
    assert edge.ask("GET", "/auth/session", uma).status_code == 200


def test_an_answer_in_drops_is_not_waited_for_longer(edge, wire, uma):
    wire.way = "drips"

    answer, seconds = timed(lambda: edge.ask("GET", "/auth/session", uma))

    refused(answer, "UNAVAILABLE", 502)
    assert 0.9 < seconds < 2.5
    own = [line for line in edge.lines() if line["request_id"] == answer.headers["X-Request-Id"]]
    assert own[0] | {"message": "no answer", "cause": "TimeoutError"} == own[0]


def test_an_act_whose_answer_was_lost_can_be_asked_again(edge, wire, uma, mint, house):
    code = mint()
    wire.way = "loses"
    refused(redeem(edge, uma, code), "UNAVAILABLE", 502)
    wire.way = "whole"

    assert redeem(edge, uma, code).json()["already_whitelisted"] is True
    assert uses(house) == 1


def test_a_slow_database_is_given_up_and_what_it_did_is_seen_later(edge, uma, mint, house):
    code = mint()
    with psycopg.connect(house.address("postgres")) as holding:
        holding.execute("select from private.users where id = %s for update", [uma.id])
        answer, seconds = timed(lambda: redeem(edge, uma, code))
        refused(answer, "UNAVAILABLE", 502)
        assert seconds < 2.5

    assert redeem(edge, uma, code).json()["whitelisted"] is True
    assert uses(house) == 1


def test_connections_of_the_database_that_die_are_made_anew(edge, uma, server):
    kill = """
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name like 'PostgREST%'
    """
    with psycopg.connect(server.cluster.url(role="supabase_admin")) as admin:
        assert admin.execute(kill).rowcount > 0

    well_again(edge, uma)


def well_again(edge, person, within=10) -> None:
    """Until then it refuses, and in the one way."""
    end = time.monotonic() + within
    while True:
        answer = edge.ask("GET", "/auth/session", person)
        if answer.status_code == 200:
            return
        refused(answer, "UNAVAILABLE", 502)
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_postgrest_that_comes_back_is_asked_again(project, house, uma):
    port, place = free_port(), project.place / "comes-back"
    place.mkdir()
    rest = postgrest(place, port, house.address("authenticator"), project.keys)
    before = gateway(
        place, free_port(), port, 1, project.keys, place / "no example", auth_port=project.auth.port
    )
    with (
        before.running() as at,
        project.edge(**behind(project, f"http://127.0.0.1:{at.port}")) as edge,
    ):
        for _ in range(2):
            refused(edge.ask("GET", "/auth/session", uma), "UNAVAILABLE", 502)
            with rest.running():
                well_again(edge, uma)


# ------------------------------------------------------------------------------ the keys


def test_keys_out_of_reach_hold_nobody_up_who_has_a_known_one(project, monkeypatch):
    """Ten minutes on, the first to ask waits and learns; whoever comes after does not wait."""
    monkeypatch.setattr(tokens, "FETCH_SECONDS", 0.5)
    kid = project.keys.key_id
    now = 1000.0

    async def story(wire) -> None:
        nonlocal now
        async with httpx.AsyncClient() as http:
            keys = tokens.Keys(f"{wire.url}/auth/v1/.well-known/jwks.json", http, lambda: now)

            async def find() -> float:
                begun = time.monotonic()
                assert await keys.find(kid)
                return time.monotonic() - begun

            await find()
            wire.way, now = "hangs", now + 600
            assert 0.5 <= await find() < 2
            for _ in range(3):
                now += 10
                assert await find() < 0.5
                await asyncio.sleep(0.1)
            asked = wire.asked.count(b"GET ")
            assert asked == 3  # the first, the one in vain, and one that still hangs
            wire.way, now = "whole", now + 10
            await asyncio.sleep(0.8)
            now += 10
            await find()
            await asyncio.sleep(0.5)
            assert wire.asked.count(b"GET ") == asked + 1
            now += 599
            await find()
            assert wire.asked.count(b"GET ") == asked + 1

    with Wire(project.url).laid() as wire:
        asyncio.run(story(wire))


def test_an_edge_that_never_saw_the_keys_says_so_in_time(project, uma):
    with Wire(project.url).laid() as wire:
        wire.way = "hangs"
        with project.edge(**behind(project, wire.url)) as edge:
            answer, seconds = timed(lambda: edge.ask("GET", "/auth/session", uma))
            refused(answer, "UNAVAILABLE", 502)
            assert seconds < 5
            wire.way = "whole"
            well_again(edge, uma)


# ------------------------------------------------------------------------------ the caller


def test_a_caller_who_hangs_up_has_asked_all_the_same(edge, project, house, uma, mint):
    """The act is done whole, and the log has its line."""
    body = json.dumps({"invite_code": mint()})
    name = f"hung-up-{uma.id}"
    request = (
        "POST /auth/invite/redeem HTTP/1.1\r\nHost: edge\r\n"
        f"Authorization: Bearer {project.token(uma)}\r\nX-Request-Id: {name}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    with psycopg.connect(house.address("postgres")) as holding:
        holding.execute("select from private.users where id = %s for update", [uma.id])
        with socket.create_connection((edge.http.base_url.host, edge.http.base_url.port)) as wire:
            wire.sendall(request.encode())
            time.sleep(0.3)

    def lines():
        return [line for line in edge.lines() if line["request_id"] == name]

    end = time.monotonic() + 5
    while not lines():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert uma.get_access()["whitelisted"] is True
    (line,) = lines()
    assert (line["path"], line["status"]) == ("/auth/invite/redeem", 200)


# ------------------------------------------------------------------------------ the edge


def test_restarted_in_the_middle_nobody_hears_half_an_answer(project, sign_up):
    """Between the two a connection may be refused; whoever gets one gets an answer."""
    people = [sign_up("Kiri") for _ in range(6)]
    port = str(free_port())
    over = threading.Event()
    heard: list[int] = []

    def keep_asking(person) -> None:
        headers = {"Authorization": f"Bearer {project.token(person)}"}
        while not over.is_set():
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/auth/session", headers=headers)
            except httpx.ConnectError:
                time.sleep(0.02)
            else:
                assert answer.json()["user"]["id"] == person.id
                heard.append(answer.status_code)

    with ThreadPoolExecutor(len(people)) as crowd:
        try:
            with project.edge(EDGE_PORT=port) as first:
                asking = [crowd.submit(keep_asking, person) for person in people]
                time.sleep(1)
                first.process.send_signal(signal.SIGTERM)
                assert first.process.wait(timeout=10) == 0
            before = len(heard)
            with project.edge(EDGE_PORT=port):
                time.sleep(1)
                over.set()
                for asked in asking:
                    asked.result()
        finally:
            over.set()

    assert set(heard) == {200}
    assert 0 < before < len(heard)
