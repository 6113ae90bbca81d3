"""Changes of the published tables, to those who may read them. For development and tests only."""

import json
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg import sql

from standins.doorkeeper import Claims, Database, Doorkeeper, become
from standins.wal import Change, Relation, Texts

OPERATORS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "in": "= any"}


class Listener(Protocol):
    def tell(self, topic: str, event: str, payload: Any) -> None: ...


class Subscribed(Protocol):
    @property
    def topic(self) -> str: ...
    @property
    def claims(self) -> Claims: ...
    @property
    def subscriptions(self) -> "list[Subscription]": ...


@dataclass
class Subscription:
    """One entry of a join, as the client wrote it."""

    entry: dict[str, Any]

    @property
    def id(self) -> int:
        return zlib.crc32(json.dumps(self.entry, sort_keys=True).encode())

    @property
    def shown(self) -> dict[str, Any]:
        return self.entry | {"id": self.id}

    def wants(self, change: Change) -> bool:
        wanted = {"schema": change.relation.schema, "table": change.relation.table}
        return self.entry.get("event", "*").upper() in ("*", change.verb) and all(
            self.entry.get(name) in (None, "*", value) for name, value in wanted.items()
        )

    def filter(self) -> tuple[str, str, str] | None:
        """Column, operator, value of `title=eq.Rain`; raises ValueError for anything else."""
        if not self.entry.get("filter"):
            return None
        column, _, rest = str(self.entry["filter"]).partition("=")
        operator, dot, value = rest.partition(".")
        if not dot or operator not in OPERATORS:
            raise ValueError(f"Unable to parse filter {self.entry['filter']}")
        return column, operator, "{" + value.strip("()") + "}" if operator == "in" else value


@dataclass(frozen=True)
class Shape:
    """What the stream does not tell of a table: its key, and its columns' types by name."""

    key: tuple[str, ...]
    types: dict[str, tuple[str, str]]  # by column: the type's name, and how a cast writes it


class Tables:
    def __init__(self, door: Doorkeeper) -> None:
        self._door = door
        self._shapes: dict[Relation, Shape] = {}

    async def problem(self, subscriptions: list[Subscription]) -> str | None:
        query = """
            select from pg_publication_tables
            where pubname = 'supabase_realtime' and schemaname = %s
              and (%s::text in ('*', tablename) or %s::text is null)
        """
        async with self._door.database() as db:
            for one in subscriptions:
                table = one.entry.get("table")
                found = await db.execute(query, (one.entry.get("schema"), table, table))
                try:
                    one.filter()
                except ValueError as error:
                    return str(error)
                if found.rowcount == 0:
                    wanted = ", ".join(f"{name}: {value}" for name, value in one.entry.items())
                    return (
                        "Unable to subscribe to changes with given parameters. Please check "
                        f"Realtime is enabled for the given connect parameters: [{wanted}]"
                    )
        return None

    async def tell(self, change: Change, everyone: Iterable[tuple[Listener, Subscribed]]) -> None:
        interested = [
            (listener, channel, wanted)
            for listener, channel in everyone
            if (wanted := [one for one in channel.subscriptions if one.wants(change)])
        ]
        if not interested:
            return
        async with self._door.database() as db:
            shape = await self._shape(db, change.relation)
            for listener, channel, wanted in interested:
                # Whoever may not even name the table, or compares a day with a word, hears nothing.
                with suppress(psycopg.Error):
                    async with db.transaction(force_rollback=True):
                        passed = [one for one in wanted if await passes(db, one, change, shape)]
                        data = passed and await seen(db, change, shape, channel.claims)
                    if data:
                        payload = {"ids": [one.id for one in passed], "data": data}
                        listener.tell(channel.topic, "postgres_changes", payload)

    async def _shape(self, db: Database, relation: Relation) -> Shape:
        if relation not in self._shapes:
            rows = await db.execute(
                """
                select a.attname, t.typname, format_type(t.oid, null),
                  coalesce(a.attnum = any(i.indkey), false)
                from pg_attribute as a
                join pg_type as t on t.oid = a.atttypid
                left join pg_index as i on i.indrelid = a.attrelid and i.indisprimary
                where a.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))
                  and a.attnum > 0 and not a.attisdropped
                """,
                (relation.schema, relation.table),
            )
            columns = await rows.fetchall()
            self._shapes[relation] = Shape(
                tuple(name for name, _, _, is_key in columns if is_key),
                {name: (type_, cast) for name, type_, cast, _ in columns},
            )
        return self._shapes[relation]


async def passes(db: Database, one: Subscription, change: Change, shape: Shape) -> bool:
    if (filter_ := one.filter()) is None:
        return True
    column, operator, value = filter_
    row = change.old if change.verb == "DELETE" else change.new
    if column not in row or column not in shape.types:
        return False
    cast = shape.types[column][1]
    right = f"(%s::{cast}[])" if operator == "in" else f"%s::{cast}"
    query = f"select coalesce(%s::{cast} {OPERATORS[operator]} {right}, false)"
    found = await (await db.execute(query.encode(), (row[column], value))).fetchone()
    return bool(found and found[0])


async def seen(db: Database, change: Change, shape: Shape, claims: Claims) -> dict[str, Any] | None:
    """What this reader is told; nothing if they may not see the row. A deletion is its key."""
    relation = change.relation
    told: dict[str, Any] = {
        "schema": relation.schema,
        "table": relation.table,
        "type": change.verb,
        "commit_timestamp": change.committed_at.isoformat(timespec="milliseconds")[:23] + "Z",
        "columns": [],
        "errors": None,
    }
    key = {name: change.old.get(name) or change.new.get(name) for name in shape.key}
    table = sql.Identifier(relation.schema, relation.table)
    await become(db, claims, "", {})
    rows = await db.execute(
        "select attname::text from unnest(%s::text[]) as a (attname)"
        " where has_column_privilege(%s::text, attname, 'select')",
        (list(shape.types), f'"{relation.schema}"."{relation.table}"'),
    )
    readable = [name for (name,) in await rows.fetchall()]
    if not set(shape.key) <= set(readable):
        return told | {"record": {}, "errors": ["Error 401: Unauthorized"]}
    told["columns"] = [{"name": n, "type": shape.types[n][0]} for n in readable]
    if change.verb == "DELETE":
        return told | {"old_record": await typed(db, key, shape, readable)}
    conditions = sql.SQL(" and ").join(
        sql.SQL("{}::text = {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in key.items()
    )
    query = sql.SQL("select from {} where {}").format(table, conditions)
    if (await db.execute(query)).rowcount == 0:
        return None
    told["record"] = await typed(db, change.new, shape, readable)
    if change.verb == "UPDATE":
        told["old_record"] = await typed(db, change.old or key, shape, readable)
    return told


async def typed(db: Database, row: Texts, shape: Shape, readable: list[str]) -> Any:
    """The row as JSON: each text read by its column's type."""
    names = [name for name in readable if name in row]
    columns = sql.SQL(", ").join(
        sql.SQL("%s::{} as {}").format(sql.SQL(shape.types[name][1]), sql.Identifier(name))
        for name in names
    )
    query = sql.SQL("select to_jsonb(r) from (select {}) as r").format(columns)
    found = await (await db.execute(query, [row[name] for name in names])).fetchone()
    return found[0] if found else None
