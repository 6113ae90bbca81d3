"""PostgREST before a database of the tests, asked as a browser would ask it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
from cluster import free_port
from keys import Keys
from people import Caller, House, Member
from programs import postgrest
from psycopg import sql


class Rest:
    """The clock of its house stands still: PostgREST knows no other than the database's."""

    def __init__(self, house: House, http: httpx.Client, keys: Keys) -> None:
        self.house = house
        self.http = http
        self.keys = keys
        self._tokens: dict[str, str] = {}

    @classmethod
    @contextmanager
    def serving(cls, house: House, place: Path) -> Iterator["Rest"]:
        stand_still(house)
        keys = Keys.kept_in(place / "keys.json")
        database = house.address("authenticator")
        with (
            postgrest(place, free_port(), database, keys).running() as service,
            httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as http,
        ):
            yield cls(house, http, keys)

    def ask(
        self, method: str, path: str, person: Caller | str | None = None, **request: Any
    ) -> httpx.Response:
        """As this caller, or with this very token."""
        token = person if isinstance(person, str) else person and self.token_of(person)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= request.pop("headers", {})
        return self.http.request(method, path, headers=headers, **request)

    def call(self, person: Caller | str | None, door: str, **arguments: Any) -> httpx.Response:
        return self.ask("POST", f"/rpc/{door}", person, json=arguments)

    def token_of(self, person: Caller) -> str | None:
        if not isinstance(person, Member):
            return None if person.role == "anon" else self.keys.role_token(person.role)
        if person.id not in self._tokens:
            self._tokens[person.id] = self.sign(person)
        return self._tokens[person.id]

    def sign(self, person: Member, **other: Any) -> str:
        """As Supabase Auth signs it; a claim given as None is left out."""
        claims = {**(person.claims or {}), **other}
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.keys.signing_key, "ES256", headers={"kid": self.keys.key_id})


def stand_still(house: House) -> None:
    """From the next connection on; whoever brings a time of their own keeps it."""
    admin = Caller(house=house, role="supabase_admin", login="supabase_admin")
    (database,) = admin.sql("select current_database() as name")
    admin.sql(
        sql.SQL("alter database {} set chas.now = {}").format(
            sql.Identifier(database["name"]), sql.Literal(house.clock.now.isoformat())
        )
    )


def everything(house: House) -> dict[str, tuple[int, int]]:
    """Of every table how many rows there are, and a number that changes with any of them."""
    tables = house.owner.sql("""
      select oid::regclass::text as name from pg_class
      where relkind = 'r' and relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      order by oid
    """)
    look = """
      select {0} as name, count(*) as rows, bit_xor(hashtextextended(t::text, 0)) as words
      from {1} as t
    """
    looks = [sql.SQL(look).format(sql.Literal(row["name"]), sql.SQL(row["name"])) for row in tables]
    rows = house.owner.sql(sql.SQL(" union all ").join(looks))
    return {row["name"]: (row["rows"], row["words"]) for row in rows}


@contextmanager
def nothing_changes(house: House) -> Iterator[None]:
    before = everything(house)
    yield
    after = everything(house)
    assert after == before, f"changed: {[name for name in after if after[name] != before[name]]}"
