"""The way into the house: one RPC, answered, refused, or out of reach."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from postgrest import APIError, AsyncPostgrestClient
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python
from supabase import AsyncClient, AsyncClientOptions
from supabase_auth.errors import AuthApiError, AuthError

from edge.errors import STATUS, Refusal, unavailable
from edge.metrics import HOUSE
from edge.settings import Settings

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3
# All are kept: the pool closes a spare one even in the moment it was promised to a request.
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)
# A proxy in the environment is for the way out, not for a project on this machine.
NO_PROXY = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}

T = TypeVar("T", bound=BaseModel)


class Gateway:
    def __init__(self, settings: Settings) -> None:
        self._patience = settings.house_timeout_seconds
        self.http = httpx.AsyncClient(
            timeout=httpx.Timeout(self._patience, connect=min(self._patience, CONNECT_SECONDS)),
            limits=LIMITS,
            mounts=NO_PROXY,
            event_hooks={"request": [keep_key_apart]},
        )
        self._rest_url = f"{settings.supabase_url}/rest/v1"
        self._anon_key = settings.supabase_anon_key
        self._service = AsyncClient(
            settings.supabase_url,
            settings.supabase_service_key.get_secret_value(),
            AsyncClientOptions(
                httpx_client=self.http, auto_refresh_token=False, persist_session=False
            ),
        )

    async def close(self) -> None:
        await self.http.aclose()

    async def call(self, rpc: str, answer: type[T], **arguments: object) -> T:
        """One RPC as the service role."""
        return await self._ask(self._service.postgrest, rpc, answer, arguments)

    async def call_as(self, token: str, rpc: str, answer: type[T], **arguments: object) -> T:
        """One RPC as the person whose token it is."""
        headers = {
            "apikey": self._anon_key.get_secret_value(),
            "Authorization": f"Bearer {token}",
        }
        person = AsyncPostgrestClient(self._rest_url, headers=headers, http_client=self.http)
        return await self._ask(person, rpc, answer, arguments)

    async def delete_auth_user(self, user_id: object) -> None:
        """Takes away the sign-in itself; one that is already gone is gone."""
        try:
            async with self._waiting("auth: delete user"):
                await self._service.auth.admin.delete_user(str(user_id))
        except TimeoutError:
            log.warning("the admin API did not answer", extra={"cause": "TimeoutError"})
            raise unavailable() from None
        except AuthError as error:
            status = error.status if isinstance(error, AuthApiError) else None
            # Auth's own word, not any 404: a wrong address must not pass for a deletion.
            if error.code != "user_not_found":
                cause = {"cause": type(error).__name__, "status": status}
                log.warning("the admin API did not answer", extra=cause)
                raise unavailable() from None

    @asynccontextmanager
    async def _waiting(self, rpc: str) -> AsyncIterator[None]:
        """For an answer as a whole: one that comes in drops is waited for no longer."""
        with HOUSE.labels(rpc).time():
            async with asyncio.timeout(self._patience):
                yield

    async def _ask(
        self, client: AsyncPostgrestClient, rpc: str, answer: type[T], arguments: dict[str, object]
    ) -> T:
        try:
            async with self._waiting(rpc):
                reply = (await client.rpc(rpc, to_jsonable_python(arguments)).execute()).data
            if isinstance(reply, dict) and "refused" in reply:
                raise refusal(**reply["refused"])
            return answer.model_validate(reply)
        except APIError as error:
            raise in_our_words(rpc, error) from None
        except (httpx.HTTPError, ValidationError, TimeoutError) as error:
            log.warning("no answer", extra={"rpc": rpc, "cause": type(error).__name__})
            raise unavailable() from None


async def keep_key_apart(request: httpx.Request) -> None:
    """An opaque key belongs in `apikey` alone; the client also sends it as if it were a token."""
    if request.headers.get("Authorization", "").startswith("Bearer sb_"):
        del request.headers["Authorization"]


def in_our_words(rpc: str, error: APIError) -> Refusal:
    """A refusal of the house stays what it is; of anything else only the code is for the log."""
    if error.code in STATUS:
        return refusal(error.code, error.message, error.details)
    log.warning("not answered", extra={"rpc": rpc, "cause": error.code})
    if error.code and error.code.startswith("22"):  # a value Postgres cannot take
        return Refusal("INVALID_INPUT", "A value has the wrong form.")
    return unavailable()


def refusal(code: str, message: str | None, details: Any = None) -> Refusal:
    """PostgREST carries the facts as a string of JSON."""
    facts = json.loads(details) if isinstance(details, str) else details
    return Refusal(code, message or code, facts if isinstance(facts, dict) else {})
