"""Is the edge up, and is the house behind it well?"""

from typing import Literal

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from pydantic import Field

from edge.errors import refusals
from edge.gateway import Gateway
from edge.settings import Settings
from edge.shapes import Answer

LATE_SECONDS = 600

Status = Literal["ok", "late", "broken"]


class Health(Answer):
    status: Literal["ok"]
    version: str


class Readiness(Answer):
    """`late`: everything works, but a community's Dawn is more than ten minutes overdue.

    `broken`: the house lacks something it needs; `python -m edge health` says what.
    """

    status: Status
    version: str
    dawn_late_seconds: int


class HouseHealth(Answer):
    """As the house answers; an older one knows nothing of what is missing."""

    status: Status
    dawn_late_seconds: int
    missing: list[str] = Field(default_factory=list)

    @property
    def verdict(self) -> Status:
        if self.status == "broken":
            return "broken"
        return "late" if self.dawn_late_seconds > LATE_SECONDS else "ok"


BROKEN = ResponseSpec(Readiness, generate_examples=False, description="broken")


@get("/", summary="The edge is up")
async def alive(settings: NamedDependency[Settings]) -> Health:
    """Says so without asking anybody else."""
    return Health(status="ok", version=settings.app_version)


@get(
    "/ready",
    summary="The house answers, and is whole",
    responses=refusals("UNAVAILABLE") | {503: BROKEN},
)
async def ready(
    settings: NamedDependency[Settings], gateway: NamedDependency[Gateway]
) -> Response[Readiness]:
    """Asks the house: says when a Dawn is more than ten minutes late, fails when it is broken."""
    house = await gateway.call("get_health", HouseHealth)
    return Response(
        Readiness(
            status=house.verdict,
            version=settings.app_version,
            dawn_late_seconds=house.dawn_late_seconds,
        ),
        status_code=503 if house.verdict == "broken" else 200,
    )


health = Router("/health", route_handlers=[alive, ready], tags=["health"])
