"""What runs beside the database: PostgREST, the gateway, and what is served."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster import ROOT, free_port
from keys import PUBLISHABLE, SECRET, Keys
from service import Service
from stack import POSTGREST, answers

GATEWAY = ROOT / "supabase" / "local" / "gateway.conf"


@contextmanager
def running(service: Service) -> Iterator[Service]:
    service.start()
    try:
        service.wait()
        yield service
    finally:
        service.stop()


@contextmanager
def rest(database_url: str, directory: Path, keys: Keys) -> Iterator[Service]:
    """PostgREST as the local stack runs it."""
    at = free_port()
    settings = {
        "db-uri": database_url,
        "db-schemas": "public",
        "db-extra-search-path": "public,extensions",
        "db-anon-role": "anon",
        "db-pool": 10,
        "server-host": "127.0.0.1",
        "server-port": at,
        "jwt-secret": json.dumps(keys.accepted),
        "jwt-cache-max-lifetime": 3600,
        "log-level": "error",
    }
    config = directory / "postgrest.conf"
    service = Service(
        *("PostgREST", directory, at, "CHAS_REST_PORT"),
        command=[POSTGREST, config],
        config=(config, "".join(f"{key} = {json.dumps(v)}\n" for key, v in settings.items())),
        is_ready=lambda: answers(f"http://127.0.0.1:{at}/"),
    )
    with running(service):
        yield service


@contextmanager
def gateway(rest_port: int, directory: Path, keys: Keys) -> Iterator[str]:
    """The gateway of the local stack before PostgREST: the address of a whole project."""
    at = free_port()
    text = GATEWAY.read_text()
    for name, value in {
        "GATEWAY_PORT": str(at),
        "REST_PORT": str(rest_port),
        "EDGE_PORT": "1",
        "PUBLISHABLE": PUBLISHABLE,
        "SECRET": SECRET,
        "ANON_TOKEN": keys.role_token("anon"),
        "SERVICE_TOKEN": keys.role_token("service_role"),
        "JWKS": json.dumps(keys.published),
    }.items():
        text = text.replace(f"@{name}@", value)
    place = directory / "gateway"
    place.mkdir(exist_ok=True)
    config = place / "nginx.conf"
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    url = f"http://127.0.0.1:{at}"
    service = Service(
        *("gateway", directory, at, "CHAS_GATEWAY_PORT"),
        command=[nginx, "-e", "stderr", "-p", f"{place}/", "-c", config],
        config=(config, text),
        is_ready=lambda: answers(f"{url}/auth/v1/.well-known/jwks.json"),
    )
    with running(service):
        yield url


@contextmanager
def served(
    name: str, command: Sequence[str], environment: Mapping[str, str], directory: Path
) -> Iterator[Service]:
    """An edge, or what stands for one; it says at /health that it is up."""
    at = free_port()
    service = Service(
        *(name, directory, at, "EDGE_PORT"),
        command=command,
        environment={**environment, "EDGE_PORT": str(at)},
        is_ready=lambda: answers(f"http://127.0.0.1:{at}/health"),
    )
    with running(service):
        yield service


def resident(pid: int) -> float:
    """Megabytes of a process in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
