"""Refusals: one vocabulary, each code with its status, facts a frontend can parse."""

import re

from people import STATUS_OF, refused


def test_every_code_has_its_status(house):
    """The one list of the house, held against RULES 12 as the tests have it."""
    listed = house.owner.sql("select code, status from private.refusal_codes()")
    assert {row["code"]: row["status"] for row in listed} == STATUS_OF
    assert len(listed) == len(STATUS_OF)


def test_no_function_refuses_with_a_code_nobody_knows(house):
    bodies = house.owner.sql("""
      select pg_get_functiondef(oid) as body from pg_proc
      where pronamespace in ('public'::regnamespace, 'private'::regnamespace) and prokind = 'f'
    """)
    used = {
        code
        for row in bodies
        for code in re.findall(r"private\.refused?\(\s*'([^']*)'", row["body"])
    }
    # Every code of the vocabulary is somebody's; none is said that is not in it.
    assert used == STATUS_OF.keys()


def test_a_refusal_carries_its_facts_and_leaves_nothing_behind(asha):
    with refused("INVALID_INPUT", field="display_name", longest=80) as refusal:
        asha.update_me(display_name="x" * 81, avatar_url="https://chas.test/a.png")

    assert "display_name" in refusal.message
    assert asha.get_me()["avatar_url"] is None
