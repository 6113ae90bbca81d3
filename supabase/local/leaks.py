"""Looks for secrets in what git has, or would be given: `leaks.py [FILE...]`.

Only shapes that are somebody's key and nothing else, so that a finding is always worth a look.
"""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cluster import ROOT

# Passwords of a database nobody can reach.
HARMLESS = {"postgres", "password", "secret"}

SHAPES = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}",
    "a private JSON web key": r'"d"\s*:\s*"[A-Za-z0-9_-]{40,}"',
    "a secret key of Supabase": r"sb_secret_[A-Za-z0-9_-]{20,}",
    "an access token of Supabase": r"sbp_(?:oauth_)?[a-f0-9]{40}",
    "a JSON web token": r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{20,}",
    "a database address with its password": r"postgres(?:ql)?://[\w.-]+:([^@\s/{}\"'$<>]+)@",
    "a client secret of Google": r"GOCSPX-[A-Za-z0-9_-]{20,}",
    "an API key of Google": r"AIza[A-Za-z0-9_-]{35}",
    "an access key of Amazon": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "a token of GitHub": r"(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})",
    "a token of a package registry": r"npm_[A-Za-z0-9]{36}|pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
    "a secret given a value": (
        r"(?im)^\s*(?:export\s+)?[A-Z_]*(?:SERVICE_KEY|JWT_SECRET|ANON_KEY|PASSWORD|API_KEY)"
        r"\s*[=:]\s*[\"']?([A-Za-z0-9+/_.-]{20,})"
    ),
}


def files() -> list[Path]:
    """Tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def leaks(text: str) -> Iterator[tuple[int, str]]:
    """The line of each, and what it looks like."""
    for kind, shape in SHAPES.items():
        for match in re.finditer(shape, text):
            value = match.group(match.lastindex or 0)
            if value not in HARMLESS and not is_no_secret(value):
                yield text.count("\n", 0, match.start()) + 1, kind


def is_no_secret(value: str) -> bool:
    """A token that names the role anon is for every browser."""
    header, dot, rest = value.partition(".")
    if not (header.startswith("eyJ") and dot):
        return False
    claims = rest.partition(".")[0]
    try:
        read = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except ValueError:
        return False
    return isinstance(read, dict) and read.get("role") == "anon"


def main() -> int:
    paths = [Path(name).absolute() for name in sys.argv[1:]] or files()
    found = [
        f"{path}:{line}: {kind}"
        for path in paths
        for line, kind in leaks(path.read_bytes().decode(errors="replace"))
    ]
    print("\n".join(found) if found else f"No secrets in {len(paths)} files.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
