"""Who is calling: bearer token -> Caller."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from edge.errors import Refusal
from edge.gateway import Gateway
from edge.shapes import Answer
from edge.tokens import Tokens, not_signed_in

MOST_REMEMBERED = 10_000

# What the API document says of a door that wants a token.
TOKEN: list[dict[str, list[str]]] = [{"token": []}]

Connection = ASGIConnection[Any, Any, Any, Any]


class Account(Answer):
    """A person, as only they themselves are told."""

    id: UUID
    email: str | None
    email_confirmed: bool
    display_name: str
    avatar_url: str | None
    is_steward: bool
    banned: bool
    created_at: str


class Gone(Refusal):
    def __init__(self) -> None:
        super().__init__("UNAUTHORIZED", "This account is no more.")


@dataclass(frozen=True)
class Caller:
    id: UUID
    is_steward: bool
    token: str = field(repr=False)


class Identity:
    def __init__(
        self,
        tokens: Tokens,
        gateway: Gateway,
        remember_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._tokens = tokens
        self._gateway = gateway
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._welcome_until: dict[UUID, float] = {}

    async def recognise(self, authorization: str) -> Caller:
        """Whose token this is; whether they are still welcome is asked apart."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise not_signed_in()
        claims = await self._tokens.verify(token.strip())
        if claims.is_anonymous:
            raise Refusal("FORBIDDEN", "Please sign in with an account of your own.")
        is_steward = (claims.app_metadata or {}).get("chas_role") == "steward"
        return Caller(claims.sub, is_steward, token.strip())

    async def require_welcome(self, user_id: UUID) -> None:
        if self._welcome_until.get(user_id, 0) <= self._clock():
            await self.account_of(user_id)

    async def account_of(self, user_id: UUID) -> Account:
        """A token outlives its person: is the account still there, and not banned?"""
        try:
            account = await self._gateway.call("get_account", Account, user_id=user_id)
        except Refusal as refusal:
            raise Gone if refusal.code == "NOT_FOUND" else refusal from None
        if account.banned:
            raise Refusal("FORBIDDEN", "This account is suspended.")
        if len(self._welcome_until) >= MOST_REMEMBERED:
            self._welcome_until.clear()
        self._welcome_until[user_id] = self._clock() + self._remember_seconds
        return account

    def forget(self, user_id: UUID) -> None:
        self._welcome_until.pop(user_id, None)


async def with_token(connection: Connection, _: BaseRouteHandler) -> None:
    """For a door that asks the house about the account anyway."""
    connection.scope["user"] = await identity_of(connection).recognise(authorization(connection))


async def signed_in(connection: Connection, handler: BaseRouteHandler) -> None:
    """Guards come before the body is read: who you are is asked before what you want."""
    await with_token(connection, handler)
    await identity_of(connection).require_welcome(connection.user.id)


async def signed_in_once(connection: Connection, handler: BaseRouteHandler) -> None:
    """For a door that must open again to somebody whose erasure stopped half way."""
    with suppress(Gone):
        await signed_in(connection, handler)


def steward(connection: Connection, _: BaseRouteHandler) -> None:
    if not connection.user.is_steward:
        raise Refusal("FORBIDDEN", "This is for the stewards of the Bureau.")


def authorization(connection: Connection) -> str:
    return connection.headers.get("Authorization", "")


def identity_of(connection: Connection) -> Identity:
    return cast(Identity, connection.app.state.identity)


def provide_caller(request: Request[Caller, Any, Any]) -> Caller:
    return request.user
