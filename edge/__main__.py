"""python -m edge"""

import argparse
import signal
import sys
from typing import Never

import uvicorn

from edge import steward
from edge.app import create_app
from edge.logs import set_up_logging
from edge.settings import Settings, SettingsError, load_settings

GRACE_SECONDS = 10

PARSER = argparse.ArgumentParser(
    prog="python -m edge",
    description="Without a command: serves the edge of CHAS; told to stop, it finishes what is "
    "under way. With one: does what a steward asks, with the service key, and is done.",
    epilog="Settings come from the environment or a file .env; see .env.example. "
    "Each command has its own --help.",
)
steward.add_commands(PARSER)


def main() -> None:
    asked = PARSER.parse_args()
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    if "act" in asked:
        sys.exit(steward.run(asked, settings))
    set_up_logging(settings)
    serve(settings)


def serve(settings: Settings) -> None:
    signal.signal(signal.SIGTERM, leave)
    uvicorn.run(
        create_app(settings),
        host=settings.edge_host,
        port=settings.edge_port,
        log_config=None,
        access_log=False,  # ours tells no codes
        server_header=False,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def leave(*_: object) -> Never:
    """Being told to stop, and stopping, is no failure."""
    sys.exit(0)


if __name__ == "__main__":
    main()
