"""Real answers, held against the contract: every door is called, every key must be as written.

That the types say the same to TypeScript is the affair of docs.py: they are made from the schema.
"""

import uuid

import pytest
from doors import ANSWERS, FOR_PEOPLE, FOR_THE_SERVICE, REFUSALS, SCHEMA, errors, misfits
from jsonschema import Draft202012Validator
from people import STATUS_OF, Caller, refused
from world import World


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """What does not fit the contract, by the doors that answered."""
    heard: dict[str, set[str]] = {}
    call = Caller._call

    def listening(caller: Caller, name: str, /, **arguments: object) -> object:
        answer = call(caller, name, **arguments)
        heard.setdefault(name, set()).update(misfits(name, answer))
        return answer

    monkeypatch.setattr(Caller, "_call", listening)
    return heard


def test_every_door_answers_as_the_contract_says(heard, house, service, sign_up):
    world = World(house, "Rain")
    live_on(world)
    look_around(world)
    steward(world, service, sign_up("zoe@chas.test", "Zoe"))
    assert not set().union(*heard.values())
    assert heard.keys() == ANSWERS.keys()


def live_on(world):
    """What the world has not seen yet."""
    asha, bram, chloe = world.members
    here = {"community_id": world.community}
    words = chloe.send_message(content="First", **here)["message"]
    chloe.edit_message(message_id=words["id"], content="Better")
    asha.strike_message(message_id=words["id"], reason="Too loud")
    said = bram.send_message(content="Never mind", **here)["message"]
    bram.delete_message(message_id=said["id"])
    bram.cancel_borrow(borrow_request_id=world.own_request)
    bram.respond_borrow(borrow_request_id=world.things["borrow_request_id"], action="declined")
    bram.repay_loan(loan_id=world.things["loan_id"], amount=1)
    asha.forgive_loan(loan_id=world.things["loan_id"], amount=1)
    for tip in asha.list_tip_to_tips(**here, status="active")["proposals"]:
        for person in world.members:
            if person.get_tip_to_tip(proposal_id=tip["id"])["proposal"]["can_vote"]:
                person.vote_tip_to_tip(proposal_id=tip["id"], vote="accept")
    asha.vote_election(election_id=world.things["election_id"], candidate_id=chloe.id)
    asha.close_election(election_id=world.things["election_id"])
    asha.lift_ban(user_id=world.banned.id, **here)
    asha.ban_member(user_id=world.banned.id, reason="Once more", **here)
    asha.list_bans(**here)
    again = asha.create_election(title="Again", ends_at="2026-03-17 12:00+00:00", **here)
    asha.get_active_election(**here)
    asha.cancel_election(election_id=again["election"]["id"], reason="A mistake")
    asha.update_community(
        patch={"name": "More rain", "daily_cc_budget": 50, "electorate": "members"}, **here
    )
    asha.set_join_code(rotate=True, expires_at="2026-04-01 00:00+00:00", **here)
    world.house.owner.sql("select private.daily_sunset('2026-03-15 23:59:30+00:00')")


def look_around(world):
    asha, bram, chloe = world.members
    here = {"community_id": world.community}
    for door in (
        *("get_community", "get_rules", "list_members", "list_audit", "list_messages"),
        *("list_gazette", "get_balance", "list_ledger", "audit_ledger", "preview_dawn"),
        *("list_loans", "list_tip_to_tips", "get_sunset", "list_elections", "get_leaderboard"),
        *("get_jashn", "get_active_election", "list_honours", "get_edition", "list_editions"),
        *("verify_gazette", "get_last_light", "list_mutes"),
    ):
        for person in (asha, bram):
            if (door, person) != ("list_audit", bram):
                getattr(person, door)(**here)
    for person in (asha, bram):
        for door in ("get_access", "get_me", "list_my_communities", "list_notifications"):
            getattr(person, door)()
        person.export_my_data()
        person.get_member_profile(user_id=asha.id, **here)
    bram.declare_absence(from_day="2026-03-20", to_day="2026-03-22", **here)
    bram.list_members(**here)
    bram.end_absence(**here)
    asha.update_me(display_name="Asha", avatar_url="https://chas.test/asha.png")
    asha.get_declaration(declaration_id=world.things["declaration_id"])
    asha.get_election(election_id=world.things["election_id"])
    for message in asha.list_messages(**here)["messages"]:
        asha.get_message(message_id=message["id"])
    bram.mark_notification_read(notification_id=world.things["notification_id"])
    bram.mark_all_notifications_read()
    asha.step_down(successor_id=chloe.id, **here)
    bram.leave_community(**here)
    bram.list_my_communities()


