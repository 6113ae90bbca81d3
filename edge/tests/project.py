"""The edge before the real house: PostgreSQL, PostgREST and the local gateway, all of our own.

Only Supabase Auth is absent here; a small server stands in for what the edge asks it.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
from cluster import ROOT, free_port
from keys import PUBLISHABLE, SECRET, Keys
from people import House, Member
from programs import gateway, postgrest

from edge.app import create_app
from edge.settings import Settings

# A pool that closes a spare connection may take one that another thread has just been promised.
NEVER_SPARE = httpx.Limits(max_connections=None, max_keepalive_connections=None)

# ------------------------------------------------------------------------------ programs


@contextmanager
def running(
    command: list[str | Path], log: Path, ready: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that serves until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(ready, process, log)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            said = log.read_text(errors="replace")
            assert process.poll() is None, f"{log.stem} ended:\n{said}"
            assert time.monotonic() < end, f"{log.stem} does not answer:\n{said}"
            time.sleep(0.03)
        else:
            return


@contextmanager
def gateway_before(
    database_url: str, auth: "AuthServer", place: Path, keys: Keys, schemas: str = "public"
) -> Iterator[str]:
    """The address of a project without an edge: PostgREST and Auth behind the local gateway."""
    place.mkdir(exist_ok=True)
    with (
        postgrest(place, free_port(), database_url, keys, schemas=schemas).running() as rest,
        gateway(
            place, free_port(), rest.port, 1, keys, place / "no example", auth_port=auth.port
        ).running() as at,
    ):
        yield f"http://127.0.0.1:{at.port}"


# ------------------------------------------------------------------------------ Supabase Auth


def settings_of_auth() -> dict[str, Any]:
    """As a project with Google answers."""
    external = {"anonymous_users": False, "email": False, "google": True, "phone": False}
    return {"external": external, "disable_signup": False, "mailer_autoconfirm": False}


@dataclass
class AuthServer:
    """Publishes signing keys and settings, and deletes people for whoever has the service key."""

    database_url: str
    published: dict[str, Any]
    fails: bool = False
    failure: int = 500
    port: int = 0
    asked_for_keys: int = 0
    settings: dict[str, Any] = field(default_factory=settings_of_auth)
    headers: list[dict[str, str]] = field(default_factory=list)

    def delete(self, user_id: str) -> bool:
        with psycopg.connect(self.database_url) as auth:
            return auth.execute("delete from auth.users where id = %s", [user_id]).rowcount == 1

    @contextmanager
    def serving(self) -> Iterator["AuthServer"]:
        auth = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith("/settings"):
                    self.answer(500 if auth.fails else 200, auth.settings)
                else:
                    auth.asked_for_keys += 1
                    self.answer(500 if auth.fails else 200, auth.published)

            def do_DELETE(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                auth.headers.append({name.lower(): value for name, value in self.headers.items()})
                if self.headers.get("apikey") != SECRET:
                    self.answer(401, {"code": 401, "error_code": "no_authorization", "msg": "No"})
                elif auth.fails:
                    broken = {"code": auth.failure, "error_code": "unexpected", "msg": "No"}
                    self.answer(auth.failure, broken)
                elif auth.delete(self.path.rpartition("/")[2]):
                    self.answer(200, {})
                else:
                    missing = {"code": 404, "error_code": "user_not_found", "msg": "User not found"}
                    self.answer(404, missing)

            def answer(self, status: int, body: dict[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
            self.port = http.server_port
            thread = threading.Thread(target=http.serve_forever, daemon=True)
            thread.start()
            yield self
            http.shutdown()
            thread.join()


# ------------------------------------------------------------------------------ the project


@dataclass
class Project:
    """What a hosted Supabase project is to the edge."""

    place: Path
    url: str
    keys: Keys
    auth: AuthServer
    house: House

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SUPABASE_URL": self.url,
            "SUPABASE_ANON_KEY": PUBLISHABLE,
            "SUPABASE_SERVICE_KEY": SECRET,
            "SUPABASE_JWT_SECRET": self.keys.secret,
            "ALLOWED_ORIGINS": "https://chas.test",
            "INVITE_ATTEMPTS_PER_MINUTE": "100000",
        }

    def token(self, person: Member, **other: Any) -> str:
        """As Supabase Auth signs it; a claim given as None is left out."""
        claims = {**(person.claims or {}), "iss": f"{self.url}/auth/v1", **other}
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.keys.signing_key, "ES256", headers={"kid": self.keys.key_id})

    @contextmanager
    def edge(self, **settings: str) -> Iterator["Edge"]:
        """The edge as a program of its own, with these settings changed."""
        port = int(settings.get("EDGE_PORT") or free_port())
        log = self.place / f"edge-{port}.log"
        environment = self.environment | {"EDGE_PORT": str(port)} | settings
        url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [sys.executable, "-m", "edge"]
        with (
            running(command, log, f"{url}/health", environment) as process,
            httpx.Client(base_url=url, timeout=20, limits=NEVER_SPARE) as http,
        ):
            yield Edge(self, http, log, process)


@dataclass
class Edge:
    project: Project
    http: httpx.Client
    log: Path
    process: subprocess.Popen[bytes]

    def ask(
        self, method: str, path: str, person: Member | str | None = None, **request: Any
    ) -> httpx.Response:
        """As this person, or with this very token."""
        token = self.project.token(person) if isinstance(person, Member) else person
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= request.pop("headers", {})
        return self.http.request(method, path, headers=headers, **request)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def line_of(self, answer: httpx.Response) -> dict[str, Any]:
        """The one line about a request; it is written when its answer is already on its way."""
        end = time.monotonic() + 10
        while True:
            found = [
                line
                for line in self.lines()
                if line["request_id"] == answer.headers["X-Request-Id"]
            ]
            if found or time.monotonic() > end:
                (line,) = found
                return line
            time.sleep(0.02)


def ask_inside(settings: Settings, path: str) -> httpx.Response:
    """One request to an edge in our own process, with nothing started for it."""

    async def ask() -> httpx.Response:
        app: Any = create_app(settings)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://edge"
        ) as http:
            return await http.get(path)

    return asyncio.run(ask())


def settings_from(environment: dict[str, str]) -> Settings:
    given: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
    return Settings(**given)


def refused(answer: httpx.Response, code: str, status: int) -> dict[str, Any]:
    """The answer is this refusal, in the one shape; its details."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert set(answer.json()) == {"error", "code", "details"}
    assert answer.json()["error"].strip()
    details: dict[str, Any] = answer.json()["details"]
    assert isinstance(details, dict)
    return details
