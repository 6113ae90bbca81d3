"""The whole of CHAS on one machine, without Docker: `stack.py --help` tells what it does."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

import psycopg
from cluster import ROOT, Cluster, Trouble, lay_platform, push, run_sql, user_name
from keys import PUBLISHABLE, SECRET, Keys, write_private
from programs import answers, gateway, postgrest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from service import Service

# A second stack, such as the contract tests', lives beside the first under a name of its own.
RUN = ROOT / ".local" / os.environ.get("CHAS_STACK", "run")
SUPABASE = ROOT / "supabase"
CLIENT = SUPABASE / "node_modules" / "@supabase" / "supabase-js" / "dist" / "umd" / "supabase.js"


PORTS = {
    "CHAS_GATEWAY_PORT": 54321,
    "CHAS_PG_PORT": 54322,
    "CHAS_REST_PORT": 54323,
    "CHAS_EDGE_PORT": 54324,
}


class Stack:
    """PostgreSQL, PostgREST, the edge, and the gateway before the last two."""

    def __init__(self) -> None:
        if RUN.stat().st_uid != os.geteuid():
            owner = user_name(RUN.stat().st_uid)
            raise Trouble(f".local belongs to {owner}: work as that user, or remove it.")
        self.ports = ports()
        self.url = f"http://127.0.0.1:{self.ports['CHAS_GATEWAY_PORT']}"
        self.keys = Keys.kept_in(RUN / "keys.json")
        self.cluster = Cluster(RUN, self.ports["CHAS_PG_PORT"])
        # Beside the database, where whoever the gateway runs as can get.
        self.example = self.cluster.directory / "example"
        self.edge = self._edge()
        gateway_port, rest_port, edge_port = (
            self.ports[f"CHAS_{name}_PORT"] for name in ("GATEWAY", "REST", "EDGE")
        )
        database = self.cluster.url(role="authenticator")
        self.services = [
            postgrest(RUN, rest_port, database, self.keys),
            self.edge,
            gateway(RUN, gateway_port, rest_port, edge_port, self.keys, self.example),
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
        """The page to look at, with a token for everybody it may be looked at as."""
        self.example.mkdir(exist_ok=True)
        self.example.chmod(0o755)
        people = [
            {
                "id": str(person["id"]),
                "name": person["name"],
                "token": self.keys.user_token(person, self.url),
            }
            for person in self.people_of_the_page()
        ]
        files = {
            "people.json": json.dumps({"key": PUBLISHABLE, "people": people}),
            "supabase.js": CLIENT.read_text(),
        }
        files |= {file.name: file.read_text() for file in (SUPABASE / "example").iterdir()}
        for name, text in files.items():
            file = self.example / name
            file.write_text(text)
            file.chmod(0o644)

    def people_of_the_page(self) -> list[dict[str, Any]]:
        """Everybody here, and always somebody who waits for an invite."""
        query = """
            select a.*, u.display_name as name, private.standing_of(a.id) as standing
            from auth.users as a
            join private.users as u on u.id = a.id
            where private.standing_of(a.id) in ('admitted', 'waiting')
            order by a.created_at, a.email
        """
        with psycopg.connect(self.cluster.url(), row_factory=dict_row) as house:
            people = house.execute(query).fetchall()
        if any(person["standing"] == "waiting" for person in people):
            return people
        email = f"newcomer{len(self.people()) + 1}@example.org"
        return [*people, self.sign_up(email) | {"name": email.partition("@")[0].capitalize()}]

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
        if not self.cluster.is_running():
            raise Trouble("The stack does not run: `make run` starts it.")
        who = who.lower()  # as Auth keeps addresses
        people = {person["email"]: person for person in self.people()}
        names = {email.partition("@")[0]: email for email in reversed(people)}
        email = names.get(who, who)
        if email not in people and sign_up:
            return self.keys.user_token(self.sign_up(email), self.url)
        if email not in people:
            raise Trouble(
                f"Nobody here is called {who}. WHO may be {', '.join(names)}; "
                "with NEW=yes and an e-mail address somebody signs up."
            )
        return self.keys.user_token(people[email], self.url)

    def steward(self, words: list[str]) -> Never:
        """Becomes the edge's own command line, with the keys of this stack."""
        command = [sys.executable, "-m", "edge", *words]
        os.chdir(ROOT)
        os.execve(sys.executable, command, self.edge.environment)

    def people(self) -> list[dict[str, Any]]:
        with psycopg.connect(self.cluster.url(), row_factory=dict_row) as house:
            return house.execute("select * from auth.users order by created_at, email").fetchall()

    def sign_up(self, email: str) -> dict[str, Any]:
        """As Supabase Auth does after Google has vouched for the address."""
        if "@" not in email:
            raise Trouble(f"{email} is no e-mail address.")
        name = email.partition("@")[0].capitalize()
        with psycopg.connect(
            self.cluster.url(role="supabase_auth_admin"), row_factory=dict_row
        ) as auth:
            person = auth.execute(
                """
                insert into auth.users (
                  id, aud, role, email, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
                  created_at, updated_at
                )
                values (%s, 'authenticated', 'authenticated', %s, now(), %s, %s, now(), now())
                returning *
                """,
                (uuid.uuid4(), email, Jsonb({"provider": "google"}), Jsonb({"full_name": name})),
            ).fetchone()
        assert person is not None
        return person

    def explain(self) -> None:
        indent = " " * 22
        print(f"SUPABASE_URL          {self.url}")
        print(f"SUPABASE_ANON_KEY     {PUBLISHABLE}, or the older kind")
        print(f"{indent}{self.keys.role_token('anon')}")
        print(f"SUPABASE_SERVICE_KEY  {SECRET}, or the older kind")
        print(f"{indent}{self.keys.role_token('service_role')}")
        print(f"PostgreSQL            {self.cluster.url()}")
        print(f"A page to look at     {self.url}/example/")
        tokens = {
            person["email"]: self.keys.user_token(person, self.url) for person in self.people()
        }
        if not tokens:
            return
        print("\nTokens, good for half a day (`make token WHO=name` makes another):")
        for email, token in tokens.items():
            print(f"  {email}\n    {token}")
        for token in tokens.values():
            if communities := self.communities(token):
                first = communities[0]["id"]
                print(
                    FIRST_CALLS.format(url=self.url, key=PUBLISHABLE, token=token, community=first)
                )
                return

    def communities(self, token: str) -> list[dict[str, Any]]:
        """Asked as a frontend asks; who is not admitted yet has none."""
        request = urllib.request.Request(f"{self.url}/rest/v1/rpc/list_my_communities", data=b"{}")
        request.add_header("apikey", PUBLISHABLE)
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return list(json.load(answer)["communities"])
        except urllib.error.HTTPError as error:
            if error.code == 403:
                return []
            raise Trouble(f"The first call failed: {error.read().decode()}") from None


FIRST_CALLS = """
Declare a joy with curl:

curl {url}/rest/v1/rpc/declare_joy \\
  -H 'apikey: {key}' \\
  -H 'Authorization: Bearer {token}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"community_id": "{community}", "title": "The smell of rain", "cc_spent": 5}}'

or with supabase-js, from the project's directory:

(cd supabase && ../.venv/bin/node --input-type=module <<'END'
import {{ createClient }} from '@supabase/supabase-js'
const supabase = createClient('{url}', '{key}', {{
  accessToken: async () => '{token}',
}})
const {{ data, error }} = await supabase.rpc('declare_joy', {{
  community_id: '{community}', title: 'A second cup of tea', cc_spent: 3,
}})
console.log(error ?? data)
END
)"""


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
