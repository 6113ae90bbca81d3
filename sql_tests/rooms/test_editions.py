"""The Gazette's editions, their chain and its proof (RULES 15). The tests begin on a Monday."""

import hashlib
import json
from functools import partial

import psycopg
import pytest
from people import refused, together

MONDAY_NIGHT = "2026-03-02 23:59+00:00"
TUESDAY = "2026-03-03 08:00+00:00"
TUESDAY_NIGHT = "2026-03-03 23:59+00:00"
WEDNESDAY = "2026-03-04 08:00+00:00"
EMPTY = {
    "holds": True,
    "editions": 0,
    "items": 0,
    "taken_out": 0,
    "head": None,
    "first_break": None,
    "next_number": None,
}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def edition(member, rain, **which):
    return member.get_edition(community_id=rain, **which)["edition"]


def contents(shown, kind):
    return [json.loads(i["content"]) for i in shown["items"] if i["kind"] == kind and i["content"]]


def kinds(shown):
    return [item["kind"] for item in shown["items"]]


def first_break(member, rain):
    answer = member.verify_gazette(community_id=rain)
    assert answer["holds"] is (answer["first_break"] is None)
    found = answer["first_break"]
    return found and (found["number"], found["position"], found["why"])


def recompute(shown, rain):
    """An edition's digest, from what is shown of it alone."""
    for item in shown["items"]:
        if item["content"] is not None:
            assert item["digest"] == sha256(item["salt"] + item["content"])
    lines = [
        rain,
        str(shown["number"]),
        shown["day"],
        shown["previous_digest"] or "",
        *(item["digest"] for item in shown["items"]),
    ]
    return sha256("\n".join(lines))


@pytest.fixture
def night(house, rain, asha):
    """Everything up to a moment, as a member's call settles it."""

    def pass_to(moment):
        house.clock.at(moment)
        asha.get_balance(community_id=rain)

    return pass_to


@pytest.fixture
def three_editions(rain, asha, bram, night):
    """Three days with a joy each; the third is the last one closed."""
    joys = []
    for title, moment in (
        ("First", TUESDAY),
        ("Second", WEDNESDAY),
        ("Third", "2026-03-05 08:00+00:00"),
    ):
        joys.append(
            bram.declare_joy(community_id=rain, title=title, cc_spent=5, description="Words")
        )
        night(moment)
    return joys


# ------------------------------------------------------------------------------ closing


def test_a_sunset_closes_the_edition_of_its_day(rain, asha, bram, night):
    joy = bram.declare_joy(community_id=rain, title="Rain at last", cc_spent=7, description="Wet")
    asha.witness_declaration(declaration_id=joy["declaration"]["id"])
    assert edition(asha, rain) is None

    night(MONDAY_NIGHT)
    shown = edition(asha, rain)
    assert (shown["number"], shown["day"], shown["previous_digest"]) == (1, "2026-03-02", None)
    assert kinds(shown) == ["joined", "joined", "declaration", "sunset"]
    assert [item["position"] for item in shown["items"]] == [1, 2, 3, 4]
    assert contents(shown, "declaration") == [
        {
            "kind": "declaration",
            "declaration_id": joy["declaration"]["id"],
            "author_id": bram.id,
            "title": "Rain at last",
            "description": "Wet",
            "cc_spent": 7,
            "witnessed": 1,
        }
    ]
    assert [joined["how"] for joined in contents(shown, "joined")] == ["founded", "joined"]
    assert shown["totals"] == {"joys": 1, "cc_spent": 7, "expired": 193}
    assert {person["id"] for person in shown["people"]} == {asha.id, bram.id}
    assert shown["digest"] == recompute(shown, rain)
    assert asha.verify_gazette(community_id=rain) == EMPTY | {
        "editions": 1,
        "items": 4,
        "head": shown["digest"],
    }


def test_a_sunset_alone_makes_no_edition(rain, asha, night):
    night(TUESDAY)
    assert edition(asha, rain)["number"] == 1
    night(WEDNESDAY)
    assert edition(asha, rain)["number"] == 1
    assert asha.verify_gazette(community_id=rain)["holds"]


