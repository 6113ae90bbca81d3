"""The page for who writes a frontend: its examples are run, in order, as one program."""

import json
import re
from typing import Any

import pytest
from cluster import ROOT
from doors import SCHEMA
from keys import PUBLISHABLE

pytestmark = pytest.mark.contract

PAGE = ROOT / "supabase" / "docs" / "frontend.md"
TOPICS = {"community:<id>": "CommunityBroadcasts", "user:<id>": "UserBroadcasts"}

# What the examples found, once the last broadcast has had its time.
SHOWN = """
for (let tries = 0; tries < 50 && !heard.some(([event]) => event === 'message'); tries += 1) {
  await new Promise((done) => setTimeout(done, 100))
}
await catchUp()
const verified = await supabase.rpc('verify_gazette', { community_id })
console.log(JSON.stringify({
  access, joined, no, chamber: chamber.length, balance, heard,
  first: first.data, second: second.data,
  last: lines.at(-1), ids: lines.map((line) => line.id), redeemed, unknown, pictured, untilSunset,
  proof, verified: verified.data,
}))
process.exit(0)
"""

# Errors of every kind, as clients meet them, and what the helper makes of each.
READ = [
    (None, None),
    ({"code": "DAY_CLOSED", "message": "No.", "details": '{"possible_at": null}'}, "DAY_CLOSED"),
    ({"code": "PGRST202", "message": "No such function.", "details": "Searched …"}, "MALFORMED"),
    ({"code": "22P02", "message": "no uuid", "details": None}, "MALFORMED"),
    ({"code": "PGRST301", "message": "JWT expired", "details": None}, "UNAUTHORIZED"),
    ({"code": "42501", "message": "permission denied", "details": None}, "UNAUTHORIZED"),
    ({"code": "57014", "message": "canceling statement", "details": None}, "UNAVAILABLE"),
    ({"code": "", "message": "TypeError: fetch failed", "details": "at node:…"}, "UNAVAILABLE"),
    ({"error": "Too big.", "code": "BODY_TOO_LARGE", "details": {}}, "BODY_TOO_LARGE"),
    ({"message": "No API key found in request"}, "UNAUTHORIZED"),
    ({"code": "CONFLICT", "message": "No.", "details": "no JSON"}, "CONFLICT"),
    ({"code": "CONFLICT", "message": "No.", "details": "[1]"}, "CONFLICT"),
    ("anything", "UNAVAILABLE"),
    (7, "UNAVAILABLE"),
]


@pytest.fixture(scope="module")
def run(stack):
    def run(script: str) -> Any:
        place = stack.place / "example.mjs"
        place.write_text(script)
        # Node looks for packages beside the script, and they are in supabase/.
        return json.loads(stack.shell(f"cd supabase && node --input-type=module < {place}"))

    return run


def test_the_examples_of_the_page_run(stack, run):
    blocks = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    given = {"SUPABASE_URL": stack.url, "EDGE_URL": stack.url, "SUPABASE_ANON_KEY": PUBLISHABLE}
    head = [f"const {name} = {json.dumps(value)}" for name, value in given.items()]
    told = run("\n".join([*head, *blocks, SHOWN]))
    assert told["access"]["whitelisted"]
    assert told["chamber"] > 20
    assert "Bram ist da." in told["joined"]
    assert (told["no"]["code"], told["no"]["facts"]["largest_possible"]) == ("INSUFFICIENT_CC", 100)
    assert told["first"]["declaration"]["id"] == told["second"]["declaration"]["id"]
    assert told["balance"]["remaining"] == 95
    assert 0 < told["untilSunset"] < 86_400_000
    assert ["message", {"message_id": told["last"]["id"] - 1}] in told["heard"]
    assert told["ids"] == sorted(set(told["ids"]))
    assert told["redeemed"]["data"]["already_whitelisted"]
    assert told["unknown"]["code"] == "NOT_FOUND"
    same = ("holds", "editions", "taken_out", "head", "first_break")
    assert told["proof"] == {name: told["verified"][name] for name in same}
    assert told["proof"]["editions"] >= 3
    assert told["pictured"]["declaration"]["image_url"].endswith("heron.jpg")


def test_no_error_is_too_strange_to_be_read(run):
    told = run(f"""
        import {{ refusal }} from './types/refusal.js'
        console.log(JSON.stringify({json.dumps([error for error, _ in READ])}.map(refusal)))
    """)
    assert [one and one["code"] for one in told] == [code for _, code in READ]
    assert told[1]["facts"] == {"possible_at": None}
    assert all(one["facts"] == {} for one in told[2:])
    assert all(isinstance(one["message"], str) for one in told[1:])


def test_every_broadcast_stands_in_the_page_with_its_ids():
    listed: dict[str, dict[str, set[str]]] = {shape: {} for shape in TOPICS.values()}
    topic = ""
    for row in re.findall(r"^\| (`\w+:<id>`)? ?\| (`.*?`) \| (`.*?`) \|", PAGE.read_text(), re.M):
        topic = row[0].strip("`") or topic
        for event in re.findall(r"`(\w+)`", row[1]):
            listed[TOPICS[topic]][event] = set(re.findall(r"`(\w+)`", row[2]))
    for shape, events in listed.items():
        known = SCHEMA["$defs"][shape]["properties"]
        ids = {
            event: set(SCHEMA["$defs"][of["$ref"].rpartition("/")[2]]["properties"])
            for event, of in known.items()
        }
        assert events == ids
