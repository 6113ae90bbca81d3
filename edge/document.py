"""The API document: every door, its answers and its refusals, as they are."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Server
from litestar.types import ControllerRouterHandler, Dependencies

from edge.settings import Settings

TOKEN = SecurityScheme(
    type="http", scheme="bearer", bearer_format="JWT", description="The token Supabase Auth gave."
)


def describe(
    handlers: Sequence[ControllerRouterHandler], dependencies: Dependencies, settings: Settings
) -> dict[str, Any]:
    config = OpenAPIConfig(
        title=f"{settings.app_name}, the edge",
        version=settings.app_version,
        servers=[Server(url=settings.edge_url or "/")],
        components=Components(security_schemes={"token": TOKEN}),
    )
    app = Litestar(handlers, dependencies=dependencies, openapi_config=config, logging_config=None)
    document: dict[str, Any] = app.openapi_schema.to_schema()
    for path in document["paths"].values():
        for operation in path.values():
            # The framework promises a 400 of its own; what it cannot read is our 422.
            operation["responses"].pop("400", None)
    return document