def test_every_kind_of_thing_stands_in_it(house, rain, asha, bram, chloe, night, lend, propose):
    night("2026-03-07 09:00+00:00")
    before = edition(asha, rain)["number"]
    loan = lend(bram, chloe, 10)
    bram.forgive_loan(loan_id=loan["id"], amount=4)
    proposal = propose(asha)
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="decline")
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    ends = "2026-03-07 12:00+00:00"
    held = asha.create_election(community_id=rain, title="Who", ends_at=ends)["election"]
    asha.vote_election(election_id=held["id"], candidate_id=bram.id)
    house.clock.at(ends)
    house.owner.sql("select private.election_close(%(now)s)", now=house.clock.now)
    house.clock.forward(minutes=1)
    chloe.leave_community(community_id=rain)
    house.clock.forward(minutes=1)
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=1)
    night("2026-03-08 00:05+00:00")
    house.owner.sql("select private.weekly_jashn(%(now)s)", now=house.clock.now)

    shown = edition(asha, rain)
    assert shown["number"] == before + 1
    assert kinds(shown) == [
        *("loan", "forgiveness", "proposal", "election", "left", "declaration", "sunset")
    ]
    assert contents(shown, "proposal")[0]["outcome"] == "declined"
    assert contents(shown, "proposal")[0]["title"] == "A day at the sea"
    (told,) = contents(shown, "election")
    assert (told["title"], told["winner_id"], told["outcome"]) == ("Who", bram.id, "completed")
    assert contents(shown, "forgiveness")[0]["amount"] == 4
    assert contents(shown, "left")[0] == {"kind": "left", "user_id": chloe.id, "how": "left"}
    night("2026-03-09 08:00+00:00")
    assert kinds(edition(asha, rain)) == ["jashn", "sunset"]
    assert asha.verify_gazette(community_id=rain)["holds"]


def test_a_day_that_ends_late_is_closed_as_it_was(house, rain, asha, bram, chloe, night):
    joy = bram.declare_joy(community_id=rain, title="A joy", cc_spent=5)["declaration"]
    asha.witness_declaration(declaration_id=joy["id"])
    # Nobody settles: bearing witness does not, and nobody asks about money.
    house.clock.at("2026-03-03 02:00+00:00")
    chloe.witness_declaration(declaration_id=joy["id"])
    night("2026-03-03 03:00+00:00")
    (told,) = contents(edition(asha, rain), "declaration")
    assert told["witnessed"] == 1


def test_what_happens_in_the_night_stands_in_the_next_edition(rain, asha, bram, propose, night):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    night("2026-03-02 22:00+00:00")
    proposal = propose(asha)
    night("2026-03-02 23:59:30+00:00")
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    night(TUESDAY_NIGHT)
    assert "proposal" not in kinds(edition(asha, rain, number=1))
    assert kinds(edition(asha, rain, number=2)) == ["proposal", "sunset"]


def test_days_missed_whole_make_no_edition(rain, asha, bram, night):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    night("2026-03-10 08:00+00:00")
    bram.declare_joy(community_id=rain, title="Another", cc_spent=5)
    night("2026-03-11 08:00+00:00")
    listed = asha.list_editions(community_id=rain)["editions"]
    assert [(one["number"], one["day"]) for one in listed] == [
        (2, "2026-03-10"),
        (1, "2026-03-02"),
    ]
    assert asha.verify_gazette(community_id=rain)["holds"]


def test_two_who_close_a_day_at_once_close_one_edition(house, rain, asha, bram):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    house.clock.at(TUESDAY)
    together(
        partial(asha.get_balance, community_id=rain), partial(bram.get_balance, community_id=rain)
    )
    assert len(asha.list_editions(community_id=rain)["editions"]) == 1
    assert asha.verify_gazette(community_id=rain)["holds"]


# ------------------------------------------------------------------------------ reading


def test_editions_are_paged_newest_first(rain, asha, three_editions):
    page = asha.list_editions(community_id=rain, page_size=2)
    assert [one["number"] for one in page["editions"]] == [3, 2]
    assert page["has_more"]
    assert page["editions"][0]["joys"] == 1
    assert page["editions"][0]["cc_spent"] == 5
    rest = asha.list_editions(community_id=rain, page_size=2, before_id=2)
    assert [one["number"] for one in rest["editions"]] == [1]
    assert not rest["has_more"]
    with refused("INVALID_INPUT"):
        asha.list_editions(community_id=rain, page_size=0)
    with refused("NOT_FOUND"):
        edition(asha, rain, number=4)


def test_a_renamed_person_has_their_new_name_and_the_chain_holds(rain, asha, bram, three_editions):
    head = asha.verify_gazette(community_id=rain)["head"]
    bram.update_me(display_name="Somebody New")
    shown = edition(asha, rain)
    names = {person["display_name"] for person in shown["people"]}
    assert names == {"Somebody New"}
    assert asha.verify_gazette(community_id=rain)["head"] == head
    assert "Bram" not in json.dumps(shown)


def test_a_struck_joy_leaves_its_digest(rain, asha, three_editions):
    before = edition(asha, rain, number=2)
    message = three_editions[1]["message"]["id"]
    asha.strike_message(message_id=message, reason="Enough")
    after = edition(asha, rain, number=2)
    assert after["digest"] == before["digest"] == recompute(after, rain)
    (item,) = (item for item in after["items"] if item["kind"] == "declaration")
    assert (item["content"], item["salt"]) == (None, None)
    assert after["totals"] == before["totals"]
    answer = asha.verify_gazette(community_id=rain)
    assert (answer["holds"], answer["taken_out"]) == (True, 1)


