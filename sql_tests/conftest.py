"""A server of our own, a template database for each house, and a fresh clone for each test."""

import fcntl
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from cluster import ROOT, Cluster, lay_platform, push
from people import Caller, Clock, House, Member, Row
from psycopg import sql
from rest import Rest
from world import NOW

ROOMS = sorted((ROOT / "supabase" / "schemas").glob("*.sql"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--house",
        choices=["schemas", "migrations", "both"],
        default="both",
        help="run on the house built from the rooms, from the migrations, or on both",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of a run: what its tests recorded, added up."""
    figures: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        figures.update({name: int(str(figure)) for name, figure in report.user_properties})
    for name, figure in figures.items():
        terminalreporter.write_line(f"Figure: {figure:,} {name}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "build_house" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("house")
        houses = ["schemas", "migrations"] if wanted == "both" else [wanted]
        metafunc.parametrize("build_house", houses, indirect=True, scope="session")


# ------------------------------------------------------------------------------ the server


class GivenCluster(Cluster):
    """The one PGHOST names: made as ours are, there for our use, started by somebody else."""

    def __init__(self) -> None:
        self.port = int(os.environ.get("PGPORT", "5432"))

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        password = os.environ.get("PGPASSWORD", "postgres")
        return f"postgresql://{role}:{password}@{os.environ['PGHOST']}:{self.port}/{database}"


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """In the first place no other run is using; what a killed run left there goes first."""
    for place in places():
        place.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            cluster = Cluster(place, durable=False)
            cluster.stop()
            shutil.rmtree(cluster.data, ignore_errors=True)
            cluster.start()
            try:
                yield cluster
            finally:
                cluster.stop()
                shutil.rmtree(cluster.directory)
            return


def places() -> Iterator[Path]:
    """In memory where there is room: a clone is 900 files, made there in 15 ms, on disk in 300."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    base = memory / f"chas-test-{os.getuid()}" if roomy else ROOT / ".local" / "test"
    return (base / str(number) for number in itertools.count())


class Server:
    """What the tests do to the databases of a running cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.is_given = isinstance(cluster, GivenCluster)
        self.platform = ""
        self._made: list[str] = []
        self._left: list[str] = []
        self._numbers = itertools.count(1)
        self._connect()

    def _connect(self) -> None:
        url = self.cluster.url("template1", role="supabase_admin")
        self._admin = psycopg.connect(url, autocommit=True)

    def restart(self) -> None:
        self._admin.close()
        self.cluster.stop()
        self.cluster.start()
        self._connect()

    def close(self) -> None:
        while self._made:
            self._drop(self._made[-1])
        self._admin.close()

    def lay_platform(self) -> None:
        """Makes `platform`, a database as empty as a new project."""
        # Workers that share a given server lay it one after the other.
        self._admin.execute("select pg_advisory_lock(1)")
        lay_platform(self.cluster)
        # The launcher of pg_cron sits in it, and a database in use cannot be copied.
        self._admin.execute("""
            select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'postgres'
        """)
        self.platform = self.copy("postgres", "platform")
        self._admin.execute("select pg_advisory_unlock(1)")

    def copy(self, template: str, kind: str) -> str:
        """The copy belongs to postgres, as any hosted database does; its clock can be moved."""
        name = f"{kind}_{os.getpid()}_{next(self._numbers)}"
        new = sql.Identifier(name)
        create = sql.SQL("create database {} template {} owner postgres strategy file_copy")
        self._admin.execute(create.format(new, sql.Identifier(template)))
        self._made.append(name)
        self._admin.execute(sql.SQL("alter database {} set chas.time_travel = 'on'").format(new))
        return name

    @contextmanager
    def clone(self, template: str) -> Iterator[str]:
        """Dropped a test late: connections found not quite closed would cost 100 ms each time."""
        while len(self._left) > 1:
            self._drop(self._left.pop(0))
        name = self.copy(template, "clone")
        yield name
        self._left.append(name)

    def _drop(self, name: str) -> None:
        self._admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        self._made.remove(name)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One for each worker of pytest-xdist, unless PGHOST names one for all."""
    with ExitStack() as closing:
        given = "PGHOST" in os.environ
        server = Server(GivenCluster() if given else closing.enter_context(own_cluster()))
        closing.callback(server.close)
        server.lay_platform()
        if not given:
            # Before 1.6 the launcher of pg_cron, once sent away, comes back only with the server.
            server.restart()
        yield server


@pytest.fixture(scope="session")
def build_rooms(server: Server) -> Callable[[str], None]:
    """Builds the house of supabase/schemas in an empty project, as role postgres."""

    def from_rooms(database: str) -> None:
        with psycopg.connect(server.cluster.url(database), autocommit=True) as connection:
            for room in ROOMS:
                connection.execute(room.read_bytes())

    return from_rooms


@pytest.fixture(scope="session")
def build_house(
    server: Server, build_rooms: Callable[[str], None], request: pytest.FixtureRequest
) -> Callable[[str], None]:
    """Builds the house of this run, that of the rooms or that of the migrations."""

    def from_migrations(database: str) -> None:
        push(server.cluster.url(database))

    return build_rooms if request.param == "schemas" else from_migrations


@pytest.fixture(scope="session")
def template(server: Server, build_house: Callable[[str], None]) -> str:
    """The name of a finished house, to be cloned."""
    name = server.copy(server.platform, build_house.__name__)
    build_house(name)
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
