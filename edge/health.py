"""Is the edge up, and is the house behind it well?"""

from typing import Literal

from litestar import Router, get
from litestar.di import NamedDependency

from edge.errors import refusals
from edge.gateway import Gateway
from edge.settings import Settings
from edge.shapes import Answer

LATE_SECONDS = 600


class Health(Answer):
    status: Literal["ok"]
    version: str


class Readiness(Answer):
    """`late`: everything works, but a community's Dawn is more than ten minutes overdue."""

    status: Literal["ok", "late"]
    version: str
    dawn_late_seconds: int


class HouseHealth(Answer):
    dawn_late_seconds: int


@get("/", summary="The edge is up")
async def alive(settings: NamedDependency[Settings]) -> Health:
    """Says so without asking anybody else."""
    return Health(status="ok", version=settings.app_version)


@get("/ready", summary="The house answers", responses=refusals("UNAVAILABLE"))
async def ready(
    settings: NamedDependency[Settings], gateway: NamedDependency[Gateway]
) -> Readiness:
    """Asks the database, and says when a Dawn is more than ten minutes late."""
    late = (await gateway.call("get_health", HouseHealth)).dawn_late_seconds
    return Readiness(
        status="late" if late > LATE_SECONDS else "ok",
        version=settings.app_version,
        dawn_late_seconds=late,
    )


health = Router("/health", route_handlers=[alive, ready], tags=["health"])