def test_a_joy_struck_before_its_sunset_stands_there_without_words(rain, asha, bram, night):
    joy = bram.declare_joy(community_id=rain, title="Secret", cc_spent=5)
    asha.strike_message(message_id=joy["message"]["id"], reason="No")
    night(TUESDAY)
    (told,) = contents(edition(asha, rain), "declaration")
    assert (told["title"], told["cc_spent"]) == ("", 5)
    assert first_break(asha, rain) is None


def test_a_proposal_struck_while_it_waits_for_its_sunset_is_sealed_without_words(
    rain, asha, bram, propose, night
):
    proposal = propose(asha)
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="decline")
    lines = asha.list_messages(community_id=rain)["messages"]
    (card,) = (line for line in lines if line["type"] == "tip_to_tip")
    asha.strike_message(message_id=card["id"], reason="No")
    night(TUESDAY)
    (told,) = contents(edition(asha, rain), "proposal")
    assert (told["title"], told["description"]) == ("", "")
    assert first_break(asha, rain) is None


def test_an_erased_author_is_gone_from_every_edition_at_once(
    house, service, rain, asha, bram, three_editions
):
    before = asha.verify_gazette(community_id=rain)
    service.erase_user(user_id=bram.id)
    for _ in range(2):
        for number in (1, 2, 3):
            shown = edition(asha, rain, number=number)
            assert not contents(shown, "declaration")
            assert "Bram" not in json.dumps(shown)
            assert recompute(shown, rain) == shown["digest"]
        answer = asha.verify_gazette(community_id=rain)
        assert answer == before | {"taken_out": 3}
        # Now the rows follow.
        while house.owner.sql(
            "select 1 where private.go_on_erasing(%(now)s) > 0", now=house.clock.now
        ):
            pass
    left = house.owner.sql("select 1 from private.gazette_items where content like '%Words%'")
    assert not left
    # Comings and goings of theirs stay.
    assert [told["user_id"] for told in contents(edition(asha, rain, number=1), "joined")] == [
        asha.id,
        bram.id,
    ]


def test_an_author_erased_before_the_sunset_is_sealed_without_words(
    service, rain, asha, bram, night
):
    bram.declare_joy(community_id=rain, title="Secret", cc_spent=5)
    service.erase_user(user_id=bram.id)
    night(TUESDAY)
    assert first_break(asha, rain) is None


# ------------------------------------------------------------------------------ tampering


