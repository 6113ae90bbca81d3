"""Refusals: one vocabulary, each code with its status, facts a frontend can parse."""

import re

import pytest
from people import STATUS_OF, refused


@pytest.mark.parametrize("code", STATUS_OF)
def test_every_code_has_its_status(house, code):
    (row,) = house.owner.sql("select private.http_status(%(code)s) as status", code=code)
    assert row["status"] == STATUS_OF[code]


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
