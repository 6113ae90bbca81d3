"""Anybody can prove a Gazette without the house: supabase/types/gazette.js does (RULES 15.3)."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import ROOT

NODE = Path(sys.executable).with_name("node")


def recompute(community_id, editions):
    """The head, or what breaks."""
    script = f"""
        import {{ prove }} from './types/gazette.js'
        const proof = await prove(...{json.dumps([community_id, editions])})
        console.log(JSON.stringify(proof))
    """
    done = subprocess.run(
        [NODE, "--input-type=module"],
        input=script,
        cwd=ROOT / "supabase",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    proof = json.loads(done.stdout)
    assert proof["holds"] == (proof["first_break"] is None)
    return proof["first_break"] or proof["head"]


@pytest.fixture
def editions(house, rain, asha, bram, service):
    """Four, with words of every script, a joy that is struck and an author who is erased."""
    carol = house.admit(house.sign_up("carol@chas.test", "Carol"))
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    carol.join_community(invite_code=code)
    for day, title in enumerate(("Regen — “endlich” 🌧️", "left \u200f right", 'a "quote" \\', "雨")):
        house.clock.at(f"2026-03-0{day + 2} 12:00+00:00")
        for person in (bram, carol):
            told = person.declare_joy(
                community_id=rain, title=title, cc_spent=3, description="Zwei\nZeilen\t\u2028✓"
            )
            if day == 1 and person is bram:
                struck = told["message"]["id"]
    house.clock.at("2026-03-06 12:00+00:00")
    asha.get_balance(community_id=rain)
    asha.strike_message(message_id=struck, reason="Enough")
    service.erase_user(user_id=carol.id)
    return [asha.get_edition(community_id=rain, number=number)["edition"] for number in range(1, 5)]


def test_a_whole_gazette_is_recomputed_in_javascript(rain, asha, editions):
    answer = asha.verify_gazette(community_id=rain)
    assert (answer["editions"], answer["taken_out"]) == (4, 5)
    assert recompute(rain, editions) == answer["head"]


@pytest.mark.parametrize(
    ("key", "value"), [("day", "2026-03-04"), ("digest", "0" * 64), ("previous_digest", None)]
)
def test_a_forged_edition_is_found_there_too(rain, editions, key, value):
    forged = copy.deepcopy(editions)
    forged[1][key] = value
    assert recompute(rain, forged) == {"number": 2, "position": None, "why": "edition_changed"}


def test_a_forged_item_is_found_there_too(rain, editions):
    forged = copy.deepcopy(editions)
    item = next(item for item in forged[2]["items"] if item["content"])
    item["content"] = item["content"].replace("quote", "quota")
    found = {"number": 3, "position": item["position"], "why": "item_changed"}
    assert recompute(rain, forged) == found
    gap = {"number": 2, "position": None, "why": "edition_missing"}
    assert recompute(rain, editions[:1] + editions[2:]) == gap


def test_the_worked_example_of_the_comment_is_right(house):
    (said,) = house.owner.sql("""
      select
        obj_description('public.verify_gazette'::regproc) as comment,
        private.digest_text('00112233445566778899aabbccddeeff' || '{"a": 1}') as item
    """)
    (edition,) = house.owner.sql(
        """
        select private.digest_edition(
          '00000000-0000-4000-8000-000000000001', 1, '2026-03-02', null, array[%(item)s]
        ) as digest
        """,
        item=said["item"],
    )
    assert said["item"] in said["comment"]
    assert edition["digest"] in said["comment"]
