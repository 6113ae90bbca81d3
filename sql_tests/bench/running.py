"""What runs beside the database for as long as it is measured: PostgREST, the gateway, an edge."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster import free_port
from keys import Keys
from programs import answers, gateway, postgrest, stand_in
from service import Service


@contextmanager
def rest(database_url: str, directory: Path, keys: Keys) -> Iterator[Service]:
    """PostgREST with as many connections as a small hosted project gives it."""
    with postgrest(directory, free_port(), database_url, keys, pool=10).running() as service:
        yield service


@contextmanager
def project(database_url: str, auth_url: str, directory: Path, keys: Keys) -> Iterator[str]:
    """PostgREST and Auth behind the gateway: the address of a whole project, but for an edge."""
    at, auth_at = free_port(), free_port()
    url = f"http://127.0.0.1:{at}"
    auth = {"DATABASE_URL": auth_url, "URL": url, "SITE": url}
    with (
        rest(database_url, directory, keys) as upstream,
        stand_in("Auth", directory, auth_at, auth, "/auth/v1/health").running(),
        gateway(
            directory, at, upstream.port, 1, keys, directory / "no example", auth_port=auth_at
        ).running(),
    ):
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
    with service.running():
        yield service


def resident(pid: int) -> float:
    """Megabytes of a process in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
