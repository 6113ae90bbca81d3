"""Every error leaves the edge in one shape: {error, code, details}."""

import logging
from typing import Any

from litestar import MediaType, Request, Response
from litestar.exceptions import ClientException, HTTPException, TooManyRequestsException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap
from pydantic import BaseModel, Field

log = logging.getLogger(__name__)

# The refusals of the house (RULES 12). Its list is private.refusal_codes(); a test compares them.
OF_THE_HOUSE = {
    "UNAUTHORIZED": 401,
    "INVITE_REQUIRED": 403,
    "FORBIDDEN": 403,
    "NOT_ELECTOR": 403,
    "CANNOT_WITNESS_OWN": 403,
    "INVITE_EMAIL_MISMATCH": 403,
    "EMAIL_UNCONFIRMED": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "ALREADY_VOTED": 409,
    "ELECTION_CLOSED": 409,
    "PROPOSAL_EXPIRED": 409,
    "ACTIVE_TIP_TO_TIP_EXISTS": 409,
    "NO_ELECTORS": 409,
    "LAST_MODERATOR": 409,
    "INVITE_UNAVAILABLE": 409,
    "REQUEST_LAPSED": 409,
    "EDIT_WINDOW_PASSED": 409,
    "DAY_CLOSED": 409,
    "DEBT_LIMIT": 409,
    "INVALID_INPUT": 422,
    "RATE_LIMITED": 429,
    "INSUFFICIENT_CC": 400,
    "READ_REPLICA": 503,
}
OF_THE_EDGE = {
    "METHOD_NOT_ALLOWED": 405,
    "BODY_TOO_LARGE": 413,
    "INTERNAL_ERROR": 500,
    "UNAVAILABLE": 502,
}
STATUS = OF_THE_HOUSE | OF_THE_EDGE

# What every door may say to somebody who must be signed in.
SIGNED_IN = ("UNAUTHORIZED", "FORBIDDEN", "UNAVAILABLE")

# What the framework itself refuses. A body it cannot read is the caller's input like any other.
OF_STATUS = {
    400: ("INVALID_INPUT", "The request cannot be understood."),
    404: ("NOT_FOUND", "There is nothing here."),
    405: ("METHOD_NOT_ALLOWED", "This address knows no such method."),
    413: ("BODY_TOO_LARGE", "The request is too large."),
    429: ("RATE_LIMITED", "Too many attempts from your address; please wait a moment."),
}


class Problem(BaseModel):
    """What went wrong."""

    error: str = Field(description="A sentence for people; it may change.")
    code: str = Field(description="A word for programs; it stays.")
    details: dict[str, Any] = Field(description="Facts that help, as far as there are any.")


class Refusal(Exception):
    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.details = details or {}


def unavailable() -> Refusal:
    return Refusal("UNAVAILABLE", "The Bureau is out of reach; please try again in a moment.")


def refusals(*codes: str) -> dict[int, ResponseSpec]:
    """The part of the API document that tells how a door refuses."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        status: ResponseSpec(Problem, generate_examples=False, description=" or ".join(several))
        for status, several in sorted(by_status.items())
    }


class PatientRequest(Request[Any, Any, Any]):
    """Bytes that are no text, and brackets without end, are a caller's mistake and not ours."""

    async def json(self) -> Any:
        try:
            return await super().json()
        except (UnicodeDecodeError, RecursionError):
            raise ClientException from None


def on_refusal(_: Request[Any, Any, Any], refusal: Refusal) -> Response[Problem]:
    return answer(refusal)


def on_framework(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    if error.status_code not in OF_STATUS:
        return on_unforeseen(_, error)
    code, message = OF_STATUS[error.status_code]
    return answer(Refusal(code, message, facts_of(error)), error.headers)


def on_unforeseen(_: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    log.error("unforeseen error", exc_info=error)
    return answer(Refusal("INTERNAL_ERROR", "Something went wrong on our side."))


HANDLERS: ExceptionHandlersMap = {
    Refusal: on_refusal,
    HTTPException: on_framework,
    Exception: on_unforeseen,
}


def answer(refusal: Refusal, headers: dict[str, str] | None = None) -> Response[Problem]:
    headers = dict(headers or {})
    if refusal.code == "UNAUTHORIZED":
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.details.get("retry_after") is not None:
        headers["Retry-After"] = str(refusal.details["retry_after"])
    return Response(
        Problem(error=refusal.message, code=refusal.code, details=refusal.details),
        status_code=STATUS[refusal.code],
        media_type=MediaType.JSON,
        headers=headers,
    )


def facts_of(error: HTTPException) -> dict[str, Any]:
    """How long to wait; or which field is wrong and why, while the value stays out of it."""
    if isinstance(error, TooManyRequestsException):
        return {"retry_after": int((error.headers or {})["RateLimit-Reset"])}
    if not isinstance(error.extra, list):
        return {}
    return {"fields": [{"field": e.get("key", ""), "problem": e["message"]} for e in error.extra]}
