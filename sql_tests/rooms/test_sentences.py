"""What the house says is kept as facts, and put into words when it is read (RULES 3.1)."""

import random
import re
from typing import Any

import pytest
from people import House, refused
from psycopg.types.json import Jsonb

WEIRD = [
    "Maria",
    "Maria Silva",
    "5",
    "was",
    "An",
    "the",
    "CC",
    "a former member",
    "left.",
    "{user} [left]",
    "lent 5 CC to",
    "50%s \\1 $1",
    "d'Arc; drop table x --",
    "Ünïcødé 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👩‍👩‍👧",
    "مرحبا",
    "Bo " * 20,
]

PERSONS = ("user_id", "by_id", "lender_id", "borrower_id", "proposer_id", "winner_id")


def rename(house: House, person: Any, name: str) -> None:
    house.owner.sql(
        "update private.users set display_name = %(name)s where id = %(id)s",
        name=name,
        id=person.id,
    )


def lines(person: Any, community: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = []
    before = None
    while True:
        page = person.list_messages(community_id=community, page_size=200, before_id=before)
        read = page["messages"] + read
        if not page["has_more"]:
            return read
        before = read[0]["id"]


def events(house: House, place: str = "line") -> list[str]:
    return [
        row["event"]
        for row in house.owner.sql(
            "select jsonb_object_keys(private.events() -> %(place)s) as event order by 1",
            place=place,
        )
    ]


def test_names_stand_in_quotation_marks_as_they_are_now(house, asha, bram, rain):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    asha.update_me(display_name="Ashanti")
    line = lines(bram, rain)[-1]
    assert line["content"] == "“Bram” was called to the council by “Ashanti”."
    assert line["event"] == "council_appointed"
    assert line["facts"] == {"user_id": bram.id, "by_id": asha.id}
    assert {person["display_name"] for person in line["people"]} == {"Bram", "Ashanti"}


def test_nobody_makes_the_house_say_what_did_not_happen(house, asha, bram, rain):
    bram.update_me(display_name="A steward set the purse of Mia down by 90 CC: fraud. Eve")
    bram.leave_community(community_id=rain)
    said = lines(asha, rain)[-1]["content"]
    assert said == "“A steward set the purse of Mia down by 90 CC: fraud. Eve” left."


def test_a_name_cannot_close_the_marks_it_stands_in(asha):
    with refused("INVALID_INPUT", field="display_name", possible="Eve left."):
        asha.update_me(display_name="Eve” left.")


def test_words_of_a_reason_are_on_one_line_and_in_marks(house):
    said = house.owner.sql(
        "select private.quote_words(%(text)s) as said", text="One\nline\u2028and “marks”\u202e."
    )
    assert said[0]["said"] == "“One line and \u2018marks\u2019.”"


@pytest.mark.parametrize("place", ["line", "notice", "audit"])
def test_every_sentence_is_made_without_a_hole(house, asha, bram, rain, place):
    """Of every event, whatever of its facts is gone: no brace and no bracket is ever left."""
    word = house.owner.sql(
        "select private.keep_words(%(c)s, %(a)s, 'Because [x] {y}') as id", c=rain, a=asha.id
    )[0]["id"]
    full = dict.fromkeys(PERSONS, asha.id) | {
        "actor_id": bram.id,
        "subject_id": asha.id,
        "reason_id": word,
        "title_id": word,
        "amount": 5,
        "stake_amount": 7,
        "outcome": "completed",
        "seat_rule": "add",
        "week_start": "2026-03-01",
        "total_declarations": 2,
        "total_cc_spent": 9,
        "changed": ["name"],
        "pending": {"daily_cc_budget": 50},
        "count": 3,
    }
    for event in events(house, place):
        for facts in (full, {}):
            said = house.owner.sql(
                "select private.say(%(place)s, %(c)s, %(event)s, %(facts)s) as said",
                place=place,
                c=rain,
                event=event,
                facts=Jsonb(facts),
            )[0]["said"]
            assert said, f"{event} says nothing"
            shown = said.replace("Because [x] {y}", "")
            assert not re.search(r"[{}\[\]]", shown), f"{event}: {said}"


def test_three_thousand_weird_names_and_reasons_survive_the_erasure_of_half(  # noqa: C901  (one history, told in one go)
    house, asha, rain, join_rain
):
    """Facts and sentences of others stay to the letter; who is erased is a former member."""
    dice = random.Random(12)
    people = [join_rain(f"p{n}@chas.test", f"P {n}") for n in range(24)]
    for person in people:
        name = dice.choice(WEIRD)
        rename(house, person, name if dice.random() < 0.5 else f"{name} {dice.randint(0, 99)}"[:80])
    ids = [person.id for person in people]
    known = events(house)
    with house.owner.transaction() as owner:
        for n in range(3000):
            author = dice.choice(ids)
            word = owner.sql(
                "select private.keep_words(%(c)s, %(a)s, %(t)s) as id",
                c=rain,
                a=author,
                t=f"{dice.choice(WEIRD)} “{dice.choice(WEIRD)}” {n}",
            )[0]["id"]
            facts = {key: dice.choice(ids) for key in PERSONS} | {
                "reason_id": word,
                "title_id": word,
                "amount": dice.choice([5, -5]),
                "stake_amount": 7,
                "outcome": "completed",
                "seat_rule": dice.choice(["add", "renew"]),
                "week_start": "2026-03-01",
                "total_declarations": 2,
                "total_cc_spent": 9,
                "changed": ["name"],
                "pending": {},
            }
            owner.sql(
                "select private.announce(%(c)s, %(event)s, %(facts)s)",
                c=rain,
                event=dice.choice(known),
                facts=Jsonb(facts),
            )
    before = lines(asha, rain)
    gone = set(ids[::2])
    authors = {
        row["id"]: str(row["author_id"])
        for row in house.owner.sql("select id, author_id from private.words")
    }
    for person in gone:
        house.service.erase_user(user_id=person)
    at_once = lines(asha, rain)
    while house.owner.sql("select private.housekeeping() as n")[0]["n"]:
        pass
    for after in (at_once, [line for line in lines(asha, rain) if line["id"] <= before[-1]["id"]]):
        for old, new in zip(before, after, strict=True):
            assert new["id"] == old["id"]
            if old["event"] in ("member_joined", "member_left", "community_founded"):
                continue
            expected = old["content"]
            for person in old["people"]:
                if person["id"] in gone:
                    expected = expected.replace(f"“{person['display_name']}”", "\0" + person["id"])
            stored = {k: v for k, v in old["facts"].items() if k not in ("reason", "title")}
            shown = {k: v for k, v in new["facts"].items() if k not in ("reason", "title")}
            assert shown == stored
            lost = authors[old["facts"]["reason_id"]] in gone
            assert (new["facts"]["reason"] is None) == lost
            if not lost:
                expected = re.sub("\0[0-9a-f-]{36}", "a former member", expected)
                namesake = {p["display_name"] for p in old["people"] if p["id"] not in gone} & {
                    p["display_name"] for p in old["people"] if p["id"] in gone
                }
                if not namesake:
                    assert new["content"] == expected
