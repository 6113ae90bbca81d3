"""python -m edge"""

import argparse
import signal
import sys
from math import ceil
from typing import Never

import uvicorn

from edge.app import create_app
from edge.logs import set_up_logging
from edge.settings import Settings, SettingsError, load_settings
from edge.steward.commands import add_commands
from edge.steward.program import run

# The longest way through the edge, an erasure, asks the project this often.
MOST_CALLS = 3

PARSER = argparse.ArgumentParser(
    prog="python -m edge",
    description="Without a command: serves the edge of CHAS; told to stop, it finishes what is "
    "under way. With one: does what a steward asks, with the service key, and is done.",
    epilog="Settings come from the environment or a file .env; see .env.example. "
    "Each command has its own --help.",
)
add_commands(PARSER)


def main() -> None:
    # Where `… | head` has read its fill, a command goes too.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    asked = PARSER.parse_args()
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    if "act" in asked:
        sys.exit(run(asked, settings))
    set_up_logging(settings)
    serve(settings)


def serve(settings: Settings) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    uvicorn.run(
        create_app(settings),
        host=settings.edge_host,
        port=settings.edge_port,
        log_config=None,
        access_log=False,  # ours tells no codes
        server_header=False,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=ceil(MOST_CALLS * settings.house_timeout_seconds),
    )


def leave(*_: object) -> Never:
    """Being told to stop, and stopping, is no failure."""
    sys.exit(0)


if __name__ == "__main__":
    main()
