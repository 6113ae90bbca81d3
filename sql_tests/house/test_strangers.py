"""A stranger learns nothing, through whatever door or table (RULES 12).

Whoever may not know of a thing gets the same code, the same words and the same facts for one that
exists and for one that never did.
"""

import uuid

import pytest
from doors import FOR_PEOPLE, defaults
from people import Refusal, refused
from world import IN_ORDER, World


@pytest.fixture
def rain(house):
    return World(house, "Rain")


@pytest.fixture
def hill(house):
    return World(house, "Hill")


def arguments(door, optional=False):
    """The arguments a door cannot do without, or all of them."""
    return [name for name, value in defaults(FOR_PEOPLE[door]).items() if optional or not value]


def imagined(thing):
    return str(uuid.uuid4()) if isinstance(thing, str) else 10**12


def answer(caller, door, **given):
    """What a call comes to; of what it would change, nothing stays."""
    with caller.transaction() as inside:
        savepoint = inside.inside.transaction(force_rollback=True)
        try:
            with savepoint:
                return getattr(inside, door)(**given)
        except Refusal as refusal:
            return refusal.code, refusal.message, refusal.facts


def test_every_door_to_a_thing_answers_a_stranger_as_if_it_never_was(rain, hill, stranger):
    people = dict.fromkeys(("user_id", "lender_id", "candidate_id"), rain.council.id)
    doors = [door for door in FOR_PEOPLE if rain.things.keys() & arguments(door)]
    assert len(doors) > 40

    for caller in (stranger, rain.banned, hill.member, hill.moderator):
        for door in doors:
            answers = []
            for things in (rain.things, {n: imagined(thing) for n, thing in rain.things.items()}):
                given = {name: (IN_ORDER | people | things)[name] for name in arguments(door)}
                with refused("NOT_FOUND") as refusal:
                    getattr(caller, door)(**given)
                answers.append(refusal)
            assert answers[0] == answers[1], door


def test_nobody_learns_before_admission_what_exists(rain, unadmitted):
    people = dict.fromkeys(("user_id", "lender_id", "candidate_id"), rain.council.id)
    known = {**IN_ORDER, **people, **rain.things, "invite_code": rain.code}
    told = set()
    for door in FOR_PEOPLE.keys() - {"get_access"}:
        with refused("INVITE_REQUIRED") as refusal:
            getattr(unadmitted, door)(**{name: known[name] for name in arguments(door)})
        told.add((refusal.message, str(refusal.facts)))
    assert len(told) == 1


def test_a_person_never_met_is_nobody(rain, hill):
    """In one's own community, naming somebody of another, or nobody at all."""
    names = {"user_id", "lender_id", "candidate_id", "successor_id", "author_id"}
    doors = [door for door in FOR_PEOPLE if names & set(arguments(door, optional=True))]
    assert len(doors) > 7

    for caller in (rain.moderator, rain.council):
        for door in doors:
            asks = {name: rain.things.get(name, IN_ORDER.get(name)) for name in arguments(door)}
            for name in names & set(arguments(door, optional=True)):
                real = answer(caller, door, **asks | {name: hill.council.id})
                assert real == answer(caller, door, **asks | {name: imagined("")}), door


def test_a_place_in_the_list_of_others_is_no_place(house, rain, hill):
    """`before_id` of something elsewhere pages like one of nothing."""
    elsewhere = {
        "list_gazette": "declaration_id",
        "list_elections": "election_id",
        "list_honours": "jashn_id",
        "list_tip_to_tips": "proposal_id",
    }
    by_id = house.owner.sql("""
      select proname from pg_proc
      where
        pronamespace = 'public'::regnamespace
        and has_function_privilege('authenticated', oid, 'execute')
        and pg_get_function_identity_arguments(oid) like '%before_id uuid%'
    """)
    assert {row["proname"] for row in by_id} == elsewhere.keys()

    for door, thing in elsewhere.items():
        here = {"community_id": rain.community}
        real = answer(rain.member, door, before_id=hill.things[thing], **here)
        assert real == answer(rain.member, door, before_id=imagined(""), **here), door


def test_a_join_code_of_others_is_found_only_as_a_whole(rain, stranger):
    for guess in (rain.code[:-1], rain.code + "0", "%", "_" * 12, rain.code[:-1] + "_", ""):
        with refused("NOT_FOUND") as missed:
            stranger.join_community(invite_code=guess)
        assert rain.code not in f"{missed.message} {missed.facts}"


def test_no_table_shows_a_stranger_a_row(house, rain, stranger):
    tables = [
        row["name"]
        for row in house.owner.sql("""
          select oid::regclass::text as name from pg_class
          where
            relkind in ('r', 'p')
            and relnamespace in ('public'::regnamespace, 'private'::regnamespace)
            and has_table_privilege('authenticated', oid, 'select')
        """)
    ]
    shown = {table: stranger.read(table) for table in tables if house.owner.read(table)}
    assert len(shown) > 20, "a table without rows would prove nothing"

    assert [str(row["id"]) for row in shown.pop("private.users")] == [stranger.id]
    assert not {table for table, rows in shown.items() if rows}