TAMPERINGS = {
    "an item's content": (
        """
        update private.gazette_items set content = replace(content, 'Second', 'Seconds')
        where number = 2
        """,
        (2, 1, "item_changed"),
    ),
    "an item's content, and its digest with it": (
        """
        update private.gazette_items
        set content = replace(content, 'Second', 'Other'),
          digest = private.digest_text(salt || replace(content, 'Second', 'Other'))
        where number = 2 and position = 1
        """,
        (2, None, "edition_changed"),
    ),
    "what is no JSON": (
        """
        update private.gazette_items set content = 'x', digest = private.digest_text(salt || 'x')
        where number = 2 and position = 1
        """,
        (2, 1, "item_changed"),
    ),
    "an item's digest": (
        """
        update private.gazette_items set digest = repeat('0', 64)
        where number = 2 and position = 1
        """,
        (2, 1, "item_changed"),
    ),
    "an item's salt": (
        "update private.gazette_items set salt = repeat('0', 32) where number = 2 and position = 2",
        (2, 2, "item_changed"),
    ),
    "an item's kind": (
        "update private.gazette_items set kind = 'loan' where number = 2 and position = 1",
        (2, 1, "item_changed"),
    ),
    "whose words they are": (
        """
        update private.gazette_items set author_id = gen_random_uuid()
        where number = 2 and position = 1
        """,
        (2, 1, "item_changed"),
    ),
    "an item taken out with nothing behind it": (
        """
        update private.gazette_items set salt = null, content = null
        where number = 2 and position = 1
        """,
        (2, 1, "item_taken_out"),
    ),
    "the Sunset taken out": (
        """
        update private.gazette_items set salt = null, content = null
        where number = 2 and position = 2
        """,
        (2, 2, "item_taken_out"),
    ),
    "an item gone": (
        "delete from private.gazette_items where number = 2 and position = 1",
        (2, 1, "item_missing"),
    ),
    "the last item gone": (
        "delete from private.gazette_items where number = 2 and position = 2",
        (2, None, "edition_changed"),
    ),
    "an item more": (
        """
        insert into private.gazette_items
        select community_id, number, 3, kind, gen_random_uuid(), null, happened_at, digest, salt,
          content
        from private.gazette_items where number = 2 and position = 2
        """,
        (2, 3, "item_changed"),
    ),
    "the order": (
        """
        update private.gazette_items set position = 99 where number = 1 and position = 1;
        update private.gazette_items set position = 1 where number = 1 and position = 2;
        update private.gazette_items set position = 2 where number = 1 and position = 99
        """,
        (1, None, "edition_changed"),
    ),
    "an edition's digest": (
        "update private.gazette_editions set digest = repeat('0', 64) where number = 2",
        (2, None, "edition_changed"),
    ),
    "an edition's day": (
        "update private.gazette_editions set day = '2026-02-03' where number = 2",
        (2, None, "edition_changed"),
    ),
    "an edition's number": (
        "update private.gazette_editions set number = 9 where number = 2",
        (2, None, "edition_missing"),
    ),
    "the first edition gone": (
        "delete from private.gazette_editions where number = 1",
        (1, None, "edition_missing"),
    ),
    "the last edition gone": (
        "delete from private.gazette_editions where number = 3",
        (3, None, "edition_missing"),
    ),
    "an edition rewritten whole": (
        """
        with rewritten as (
          update private.gazette_items
          set content = replace(content, 'Second', 'Other'),
            digest = private.digest_text(salt || replace(content, 'Second', 'Other'))
          where number = 2 and position = 1
          returning community_id, digest
        )
        update private.gazette_editions as e
        set digest = private.digest_edition(
          e.community_id, 2, e.day,
            (select b.digest from private.gazette_editions as b where b.number = 1),
          array[r.digest,
            (select i.digest from private.gazette_items as i where i.number = 2 and i.position = 2)]
        )
        from rewritten as r
        where e.number = 2
        """,
        (3, None, "edition_changed"),
    ),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_where_it_was_done(house, rain, asha, three_editions, what):
    statement, place = TAMPERINGS[what]
    assert first_break(asha, rain) is None
    with house.owner.transaction() as owner:
        owner.sql(statement)
    assert first_break(asha, rain) == place
    # And the Gazette can still be read.
    asha.list_editions(community_id=rain)
    asha.get_edition(community_id=rain)


def test_a_last_edition_taken_out_everywhere_is_missed_for_its_joy(
    house, rain, asha, three_editions
):
    with house.owner.transaction() as owner:
        owner.sql("delete from private.gazette_items where number = 3")
        owner.sql("delete from private.gazette_editions where number = 3")
        owner.sql("update private.community_days set editions = 2 where true")
    assert first_break(asha, rain) == (3, None, "edition_missing")


def test_a_strike_of_one_joy_covers_no_other(house, rain, asha, three_editions):
    asha.strike_message(message_id=three_editions[0]["message"]["id"], reason="Enough")
    taken_out = """
      update private.gazette_items set salt = null, content = null
      where number = 2 and position = 1
    """
    house.owner.sql(taken_out)
    assert first_break(asha, rain) == (2, 1, "item_taken_out")
    # Nor can it be made out to be the one that was struck: that one has its own place.
    with pytest.raises(psycopg.errors.UniqueViolation):
        house.owner.sql("""
          update private.gazette_items
          set subject_id = (select id from private.declarations where struck_at is not null)
          where number = 2 and position = 1
        """)


def test_a_long_gazette_is_verified_in_parts(rain, asha, three_editions):
    whole = asha.verify_gazette(community_id=rain)
    first = asha.verify_gazette(community_id=rain, to_number=2)
    assert (first["editions"], first["next_number"]) == (2, None)
    assert first["head"] == edition(asha, rain, number=2)["digest"]
    rest = asha.verify_gazette(community_id=rain, from_number=3)
    assert rest["head"] == whole["head"]
    assert first["items"] + rest["items"] == whole["items"]
    assert asha.verify_gazette(community_id=rain, from_number=9) == EMPTY
    for wrong in ({"from_number": 0}, {"from_number": 3, "to_number": 2}, {"from_number": None}):
        with refused("INVALID_INPUT"):
            asha.verify_gazette(community_id=rain, **wrong)


def test_a_stranger_sees_no_edition(house, rain, asha, stranger, unadmitted, three_editions):
    for call in ("get_edition", "list_editions", "verify_gazette", "list_honours"):
        with refused("NOT_FOUND"):
            getattr(stranger, call)(community_id=rain)
        with refused("INVITE_REQUIRED"):
            getattr(unadmitted, call)(community_id=rain)
    # Not even their rows: what is shown of them is made by the doors.
    with house.owner.transaction() as owner:
        assert owner.sql("select 1 from private.gazette_items")
    for anybody in (stranger, asha):
        for table in ("gazette_items", "gazette_editions"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                anybody.read(table)
