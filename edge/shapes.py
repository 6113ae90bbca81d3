"""What bodies and answers are made of."""

from typing import Annotated, Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from edge.errors import Refusal


def storable(text: str) -> str:
    """Postgres keeps no NUL; half a surrogate pair does not even pass for JSON."""
    if "\0" in text:
        raise ValueError("it contains a NUL")
    return text


def a_number(value: object) -> object:
    """JSON knows numbers from text and from true; so do we."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it is no number")
    return value


Text = Annotated[str, Field(strict=True), AfterValidator(storable)]
Whole = Annotated[int, BeforeValidator(a_number)]


class Body(BaseModel):
    """What a caller sends: nothing unknown."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """What the house answers: these keys at least, and what it may add later."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


def known_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A question misspelt is told so, not answered as if it had not been asked."""
    unknown = set(connection.query_params) - set(handler.parsed_fn_signature.parameters)
    if unknown:
        raise Refusal("INVALID_INPUT", "The address asks for something unknown here.")
