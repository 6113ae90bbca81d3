"""One line of JSON for each thing worth telling; no token, code or address is ever in it."""

import json
import logging
import logging.config
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from uuid import uuid4

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from edge.metrics import REQUESTS, UNDER_WAY
from edge.settings import Settings

log = logging.getLogger(__name__)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

A_GIVEN_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
OWN_FIELDS = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message"}

SECURITY_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


class RequestLog:
    """Around the whole application: names each request, times it, and logs it once."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._slow_ms = settings.slow_request_log_threshold_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            return await self._app(scope, receive, send)
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        own_id = given.decode() if A_GIVEN_ID.fullmatch(given) else uuid4().hex
        mark = request_id.set(own_id)
        started = perf_counter()
        status = 500

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *SECURITY_HEADERS,
                    (b"x-request-id", own_id.encode()),
                    (b"x-process-time-ms", f"{elapsed_ms(started)}".encode()),
                ]
            await send(message)

        try:
            with UNDER_WAY.track_inprogress():
                await self._app(scope, receive, with_headers)
        finally:
            self._tell(scope, status, elapsed_ms(started))
            request_id.reset(mark)

    def _tell(self, scope: HTTPScope, status: int, ms: float) -> None:
        slow = ms >= self._slow_ms
        # The path itself may hold an invite code, and strangers invent paths and methods.
        path = scope.get("path_template")
        door = f"{scope['method']} {path}" if path else "none"
        REQUESTS.labels(door, status).observe(ms / 1000)
        log.log(
            logging.WARNING if slow else logging.INFO,
            "slow request" if slow else "request",
            extra={
                "method": scope["method"],
                "path": path or "(no such path)",
                "status": status,
                "ms": ms,
            },
        )


def elapsed_ms(started: float) -> float:
    return round((perf_counter() - started) * 1000, 1)


class JsonLines(logging.Formatter):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._deployment = {"app": settings.app_name, "environment": settings.environment}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._deployment,
            "request_id": request_id.get(),
            **{k: v for k, v in record.__dict__.items() if k not in OWN_FIELDS},
        }
        if record.exc_info and record.exc_info[1]:
            line |= told(record.exc_info[1])
        return json.dumps(line, default=str)


def told(error: BaseException) -> dict[str, Any]:
    """What kind of error, and where. Its words may quote a secret, so they are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    cause = error.__cause__ or error.__context__
    return {
        "error": type(error).__name__,
        "where": where,
        **({"cause": told(cause)} if cause else {}),
    }


def set_up_logging(settings: Settings) -> None:
    """Libraries speak up only to warn: at their chattiest they would log headers and addresses."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(settings))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("edge").setLevel(settings.log_level)
    logging.getLogger("uvicorn").setLevel(
        max(logging.INFO, logging.getLevelName(settings.log_level))
    )
