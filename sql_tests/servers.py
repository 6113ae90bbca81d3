"""A server of our own or the one PGHOST names, and the databases the tests make and drop in it.

pytest-postgresql's janitor makes and drops them. Its fixture for a server somebody else started
takes PGHOST; a server of our own is `cluster.py`'s, for pg_cron wants more than its own fixture
for servers can give.
"""

import fcntl
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from cluster import ROOT, Cluster, check, lay_platform, newest_server, run_as_owner
from psycopg import sql
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

ROOMS = sorted((ROOT / "supabase" / "schemas").glob("*.sql"))

# Where nobody works: a database cannot be copied or dropped while it is in use.
MAINTENANCE = "template1"

given_server = factories.postgresql_noproc(
    host=os.environ.get("PGHOST"),
    port=os.environ.get("PGPORT"),
    user="supabase_admin",
    password=os.environ.get("PGPASSWORD", "postgres"),
    maintenance_dbname=MAINTENANCE,
)


class GivenCluster(Cluster):
    """The one PGHOST names: made as ours are, there for our use, started by somebody else."""

    def __init__(self, given: NoopExecutor) -> None:
        self.host = given.host
        self.port = int(given.port)
        self.password = given.password

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        return f"postgresql://{role}:{self.password}@{self.host}:{self.port}/{database}"


class Standby(Cluster):
    """A copy of a running cluster that follows it."""

    def __init__(self, primary: Cluster, directory: Path, durable: bool = False) -> None:
        super().__init__(directory, durable=durable)
        self.primary = primary

    def _create(self) -> None:
        self.data.mkdir(mode=0o700)
        owner = self.primary.data.stat()
        shutil.chown(self.data, owner.st_uid, owner.st_gid)
        source = self.primary.url(role="supabase_admin")
        program = newest_server() / "pg_basebackup"
        copy: list[str | Path] = [program, "-R", "-X", "stream", "--no-sync", "-c", "fast"]
        check(run_as_owner(self.data, *copy, "-d", source))


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


class Janitor(DatabaseJanitor):
    """Makes and drops one database, over the one connection of its server.

    The database belongs to postgres, as any hosted one does, and is copied file by file: written
    to the log page by page, a clone would take three times as long.
    """

    def __init__(self, server: "Server", name: str, template: str) -> None:
        host, port = server.address
        super().__init__(
            user="supabase_admin",
            host=host,
            port=port,
            dbname=name,
            template_dbname=template,
            maintenance_dbname=MAINTENANCE,
        )
        self._server = server

    @contextmanager
    def cursor(self, dbname: str | None = None) -> Iterator[psycopg.Cursor]:
        with self._server.admin.cursor() as cursor:
            yield cursor

    def _build_create_database_sql(self) -> sql.Composed:
        return super()._build_create_database_sql() + sql.SQL(" owner postgres strategy file_copy")

    def init(self) -> None:
        """Its clock can be moved, as in no hosted database."""
        super().init()
        travel = sql.SQL("alter database {} set chas.time_travel = 'on'")
        self._server.admin.execute(travel.format(sql.Identifier(self.dbname)))


class Server:
    """What the tests do to the databases of a running cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.platform = ""
        self._made: list[Janitor] = []
        self._left: list[Janitor] = []
        self._numbers = itertools.count(1)
        self._connect()

    @property
    def address(self) -> tuple[str, int]:
        return self.admin.info.host, self.admin.info.port

    def _connect(self) -> None:
        url = self.cluster.url(MAINTENANCE, role="supabase_admin")
        self.admin = psycopg.connect(url, autocommit=True)

    def restart(self) -> None:
        self.admin.close()
        self.cluster.stop()
        self.cluster.start()
        self._connect()

    def close(self) -> None:
        while self._made:
            self._drop(self._made[-1])
        self.admin.close()

    def lay_platform(self) -> None:
        """Makes `platform`, a database as empty as a new project."""
        # Workers that share a given server lay it one after the other.
        self.admin.execute("select pg_advisory_lock(1)")
        lay_platform(self.cluster)
        # The launcher of pg_cron sits in it, and takes its time to leave.
        self.admin.execute("""
            select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'postgres'
        """)
        self.platform = self.copy("postgres", "platform")
        self.admin.execute("select pg_advisory_unlock(1)")

    def copy(self, template: str, kind: str) -> str:
        """A database that stays until the end of the run."""
        return self._make(template, kind).dbname

    @contextmanager
    def clone(self, template: str) -> Iterator[str]:
        """Dropped a test late: connections found not quite closed would cost 100 ms each time."""
        while len(self._left) > 1:
            self._drop(self._left.pop(0))
        made = self._make(template, "clone")
        yield made.dbname
        self._left.append(made)

    def _make(self, template: str, kind: str) -> Janitor:
        janitor = Janitor(self, f"{kind}_{os.getpid()}_{next(self._numbers)}", template)
        janitor.init()
        self._made.append(janitor)
        return janitor

    def _drop(self, janitor: Janitor) -> None:
        janitor.drop()
        self._made.remove(janitor)


@contextmanager
def serving(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One for each worker of pytest-xdist, unless PGHOST names one for all."""
    if "PGHOST" in os.environ:
        yield from ready(GivenCluster(request.getfixturevalue("given_server")))
        return
    with own_cluster() as cluster:
        # Before 1.6 the launcher of pg_cron, once sent away, comes back only with the server.
        yield from ready(cluster, then=Server.restart)


def ready(cluster: Cluster, then: Callable[[Server], None] = lambda _: None) -> Iterator[Server]:
    server = Server(cluster)
    try:
        server.lay_platform()
        then(server)
        yield server
    finally:
        server.close()


def build_rooms(url: str) -> None:
    """The house of supabase/schemas, in an empty project, as role postgres."""
    with psycopg.connect(url, autocommit=True) as connection:
        for room in ROOMS:
            connection.execute(room.read_bytes())
