"""Whose token is it? Verified here, with keys we chose; a token never chooses its own."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Literal
from uuid import UUID

import httpx
import jwt
from pydantic import BaseModel, ConfigDict

from edge.errors import Refusal, unavailable
from edge.settings import Settings

log = logging.getLogger(__name__)

KEPT_SECONDS = 600  # how long a key withdrawn by the project may still be trusted
UNKNOWN_KID_SECONDS = 30  # strangers can invent key ids; the project is not asked for each
FETCH_SECONDS = 3
FAILED_SECONDS = 3

ALGORITHM_OF = {("EC", "P-256"): "ES256", ("RSA", None): "RS256"}


class Claims(BaseModel):
    """What we believe of a token once its signature holds."""

    model_config = ConfigDict(hide_input_in_errors=True)

    sub: UUID
    role: Literal["authenticated"]
    is_anonymous: bool = False
    app_metadata: dict[str, Any] | None = None


class Keys:
    """The project's public keys by id, fetched when needed and kept for a while.

    While the project cannot be asked, the keys we have go on serving, and nobody who comes with
    one of them waits for the next try.
    """

    def __init__(
        self, address: str, http: httpx.AsyncClient, clock: Callable[[], float] = monotonic
    ) -> None:
        self._address = address
        self._http = http
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._known = self._failing = False
        self._fetched = self._next_fetch = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> jwt.PyJWK | None:
        known, now = kid in self._keys, self._clock()
        if not known or now - self._fetched >= KEPT_SECONDS:
            if self._fetching is None and now >= self._next_fetch:
                self._fetching = asyncio.create_task(self._fetch())
            if self._fetching and not (known and self._failing):
                await asyncio.shield(self._fetching)
        if not self._known:
            raise unavailable()
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                answer = (await self._http.get(self._address)).raise_for_status().json()
            self._keys = dict(usable(answer["keys"]))
            self._known, self._failing = True, False
            self._fetched = self._clock()
            self._next_fetch = self._fetched + UNKNOWN_KID_SECONDS
        except Exception as error:  # whatever it is, the keys we have go on serving
            log.warning("signing keys out of reach", extra={"cause": type(error).__name__})
            self._failing = True
            self._next_fetch = self._clock() + FAILED_SECONDS
        finally:
            self._fetching = None


def usable(keys: list[dict[str, Any]]) -> list[tuple[str, jwt.PyJWK]]:
    """Each public key with the one algorithm of its kind; shared secrets have no place here."""
    found = []
    for key in keys:
        algorithm = ALGORITHM_OF.get((key.get("kty", ""), key.get("crv")))
        if algorithm and isinstance(key.get("kid"), str):
            try:
                found.append((key["kid"], jwt.PyJWK(key, algorithm)))
            except jwt.PyJWTError:
                log.warning("a signing key is malformed")
    return found


class Tokens:
    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._issuer = settings.issuer
        self._secret = settings.supabase_jwt_secret
        self._keys = keys

    async def verify(self, token: str) -> Claims:
        try:
            key, algorithm = await self._key_for(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience="authenticated",
                issuer=self._issuer,
                # A clock a second behind the project's must not refuse a token just issued.
                options={"require": ["exp", "iss", "aud", "sub"], "verify_iat": False},
            )
            return Claims.model_validate(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            log.info("token refused", extra={"cause": type(error).__name__})
            raise not_signed_in() from None

    async def _key_for(self, header: dict[str, Any]) -> tuple[jwt.PyJWK | str, str]:
        """The header may say which key to look for; what that key may do is ours to say."""
        if header.get("alg") == "HS256":
            if self._secret is None:
                raise jwt.InvalidAlgorithmError
            return self._secret.get_secret_value(), "HS256"
        key = await self._keys.find(header["kid"]) if isinstance(header.get("kid"), str) else None
        if key is None:
            raise jwt.InvalidKeyError
        return key, key.algorithm_name


def not_signed_in() -> Refusal:
    return Refusal("UNAUTHORIZED", "Please sign in.")
