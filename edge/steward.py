"""What stewards do from a command line: each command is one RPC, asked with the service key."""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from edge.errors import Refusal
from edge.gateway import Gateway
from edge.health import LATE_SECONDS
from edge.settings import Settings
from edge.shapes import Answer

Row = dict[str, Any]
Command = Callable[["Steward", argparse.Namespace], Awaitable[Row]]

WHO = "an id, a whole e-mail address, or a name that only one person has"
COMMUNITY = "the id of the community, as `people` shows it"


class Steward:
    """Asks the house, in somebody's name if one was given."""

    def __init__(self, gateway: Gateway, name: str | None) -> None:
        self.gateway = gateway
        self._name = name

    async def ask(self, rpc: str, **arguments: Any) -> Row:
        given = {name: value for name, value in arguments.items() if value is not None}
        return (await self.gateway.call(rpc, Answer, **given)).model_dump()

    async def act(self, rpc: str, **arguments: Any) -> Row:
        """An act goes into the audit log, with the name."""
        steward = await self.find(self._name) if self._name else None
        return await self.ask(rpc, steward_id=steward, **arguments)

    async def find(self, who: str) -> str:
        if is_uuid(who):
            return who
        found = (await self.ask("find_people", query=who, page_size=2))["people"]
        if len(found) == 1:
            return str(found[0]["id"])
        if found:
            raise Refusal("CONFLICT", f"More than one person is called {who}: give an id.")
        raise Refusal("NOT_FOUND", f"Nobody here is {who}.")


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------ the commands


async def mint(steward: Steward, asked: argparse.Namespace) -> Row:
    days = asked.days and (datetime.now(UTC) + timedelta(days=asked.days)).isoformat()
    return await steward.ask(
        "mint_invites",
        count=asked.count,
        email=asked.email,
        max_uses=asked.max_uses,
        expires_at=days,
        theme=asked.theme,
        welcome_title=asked.title,
        welcome_message=asked.message,
        note=asked.note,
    )


