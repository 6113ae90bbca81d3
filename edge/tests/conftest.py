"""One project and one edge for all tests; each test brings people of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
import servers
from keys import Keys
from people import House, Member
from servers import Server

from edge.tests.project import AuthServer, Edge, Project, gateway_before

given_server = servers.given_server


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with servers.serving(request) as server:
        yield server


@pytest.fixture(scope="session")
def project(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    place = tmp_path_factory.mktemp("project")
    keys = Keys.kept_in(place / "keys.json")
    database = server.copy(server.platform, "edge")

    def address(login: str) -> str:
        return server.cluster.url(database, login)

    servers.build_rooms(address("postgres"))
    house = House(address, frozenset())
    house.clock.at(datetime.now(UTC))
    with ExitStack() as stack:
        auth = AuthServer(address("supabase_auth_admin"), keys.published)
        stack.enter_context(auth.serving())
        url = stack.enter_context(gateway_before(address("authenticator"), auth, place, keys))
        yield Project(place, url, keys, auth, house)
        house.close()


@pytest.fixture(scope="session")
def edge(project: Project) -> Iterator[Edge]:
    with project.edge() as edge:
        yield edge


@pytest.fixture
def house(project: Project) -> House:
    return project.house


# ------------------------------------------------------------------------------ its people


@pytest.fixture
def sign_up(house: House) -> Callable[..., Member]:
    """Every test has its own people: the house is shared, their addresses are not."""

    def sign_up(name: str, **how: Any) -> Member:
        address = f"{name.lower()}-{os.urandom(6).hex()}@chas.test"
        return house.sign_up(address, name, **how)

    return sign_up


@pytest.fixture
def uma(sign_up: Callable[..., Member]) -> Member:
    """Signed up, without an invite."""
    return sign_up("Uma")


@pytest.fixture
def asha(house: House, sign_up: Callable[..., Member]) -> Member:
    """Admitted."""
    return house.admit(sign_up("Asha"))


@pytest.fixture
def steward(house: House, sign_up: Callable[..., Member]) -> Member:
    return house.admit(sign_up("Stella", steward=True))


@pytest.fixture
def mint(house: House) -> Callable[..., str]:
    """Mints one invite as the service role; its code."""

    def mint(**wishes: Any) -> str:
        return str(house.service.mint_invites(**wishes)["invites"][0]["code"])

    return mint


# ------------------------------------------------------------------------------ the command line


@pytest.fixture
def run(project: Project) -> Callable[..., subprocess.CompletedProcess[str]]:
    """One command: its status, what it prints and what it complains of."""

    def run(*words: object, **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "edge", *map(str, words)],
            env=project.environment | settings,
            cwd=project.place,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "sb_secret" not in said
        assert "Traceback" not in said, said
        return done

    return run


@pytest.fixture
def told(run: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Any]:
    """What a command that succeeds answers."""

    def told(*words: object) -> Any:
        done = run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return told


@pytest.fixture
def rain(asha: Member) -> str:
    return str(asha.create_community(name="Rain")["community"]["id"])
