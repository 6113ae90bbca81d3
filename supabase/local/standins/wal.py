"""What the database commits, as its publications tell it. For development and tests only."""

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

PUBLICATIONS = "supabase_realtime, supabase_realtime_messages_publication"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

# A row as text by column; a long value that an update left alone is not among them.
Texts = dict[str, str | None]


@dataclass(frozen=True)
class Relation:
    schema: str
    table: str
    columns: tuple[tuple[str, int], ...]  # name, and the type's oid


@dataclass(frozen=True)
class Change:
    verb: str
    relation: Relation
    new: Texts
    old: Texts  # the key, or the whole row, or nothing
    committed_at: datetime


async def changes(database_url: str, begun: asyncio.Event) -> AsyncIterator[Change]:
    """From now on, until the server says it is enough. Sets `begun` once nothing can be missed."""
    # The slot waits for every open transaction that writes: not in the way of everybody else.
    connection = await asyncio.to_thread(begin, database_url)
    begun.set()
    decoder = Decoder()
    try:
        async for message in stream(connection.pgconn):
            if change := decoder.read(message):
                yield change
    finally:
        begun.clear()
        connection.close()


def begin(database_url: str) -> psycopg.Connection[Any]:
    connection = psycopg.connect(database_url, autocommit=True, replication="database")
    for command in (
        # The grammar of this protocol knows its words in capitals alone.
        "CREATE_REPLICATION_SLOT realtime TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')",
        "START_REPLICATION SLOT realtime LOGICAL 0/0"
        f" (proto_version '1', publication_names '{PUBLICATIONS}')",
    ):
        done = connection.pgconn.exec_(command.encode())
        if done.status not in (ExecStatus.TUPLES_OK, ExecStatus.COPY_BOTH):
            connection.close()
            raise psycopg.OperationalError(done.error_message.decode())
    return connection


async def stream(wire: PGconn) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(wire.socket, readable.set)
    try:
        while True:
            size, copied = wire.get_copy_data(1)
            data = bytes(copied)
            if size == 0:
                await readable.wait()
                readable.clear()
                wire.consume_input()
            elif size < 0:
                raise psycopg.OperationalError("the server ended the stream")
            elif data[:1] == b"w":
                yield data[25:]
            elif data[:1] == b"k":
                # Unanswered, the server could not stop; and it would keep what we have heard.
                (end,) = struct.unpack_from("!Q", data, 1)
                wire.put_copy_data(b"r" + struct.pack("!QQQQB", end, end, end, 0, 0))
                wire.flush()
    finally:
        loop.remove_reader(wire.socket)


class Decoder:
    """pgoutput, version 1: relations are told before their rows, a commit's hour before both."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}
        self._committed_at = EPOCH

    def read(self, data: bytes) -> Change | None:
        kind = data[:1].decode()
        if kind == "B":
            (microseconds,) = struct.unpack_from("!Q", data, 9)
            self._committed_at = EPOCH + timedelta(microseconds=microseconds)
        elif kind == "R":
            self._learn(data)
        elif kind in "IUD":
            return self._row(kind, data)
        return None

    def _learn(self, data: bytes) -> None:
        (oid,) = struct.unpack_from("!I", data, 1)
        schema, at = name(data, 5)
        table, at = name(data, at)
        (count,) = struct.unpack_from("!H", data, at + 1)
        at += 3
        columns = []
        for _ in range(count):
            column, at = name(data, at + 1)
            (type_oid,) = struct.unpack_from("!I", data, at)
            columns.append((column, type_oid))
            at += 8
        self._relations[oid] = Relation(schema, table, tuple(columns))

    def _row(self, kind: str, data: bytes) -> Change:
        (oid,) = struct.unpack_from("!I", data, 1)
        relation = self._relations[oid]
        tuples: dict[str, Texts] = {}
        at = 5
        while at < len(data):
            which = data[at : at + 1].decode()
            tuples[which], at = texts(data, at + 1, relation)
        old = tuples.get("O") or tuples.get("K") or {}
        # Where the whole old row is told, it has the long values an update left alone.
        new = {
            **{k: v for k, v in tuples.get("O", {}).items() if kind == "U"},
            **tuples.get("N", {}),
        }
        verb = {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}[kind]
        return Change(verb, relation, new, old, self._committed_at)


def name(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def texts(data: bytes, at: int, relation: Relation) -> tuple[Texts, int]:
    at += 2
    row: Texts = {}
    for column, _ in relation.columns:
        kind, at = data[at : at + 1], at + 1
        if kind == b"t":
            (length,) = struct.unpack_from("!I", data, at)
            row[column] = data[at + 4 : at + 4 + length].decode()
            at += 4 + length
        elif kind == b"n":
            row[column] = None
    return row, at
