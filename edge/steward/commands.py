"""How each command is asked for."""

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

from edge.settings import an_origin
from edge.steward import acts
from edge.steward.acts import Row, Steward
from edge.steward.doctor import doctor, in_check_marks
from edge.steward.words import in_words

Command = Callable[[Steward, argparse.Namespace], Awaitable[Row]]

WHO = "an id, a whole e-mail address, or a name that only one person has"
COMMUNITY = "the id of the community, as `people` shows it"


def add_commands(parser: argparse.ArgumentParser) -> None:
    commands = Commands(parser)
    about_invites(commands)
    about_people(commands)
    about_communities(commands)
    about_the_machinery(commands)


class Commands:
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._prog = parser.prog
        self._commands = parser.add_subparsers(title="what stewards do", metavar="COMMAND")

    def command(self, act: Command, tells: str, example: str, pages: bool = False) -> Any:
        made = self._commands.add_parser(
            act.__name__,
            help=tells,
            description=f"{tells}.",
            epilog=f"Example: {self._prog} {example}",
        )
        made.set_defaults(act=act, words=in_words)
        made.add_argument("--json", action="store_true", help="print the whole answer as JSON")
        if pages:
            made.add_argument("--most", type=int, metavar="N", help="how many, 1 to 200 (50)")
            made.add_argument("--before", metavar="ID", help="those before this id: the next page")
        return made

    def acting(self, act: Command, tells: str, example: str) -> Any:
        made = self.command(act, tells, example)
        made.add_argument(
            "--as",
            dest="name",
            metavar="STEWARD",
            help="in whose name, for the audit log: a steward's id or e-mail address",
        )
        return made


def about_invites(commands: Commands) -> None:
    mint = commands.command(
        acts.mint, "mint invites and show their codes, this once", "mint --max-uses 5"
    )
    mint.add_argument("--count", type=int, metavar="N", help="how many invites, 1 to 100 (1)")
    mint.add_argument("--max-uses", type=int, metavar="N", help="uses of each, 1 to 100 (1)")
    mint.add_argument("--email", help="only for whoever owns this address")
    mint.add_argument("--days", type=float, metavar="N", help="for how many days (no end)")
    mint.add_argument("--theme", help="dawn, sunset, mint or ink (dawn)")
    mint.add_argument("--title", help="the title of the welcome")
    mint.add_argument("--message", help="the words of the welcome")
    mint.add_argument("--note", help="a note to yourself, such as whom it is for")

    commands.command(
        acts.invites, "list the invites, newest first, without their codes", "invites", pages=True
    )

    revoke = commands.command(
        acts.revoke, "close an invite; whoever came in with it stays", "revoke INVITE_ID"
    )
    revoke.add_argument("invite", help="the id of the invite, as `invites` shows it")


def about_people(commands: Commands) -> None:
    people = commands.command(
        acts.people, "find people and their communities", "people asha", pages=True
    )
    people.add_argument(
        "query", nargs="?", help="an id, a whole e-mail address, part of a name; without: everybody"
    )

    admit = commands.acting(
        acts.admit, "let a person in without an invite", "admit zoe@example.org"
    )
    admit.add_argument("who", help=WHO)

    suspend = commands.acting(
        acts.suspend, "take a person's admission back", "suspend zoe@example.org --reason 'Spam'"
    )
    suspend.add_argument("who", help=WHO)
    suspend.add_argument("--reason", required=True, help="for the audit log, 1 to 280 characters")

    restore = commands.acting(acts.restore, "lift a suspension", "restore zoe@example.org")
    restore.add_argument("who", help=WHO)

    erase = commands.command(
        acts.erase, "erase a person and their sign-in for good", "erase zoe@example.org --yes"
    )
    erase.add_argument("who", help=WHO)
    erase.add_argument("--yes", action="store_true", help="yes, for good")


def about_communities(commands: Commands) -> None:
    community = commands.acting(
        acts.community, "look at a community's day, books and runs", "community COMMUNITY_ID"
    )
    community.add_argument("community", help=COMMUNITY)
    community.add_argument("--quick", action="store_true", help="without proving the books")

    settle = commands.acting(
        acts.settle, "do now whatever is overdue in a community", "settle COMMUNITY_ID"
    )
    settle.add_argument("community", help=COMMUNITY)

    seat = commands.acting(
        acts.seat,
        "make somebody moderator, also of a community everyone has left",
        "seat COMMUNITY_ID zoe@example.org --reason 'Nobody was left'",
    )
    seat.add_argument("community", help=COMMUNITY)
    seat.add_argument("who", help=WHO)
    seat.add_argument("--reason", required=True, help="told to everyone, 1 to 280 characters")

    correct = commands.acting(
        acts.correct,
        "set a member's purse up or down; everyone is told why",
        "correct COMMUNITY_ID bram -5 'A bug granted it twice'",
    )
    correct.add_argument("community", help=COMMUNITY)
    correct.add_argument("who", help=WHO)
    correct.add_argument("amount", type=int, help="in CC, up or, below zero, down")
    correct.add_argument("reason", help="for the member, the Chamber and the audit log")
    correct.add_argument(
        "--request-id", metavar="UUID", help="given again after a failure, it happens once"
    )


def about_the_machinery(commands: Commands) -> None:
    commands.command(
        acts.jobs,
        "show the scheduled jobs: last run, lag, failures; fails when one is missing or late",
        "jobs",
    )

    runs = commands.command(acts.runs, "show what the jobs did", "runs --failed", pages=True)
    runs.add_argument("--job", help="of this job alone, such as daily_reset")
    runs.add_argument("--failed", action="store_true", help="only what failed")

    commands.command(
        acts.acts, "show what stewards did: the audit log of the Bureau", "acts", pages=True
    )
    commands.command(
        acts.health,
        "ask whether the house is well; fails when something is missing or a Dawn is late",
        "health",
    )
    commands.command(acts.mend, "put back what the house lacks; twice is as well as once", "mend")

    ask = commands.command(
        doctor,
        "check a deployment off, and name what is missing",
        "doctor --origin https://chas.example --edge https://edge.chas.example",
    )
    ask.set_defaults(words=in_check_marks)
    ask.add_argument("--origin", type=an_origin, help="where the frontend is served from")
    ask.add_argument("--edge", type=an_origin, help="where the edge is served from")
