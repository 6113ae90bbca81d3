"""`make run`'s own stack, beside whatever else runs, for the real clients."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cluster import ROOT, Cluster, free_port
from keys import PUBLISHABLE
from stack import PORTS
from supabase import Client, ClientOptions, create_client

STACK = ROOT / "supabase" / "local" / "stack.py"
NODE = Path(sys.executable).with_name("node")


class Stack:
    printed: str

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = os.environ | {"CHAS_STACK": place.name}
        self.environment |= {name: str(free_port()) for name in PORTS}
        self.environment["PATH"] = f"{NODE.parent}:{os.environ['PATH']}"
        self.url = f"http://127.0.0.1:{self.environment['CHAS_GATEWAY_PORT']}"
        # As somebody who may do everything.
        self.database = Cluster(place, int(self.environment["CHAS_PG_PORT"])).url(
            role="supabase_admin"
        )

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, STACK, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def token(self, who: str, *options: str) -> str:
        return self.run("token", who, *options).strip()

    def client(self, token: str) -> Client:
        options = ClientOptions(headers={"Authorization": f"Bearer {token}"})
        return create_client(self.url, PUBLISHABLE, options)

    def shell(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One for each module of tests, which may run beside each other."""
    now = datetime.now(UTC)
    if now.hour == 23 and now.minute >= 55:
        # The seed's people live in UTC: let their Sunset and Dawn pass first.
        time.sleep(60 * (60 - now.minute))
    place = ROOT / ".local" / f"contract-{request.path.stem}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    stack = Stack(place)
    try:
        stack.printed = stack.run("up")
        yield stack
    finally:
        stack.run("stop")
        shutil.rmtree(place, ignore_errors=True)
