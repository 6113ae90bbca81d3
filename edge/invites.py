"""Invites: redeemed by the signed-in, looked at by anyone, minted by stewards."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, PathParameter
from pydantic import AfterValidator, Field

from edge.errors import SIGNED_IN, refusals
from edge.gateway import Gateway
from edge.identity import TOKEN, Caller, signed_in, steward
from edge.limits import LIMITED
from edge.shapes import Answer, Body, Text, Whole, known_query


def a_moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it names no time zone")
    return text


Moment = Annotated[Text, AfterValidator(a_moment), Field(json_schema_extra={"format": "date-time"})]
Code = Annotated[str, PathParameter(pattern="^[^\\0]+$", description="The code of the invite.")]
InviteId = Annotated[UUID, PathParameter(description="The id of the invite.")]


class RedeemInvite(Body):
    invite_code: Text


class Welcome(Answer):
    whitelisted: bool
    already_whitelisted: bool
    invite_code: str | None
    theme: str | None
    welcome_title: str | None
    welcome_message: str | None


class Preview(Answer):
    state: str
    theme: str
    welcome_title: str | None
    welcome_message: str | None


class MintInvites(Body):
    """Whatever is left out, the house decides."""

    count: Whole | None = None
    email: Text | None = None
    max_uses: Whole | None = None
    expires_at: Moment | None = None
    theme: Text | None = None
    welcome_title: Text | None = None
    welcome_message: Text | None = None
    note: Text | None = None


class MintedInvite(Answer):
    id: UUID
    code: str
    max_uses: int
    expires_at: str | None
    theme: str


class MintedInvites(Answer):
    invites: list[MintedInvite]


class Invite(Answer):
    id: UUID
    state: str
    uses: int
    max_uses: int
    email: str | None
    expires_at: str | None
    note: str | None
    created_at: str


class Invites(Answer):
    invites: list[Invite]
    has_more: bool


class RevokedInvite(Answer):
    invite: Invite


REDEEMING = (
    *SIGNED_IN,
    *("INVITE_EMAIL_MISMATCH", "EMAIL_UNCONFIRMED", "NOT_FOUND", "INVITE_UNAVAILABLE"),
    *("INVALID_INPUT", "BODY_TOO_LARGE", "RATE_LIMITED"),
)


@post(
    "/auth/invite/redeem",
    status_code=200,
    guards=[signed_in],
    opt=LIMITED,
    security=TOKEN,
    tags=["invites"],
    responses=refusals(*REDEEMING),
)
async def redeem(
    data: JSONBody[RedeemInvite], caller: NamedDependency[Caller], gateway: NamedDependency[Gateway]
) -> Welcome:
    """Redeem an invite code for the signed-in person; the house decides."""
    return await gateway.call("redeem_invite", Welcome, user_id=caller.id, code=data.invite_code)


@get(
    "/{invite:str}",
    opt=LIMITED,
    responses=refusals("NOT_FOUND", "INVALID_INPUT", "RATE_LIMITED", "UNAVAILABLE"),
)
async def preview(invite: Code, gateway: NamedDependency[Gateway]) -> Preview:
    """Look at an invite before signing in: its state, theme and welcome."""
    return await gateway.call("preview_invite", Preview, code=invite)


@post("/", responses=refusals(*SIGNED_IN, "INVALID_INPUT", "BODY_TOO_LARGE"))
async def mint(data: JSONBody[MintInvites], gateway: NamedDependency[Gateway]) -> MintedInvites:
    """Mint invites; this is the only time their codes are shown."""
    return await gateway.call("mint_invites", MintedInvites, **data.model_dump(exclude_none=True))


@get("/", guards=[known_query], responses=refusals(*SIGNED_IN, "NOT_FOUND", "INVALID_INPUT"))
async def list_invites(
    gateway: NamedDependency[Gateway],
    page_size: FromQuery[int | None] = None,
    before_id: FromQuery[UUID | None] = None,
) -> Invites:
    """List the invites, newest first, without their codes."""
    return await gateway.call(
        "list_invites", Invites, **given(page_size=page_size, before_id=before_id)
    )


@delete(
    "/{invite:str}", status_code=200, responses=refusals(*SIGNED_IN, "NOT_FOUND", "INVALID_INPUT")
)
async def revoke(invite: InviteId, gateway: NamedDependency[Gateway]) -> RevokedInvite:
    """Revoke an invite: nobody is admitted by it any more."""
    return await gateway.call("revoke_invite", RevokedInvite, invite_id=invite)


def given(**arguments: Any) -> dict[str, Any]:
    """Whatever is left out, the house decides."""
    return {name: value for name, value in arguments.items() if value is not None}


for_stewards = Router(
    "/",
    route_handlers=[mint, list_invites, revoke],
    guards=[signed_in, steward],
    security=TOKEN,
)
invites = Router("/invites", route_handlers=[preview, for_stewards], tags=["invites"])
