"""How often one address may ask for what is said to be limited."""

import asyncio
import ipaddress
from typing import Any, Never

from litestar import Request
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.stores.memory import MemoryStore

SWEEP_SECONDS = 60

# The option of a handler that takes invite codes.
LIMITED = {"limited": True}


def limit(per_minute: int) -> RateLimitConfig:
    """One count for all limited doors together."""
    return RateLimitConfig(
        ("minute", per_minute),
        identifier_for_request=household,
        check_throttle_handler=lambda request: bool(request.route_handler.opt.get("limited")),
    )


def household(request: Request[Any, Any, Any]) -> str:
    """A home with IPv6 has 2^64 addresses; they count as one."""
    address = request.client.host if request.client else ""
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((int(parsed), 64), strict=False))


async def forget_the_old(counts: MemoryStore) -> Never:
    """The store drops what is over only when asked for it again, and few addresses come again."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await counts.delete_expired()
