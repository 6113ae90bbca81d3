"""A stand-in for Supabase Realtime: for development and tests only, never part of a deployment.

Private channels, joined by leave of the database's own policies; broadcasts read from
realtime.messages; changes of the published tables; tokens renewed and expired. Not here: public
channels (a CHAS project has them off), presence (no policy of the house lets anybody read it),
replay, broadcasts by HTTP, and limits.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import psycopg
import uvicorn
from keys import Keys
from litestar import Litestar, asgi, get
from litestar.exceptions import ServiceUnavailableException
from litestar.types import Receive, Scope, Send

from standins import frames
from standins.doorkeeper import Claims, Denied, Doorkeeper
from standins.frames import Frame
from standins.tables import Subscription, Tables
from standins.wal import Change, changes

SILENCE = 60
PREFIX = "realtime:"


@dataclass
class Channel:
    """What one socket hears of one topic."""

    topic: str
    join_ref: str | None
    token: str
    claims: Claims
    to_self: bool
    acknowledges: bool
    subscriptions: list[Subscription]
    may_speak: bool | None = None
    expiry: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self.expiry:
            self.expiry.cancel()


@dataclass(eq=False)
class Socket:
    """One client. What it is told waits in a queue, so that a slow one holds up nobody."""

    version: str
    key: str
    headers: dict[str, str]
    channels: dict[str, Channel] = field(default_factory=dict)
    told: asyncio.Queue[str | bytes] = field(default_factory=asyncio.Queue)

    def tell(
        self,
        topic: str,
        event: str,
        payload: Any,
        ref: str | None = None,
        join_ref: str | None = None,
    ) -> None:
        self.told.put_nowait(
            frames.write(Frame(topic, event, payload, ref, join_ref), self.version)
        )

    def reply(self, frame: Frame, status: str, response: Any = None) -> None:
        payload = {"status": status, "response": response or {}}
        join_ref = frame.join_ref or frame.ref
        self.tell(frame.topic, "phx_reply", payload, frame.ref, join_ref)

    def system(self, channel: Channel, extension: str, status: str, message: str) -> None:
        payload = {
            "extension": extension,
            "status": status,
            "message": message,
            "channel": channel.topic.removeprefix(PREFIX),
        }
        self.tell(channel.topic, "system", payload, None, channel.join_ref)

    def drop(self, channel: Channel) -> None:
        channel.close()
        del self.channels[channel.topic]
        self.tell(channel.topic, "phx_close", {}, channel.join_ref, channel.join_ref)

    def shut(self, channel: Channel, why: str) -> None:
        """The channel is lost, the socket stays."""
        self.system(channel, "system", "error", why)
        self.drop(channel)


class Realtime:
    def __init__(self, keys: Keys, database_url: str, refuse_after: float) -> None:
        self.door = Doorkeeper(keys, database_url)
        self.tables = Tables(self.door)
        self.listening = asyncio.Event()
        self._database_url = database_url
        self._refuse_after = refuse_after
        self._sockets: set[Socket] = set()

    # -------------------------------------------------------------------------- from the database

    async def listen(self) -> None:
        """For ever; a database that goes away may come back."""
        while True:
            try:
                async for change in changes(self._database_url, self.listening):
                    if change.relation.schema == "realtime":
                        self.broadcast(change)
                    else:
                        await self.tables.tell(change, self._subscribers())
            except psycopg.Error as error:
                print(f"Not listening: {error}", flush=True)
            await asyncio.sleep(1)

    def broadcast(self, change: Change) -> None:
        """A row of realtime.messages, to whoever is on its topic; public ones have no listeners."""
        row = change.new
        if (
            change.verb != "INSERT"
            or row["private"] != "t"
            or not row["event"]
            or not row["payload"]
        ):
            return
        payload = {
            "type": "broadcast",
            "event": row["event"],
            "payload": json.loads(row["payload"]),
            "meta": {"id": row["id"]},
        }
        topic = f"{PREFIX}{row['topic']}"
        for socket in self._sockets:
            if topic in socket.channels:
                socket.tell(topic, "broadcast", payload)

    def _subscribers(self) -> list[tuple[Socket, Channel]]:
        return [
            (socket, channel)
            for socket in self._sockets
            for channel in socket.channels.values()
            if channel.subscriptions
        ]

    # -------------------------------------------------------------------------- from clients

    async def serve(self, socket: Socket, receive: Receive) -> None:
        self._sockets.add(socket)
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    event = await receive()
                if event["type"] != "websocket.receive":
                    return
                frame = frames.read(event.get("text"), event.get("bytes"), socket.version)
                await self.answer(socket, frame)
        except (TimeoutError, ValueError, KeyError, TypeError):
            return  # silent for too long, or no frame at all: the socket closes
        finally:
            self._sockets.discard(socket)
            for channel in socket.channels.values():
                channel.close()

    async def answer(self, socket: Socket, frame: Frame) -> None:
        channel = socket.channels.get(frame.topic)
        if frame.event == "heartbeat":
            socket.reply(frame, "ok")
        elif frame.event == "phx_join":
            await self.join(socket, frame)
        elif frame.event == "phx_leave":
            socket.reply(frame, "ok")
            if channel:
                socket.drop(channel)
        elif channel is None:
            socket.reply(frame, "error", {"reason": "unmatched topic"})
        elif frame.event == "access_token":
            await self.renew(socket, channel, frame.payload.get("access_token"))
        elif frame.event == "broadcast":
            await self.speak(socket, channel, frame)

    async def join(self, socket: Socket, frame: Frame) -> None:
        if earlier := socket.channels.get(frame.topic):
            socket.drop(earlier)
        config = frame.payload.get("config") or {}
        try:
            token = given(frame.payload.get("access_token")) or socket.key
            claims = self.door.recognise(token)
            if not config.get("private"):
                message = "This project only allows private channels"
                raise Denied("PrivateOnly", message)
            await self.door.require_hearing(
                claims, frame.topic.removeprefix(PREFIX), socket.headers
            )
        except Denied as denied:
            # The real server takes five seconds, so that nobody knocks without end.
            wait = asyncio.get_running_loop().call_later
            wait(self._refuse_after, socket.reply, frame, "error", {"reason": str(denied)})
            return
        broadcast = config.get("broadcast") or {}
        channel = Channel(
            *(frame.topic, frame.join_ref or frame.ref, token, claims),
            to_self=bool(broadcast.get("self")),
            acknowledges=bool(broadcast.get("ack")),
            subscriptions=[Subscription(entry) for entry in config.get("postgres_changes") or []],
        )
        socket.channels[frame.topic] = channel
        self.watch(socket, channel)
        socket.reply(frame, "ok", {"postgres_changes": [s.shown for s in channel.subscriptions]})
        if channel.subscriptions:
            problem = await self.tables.problem(channel.subscriptions)
            status = "error" if problem else "ok"
            message = problem or "Subscribed to PostgreSQL"
            channel.subscriptions = [] if problem else channel.subscriptions
            socket.system(channel, "postgres_changes", status, message)

    def watch(self, socket: Socket, channel: Channel) -> None:
        """To the end of the token; membership is asked for again only with the next one."""
        channel.close()
        left = max(0, channel.claims["exp"] - time.time())
        channel.expiry = asyncio.get_running_loop().call_later(
            left, socket.shut, channel, "Token has expired 0 seconds ago"
        )

    async def renew(self, socket: Socket, channel: Channel, token: object) -> None:
        new = given(token)
        if new is None or new == channel.token:
            return
        try:
            claims = self.door.recognise(new)
            topic = channel.topic.removeprefix(PREFIX)
            await self.door.require_hearing(claims, topic, socket.headers)
        except Denied as denied:
            socket.shut(channel, denied.message)
            return
        channel.token, channel.claims, channel.may_speak = new, claims, None
        self.watch(socket, channel)

    async def speak(self, socket: Socket, channel: Channel, frame: Frame) -> None:
        """What may not be said is dropped in silence, as it is there."""
        if channel.may_speak is None:
            topic = channel.topic.removeprefix(PREFIX)
            channel.may_speak = await self.door.may_speak(channel.claims, topic, socket.headers)
        if not channel.may_speak:
            return
        for other in self._sockets:
            if channel.topic in other.channels and (other is not socket or channel.to_self):
                other.tell(channel.topic, "broadcast", frame.payload)
        if channel.acknowledges:
            socket.reply(frame, "ok")


def given(token: object) -> str | None:
    """A key of the new kind is opaque, and stands for none."""
    return token if isinstance(token, str) and token and not token.startswith("sb_") else None


# ------------------------------------------------------------------------------ the server


def create_app(realtime: Realtime) -> Litestar:
    @asgi("/realtime/v1/websocket")
    async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode())
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        key = headers.get("x-api-key") or query.get("apikey", [""])[0]
        try:
            realtime.door.recognise(key)
        except Denied:
            await turn_away(send)
            return
        version = query.get("vsn", ["1.0.0"])[0]
        extra = {name: value for name, value in headers.items() if name.startswith("x-")}
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        socket = Socket(version, key, extra)
        writer = asyncio.create_task(write(socket, send))
        try:
            await realtime.serve(socket, receive)
            with suppress(RuntimeError):
                await send({"type": "websocket.close", "code": 1000, "reason": ""})
        finally:
            writer.cancel()

    @get("/health")
    async def health() -> str:
        if not realtime.listening.is_set():
            raise ServiceUnavailableException("not listening yet")
        return "ok"

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        listener = asyncio.create_task(realtime.listen())
        yield
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener

    return Litestar(
        [websocket, health], lifespan=[lifespan], openapi_config=None, logging_config=None
    )


async def write(socket: Socket, send: Send) -> None:
    while True:
        said = await socket.told.get()
        text, data = (said, None) if isinstance(said, str) else (None, said)
        await send({"type": "websocket.send", "text": text, "bytes": data})


async def turn_away(send: Send) -> None:
    body = json.dumps({"error": "The token provided is not a valid JWT"}).encode()
    headers = [(b"content-type", b"application/json")]
    start: Any = {"type": "websocket.http.response.start", "status": 401, "headers": headers}
    await send(start)
    rest: Any = {"type": "websocket.http.response.body", "body": body, "more_body": False}
    await send(rest)


def main() -> None:
    given = os.environ
    keys = Keys.kept_in(Path(given["KEYS"]))
    realtime = Realtime(keys, given["DATABASE_URL"], float(given.get("REFUSE_AFTER", "0")))
    uvicorn.run(
        create_app(realtime), host="127.0.0.1", port=int(given["PORT"]), log_level="warning"
    )


if __name__ == "__main__":
    main()
