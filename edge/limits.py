"""How often one address may ask."""

import ipaddress
from collections import Counter
from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from edge.errors import Refusal

WINDOW_SECONDS = 60


class Limit:
    """Counts by the minute, and forgets everything with it."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._ends = 0.0
        self._asked: Counter[str] = Counter()

    def count(self, address: str) -> None:
        now = self._clock()
        if now >= self._ends:
            self._ends = now + WINDOW_SECONDS
            self._asked.clear()
        self._asked[household(address)] += 1
        if self._asked[household(address)] > self._per_minute:
            raise Refusal(
                "RATE_LIMITED",
                "Too many attempts from your address; please wait a moment.",
                {"retry_after": ceil(self._ends - now)},
            )


def household(address: str) -> str:
    """A home with IPv6 has 2^64 addresses; they count as one."""
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed), 64), strict=False))


def limited(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    address = connection.client.host if connection.client else ""
    cast(Limit, connection.app.state.invite_limit).count(address)
