"""A private PostgreSQL cluster on 127.0.0.1, dressed as a hosted Supabase database.

It works for root (the server then runs as the system user postgres) and for anybody else (the
server is theirs). Nothing outside the given directory is touched.
"""

import os
import pwd
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = ROOT / "supabase" / "local" / "platform.sql"
CLI = ROOT / "supabase" / "node_modules" / "@supabase" / "cli-linux-x64" / "bin" / "supabase"
# It counts nothing, and what it keeps and unpacks lies here and neither at home nor in /tmp.
OF_THE_CLI = {
    "DO_NOT_TRACK": "1",
    "SUPABASE_HOME": str(ROOT / ".local" / "cli"),
    "BUN_TMPDIR": str(ROOT / ".local"),
}

Mode = Literal["hosted_old", "hosted_new"]

# Where the distribution's servers lie; another tree of the same shape may be named (postgres17.sh).
SERVERS = Path(os.environ.get("CHAS_POSTGRES", "/")) / "usr"

# A distribution's own server, with the two extensions CHAS needs, newest first.
EXTENSIONS = ("pg_cron", "plpgsql_check")


# The data directory, in a command of its owner's.
HERE = "@data@"


class Trouble(Exception):
    """Something the person at the keyboard can mend; the message says what."""


class Cluster:
    """`directory` holds the data in `pg`; without a `port` a free one is taken at every start."""

    def __init__(self, directory: Path, port: int | None = None, durable: bool = True) -> None:
        self.directory = directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self.directory / "pg"
        self.port = port
        self._wanted_port = port
        self.durable = durable

    def start(self) -> None:
        if self.is_running() and self._wanted_port in (None, self.port):
            return
        self.stop()
        if not self.data.exists():
            self._create()
        self.data.joinpath("postmaster.pid").unlink(missing_ok=True)
        self.port = self._wanted_port or free_port()
        if not comes_free(self.port):
            raise Trouble(
                f"Port {self.port}, wanted for PostgreSQL, is taken: "
                "set CHAS_PG_PORT to a free one."
            )
        self.data.joinpath("chas.conf").write_text(self._settings())
        log = self.data / "postgres.log"
        # Without a log of its own the server would keep our caller's output open for ever.
        start = ["start", "-w", "-s", "-t", "60", "-l", f"{HERE}/{log.name}"]
        started = run_as_owner(self.data, self._tool("pg_ctl"), *start)
        if started.returncode:
            raise Trouble(f"PostgreSQL did not start; its last words:\n{tail(log)}")

    def stop(self) -> None:
        if self.is_running():
            stop = ["stop", "-w", "-s", "-m", "fast"]
            check(run_as_owner(self.data, self._tool("pg_ctl"), *stop))

    def is_running(self) -> bool:
        """Asks the process itself: a pid file outlives `kill -9`, and pids are used again."""
        if not self.data.exists():
            return False
        owner = self.data.stat().st_uid
        if owner != server_user().pw_uid:
            raise Trouble(
                f"{self.data} belongs to {user_name(owner)}: work as the user who made it, "
                "or remove it as that user."
            )
        try:
            lines = self.data.joinpath("postmaster.pid").read_text().splitlines()
            runs = Path(f"/proc/{int(lines[0])}/cwd").resolve() == self.data.resolve()
            if runs:
                self.port = int(lines[3])
        except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError, ValueError):
            return False
        return runs

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        return f"postgresql://{role}:postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def _create(self) -> None:
        """Renamed into place when complete, so that an interrupted one never looks finished."""
        new = self.directory / "pg.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        os.chown(new, server_user().pw_uid, server_user().pw_gid)
        initdb = newest_server() / "initdb"
        flags = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--no-sync"]
        check(run_as_owner(new, initdb, "-U", "supabase_admin", *flags))
        with new.joinpath("postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'chas.conf'\n")
        new.rename(self.data)

    def _settings(self) -> str:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "wal_level": "logical",
            "max_replication_slots": 20,
            "max_wal_senders": 20,
            "max_worker_processes": 20,
            "statement_timeout": "2min",
            # What CHAS asks is over before it would be compiled; an unpacked server has no LLVM.
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "shared_preload_libraries": "pg_stat_statements,pg_cron,plpgsql_check",
            "cron.database_name": "postgres",
            "cron.timezone": "UTC",
            "cron.use_background_workers": "on",
            "cron.log_statement": "off",
        }
        if not self.durable:
            # synchronous_commit stays on: without it a logical slot reads nothing yet.
            settings |= dict.fromkeys(("fsync", "full_page_writes", "autovacuum"), "off")
        return "".join(f"{name} = '{value}'\n" for name, value in settings.items())

    def _tool(self, name: str) -> Path:
        version = self.data.joinpath("PG_VERSION").read_text().strip()
        tool = SERVERS / "lib" / "postgresql" / version / "bin" / name
        if not tool.exists():
            raise Trouble(
                f"{self.data} was made by PostgreSQL {version}, which is gone: "
                f"install postgresql-{version} again, or start anew with `make reset`."
            )
        return tool