async def invites(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask("list_invites", page_size=asked.most, before_id=asked.before)


async def revoke(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask("revoke_invite", invite_id=asked.invite)


async def people(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask(
        "find_people", query=asked.query, page_size=asked.most, before_id=asked.before
    )


async def admit(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act("admit_person", user_id=await steward.find(asked.who))


async def suspend(steward: Steward, asked: argparse.Namespace) -> Row:
    person = await steward.find(asked.who)
    return await steward.act("suspend_person", user_id=person, reason=asked.reason)


async def restore(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act("restore_person", user_id=await steward.find(asked.who))


async def erase(steward: Steward, asked: argparse.Namespace) -> Row:
    """As the door of the edge does it; an id goes on where an earlier try stopped."""
    person = await steward.find(asked.who)
    if not asked.yes:
        raise Refusal("CONFLICT", f"This cannot be undone: to erase {person}, add --yes.")
    erased = await steward.ask("erase_user", user_id=person)
    await steward.gateway.delete_auth_user(person)
    return erased


async def community(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act(
        "inspect_community", community_id=asked.community, prove_books=not asked.quick
    )


async def settle(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act("settle_community", community_id=asked.community)


async def correct(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act(
        "post_correction",
        community_id=asked.community,
        user_id=await steward.find(asked.who),
        amount=asked.amount,
        reason=asked.reason,
        request_id=asked.request_id or str(uuid4()),
    )


async def jobs(steward: Steward, _: argparse.Namespace) -> Row:
    return await steward.ask("get_jobs")


async def runs(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask(
        "list_job_runs",
        job=asked.job,
        failed_only=asked.failed,
        page_size=asked.most,
        before_id=asked.before,
    )


async def acts(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask("list_steward_acts", page_size=asked.most, before_id=asked.before)


async def health(steward: Steward, _: argparse.Namespace) -> Row:
    found = await steward.ask("get_health")
    if found["dawn_late_seconds"] > LATE_SECONDS:
        raise Refusal("UNAVAILABLE", "A Dawn is late: look at `jobs` and `runs --failed`.", found)
    return found


# ------------------------------------------------------------------------------ how to ask


def add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="what stewards do", metavar="COMMAND")

    def command(act: Command, tells: str, example: str, pages: bool = False) -> Any:
        made = commands.add_parser(
            act.__name__,
            help=tells,
            description=f"{tells}.",
            epilog=f"Example: {parser.prog} {example}",
        )
        made.set_defaults(act=act)
        made.add_argument("--json", action="store_true", help="print the whole answer as JSON")
        if pages:
            made.add_argument("--most", type=int, metavar="N", help="how many, 1 to 200 (50)")
            made.add_argument("--before", metavar="ID", help="those before this id: the next page")
        return made

    def acting(act: Command, tells: str, example: str) -> Any:
        made = command(act, tells, example)
        made.add_argument(
            "--as",
            dest="name",
            metavar="STEWARD",
            help="in whose name, for the audit log: a steward's id or e-mail address",
        )
        return made

    make = command(mint, "mint invites and show their codes, this once", "mint --max-uses 5")
    make.add_argument("--count", type=int, metavar="N", help="how many invites, 1 to 100 (1)")
    make.add_argument("--max-uses", type=int, metavar="N", help="uses of each, 1 to 100 (1)")
    make.add_argument("--email", help="only for whoever owns this address")
    make.add_argument("--days", type=float, metavar="N", help="for how many days (no end)")
    make.add_argument("--theme", help="dawn, sunset, mint or ink (dawn)")
    make.add_argument("--title", help="the title of the welcome")
    make.add_argument("--message", help="the words of the welcome")
    make.add_argument("--note", help="a note to yourself, such as whom it is for")
    command(invites, "list the invites, newest first, without their codes", "invites", pages=True)
    close = command(revoke, "close an invite; whoever came in with it stays", "revoke INVITE_ID")
    close.add_argument("invite", help="the id of the invite, as `invites` shows it")

    find = command(people, "find people and their communities", "people asha", pages=True)
    find.add_argument(
        "query", nargs="?", help="an id, a whole e-mail address, part of a name; without: everybody"
    )
    let_in = acting(admit, "let a person in without an invite", "admit zoe@example.org")
    let_in.add_argument("who", help=WHO)
    stop = acting(
        suspend, "take a person's admission back", "suspend zoe@example.org --reason 'Spam'"
    )
    stop.add_argument("who", help=WHO)
    stop.add_argument("--reason", required=True, help="for the audit log, 1 to 280 characters")
    lift = acting(restore, "lift a suspension", "restore zoe@example.org")
    lift.add_argument("who", help=WHO)
    forget = command(
        erase, "erase a person and their sign-in for good", "erase zoe@example.org --yes"
    )
    forget.add_argument("who", help=WHO)
    forget.add_argument("--yes", action="store_true", help="yes, for good")

    look = acting(community, "look at a community's day, books and runs", "community COMMUNITY_ID")
    look.add_argument("community", help=COMMUNITY)
    look.add_argument("--quick", action="store_true", help="without proving the books")
    catch_up = acting(settle, "do now whatever is overdue in a community", "settle COMMUNITY_ID")
    catch_up.add_argument("community", help=COMMUNITY)
    mend = acting(
        correct,
        "set a member's purse up or down; everyone is told why",
        "correct COMMUNITY_ID bram -5 'A bug granted it twice'",
    )
    mend.add_argument("community", help=COMMUNITY)
    mend.add_argument("who", help=WHO)
    mend.add_argument("amount", type=int, help="in CC, up or, below zero, down")
    mend.add_argument("reason", help="for the member, the Chamber and the audit log")
    mend.add_argument(
        "--request-id", metavar="UUID", help="given again after a failure, it happens once"
    )

    command(jobs, "show the scheduled jobs: last run, lag, failures", "jobs")
    log = command(runs, "show what the jobs did", "runs --failed", pages=True)
    log.add_argument("--job", help="of this job alone, such as daily_reset")
    log.add_argument("--failed", action="store_true", help="only what failed")
    command(acts, "show what stewards did: the audit log of the Bureau", "acts", pages=True)
    command(health, "ask whether the house is well; fails when a Dawn is late", "health")


def run(asked: argparse.Namespace, settings: Settings) -> int:
    complaints = logging.StreamHandler()
    complaints.setFormatter(
        logging.Formatter("(%(message)s: %(rpc)s %(cause)s)", defaults={"rpc": "", "cause": ""})
    )
    logging.getLogger("edge").addHandler(complaints)
    try:
        answer = asyncio.run(answer_to(asked, settings))
    except Refusal as refusal:
        print(f"{refusal.code}: {refusal.message}", file=sys.stderr)
        for name, fact in refusal.details.items():
            print(f"  {name}: {fact}", file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2) if asked.json else in_words(answer))
    return 0


async def answer_to(asked: argparse.Namespace, settings: Settings) -> Row:
    gateway = Gateway(settings)
    act: Command = asked.act
    try:
        return await act(Steward(gateway, getattr(asked, "name", None)), asked)
    finally:
        await gateway.close()


# ------------------------------------------------------------------------------ how it reads


def in_words(answer: Row) -> str:
    more = answer.pop("has_more", False)
    return "\n".join(
        [*lines_of(answer), *(["There are more: --before the last id."] if more else [])]
    )


def lines_of(answer: Row) -> Iterator[str]:
    """One fact a line, the short ones first; what is null is left out."""
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
