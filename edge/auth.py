"""The signed-in person and their admission."""

from litestar import Router, get
from litestar.di import NamedDependency

from edge.errors import SIGNED_IN, refusals
from edge.gateway import Gateway
from edge.identity import TOKEN, Account, Caller, signed_in
from edge.shapes import Answer


class Session(Answer):
    user: Account


class Access(Answer):
    whitelisted: bool
    whitelist_required: bool
    is_steward: bool


@get("/session", summary="Who am I?", responses=refusals(*SIGNED_IN, "NOT_FOUND"))
async def session(caller: NamedDependency[Caller], gateway: NamedDependency[Gateway]) -> Session:
    """The signed-in person, as the house knows them."""
    return Session(user=await gateway.call("get_account", Account, user_id=caller.id))


@get("/access", summary="Am I admitted?", responses=refusals(*SIGNED_IN))
async def access(caller: NamedDependency[Caller], gateway: NamedDependency[Gateway]) -> Access:
    """Whether the signed-in person is admitted, and whether that is asked at all."""
    return await gateway.call_as(caller.token, "get_access", Access)


auth = Router(
    "/auth",
    route_handlers=[session, access],
    guards=[signed_in],
    security=TOKEN,
    tags=["auth"],
)