def lay_platform(cluster: Cluster, mode: Mode = "hosted_new") -> None:
    """What Supabase brings before the first migration; safe to repeat."""
    choose = f"set chas.platform = '{mode}'"
    run_sql(cluster.url(role="supabase_admin"), "-c", choose, "-f", PLATFORM)


def push(cluster_url: str, project: Path = ROOT) -> None:
    """Applies what is missing of supabase/migrations, as role postgres, as one does hosted."""
    check(run(CLI, "db", "push", f"--remote={cluster_url}", "--yes", "--workdir", project))


def run_sql(url: str, *arguments: str | Path) -> str:
    """psql, stopping at the first error; `arguments` as `-c STATEMENT` and `-f FILE`."""
    psql = newest_server() / "psql"
    return check(run(psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments, url))


def newest_server() -> Path:
    """The programs of the newest PostgreSQL here that has the extensions CHAS needs."""
    for bin_directory in sorted(SERVERS.glob("lib/postgresql/*/bin"), reverse=True):
        share = SERVERS / "share" / "postgresql" / bin_directory.parent.name / "extension"
        if all((share / f"{name}.control").exists() for name in EXTENSIONS):
            return bin_directory
    raise Trouble(
        "No PostgreSQL with pg_cron and plpgsql_check was found: `make install` installs it."
    )


def server_user() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root; the package's own user stands in."""
    try:
        return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise Trouble("There is no system user postgres: `make install` brings it.") from None


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs to the end, its output and errors kept together."""
    return subprocess.run(
        [str(part) for part in command],
        env=clean_environment() | OF_THE_CLI,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )


def clean_environment() -> dict[str, str]:
    """Neither PG* nor a proxy of the caller's may steer anything away from our own servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get(name)]))
    return kept


def run_as_owner(data: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """With the data directory handed over open, under the name HERE.

    So the project may lie where the server's user cannot go, as under root's closed home: they
    need no way to what they already hold.
    """
    options: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = server_user()
        options = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    held = os.open(data, os.O_PATH | os.O_DIRECTORY)
    try:
        path = f"/proc/self/fd/{held}"
        words = [str(word).replace(HERE, path) for word in (*command, "-D", HERE)]
        return run(*words, cwd="/", pass_fds=[held], **options)
    finally:
        os.close(held)


def check(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise Trouble(f"{Path(done.args[0]).name} failed:\n{done.stdout.strip()}")
    return done.stdout


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def comes_free(port: int) -> bool:
    """Now or in a moment: what was killed is gone before the last of its threads lets go of it, and
    the kernel lends such ports to outgoing connections, mostly for as long."""
    end = time.monotonic() + 5
    while not is_free(port):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    """Below those the kernel lends to outgoing connections: what is free now is so in a while."""
    while not is_free(port := random.randrange(20_000, 32_000)):
        pass
    return port
