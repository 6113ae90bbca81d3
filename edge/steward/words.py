"""How an answer reads: one fact a line, the short ones first."""

from collections.abc import Iterator
from typing import Any


def in_words(answer: dict[str, Any]) -> str:
    more = answer.pop("has_more", False)
    return "\n".join(
        [*lines_of(answer), *(["There are more: --before the last id."] if more else [])]
    )


def lines_of(answer: dict[str, Any]) -> Iterator[str]:
    """What is null is left out."""
    for name, fact in sorted(answer.items(), key=lambda one: isinstance(one[1], dict | list)):
        match fact:
            case None:
                continue
            case [dict(), *_]:
                yield f"{name}:"
                for item in fact:
                    first, *more = lines_of(item)
                    yield f"- {first}"
                    yield from (f"  {line}" for line in more)
            case dict() if fact and not is_person(fact):
                yield f"{name}:"
                yield from (f"  {line}" for line in lines_of(fact))
            case _:
                yield f"{name}: {in_short(fact)}"


def is_person(fact: Any) -> bool:
    return isinstance(fact, dict) and fact.keys() == {"id", "display_name", "avatar_url"}


def in_short(fact: Any) -> str:
    if is_person(fact):
        return f"{fact['display_name']} ({fact['id']})"
    if isinstance(fact, list):
        return ", ".join(map(str, fact)) or "none"
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return str(fact or "none") if isinstance(fact, dict) else str(fact)
