"""The program itself."""

import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest


def test_told_to_stop_it_finishes_what_is_under_way(project, sign_up, mint):
    """The house is made to keep somebody waiting while the edge is told to go."""
    kiri, code = sign_up("Kiri"), mint()
    answers: list[httpx.Response] = []
    with project.edge() as edge:
        assert edge.ask("GET", "/auth/access", kiri).status_code == 200
        with psycopg.connect(project.house.address("postgres")) as holding:
            holding.execute("select from private.users where id = %s for update", [kiri.id])
            redeeming = threading.Thread(
                target=lambda: answers.append(
                    edge.ask("POST", "/auth/invite/redeem", kiri, json={"invite_code": code})
                )
            )
            redeeming.start()
            time.sleep(0.5)
            edge.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert edge.process.poll() is None
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{edge.http.base_url}/health")
        redeeming.join()

        assert answers[0].json()["whitelisted"] is True
        assert edge.process.wait(timeout=10) == 0


def test_told_to_stop_it_does_not_wait_for_ever(project):
    """Somebody who began to ask and went silent holds nothing up."""
    half = b"POST /auth/invite/redeem HTTP/1.1\r\nHost: edge\r\nContent-Length: 9\r\n\r\n{"
    with (
        project.edge(HOUSE_TIMEOUT_SECONDS="0.3") as edge,
        socket.create_connection((edge.http.base_url.host, edge.http.base_url.port)) as wire,
    ):
        wire.sendall(half)
        time.sleep(0.3)
        edge.process.send_signal(signal.SIGTERM)
        assert edge.process.wait(timeout=5) == 0


def test_a_proxy_in_the_environment_is_for_the_way_out(project, uma):
    nowhere = "http://127.0.0.1:1"
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"), nowhere)
    with project.edge(**proxies) as edge:
        assert edge.ask("GET", "/auth/session", uma).status_code == 200


def test_at_rest_it_is_small(edge, asha):
    for _ in range(50):
        edge.ask("GET", "/auth/session", asha)

    status = Path(f"/proc/{edge.process.pid}/status").read_text().splitlines()
    (resident,) = [line.split()[1] for line in status if line.startswith("VmRSS")]
    assert int(resident) < 120_000  # kB


def test_a_new_house_is_told_how_to_begin_and_an_old_one_keeps_its_ways(project, house, uma):
    """And a house that is not there yet is told when it comes."""

    def enforced() -> bool:
        return bool(house.service.initialize_settings(enforce_invites=True)["enforce_invites"])

    forget = "update private.settings set enforce_invites = null where true"
    house.owner.sql(forget)
    try:
        with project.edge(ENFORCE_INVITE_WHITELIST="false") as edge:
            wait_until(
                lambda: not edge.ask("GET", "/auth/access", uma).json()["whitelist_required"]
            )
        with project.edge(ENFORCE_INVITE_WHITELIST="true") as edge:
            time.sleep(0.5)
            assert not edge.ask("GET", "/auth/access", uma).json()["whitelist_required"]
            assert not enforced()
    finally:
        house.owner.sql(forget)


def wait_until(holds) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_many_at_once_are_all_answered(edge, sign_up):
    people = [sign_up("Kiri") for _ in range(20)]

    def ask(number):
        path = "/auth/session" if number % 2 else "/auth/access"
        return edge.ask("GET", path, people[number % len(people)]).status_code

    with ThreadPoolExecutor(40) as crowd:
        assert set(crowd.map(ask, range(400))) == {200}


def test_what_is_no_http_at_all_harms_nobody(edge):
    for rubbish in (
        b"\0" * 100,
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ):
        with socket.create_connection((edge.http.base_url.host, edge.http.base_url.port)) as wire:
            wire.sendall(rubbish)
            wire.settimeout(5)
            assert b" 5" not in wire.recv(1000).split(b"\r\n")[0]
    assert edge.ask("GET", "/health").status_code == 200
