"""One house, built once from the rooms, and a fresh clone of it for each test."""

from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest
import servers
from people import Caller, Clock, House, Member, Row
from rest import Rest
from servers import Server
from world import NOW

given_server = servers.given_server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of a run: what its tests recorded, added up."""
    figures: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        figures.update({name: int(str(figure)) for name, figure in report.user_properties})
    for name, figure in figures.items():
        terminalreporter.write_line(f"Figure: {figure:,} {name}")


# ------------------------------------------------------------------------------ the house


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with servers.serving(request) as server:
        yield server


@pytest.fixture(scope="session")
def build_rooms(server: Server) -> Callable[[str], None]:
    """Builds the house of supabase/schemas in an empty project."""
    return lambda database: servers.build_rooms(server.cluster.url(database))


@pytest.fixture(scope="session")
def template(server: Server, build_rooms: Callable[[str], None]) -> str:
    """The name of a finished house, to be cloned."""
    name = server.copy(server.platform, "rooms")
    build_rooms(name)
    return name


@pytest.fixture(scope="session")
def read_only_doors(server: Server, template: str) -> frozenset[str]:
    query = """
      select proname from pg_proc
      where pronamespace = 'public'::regnamespace and provolatile <> 'v'
    """
    with psycopg.connect(server.cluster.url(template)) as connection:
        return frozenset(name for (name,) in connection.execute(query))


@pytest.fixture
def house(server: Server, template: str, read_only_doors: frozenset[str]) -> Iterator[House]:
    with server.clone(template) as database:
        house = House(lambda login: server.cluster.url(database, login), read_only_doors)
        yield house
        house.close()


@pytest.fixture(scope="session")
def rest(
    server: Server,
    template: str,
    read_only_doors: frozenset[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rest]:
    """One house behind PostgREST for all who ask; each test brings people of its own."""
    database = server.copy(template, "rest")
    house = House(lambda login: server.cluster.url(database, login), read_only_doors)
    house.clock.at(NOW)
    with Rest.serving(house, tmp_path_factory.mktemp("rest")) as rest:
        yield rest
    house.close()


# ------------------------------------------------------------------------------ its people


@pytest.fixture
def clock(house: House) -> Clock:
    return house.clock


@pytest.fixture
def service(house: House) -> Caller:
    """The edge, with the service key."""
    return house.service


@pytest.fixture
def sign_up(house: House) -> Callable[..., Member]:
    return house.sign_up


@pytest.fixture
def admit(house: House) -> Callable[[Member], Member]:
    return house.admit


@pytest.fixture
def books(house: House) -> Callable[[str], Row]:
    return house.books


@pytest.fixture
def unadmitted(house: House) -> Member:
    """Signed up, without an invite."""
    return house.sign_up("uma@chas.test", "Uma")


@pytest.fixture
def stranger(house: House) -> Member:
    """Admitted, and a member of no community."""
    return house.admit(house.sign_up("sol@chas.test", "Sol"))


@pytest.fixture
def asha(house: House) -> Member:
    """The moderator of rain."""
    return house.admit(house.sign_up("asha@chas.test", "Asha"))


@pytest.fixture
def rain(asha: Member) -> str:
    """The id of a community with 100 CC a day in UTC."""
    community: Row = asha.create_community(name="Rain")["community"]
    return str(community["id"])


@pytest.fixture
def join_rain(house: House, asha: Member, rain: str) -> Callable[[str, str], Member]:
    """Signs up, admits and brings into rain one person more."""
    code = asha.get_community(community_id=rain)["community"]["invite_code"]

    def join(email: str, full_name: str) -> Member:
        person = house.admit(house.sign_up(email, full_name))
        person.join_community(invite_code=code)
        return person

    return join


@pytest.fixture
def bram(join_rain: Callable[[str, str], Member]) -> Member:
    return join_rain("bram@chas.test", "Bram")


@pytest.fixture
def chloe(join_rain: Callable[[str, str], Member]) -> Member:
    return join_rain("chloe@chas.test", "Chloe")
