"""The whole of CHAS on one machine, without Docker: `stack.py --help` tells what it does."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as hour_of_day
from pathlib import Path
from typing import Any, Never

import psycopg
from cluster import ROOT, Cluster, Trouble, lay_platform, push, run_sql, user_name
from keys import PUBLISHABLE, SECRET, Keys, write_private
from programs import answers, gateway, postgrest, stand_in
from psycopg.rows import dict_row
from service import Service
from standins import accounts
from standins.accounts import Database

# A second stack, such as the contract tests', lives beside the first under a name of its own.
RUN = ROOT / ".local" / os.environ.get("CHAS_STACK", "run")
SUPABASE = ROOT / "supabase"
CLIENT = SUPABASE / "node_modules" / "@supabase" / "supabase-js" / "dist" / "umd" / "supabase.js"

# The first two are where `supabase start` has the same; the others are none of its own.
PORTS = {
    "CHAS_GATEWAY_PORT": 54321,
    "CHAS_PG_PORT": 54322,
    "CHAS_EDGE_PORT": 54330,
    "CHAS_REST_PORT": 54331,
    "CHAS_AUTH_PORT": 54332,
    "CHAS_REALTIME_PORT": 54333,
}
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Stack:
    """PostgreSQL, PostgREST, what stands in for Auth and Realtime, the edge, and the gateway."""

    def __init__(self) -> None:
        if RUN.stat().st_uid != os.geteuid():
            owner = user_name(RUN.stat().st_uid)
            raise Trouble(f".local belongs to {owner}: work as that user, or remove it.")
        self.ports = ports()
        self.url = f"http://127.0.0.1:{self.ports['CHAS_GATEWAY_PORT']}"
        self.keys = Keys.kept_in(RUN / "keys.json")
        self.cluster = Cluster(RUN, self.ports["CHAS_PG_PORT"])
        self.example = RUN / "example"
        self.edge = self._edge()
        at = {name.split("_")[1]: number for name, number in self.ports.items()}
        self.postgrest = postgrest(
            *(RUN, at["REST"], self.cluster.url(role="authenticator"), self.keys),
            public_url=f"{self.url}/rest/v1",
        )
        auth = {
            "DATABASE_URL": self.cluster.url(role="supabase_auth_admin"),
            "URL": self.url,
            "SITE": f"{self.url}/example/",
        }
        # The real Realtime refuses after five seconds; here nobody has to be slowed down.
        realtime = {"DATABASE_URL": self.cluster.url(role="supabase_admin"), "REFUSE_AFTER": "0"}
        self.services = [
            self.postgrest,
            stand_in("Auth", RUN, at["AUTH"], auth, "/auth/v1/health"),
            stand_in("Realtime", RUN, at["REALTIME"], realtime, "/health"),
            self.edge,
            gateway(
                *(RUN, at["GATEWAY"], at["REST"], at["EDGE"], self.keys, self.example),
                auth_port=at["AUTH"],
                realtime_port=at["REALTIME"],
            ),
        ]

    def _edge(self) -> Service:
        at = self.ports["CHAS_EDGE_PORT"]
        return Service(
            "edge",
            RUN,
            at,
            "CHAS_EDGE_PORT",
            command=[sys.executable, "-m", "edge"],
            environment={
                "SUPABASE_URL": self.url,
                "SUPABASE_ANON_KEY": PUBLISHABLE,
                "SUPABASE_SERVICE_KEY": SECRET,
                "SUPABASE_JWT_SECRET": self.keys.secret,
                "ALLOWED_ORIGINS": "*",
                "EDGE_URL": self.url,
                "ENVIRONMENT": "local",
                "EDGE_PORT": str(at),
            },
            version=newest_change(ROOT / "edge"),
            is_ready=lambda: answers(f"http://127.0.0.1:{at}/health"),
        )

    def up(self) -> None:
        begun = time.monotonic()
        write_private(RUN / "ports.json", json.dumps(self.ports))
        with step(f"PostgreSQL on port {self.ports['CHAS_PG_PORT']}"):
            self.cluster.start()
            lay_platform(self.cluster)
        with step("Migrations"):
            push(self.cluster.url())
        if not self.people():
            with step("The people of the seed"):
                self.seed()
        self.lay_example()
        for service in self.services:
            service.start()
        for service in self.services:
            with step(f"{service.name} on port {service.port}"):
                service.wait()
        print(f"Up in {time.monotonic() - begun:.1f} s.\n")
        self.explain()

    def seed(self) -> None:
        """With a clock that can be moved, so that its people have a few days behind them."""
        admin = self.cluster.url(role="supabase_admin")
        clock = "alter database postgres {} chas.time_travel"
        run_sql(admin, "-c", clock.format("set") + " = 'on'")
        try:
            run_sql(self.cluster.url(), "-f", SUPABASE / "seed.sql")
        finally:
            run_sql(admin, "-c", clock.format("reset"))

    def lay_example(self) -> None:
        """The page to look at, beside the modules it is made of and the addresses of the seed."""
        shutil.rmtree(self.example, ignore_errors=True)
        self.example.mkdir()
        self.example.chmod(0o755)
        seed = [person["email"] for person in self.people() if person["encrypted_password"]]
        files = {
            "settings.json": json.dumps({"key": PUBLISHABLE, "people": seed[:5]}),
            "supabase.js": CLIENT.read_text(),
        }
        files |= {file.name: file.read_text() for file in (SUPABASE / "types").glob("*.js")}
        files |= {file.name: file.read_text() for file in (SUPABASE / "example").iterdir()}
        for name, text in files.items():
            file = self.example / name
            file.write_text(text)
            file.chmod(0o644)

    def stop(self) -> None:
        for service in reversed(self.services):
            service.stop()
        self.cluster.stop()
        print("Stopped.")

    def reset(self) -> None:
        self.stop()
        shutil.rmtree(self.cluster.data, ignore_errors=True)
        self.up()

    def status(self) -> bool:
        runs = {"PostgreSQL": self.cluster.port if self.cluster.is_running() else None}
        runs |= {service.name: service.port if service.pid() else None for service in self.services}
        for name, at in runs.items():
            print(f"{name:<12}{f'runs on port {at}' if at else 'does not run'}")
        return all(runs.values())

    def token(self, who: str, sign_up: bool = False) -> str:
        """As if they had just signed in, and for half a day."""
        self.require_running()
        people = {person["email"]: person for person in self.people()}
        names = {email.partition("@")[0]: email for email in reversed(people)}
        email = names.get(who.lower(), who.lower())
        if email not in people and not sign_up:
            raise Trouble(
                f"Nobody here is called {who}. WHO may be {', '.join(names)}; "
                "with NEW=yes and an e-mail address somebody signs up."
            )
        person = people.get(email) or self.sign_up(email)
        with self.auth() as db:
            session = accounts.open_session(db, person, "password")
            methods = accounts.methods(db, session["id"])
        return self.keys.user_token(person, self.url, session_id=session["id"], methods=methods)

    def require_running(self) -> None:
        if not self.cluster.is_running():
            raise Trouble("The stack does not run: `make run` starts it.")

    def clock(self, at: str) -> None:
        """The house's hour is a setting of its database, which only a superuser may write."""
        self.require_running()
        admin = self.cluster.url(role="supabase_admin")
        (base,) = run_sql(admin, "-c", "select extract(epoch from private.clock())").split()
        if at == "now":
            settings = "reset chas.now; alter database postgres reset chas.time_travel"
        else:
            there = moment(at, datetime.fromtimestamp(float(base), UTC)).isoformat()
            settings = f"set chas.now = '{there}'; alter database postgres"
            settings += " set chas.time_travel = 'on'"
        run_sql(admin, "-c", f"alter database postgres {settings}")
        # Its sessions keep the hour they began with.
        self.postgrest.stop()
        self.postgrest.start()
        self.postgrest.wait()
        with psycopg.connect(self.cluster.url(), autocommit=True) as house:
            for name, command in house.execute("select jobname, command from cron.job order by 1"):
                with step(name):
                    house.execute(command)
            (now,) = house.execute("select private.clock()::timestamp(0)").fetchone() or ("?",)
        moved = "and stays so: `make clock BACK=yes` ends it."
        back = "as everywhere; the days it has lived stay: `make reset` begins anew."
        print(f"In the house it is {now} (UTC), {back if at == 'now' else moved}")

    def steward(self, words: list[str]) -> Never:
        """Becomes the edge's own command line, with the keys of this stack."""
        command = [sys.executable, "-m", "edge", *words]
        os.chdir(ROOT)
        os.execve(sys.executable, command, self.edge.environment)

    def people(self) -> list[dict[str, Any]]:
        with self.auth() as db:
            return db.execute("select * from auth.users order by created_at, email").fetchall()

    def sign_up(self, email: str) -> dict[str, Any]:
        """As Supabase Auth does after Google has vouched for the address."""
        if "@" not in email:
            raise Trouble(f"{email} is no e-mail address.")
        name = email.partition("@")[0].capitalize()
        with self.auth() as db:
            return accounts.sign_up(db, email, data={"full_name": name}, provider="google")

    def auth(self) -> Database:
        return Database.connect(self.cluster.url(role="supabase_auth_admin"), row_factory=dict_row)

    def explain(self) -> None:
        """What one needs to begin with; the addresses last, where they stay in sight."""
        query = """
            select split_part(a.email, '@', 1), m.community_id
            from private.community_members as m
            join auth.users as a on a.id = m.user_id
            where m.left_at is null
            order by a.created_at, a.email limit 1
        """
        with psycopg.connect(self.cluster.url()) as house:
            if first := house.execute(query).fetchone():
                who, community = first
                print(
                    FIRST_CALL.format(url=self.url, key=PUBLISHABLE, who=who, community=community)
                )
        print(f"Letters to sign-ups   lines of {(RUN / 'Auth.log').relative_to(ROOT)}")
        print(f"PostgreSQL            {self.cluster.url()}")
        print(f"SUPABASE_SERVICE_KEY  {SECRET}")
        print(f"SUPABASE_ANON_KEY     {PUBLISHABLE}")
        print(f"SUPABASE_URL          {self.url}")
        print(f"A page to look at     {self.url}/example/")


