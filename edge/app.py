"""Wires the parts together, and decides nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, get
from litestar.config.cors import CORSConfig
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.stores.memory import MemoryStore
from litestar.types import ControllerRouterHandler, Message, Scope

from edge.account import erase
from edge.auth import auth
from edge.document import describe
from edge.errors import HANDLERS, PatientRequest, Refusal
from edge.gateway import Gateway
from edge.health import health
from edge.identity import Identity, provide_caller
from edge.invites import invites, redeem
from edge.limits import forget_the_old, limit
from edge.logs import RequestLog
from edge.metrics import Metrics
from edge.settings import Settings
from edge.shapes import Answer
from edge.tokens import Keys, Tokens

log = logging.getLogger(__name__)

LARGEST_BODY = 64 * 1024
RETRY_SECONDS = 5

ROUTES: list[ControllerRouterHandler] = [health, auth, redeem, invites, erase]


def create_app(settings: Settings) -> RequestLog:
    gateway = Gateway(settings)
    keys = Keys(f"{settings.supabase_url}/auth/v1/.well-known/jwks.json", gateway.http)
    tokens = Tokens(settings, keys)
    identity = Identity(tokens, gateway, settings.auth_token_cache_ttl_seconds)
    dependencies = {
        "settings": Provide(lambda: settings, sync_to_thread=False),
        "gateway": Provide(lambda: gateway, sync_to_thread=False),
        "identity": Provide(lambda: identity, sync_to_thread=False),
        "caller": Provide(provide_caller, sync_to_thread=False),
    }
    counts = MemoryStore()
    document = describe(ROUTES, dependencies, settings)

    @get("/openapi.json")
    async def openapi() -> dict[str, Any]:
        return document

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        chores = [
            asyncio.create_task(introduce(gateway, settings)),
            asyncio.create_task(forget_the_old(counts)),
        ]
        yield
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await gateway.close()

    app = Litestar(
        [*ROUTES, openapi, *([Metrics] if settings.metrics else [])],
        dependencies=dependencies,
        state=State({"identity": identity}),
        middleware=[limit(settings.invite_attempts_per_minute).middleware],
        stores={"rate_limit": counts},
        lifespan=[lifespan],
        before_send=[name_every_method],
        exception_handlers=HANDLERS,
        request_class=PatientRequest,
        cors_config=CORSConfig(
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "apikey", "content-type", "x-client-info"],
            expose_headers=["x-request-id", "x-process-time-ms", "retry-after"],
        ),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=LARGEST_BODY,
    )
    return RequestLog(app, settings)


async def name_every_method(message: Message, scope: Scope) -> None:
    """Left to itself, the framework's answer to OPTIONS knows only one method of an address."""
    if message["type"] == "http.response.start" and scope.get("method") == "OPTIONS":
        routes = scope["litestar_app"].routes
        here = [route for route in routes if route.path_format == scope.get("path_template")]
        methods = sorted({method for route in here for method in getattr(route, "methods", ())})
        if methods:
            MutableScopeHeaders.from_message(message)["Allow"] = ", ".join(methods)


class InitialSettings(Answer):
    enforce_invites: bool


async def introduce(gateway: Gateway, settings: Settings) -> None:
    """Tells a new house how to begin; one that was ever told keeps what it has."""
    enforce = settings.enforce_invite_whitelist
    while enforce is not None:
        try:
            await gateway.call("initialize_settings", InitialSettings, enforce_invites=enforce)
            return
        except Refusal as refusal:
            log.warning("the house is not ready yet", extra={"cause": refusal.code})
            await asyncio.sleep(RETRY_SECONDS)
