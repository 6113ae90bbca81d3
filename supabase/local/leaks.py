"""Looks for secrets in what git has, or would be given: `leaks.py [--accept] [FILE...]`.

detect-secrets looks, with its own detectors and the one of leaks_of_supabase.py. What is no secret
stands in .secrets.baseline by its hash; --accept writes there what is found now, to be read before
it is committed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from cluster import ROOT
from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

KNOWN = ROOT / ".secrets.baseline"


def files() -> list[Path]:
    """Tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
    return [path for path in paths if path != KNOWN]


def scan(paths: list[Path]) -> tuple[SecretsCollection, SecretsCollection]:
    """What is found, and of it what is not known to be harmless."""
    known = json.loads(KNOWN.read_text())
    os.chdir(ROOT)
    with transient_settings(known):
        found = SecretsCollection()
        # One after the other: the settings above are this process's own.
        for path in paths:
            found.scan_file(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path))
        return found, found - baseline.load(known)


def accept(found: SecretsCollection) -> None:
    known = json.loads(KNOWN.read_text())
    known["results"] = json.loads(json.dumps(found.json()))
    KNOWN.write_text(json.dumps(known, indent=2) + "\n")


def main() -> int:
    accepts = "--accept" in sys.argv[1:]
    paths = [Path(name).absolute() for name in sys.argv[1:] if name != "--accept"] or files()
    found, new = scan(paths)
    if accepts:
        accept(found)
        new = SecretsCollection()
    leaks = [f"{name}:{secret.line_number}: {secret.type}" for name, secret in new]
    print("\n".join(leaks) if leaks else f"No secrets in {len(paths)} files.")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
