"""Leaving for good."""

from typing import Literal

from litestar import delete
from litestar.di import NamedDependency

from edge.errors import SIGNED_IN, refusals
from edge.gateway import Gateway
from edge.identity import TOKEN, Caller, Identity, signed_in_once
from edge.shapes import Answer


class Erased(Answer):
    erased: Literal[True]


@delete(
    "/account",
    status_code=200,
    guards=[signed_in_once],
    security=TOKEN,
    tags=["account"],
    responses=refusals(*SIGNED_IN),
)
async def erase(
    caller: NamedDependency[Caller],
    gateway: NamedDependency[Gateway],
    identity: NamedDependency[Identity],
) -> Erased:
    """Erase the signed-in person, then their sign-in. If it fails half way, ask again."""
    erased = await gateway.call("erase_user", Erased, user_id=caller.id)
    identity.forget(caller.id)
    await gateway.delete_auth_user(caller.id)
    return erased
