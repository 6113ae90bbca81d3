"""A stranger learns nothing, through whatever door or table (RULES 12, STYLE "doors and kernel").

One community in which everything has happened, and an admitted person who is not in it.
"""

import uuid

import pytest
from contract import FOR_PEOPLE, defaults
from people import refused

# What else a door asks for, so that nothing but the stranger's place is wrong with the call.
IN_ORDER = {
    "action": "approved",
    "amount": 1,
    "cc_spent": 1,
    "content": "Hello",
    "ends_at": "2026-03-17 12:00+00:00",
    "granted": True,
    "message": "Well done",
    "muted": True,
    "patch": {"name": "Ours now"},
    "reason": "Because",
    "stake_amount": 1,
    "title": "A title",
    "type": "witnessed",
    "vote": "accept",
}


@pytest.fixture
def things(house, clock, rain, asha, bram, chloe):
    """An id of everything there is in rain, by the name doors have for it."""
    asha.set_council(community_id=rain, user_id=chloe.id, granted=True)
    clock.at("2026-03-09 12:00+00:00")
    joy = asha.declare_joy(community_id=rain, title="Secret joy", cc_spent=5)
    clock.at("2026-03-15 00:05+00:00")
    house.owner.sql("select private.weekly_jashn(%(now)s)", now=clock.now)
    jashn = asha.get_jashn(community_id=rain)["jashn"]
    bram.celebrate_jashn(jashn_id=jashn["id"], message="Secret praise")

    clock.at("2026-03-15 06:00+00:00")
    bram.witness_declaration(declaration_id=joy["declaration"]["id"])
    ask = {"community_id": rain, "amount": 5, "reason": "Secret need"}
    lent = bram.request_borrow(lender_id=asha.id, **ask)["borrow_request"]
    asha.respond_borrow(borrow_request_id=lent["id"], action="approved")
    asked = bram.request_borrow(lender_id=chloe.id, **ask)["borrow_request"]
    tip = {"community_id": rain, "title": "Secret plan", "stake_amount": 5}
    proposal = bram.propose_tip_to_tip(**tip)["proposal"]
    election = asha.create_election(
        community_id=rain, title="Secret seat", ends_at="2026-03-16 12:00+00:00"
    )["election"]
    chloe.vote_election(election_id=election["id"], candidate_id=asha.id)
    asha.mark_chamber_read(community_id=rain, message_id=joy["message"]["id"])
    asha.mute_notifications(community_id=rain, type="system", muted=True)
    return {
        "community_id": rain,
        "declaration_id": joy["declaration"]["id"],
        "message_id": joy["message"]["id"],
        "borrow_request_id": asked["id"],
        "loan_id": bram.list_loans(community_id=rain)["loans"][0]["id"],
        "proposal_id": proposal["id"],
        "election_id": election["id"],
        "jashn_id": jashn["id"],
        "notification_id": asha.list_notifications()["notifications"][0]["id"],
    }


def asked_for(door):
    """The arguments a door cannot do without."""
    return [name for name, default in defaults(FOR_PEOPLE[door]).items() if default is None]


def imagined(thing):
    return str(uuid.uuid4()) if isinstance(thing, str) else 10**12


def test_every_door_to_a_thing_answers_a_stranger_as_if_it_never_was(things, bram, stranger):
    people = dict.fromkeys(("user_id", "lender_id", "candidate_id"), bram.id)
    doors = [door for door in FOR_PEOPLE if things.keys() & asked_for(door)]
    assert len(doors) > 40

    for door in doors:
        answers = []
        for thing in (things, {name: imagined(thing) for name, thing in things.items()}):
            arguments = {name: (IN_ORDER | people | thing)[name] for name in asked_for(door)}
            with refused("NOT_FOUND") as refusal:
                getattr(stranger, door)(**arguments)
            answers.append(refusal)
        assert answers[0] == answers[1], door


def test_no_table_shows_a_stranger_a_row(house, things, asha, stranger):
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

    assert [str(row["id"]) for row in shown.pop("users")] == [stranger.id]
    assert not {table for table, rows in shown.items() if rows}
