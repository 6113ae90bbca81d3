"""Whom a channel lets in: the database's own policies, asked as the Realtime server asks them.

For development and tests only.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import psycopg
from keys import Keys
from psycopg import AsyncConnection

Claims = dict[str, Any]
Database = AsyncConnection[tuple[Any, ...]]


class Denied(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.message = message


class Doorkeeper:
    """Works as supabase_admin, and in each transaction becomes whoever asks."""

    def __init__(self, keys: Keys, database_url: str) -> None:
        self._keys = keys
        self._database_url = database_url

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """One for each question; nothing to look after between them."""
        async with await AsyncConnection.connect(self._database_url) as db:
            yield db

    def recognise(self, token: str) -> Claims:
        try:
            claims = self._keys.read(token)
        except jwt.ExpiredSignatureError:
            exp = jwt.decode(token, options={"verify_signature": False})["exp"]
            message = f"Token has expired {int(time.time() - exp)} seconds ago"
            raise Denied("InvalidJWTToken", message) from None
        except jwt.InvalidSignatureError:
            raise Denied("JwtSignatureError", "Failed to validate JWT signature") from None
        except jwt.PyJWTError:
            raise Denied("MalformedJWT", "The token provided is not a valid JWT") from None
        if "role" not in claims:
            raise Denied("InvalidJWTToken", "Fields `role` and `exp` are required in JWT")
        return claims

    async def require_hearing(self, claims: Claims, topic: str, headers: dict[str, str]) -> None:
        """A row of the topic is written, looked for with the asker's eyes, and taken back."""
        message = f"You do not have permissions to read from this Channel topic: {topic}"
        try:
            async with self.database() as db, db.transaction(force_rollback=True):
                written = await db.execute(
                    """
                    insert into realtime.messages (topic, extension, inserted_at, updated_at)
                    values (%s, 'broadcast', now() at time zone 'UTC', now() at time zone 'UTC')
                    returning id
                    """,
                    (topic,),
                )
                row = await written.fetchone()
                await become(db, claims, topic, headers)
                seen = await db.execute("select from realtime.messages where id = %s", row)
                if seen.rowcount == 0:
                    raise Denied("Unauthorized", message)
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            raise Denied("Unauthorized", message) from None

    async def may_speak(self, claims: Claims, topic: str, headers: dict[str, str]) -> bool:
        try:
            async with self.database() as db, db.transaction(force_rollback=True):
                await become(db, claims, topic, headers)
                await db.execute(
                    "insert into realtime.messages (topic, extension) values (%s, 'broadcast')",
                    (topic,),
                )
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True


async def become(db: Database, claims: Claims, topic: str, headers: dict[str, str]) -> None:
    await db.execute(
        """
        select
          set_config('realtime.topic', %(topic)s, true),
          set_config('request.jwt.claims', %(claims)s, true),
          set_config('request.jwt.claim.sub', %(sub)s, true),
          set_config('request.jwt.claim.role', %(role)s, true),
          set_config('request.headers', %(headers)s, true),
          set_config('role', %(role)s, true)
        """,
        {
            "topic": topic,
            "claims": json.dumps(claims),
            "headers": json.dumps(headers),
            "sub": str(claims.get("sub", "")),
            "role": claims["role"],
        },
    )