def steward(world, service, zoe):
    here = {"community_id": world.community}
    asha = world.moderator
    (invite,) = service.mint_invites(email="zoe@chas.test", note="for Zoe")["invites"]
    service.preview_invite(code=invite["code"])
    service.redeem_invite(user_id=zoe.id, code="NO SUCH CODE")
    service.redeem_invite(user_id=zoe.id, code=invite["code"])
    service.redeem_invite(user_id=zoe.id, code=invite["code"])
    service.list_invites()
    service.revoke_invite(invite_id=invite["id"])
    service.initialize_settings(enforce_invites=True)
    service.get_account(user_id=zoe.id)
    service.get_health()
    service.mend()
    service.admit_person(user_id=zoe.id)
    service.suspend_person(user_id=zoe.id, reason="Because")
    service.restore_person(user_id=zoe.id)
    service.seat_moderator(community_id=world.community, user_id=world.member.id, reason="A hand")
    service.find_people()
    service.settle_community(**here)
    service.inspect_community(**here)
    service.inspect_community(prove_books=False, **here)
    service.post_correction(user_id=asha.id, amount=1, reason="Because", **here)
    service.list_job_runs()
    service.get_jobs()
    service.list_steward_acts()
    service.erase_user(user_id=zoe.id)


def test_nothing_in_the_contract_is_named_twice_or_left_out():
    assert ANSWERS.keys() == FOR_PEOPLE.keys() | FOR_THE_SERVICE.keys()
    assert not FOR_PEOPLE.keys() & FOR_THE_SERVICE.keys()
    assert set(REFUSALS) == STATUS_OF.keys()


# A door for every argument of which few values are taken.
TAKEN_BY = {
    "amendment": "propose_tip_to_tip",
    "action": "respond_borrow",
    "entry_type": "list_ledger",
    "patch": "update_community",
    "seat_rule": "create_election",
    "side": "list_loans",
    "status": "list_tip_to_tips",
    "theme": "mint_invites",
    "type": "mute_notifications",
    "vote": "vote_tip_to_tip",
}


def test_the_types_of_arguments_name_what_the_doors_take(house, service):
    world = World(house, "Rain")
    others = {
        "action": {"borrow_request_id": world.things["borrow_request_id"]},
        "amendment": {"title": "Warmer", "stake_amount": 5},
        "seat_rule": {"title": "Who?", "ends_at": "2026-03-17 12:00+00:00"},
        "theme": {},
        "type": {"muted": True},
        "vote": {"proposal_id": world.things["proposal_id"]},
    }
    here = {"community_id": world.community}
    callers = {"theme": service, "action": world.members[1]}
    for argument, door in TAKEN_BY.items():
        given = others.get(argument, {}) | ({} if argument in ("action", "theme", "vote") else here)
        caller = callers.get(argument, world.moderator)
        wrong = {"nonsense": 1} if argument in ("patch", "amendment") else "nonsense"
        with refused("INVALID_INPUT") as refusal:
            getattr(caller, door)(**given, **{argument: wrong})
        kind = SCHEMA["$defs"]["Choices"]["properties"][argument]["$ref"].rpartition("/")[2]
        of = SCHEMA["$defs"][kind]
        assert set(refusal.facts["choices"]) == set(of.get("enum") or of["properties"]), argument
    assert TAKEN_BY.keys() == SCHEMA["$defs"]["Choices"]["properties"].keys() - {"job"}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("Uuid", [str(uuid.UUID(int=1))], ["1", 1, None]),
        ("Day", ["2026-03-02"], ["yesterday", "2026-02-30", 5]),
        ("Moment", ["2026-03-02T12:00:00+00:00"], ["2026-03-02T12:00:00", "noon", 5]),
        ("Theme", ["dawn", "ink"], ["noon", None]),
        ("LeaveCommunity", [{"left": True, "expired": 1, "forfeited": 0}], [{"left": False}, []]),
        ("PendingRules", [{}, {"name": "Rain"}], [{"name": None}, {"nome": "Rain"}, None]),
        ("Me", [], [{"id": str(uuid.UUID(int=1))}]),
    ],
)
def test_a_shape_knows_what_fits_it(kind, good, bad):
    for value in good:
        assert not errors(SCHEMA["$defs"][kind], value, kind), value
    for value in bad:
        assert errors(SCHEMA["$defs"][kind], value, kind), value


def test_the_schema_is_one_and_closed():
    Draft202012Validator.check_schema(SCHEMA)
    objects = {name: of for name, of in SCHEMA["$defs"].items() if of.get("type") == "object"}
    open_to_more = {name for name, of in objects.items() if of["additionalProperties"]}
    assert open_to_more == {"ExportMyData"}
