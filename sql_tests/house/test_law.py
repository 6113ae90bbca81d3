"""The law is in the house, and so is whatever its pages point at.

Every reference to the law names a clause of supabase/docs/rules.md, every link leads somewhere, and
what a page shows works.
"""

import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

from cluster import ROOT

NODE = Path(sys.executable).with_name("node")
LAW = ROOT / "supabase" / "docs" / "rules.md"
README = ROOT / "README.md"


def tracked() -> dict[str, str]:
    """The text of every file git has or would be given, by its name."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    # What is generated says nothing of its own, nor do lists of packages.
    left_out = re.compile(
        r"^supabase/migrations/|package-lock\.json$|requirements\.txt$|test_law\.py$"
    )
    names = [name for name in told.stdout.splitlines() if not left_out.search(name)]
    files = {name: ROOT / name for name in names}
    return {
        name: file.read_text(errors="replace") for name, file in files.items() if file.is_file()
    }


TREE = tracked()
PAGES = {name: text for name, text in TREE.items() if name.endswith(".md")}

# ------------------------------------------------------------------------------ the law

# RULES 6.3; RULES 1.3 to 1.5; RULES 2.5, 2.6; RULES, Words and 6. A comment may break the line.
BREAK = r"(?:\s|\n\s*(?:--|\#|//|\*)\s*)"
CLAUSE = r"(?:Words|\d+(?:\.\d+)?)"
REFERENCE = re.compile(
    rf"\bRULES,?{BREAK}*({CLAUSE}(?:(?:,|{BREAK}+and|{BREAK}+to){BREAK}+{CLAUSE})*)"
)
WORD = re.compile(r"\bRULES\b")


def clauses(law: str) -> list[str]:
    """Sections and their clauses as the page numbers them, in its order."""
    found = ["Words"] if law.count("\n**Words.**") == 1 else []
    section = ""
    for line in law.splitlines():
        if heading := re.match(r"## (\d+)\. ", line):
            section = heading[1]
            found.append(section)
        elif section and (clause := re.match(r"(\d+)\. ", line)):
            found.append(f"{section}.{clause[1]}")
    return found


def references(text: str) -> tuple[list[str], int]:
    """The clauses a text cites, and how often it speaks of the law without citing it."""
    cited = [re.findall(CLAUSE, one[1]) for one in REFERENCE.finditer(text)]
    return [clause for group in cited for clause in group], len(WORD.findall(text)) - len(cited)


def test_the_law_is_numbered_without_a_gap():
    words, *numbered = clauses(LAW.read_text())
    assert words == "Words"
    for section, group in groupby(numbered, key=lambda clause: int(clause.partition(".")[0])):
        first, *rest = group
        assert first == str(section)
        assert rest == [f"{section}.{number + 1}" for number in range(len(rest))]
    assert [clause for clause in numbered if "." not in clause] == [str(n + 1) for n in range(17)]


def test_every_reference_names_a_clause():
    law = set(clauses(LAW.read_text()))
    dead = []
    count = 0
    for name, text in TREE.items():
        cited, _ = references(text)
        count += len(cited)
        dead += [f"{name}: RULES {one}" for one in cited if one not in law]
    assert not dead
    assert count > 60, "the rooms cite the law more often than that: the search has gone blind"


def test_nobody_cites_the_law_without_saying_where():
    vague = {}
    for name, text in TREE.items():
        # A pattern that looks for references is none, nor are words about them.
        if missed := references(text.replace("RULES[^", "").replace("`RULES`", ""))[1]:
            vague[name] = missed
    assert vague == {}


def test_a_reference_is_read_however_it_is_broken():
    assert references("(RULES 1.3 to 1.5)") == (["1.3", "1.5"], 0)
    assert references("-- takes it (RULES\n-- 6.2, 6.4):") == (["6.2", "6.4"], 0)
    assert references("(RULES, Words and 6)") == (["Words", "6"], 0)
    assert references("as the RULES say") == ([], 1)


def test_what_is_not_built_is_marked_in_one_way():
    """So that a mark can be found, and taken away, by one search."""
    law = LAW.read_text().replace("`(not built yet)`", "")
    every = re.findall(r"not built yet", law)
    marks = re.findall(r" \*\(not built yet(?:: [^()*]+)?\)\*", law)
    assert len(marks) == len(every)


# ------------------------------------------------------------------------------ the pages

# Pages that guided the building of the house and are not in it; what they knew is in supabase/docs.
ELSEWHERE = ("STYLE", "MEASURED", "REVIEW", "FAULTS", "REAL_SHAPES", "LOCAL_STACK")
FENCE = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
# A path of the project in backticks. One with a placeholder is none.
PATH = re.compile(r"`((?:supabase|edge|sql_tests|\.ci|\.github)/[\w./-]+)`")
INSTALLED = "supabase/node_modules/"


def anchors(page: Path) -> set[str]:
    """The names GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_somewhere():
    dead = []
    count = 0
    for name, text in PAGES.items():
        page = ROOT / name
        for target in LINK.findall(FENCE.sub("", text)):
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            path, _, anchor = target.partition("#")
            place = (page.parent / path).resolve() if path else page
            if not place.exists() or (anchor and anchor not in anchors(place)):
                dead.append(f"{name}: {target}")
    assert not dead
    assert count > 30


def test_every_path_a_page_names_is_there():
    gone = [
        f"{name}: {path}"
        for name, text in PAGES.items()
        for path in PATH.findall(text)
        if not path.startswith(INSTALLED) and not (ROOT / path).exists()
    ]
    assert not gone


def test_every_room_the_map_names_is_there_and_no_other():
    map_of_rooms = re.search(r"^\| rooms \|.*?\n\n", README.read_text(), re.S | re.M)
    assert map_of_rooms
    named = re.findall(r"`(\d{3}_\w+)`", map_of_rooms[0])
    assert named == sorted(room.stem for room in (ROOT / "supabase" / "schemas").glob("*.sql"))


def test_every_decision_is_in_their_list():
    place = ROOT / "supabase" / "docs" / "decisions"
    listed = LINK.findall((place / "README.md").read_text())
    assert {page.name for page in place.glob("*.md")} - {"README.md"} <= set(listed)


def test_nobody_speaks_of_a_page_that_is_not_here():
    """A page by its file name must be one of ours; the pages of the building time are not."""
    elsewhere = re.compile(rf"\b(?:{'|'.join(ELSEWHERE)})\b")
    missing = []
    for name, text in TREE.items():
        missing += [f"{name}: {word}" for word in elsewhere.findall(text)]
        for page in re.findall(r"(?<![\w*./-])[\w-][\w./-]*\.md\b", text):
            if not any(one == page or one.endswith(f"/{page}") for one in PAGES):
                missing.append(f"{name}: {page}")
    assert not missing


def test_the_readme_is_for_a_stranger():
    lines = README.read_text().splitlines()
    assert len(lines) <= 150
    assert "the original" not in " ".join(lines).lower()