FIRST_CALL = """\
Declare a joy:

curl -s {url}/rest/v1/rpc/declare_joy -H 'apikey: {key}' \\
  -H "Authorization: Bearer $(make -s token WHO={who})" -H 'Content-Type: application/json' \\
  -d '{{"community_id": "{community}", "title": "The smell of rain", "cc_spent": 5}}'

The seed's people sign in as {who}@example.org and so on, with the password `declared joy`.
`make clock AT='tomorrow 00:05'` turns the day; `make` lists the rest.
"""


def ports() -> dict[str, int]:
    """From the environment, else as at the last `up`, so that `stop` finds what it started."""
    path = RUN / "ports.json"
    known = PORTS | (json.loads(path.read_text()) if path.exists() else {})
    return {name: port(name, os.environ.get(name) or known[name]) for name in PORTS}


def port(variable: str, text: str | int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise Trouble(f"{variable} must be a port number from 1 to 65535, not {text!r}.")
    return number


def moment(text: str, base: datetime) -> datetime:
    """`tomorrow 00:05`, `sunday 00:05` (the next) or `2026-12-06 00:05`: UTC, where Rain lives."""
    day, _, hour = text.lower().rpartition(" ")
    try:
        if day in DAYS:
            to_come = (DAYS.index(day) - base.weekday() - 1) % 7 + 1
            on = base.date() + timedelta(days=to_come)
        elif day in ("today", "tomorrow"):
            on = base.date() + timedelta(days=day == "tomorrow")
        else:
            on = date.fromisoformat(day)
        return datetime.combine(on, hour_of_day.fromisoformat(hour), UTC)
    except ValueError:
        raise Trouble(
            f"AT={text!r} is no moment: AT='tomorrow 00:05', 'sunday 00:05' or '2026-12-06 00:05'."
        ) from None


def newest_change(directory: Path) -> str:
    """So that `up` starts the edge anew where its code is newer than it."""
    return str(max((path.stat().st_mtime_ns for path in directory.rglob("*.py")), default=0))


@contextmanager
def step(what: str) -> Iterator[None]:
    begun = time.monotonic()
    print(f"{what} ... ", end="", flush=True)
    try:
        yield
    except BaseException:
        print("no.")
        raise
    print(f"{time.monotonic() - begun:.1f} s")


@contextmanager
def alone() -> Iterator[None]:
    """Two commands at once would start everything twice."""
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what does not run, and say how to use it")
    commands.add_parser("stop", help="stop everything; what was declared stays")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("reset", help="throw the database away and start with the seed")
    token = commands.add_parser("token", help="print a fresh token for a person")
    token.add_argument("who", help="the e-mail address, or what stands before its @")
    token.add_argument("--sign-up", action="store_true", help="sign up who is not known")
    clock = commands.add_parser("clock", help="move the house's clock, and do what is due then")
    clock.add_argument("at", help="such as 'tomorrow 00:05'; `now` goes back to everybody's time")
    # What follows is the steward's own, --help included.
    commands.add_parser("steward", help="a command of `python -m edge`, here", add_help=False)
    asked, words = parser.parse_known_args()
    if words and asked.command != "steward":
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    try:
        with alone():
            stack = Stack()
            if asked.command == "steward":
                stack.steward(words)
            acts: dict[str, Callable[[], object]] = {
                "up": stack.up,
                "stop": stack.stop,
                "reset": stack.reset,
            }
            if asked.command == "status":
                return 0 if stack.status() else 1
            if asked.command == "token":
                print(stack.token(asked.who, asked.sign_up))
            elif asked.command == "clock":
                stack.clock(asked.at)
            else:
                acts[asked.command]()
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # Where `… | head` has read its fill we go too.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
