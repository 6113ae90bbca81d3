"""One command: asked, answered in words or as JSON, with a status."""

import argparse
import asyncio
import json
import logging
import signal
import sys

from edge.errors import Refusal
from edge.gateway import Gateway
from edge.settings import Settings
from edge.steward.acts import Row, Steward, Unwell


def run(asked: argparse.Namespace, settings: Settings) -> int:
    complaints = logging.StreamHandler()
    complaints.setFormatter(
        logging.Formatter("(%(message)s: %(rpc)s %(cause)s)", defaults={"rpc": "", "cause": ""})
    )
    logging.getLogger("edge").addHandler(complaints)
    try:
        show(ask(asked, settings), asked)
    except Unwell as unwell:
        show(unwell.answer, asked)
        print(unwell.sentence, file=sys.stderr)
        return 1
    except Refusal as refusal:
        print(f"{refusal.code}: {refusal.message}", file=sys.stderr)
        for name, fact in refusal.details.items():
            print(f"  {name}: {fact}", file=sys.stderr)
        return 1
    return 0


def ask(asked: argparse.Namespace, settings: Settings) -> Row:
    """Where `… | head` has read its fill we go too; but a wire of ours that breaks is a refusal."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        return asyncio.run(answer_to(asked, settings))
    finally:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


async def answer_to(asked: argparse.Namespace, settings: Settings) -> Row:
    gateway = Gateway(settings)
    try:
        answer: Row = await asked.act(
            Steward(settings, gateway, getattr(asked, "name", None)), asked
        )
        return answer
    finally:
        await gateway.close()


def show(answer: Row, asked: argparse.Namespace) -> None:
    print(json.dumps(answer, indent=2) if asked.json else asked.words(answer))
