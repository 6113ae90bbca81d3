"""Asks the registries what is known to be vulnerable: `audit.py [REQUIREMENTS]`, else the edge's.

A registry that does not answer such questions (a mirror, or none at all) is a line, not a failure.
"""

import json
import sys
from pathlib import Path
from typing import Any

from cluster import ROOT, run

PIP_AUDIT = [
    sys.executable,
    "-m",
    "pip_audit",
    "--progress-spinner=off",
    "--disable-pip",
    "--no-deps",
]


def python_packages(requirements: Path) -> tuple[list[str], str]:
    """What is vulnerable, and what could not be told."""
    told = run(*PIP_AUDIT, "--format=json", "-r", requirements, cwd=ROOT)
    answer = json_in(told.stdout)
    if answer is None:
        return [], "PyPI could not be asked"
    packages = answer["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {problem['id']}"
        for package in packages
        for problem in package.get("vulns", [])
    ]
    skipped = sum("skip_reason" in package for package in packages)
    return found, f"PyPI told nothing of {skipped} of {len(packages)}" if skipped else ""


def node_packages() -> tuple[list[str], str]:
    told = run("npm", "audit", "--json", "--prefix", ROOT / "supabase")
    answer = json_in(told.stdout) or {}
    if "vulnerabilities" not in answer:
        return [], "the npm registry does not answer audits"
    found = answer["vulnerabilities"].items()
    return [f"{name}: {one['severity']}, {one['range']}" for name, one in found], ""


def json_in(text: str) -> Any:
    """Warnings go before and after it."""
    start, end = text.find("\n{" if not text.startswith("{") else "{"), text.rfind("}")
    try:
        return json.loads(text[max(start, 0) : end + 1])
    except ValueError:
        return None


def main() -> int:
    named = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "edge" / "requirements.txt"
    found: list[str] = []
    for kind, (vulnerable, untold) in {
        "Python": python_packages(named),
        "Node": node_packages(),
    }.items():
        found += vulnerable
        said = f"{len(vulnerable)} known to be vulnerable"
        print(f"{kind}: {f'not checked, {untold}' if untold and not vulnerable else said}.")
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
