"""The signed-in person and their admission."""

from litestar import Router, get
from litestar.di import NamedDependency

from edge.errors import SIGNED_IN, refusals
from edge.gateway import Gateway
from edge.identity import TOKEN, Account, Caller, Identity, signed_in, with_token
from edge.shapes import Answer


class Session(Answer):
    user: Account


class Access(Answer):
    whitelisted: bool
    whitelist_required: bool
    is_steward: bool


@get("/session", summary="Who am I?", guards=[with_token], responses=refusals(*SIGNED_IN))
async def session(caller: NamedDependency[Caller], identity: NamedDependency[Identity]) -> Session:
    """The signed-in person, as the house knows them now."""
    return Session(user=await identity.account_of(caller.id))


@get("/access", summary="Am I admitted?", guards=[signed_in], responses=refusals(*SIGNED_IN))
async def access(caller: NamedDependency[Caller], gateway: NamedDependency[Gateway]) -> Access:
    """Whether the signed-in person is admitted, and whether that is asked at all."""
    return await gateway.call_as(caller.token, "get_access", Access)


auth = Router(
    "/auth",
    route_handlers=[session, access],
    security=TOKEN,
    tags=["auth"],
)
