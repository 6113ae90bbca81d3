"""The questions of supabase/inspect, asked of the local stack, or of the database `URL` names.

`look.py [--database URL] [WORD...]`: all of them, or those whose names have one of the words.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from cluster import ROOT, Trouble, clean_environment, newest_server
from stack import Stack

QUESTIONS = sorted((ROOT / "supabase" / "inspect").glob("*.sql"))


def note(question: Path) -> str:
    """The comment a question begins with."""
    lines = question.read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("--"))


def ask(question: Path, database: str) -> None:
    print(f"\n{note(question)}", flush=True)
    psql = [str(newest_server() / "psql"), "-X", "-P", "border=2", "-v", "ON_ERROR_STOP=1"]
    done = subprocess.run(
        [*psql, "-f", str(question), database],
        # Answers go where ours go; a pager would wait for a key.
        env=clean_environment() | {"PAGER": ""},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise Trouble(f"{question.name} was not answered.")


def local_database() -> str:
    stack = Stack()
    stack.require_running()
    return stack.cluster.url()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", metavar="URL", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("words", nargs="*", metavar="WORD", help="such as lock, or dawns")
    asked = parser.parse_args()
    wanted = [
        question
        for question in QUESTIONS
        if not asked.words or any(word in question.stem for word in asked.words)
    ]
    try:
        if not wanted:
            names = ", ".join(question.stem for question in QUESTIONS)
            raise Trouble(f"No question is called {' or '.join(asked.words)}: {names}.")
        database = asked.database or local_database()
        for question in wanted:
            ask(question, database)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # Where `… | head` has read its fill we go too.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
