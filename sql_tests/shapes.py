"""Reads the TypeScript types of contract.py, as far as they go, and holds values against them.

Objects, `?`, lists, `|`, `&`, literals, and names: of other shapes or of the few kinds of scalar.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

TOKEN = re.compile(r"\s*('[^']*'|\w+|\[\]|[{}()\[\]|&,:?])")


def raises(make: Callable[[Any], object], value: object) -> bool:
    try:
        make(value)
    except (TypeError, ValueError):
        return True
    return False


def is_moment(value: object) -> bool:
    return isinstance(value, str) and bool(
        not raises(datetime.fromisoformat, value) and datetime.fromisoformat(value).tzinfo
    )


SCALARS: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "null": lambda value: value is None,
    "Json": lambda value: True,
    "Uuid": lambda value: isinstance(value, str) and not raises(UUID, value),
    "Day": lambda value: isinstance(value, str) and not raises(date.fromisoformat, value),
    "Moment": is_moment,
}


@dataclass(frozen=True)
class Name:
    """A scalar, a literal (in quotes) or another shape."""

    text: str


@dataclass(frozen=True)
class Object:
    fields: Mapping[str, "Type"]
    optional: frozenset[str]
    is_open: bool


@dataclass(frozen=True)
class List:
    of: "Type"


@dataclass(frozen=True)
class Either:
    kinds: tuple["Type", ...]


@dataclass(frozen=True)
class Both:
    kinds: tuple["Type", ...]


Type = Name | Object | List | Either | Both


class Reader:
    def __init__(self, text: str) -> None:
        self._tokens = TOKEN.findall(text)
        left = TOKEN.sub("", text).strip()
        assert not left, f"cannot read {left!r} in {text!r}"

    def read(self) -> Type:
        kind = self._either()
        assert not self._tokens, f"what is {' '.join(self._tokens)}?"
        return kind

    def _take(self, *wanted: str) -> str:
        token: str = self._tokens.pop(0)
        assert not wanted or token in wanted, f"{token} instead of {' or '.join(wanted)}"
        return token

    def _next_is(self, token: str) -> bool:
        return self._tokens[:1] == [token]

    def _separated(self, mark: str, part: Callable[[], Type]) -> list[Type]:
        if self._next_is(mark):
            self._take()
        parts = [part()]
        while self._next_is(mark):
            self._take()
            parts.append(part())
        return parts

    def _either(self) -> Type:
        kinds = self._separated("|", self._both)
        return kinds[0] if len(kinds) == 1 else Either(tuple(kinds))

    def _both(self) -> Type:
        kinds = self._separated("&", self._one)
        return kinds[0] if len(kinds) == 1 else Both(tuple(kinds))

    def _one(self) -> Type:
        kind: Type
        if self._next_is("{"):
            kind = self._object()
        elif self._next_is("("):
            self._take("(")
            kind = self._either()
            self._take(")")
        else:
            kind = Name(self._take())
        while self._next_is("[]"):
            self._take()
            kind = List(kind)
        return kind

    def _object(self) -> Object:
        fields: dict[str, Type] = {}
        optional, is_open = set(), False
        separator = self._take("{")
        while separator != "}":
            name = self._take()
            if name == "[":  # [more: string]: whatever else there is
                for token in ("more", ":", "string", "]"):
                    self._take(token)
                is_open = True
            elif self._next_is("?"):
                self._take()
                optional.add(name)
            self._take(":")
            kind = self._either()
            if name != "[":
                fields[name] = kind
            separator = self._take(",", "}")
        return Object(fields, frozenset(optional), is_open)


@cache
def read(text: str) -> Type:
    return Reader(text).read()


class Shapes:
    def __init__(self, named: Mapping[str, str]) -> None:
        self.named = {name: read(text) for name, text in named.items()}

    def misfits(self, kind: Type, value: object, at: str = "answer") -> Iterator[str]:
        """Where and why a value is not of a type; a key the type does not name is told as well."""
        match kind:
            case Name(text) if text in self.named:
                yield from self.misfits(self.named[text], value, at)
            case Name(text):
                fits = value == text[1:-1] if text.startswith("'") else SCALARS[text](value)
                if not fits:
                    yield f"{at}: {value!r} is no {text}"
            case List(of):
                if not isinstance(value, list):
                    yield f"{at}: {value!r} is no list"
                    return
                for number, item in enumerate(value):
                    yield from self.misfits(of, item, f"{at}[{number}]")
            case Either(kinds):
                found = [list(self.misfits(one, value, at)) for one in kinds]
                if all(found):
                    yield from min(found, key=len) if value is not None else found[0]
            case Both() | Object():
                yield from self._of_object(self.object_of(kind), value, at)

    def _of_object(self, kind: Object, value: object, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is no object"
            return
        for name, of in kind.fields.items():
            if name in value:
                yield from self.misfits(of, value[name], f"{at}.{name}")
            elif name not in kind.optional:
                yield f"{at}.{name} is missing"
        if not kind.is_open:
            for name in value.keys() - kind.fields.keys():
                yield f"{at}.{name} is not in the contract"

    def object_of(self, kind: Type) -> Object:
        """A shape, or several joined by &, as one."""
        match kind:
            case Object():
                return kind
            case Name(text) if text in self.named:
                return self.object_of(self.named[text])
            case Both(kinds):
                parts = [self.object_of(one) for one in kinds]
                return Object(
                    {name: of for part in parts for name, of in part.fields.items()},
                    frozenset().union(*(part.optional for part in parts)),
                    any(part.is_open for part in parts),
                )
        raise AssertionError(f"{kind} is no object")
