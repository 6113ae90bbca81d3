"""Taking one's data along, and leaving for good (RULES 13)."""

import json
import uuid
from concurrent.futures import wait
from contextlib import ExitStack
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from people import Caller, Refusal, meanwhile, refused, together
from psycopg import sql

# Where the export shows the rows of each table; a dot leads to what it shows of each community.
SHOWN_AS = {
    "private.users": "profile",
    "private.admissions": "admission",
    "private.addresses": "",
    "private.words": ".words",
    "private.invite_misses": "invite_misses",
    "private.repeats": "repeats",
    "private.communities": ".community",
    "private.community_members": ".membership",
    "private.bans": ".ban",
    "private.chat_messages": ".messages",
    "private.chamber_marks": ".read_up_to",
    "private.quiet_acts": ".quiet_acts",
    "private.notifications": ".notifications",
    "private.notification_mutes": ".muted",
    "private.audit_entries": ".audit",
    "private.purses": ".purse",
    "private.ledger_entries": ".ledger",
    "private.sunset_entries": ".sunsets",
    "private.stakes": ".stakes",
    "private.borrow_requests": ".borrow_requests",
    "private.loans": ".loans",
    "private.declarations": ".declarations",
    "private.witnesses": ".witnessed",
    "private.tip_to_tip_proposals": ".tip_to_tips",
    "private.tip_to_tip_rolls": ".tip_to_tip_rolls",
    "private.tip_to_tip_votes": ".tip_to_tip_votes",
    "private.elections": ".elections",
    "private.election_candidates": ".candidacies",
    "private.election_electors": ".election_rolls",
    "private.ballots": ".ballots",
    "private.jashns": ".jashns_honoured",
    "private.jashn_entries": ".jashn_reckonings",
    "private.absences": ".absences",
    "private.gazette_items": ".gazette_items",
    "private.jashn_celebrations": ".jashn_celebrations",
}

WORDS = (
    "bram-said bram-joy bram-told bram-img bram-asked bram-tea bram-why bram-cheers bram-struck"
    " bram-secret"
)


@pytest.fixture
def life(house, rain, asha, bram, chloe, clock, service):
    """Bram has done everything that can be done, in rain and in two communities of his own."""
    bram.update_me(display_name="Bram the Elder", avatar_url="https://chas.test/bram.png")
    service.redeem_invite(user_id=bram.id, code="NO SUCH CODE")
    house.owner.sql(
        "insert into private.invite_misses (user_id, missed_at) values (%(id)s, now())", id=bram.id
    )
    for person in (bram, chloe):
        asha.set_council(community_id=rain, user_id=person.id, granted=True)
    rains = {"community_id": rain}

    said = bram.send_message(**rains, content="bram-said", request_id=str(uuid.uuid4()))
    asha.send_message(**rains, content="asha-said")
    bram.mark_chamber_read(**rains, message_id=said["message"]["id"])
    bram.mute_notifications(**rains, type="witnessed", muted=True)

    image = "https://chas.test/bram-img.png"
    joy = bram.declare_joy(
        **rains, title="bram-joy", cc_spent=7, description="bram-told", image_url=image
    )
    asha.witness_declaration(declaration_id=joy["declaration"]["id"])
    theirs = asha.declare_joy(**rains, title="asha-joy", cc_spent=5)
    bram.witness_declaration(declaration_id=theirs["declaration"]["id"])
    chloe.declare_joy(**rains, title="chloe-joy", cc_spent=9)

    asked = bram.request_borrow(**rains, lender_id=asha.id, amount=10, reason="bram-asked")
    asha.respond_borrow(borrow_request_id=asked["borrow_request"]["id"], action="approved")
    bram.request_borrow(**rains, lender_id=chloe.id, amount=3, reason="bram-asked twice")
    tea = bram.propose_tip_to_tip(
        **rains, title="bram-tea", stake_amount=8, description="bram-why"
    )["proposal"]
    asha.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")

    election = asha.create_election(**rains, title="Spring", ends_at="2026-03-02 14:00+00:00")[
        "election"
    ]
    for voter, choice in ((asha, bram), (bram, chloe), (chloe, bram)):
        voter.vote_election(election_id=election["id"], candidate_id=choice.id)
    clock.at("2026-03-02 14:00+00:00")
    house.owner.sql("select private.election_close()")

    clock.at("2026-03-08 00:05+00:00")
    house.owner.sql("select private.daily_reset()")
    house.owner.sql("select private.weekly_jashn()")
    # The week's most restrained was no member all of it, so this Jashn is given to hold.
    (jashn,) = house.owner.sql(
        """
        update private.jashns set honored_user_id = %(chloe)s, decided_by = 'only_one'
        where community_id = %(rain)s returning id::text
        """,
        chloe=chloe.id,
        rain=rain,
    )
    bram.celebrate_jashn(jashn_id=jashn["id"], message="bram-cheers")
    bram.declare_absence(community_id=rain, from_day="2026-03-20", to_day="2026-03-21")
    bram.update_me(display_name="Bram")

    own = bram.create_community(name="Bramble", description="A hedge")["community"]
    code = bram.set_join_code(community_id=own["id"])["invite_code"]
    asha.join_community(invite_code=code)
    bram.step_down(community_id=own["id"], successor_id=asha.id)
    asha.remove_member(community_id=own["id"], user_id=bram.id, reason="Thorns", ban=True)
    second = bram.create_community(name="Second hedge")["community"]
    slip = bram.send_message(community_id=second["id"], content="bram-slip")["message"]
    bram.strike_message(message_id=slip["id"], reason="bram-struck")
    house.owner.sql(
        """
        insert into private.jashns (community_id, week_start, honored_user_id, decided_by, held_at)
        values (%(rain)s, '2026-02-15', %(id)s, 'only_one', now())
        """,
        rain=rain,
        id=bram.id,
    )
    clock.forward(minutes=1)
    return bram


def rows_naming(house, person):
    """How many rows of each table of the house hold a person's id in a column of ids."""
    tables = house.owner.sql("""
      select
        n.nspname || '.' || c.relname as name,
        array_agg(a.attname::text) filter (where a.atttypid = 'uuid'::regtype) as ids
      from pg_class as c
      join pg_namespace as n on n.oid = c.relnamespace
      join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where n.nspname in ('public', 'private') and c.relkind in ('r', 'p')
      group by 1
    """)
    found = {}
    for table in tables:
        # A ballot cast for somebody is the voter's, and sealed; the other side of a movement of
        # coins is in the other's ledger; the house's own lines are in told_of_me.
        ids = set(table["ids"] or []) - {"candidate_id", "counterparty_id", "maker_id"}
        rows = house.owner.read(table["name"])
        found[table["name"]] = sum(any(str(row[name]) == person.id for name in ids) for row in rows)
    return {name: count for name, count in found.items() if count}


def everything(house):
    """Every row of every table of the house, as one text."""
    names = house.owner.sql("""
      select schemaname || '.' || tablename as name from pg_tables
      where schemaname in ('public', 'private', 'realtime') order by 1
    """)
    return "\n".join(
        sorted(
            f"{table['name']}: {row}" for table in names for row in house.owner.read(table["name"])
        )
    )


def delete_sign_in(house, person):
    """As the dashboard does it."""
    with psycopg.connect(house.address("supabase_auth_admin"), autocommit=True) as auth:
        auth.execute("select set_config('chas.now', %s, false)", [house.clock.now.isoformat()])
        return auth.execute("delete from auth.users where id = %s", [person.id]).rowcount


def finish(house):
    """What the job does within two minutes: the leavings, and the batches of rows."""
    while house.owner.sql("select private.housekeeping(%(now)s) as n", now=house.clock.now)[0]["n"]:
        pass


def name_of(house, person):
    (profile,) = house.owner.read("users", id=person.id)
    return profile["display_name"]


# ------------------------------------------------------------------------------ taking along


def test_the_export_holds_every_row_that_names_me(house, life):
    document = life.export_my_data()
    named = rows_naming(house, life)

    assert SHOWN_AS.keys() == named.keys()
    for table, place in SHOWN_AS.items():
        if not place:
            # Hashes of addresses the account had: the account itself shows the one it has.
            continue
        if place.startswith("."):
            shown = [one[place[1:]] for one in document["communities"]]
        else:
            shown = [document[place]]
        count = sum(len(one) if isinstance(one, list) else one is not None for one in shown)
        if table == "private.communities":
            count = sum(one["community"]["founded_by_me"] for one in document["communities"])
        assert count == named[table], table


def test_the_export_knows_the_account_and_the_words(life):
    document = life.export_my_data()
    text = json.dumps(document)

    assert document["account"]["email"] == "bram@chas.test"
    assert document["profile"]["display_name"] == "Bram"
    assert document["exported_at"] == "2026-03-08T00:06:00+00:00"
    for word in WORDS.split()[:-1]:
        assert word in text, word
    assert any(line["event"] == "borrow_approved" for line in told(document))


def told(document):
    return [line for community in document["communities"] for line in community["told_of_me"]]


def test_the_export_shows_nothing_of_others(house, life, asha, chloe):
    text = json.dumps(life.export_my_data())

    for theirs in ("asha-said", "asha-joy", "asha@chas.test", "chloe@chas.test", "arguments_hash"):
        assert theirs not in text, theirs
    ballots = [
        ballot
        for community in life.export_my_data()["communities"]
        for ballot in community["ballots"]
    ]
    assert [set(ballot) for ballot in ballots] == [{"election_id", "candidate_id", "cast_at"}]
    assert ballots[0]["candidate_id"] == chloe.id


def test_the_export_of_somebody_new_is_empty_but_whole(stranger):
    document = stranger.export_my_data()
    assert document["communities"] == []
    assert document["account"]["email"] == "sol@chas.test"


def test_the_export_waits_for_admission(unadmitted):
    with refused("INVITE_REQUIRED"):
        unadmitted.export_my_data()


# ------------------------------------------------------------------------------ what goes


def test_at_once_nothing_shows_what_a_person_was_called_or_wrote(
    house, rain, service, life, asha, chloe
):
    assert service.erase_user(user_id=life.id) == {"erased": True}

    here = {"community_id": rain}
    shown = json.dumps(
        [
            reader.__getattr__(door)(**arguments)
            for reader in (asha, chloe)
            for door, arguments in [
                ("list_messages", here | {"page_size": 200}),
                ("list_gazette", here),
                ("list_tip_to_tips", here),
                ("list_elections", here),
                ("list_members", here),
                ("get_leaderboard", here),
                ("get_jashn", here),
                ("get_sunset", here),
                ("list_loans", here),
                ("list_notifications", {}),
                ("list_my_communities", {}),
                ("get_member_profile", here | {"user_id": life.id}),
                ("export_my_data", {}),
            ]
        ]
        + [asha.list_audit(**here)]
    )
    names = ("Bram ", "Bram.", '"Bram"', "“Bram”", "Elder", "bram@", "bram.png")
    for word in (*names, *WORDS.split()):
        assert word not in shown, word
    members = asha.list_members(**here)["members"]
    assert life.id not in [member["user"]["id"] for member in members]
    assert asha.get_community(**here)["community"]["member_count"] == len(members) == 2


def test_nothing_a_person_was_called_or_wrote_is_left(house, service, life):
    service.erase_user(user_id=life.id)
    finish(house)

    left = everything(house)
    for word in ("Bram ", "Bram.", "'Bram'", "Elder", "bram@", "bram.png", *WORDS.split()):
        assert word not in left, [line for line in left.splitlines() if word in line]
    assert house.owner.read("erasures") == []


@pytest.mark.parametrize("name", ["B", "Bram (he/him) [*] \\1", "a former member", "雨", "Bra|m."])
def test_a_name_is_forgotten_whatever_it_is(house, rain, service, bram, asha, name):
    bram.update_me(display_name=name)
    joy = asha.declare_joy(community_id=rain, title="Better Bread", cc_spent=5)["declaration"]
    bram.witness_declaration(declaration_id=joy["id"])
    asha.request_borrow(community_id=rain, lender_id=bram.id, amount=5, reason="Bread, Bram")
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    service.erase_user(user_id=bram.id)
    finish(house)

    lines = asha.list_messages(community_id=rain, page_size=200)["messages"]
    assert "a former member was called to the council by “Asha”." in [
        line["content"] for line in lines
    ]
    assert "a former member left." in [line["content"] for line in lines]
    notice = asha.list_notifications()["notifications"][-1]
    assert (notice["title"], notice["body"]) == (
        "a former member witnessed your joy",
        "Better Bread",
    )


def test_others_keep_their_words_even_about_the_erased(house, rain, service, asha, bram, chloe):
    asha.send_message(community_id=rain, content="Bram, come back")
    chloe.declare_joy(community_id=rain, title="Bram's bread", cc_spent=5)
    service.erase_user(user_id=bram.id)

    lines = asha.list_messages(community_id=rain)["messages"]
    assert "Bram, come back" in [line["content"] for line in lines]
    (joy,) = asha.list_gazette(community_id=rain)["declarations"]
    assert joy["title"] == "Bram's bread"


def test_notices_mutes_marks_and_request_ids_go(house, service, life):
    service.erase_user(user_id=life.id)
    finish(house)
    left = rows_naming(house, life)
    for gone in (
        "private.admissions",
        "private.addresses",
        "private.invite_misses",
        "private.repeats",
        "private.chamber_marks",
        "private.quiet_acts",
        "private.notification_mutes",
        "private.notifications",
        "private.jashn_celebrations",
    ):
        assert gone not in left


def test_an_invite_forgets_the_address_and_opens_to_nobody_else(
    house, service, sign_up, admit, stranger
):
    person = sign_up("Eva@chas.test", "Eva")
    (used,) = service.mint_invites(email="eva@chas.test", note="Eva", welcome_title="Dear Eva")[
        "invites"
    ]
    (unused,) = service.mint_invites(email="eva@chas.test", max_uses=3)["invites"]
    service.redeem_invite(user_id=person.id, code=used["code"])
    service.erase_user(user_id=person.id)

    invites = {invite["id"]: invite for invite in service.list_invites()["invites"]}
    assert "eva" not in json.dumps(invites).lower()
    assert invites[used["id"]]["state"] == "spent"
    assert invites[unused["id"]]["state"] == "revoked"
    answer = service.redeem_invite(user_id=sign_up("new@chas.test").id, code=unused["code"])
    assert answer["refused"]["code"] == "INVITE_UNAVAILABLE"


# ------------------------------------------------------------------------------ what stays


def test_numbers_and_records_stay_under_a_former_member(house, rain, service, life, asha, books):
    before = books(rain)
    entries = house.owner.read("ledger_entries", community_id=rain, user_id=life.id)
    service.erase_user(user_id=life.id)
    finish(house)

    after = books(rain)
    assert (after["minted"], after["spent"]) == (before["minted"], before["spent"])
    now = house.owner.read("ledger_entries", community_id=rain, user_id=life.id)
    assert [entry for entry in now if entry in entries] == entries
    profile = asha.get_member_profile(community_id=rain, user_id=life.id)
    assert profile["user"] == {
        "id": life.id,
        "display_name": "a former member",
        "avatar_url": None,
    }
    assert profile["total_cc_spent"] == 7
    assert profile["witnessed_received"] == 1
    assert profile["most_expensive_declaration"]["title"] == ""
    said = [
        line
        for line in asha.list_messages(community_id=rain, page_size=200)["messages"]
        if line["user"] and line["user"]["id"] == life.id
    ]
    assert {(line["type"], line["content"]) for line in said if line["type"] == "message"} == {
        ("message", "")
    }
    assert all(line["deleted"] for line in said if line["type"] == "message")


def test_the_erased_leave_every_community_as_by_leaving(house, rain, service, asha, bram, books):
    asked = asha.request_borrow(community_id=rain, lender_id=bram.id, amount=30, reason="Seeds")
    bram.respond_borrow(borrow_request_id=asked["borrow_request"]["id"], action="approved")
    tea = bram.propose_tip_to_tip(community_id=rain, title="Tea", stake_amount=20)["proposal"]
    service.erase_user(user_id=bram.id)
    finish(house)

    assert len(asha.list_members(community_id=rain)["members"]) == 1
    over = asha.get_tip_to_tip(proposal_id=tea["id"])["proposal"]
    assert (over["status"], over["title"]) == ("withdrawn", "")
    assert asha.get_balance(community_id=rain)["balance"]["debt"] == 0
    audit = books(rain)
    assert (audit["forfeited"], audit["expired"], audit["escrow"]) == (20, 50, 0)


@pytest.mark.parametrize("erased_late", [True, False])
def test_a_late_dawn_repays_what_it_would_have_repaid_on_time(
    house, rain, service, asha, bram, clock, lend, books, erased_late
):
    lend(asha, bram, 10)
    if erased_late:
        clock.forward(days=1)
    service.erase_user(user_id=bram.id)
    if not erased_late:
        clock.forward(days=1)
    finish(house)
    assert asha.get_balance(community_id=rain)["balance"]["remaining"] == 100 + 10 * erased_late
    assert books(rain)["balanced"]


def test_whoever_is_erased_is_nobody_any_more(house, service, bram):
    service.erase_user(user_id=bram.id)
    for door in (bram.get_access, bram.get_me, bram.export_my_data):
        with refused("UNAUTHORIZED"):
            door()
    assert bram.read("users") == []
    with refused("NOT_FOUND"):
        service.get_account(user_id=bram.id)
    (invite,) = service.mint_invites()["invites"]
    answer = service.redeem_invite(user_id=bram.id, code=invite["code"])
    assert answer["refused"]["code"] == "UNAUTHORIZED"


# ------------------------------------------------------------------------------ the seat


def moderators(person, rain):
    return [
        member["user"]["id"]
        for member in person.list_members(community_id=rain)["members"]
        if "moderator" in member["roles"]
    ]


def test_the_last_seat_passes_to_the_longest_serving_council_member(
    house, rain, service, asha, bram, chloe, join_rain, clock
):
    clock.forward(minutes=1)
    dora = join_rain("dora@chas.test", "Dora")
    for member in (chloe, dora, bram):
        clock.forward(minutes=1)
        asha.set_council(community_id=rain, user_id=member.id, granted=True)
    asha.set_council(community_id=rain, user_id=chloe.id, granted=False)
    clock.forward(minutes=1)
    asha.set_council(community_id=rain, user_id=chloe.id, granted=True)
    service.erase_user(user_id=asha.id)
    finish(house)

    assert moderators(bram, rain) == [dora.id]
    actions = [entry["action"] for entry in dora.list_audit(community_id=rain)["entries"]]
    assert "moderator_seated" in actions[:2]
    notice = dora.list_notifications()["notifications"][0]
    assert "Asha" not in str(notice)


def test_without_a_council_it_passes_to_the_longest_standing_member(
    house, rain, service, asha, clock, join_rain
):
    members = []
    for name in ("Dora", "Bela"):
        clock.forward(minutes=1)
        members.append(join_rain(f"{name.lower()}@chas.test", name))
    service.erase_user(user_id=asha.id)
    finish(house)
    assert moderators(members[0], rain) == [members[0].id]


def test_while_another_moderator_stays_no_seat_passes(house, rain, service, asha, bram, chloe):
    house.owner.sql(
        "select private.set_role(%(rain)s, %(id)s, 'moderator', true)", rain=rain, id=chloe.id
    )
    service.erase_user(user_id=asha.id)
    finish(house)
    assert moderators(bram, rain) == [chloe.id]


def test_two_moderators_erased_at_once_leave_a_moderator(
    house, rain, service, asha, bram, chloe, books
):
    house.owner.sql(
        "select private.set_role(%(rain)s, %(id)s, 'moderator', true)", rain=rain, id=bram.id
    )
    answers = together(
        partial(service.erase_user, user_id=asha.id), partial(service.erase_user, user_id=bram.id)
    )
    assert answers == [{"erased": True}] * 2
    finish(house)
    assert moderators(chloe, rain) == [chloe.id]
    books(rain)


def test_the_very_last_member_is_erased_too(house, rain, service, asha):
    service.erase_user(user_id=asha.id)
    finish(house)
    assert house.owner.read("community_members", community_id=rain, left_at=None) == []


# ------------------------------------------------------------------------------ again, and by whom


def test_erasing_again_changes_nothing(house, service, life):
    service.erase_user(user_id=life.id)
    finish(house)
    once = everything(house)
    assert service.erase_user(user_id=life.id) == {"erased": True}
    assert everything(house) == once


def test_erasing_many_times_at_once_erases_once(house, rain, service, asha, bram, books):
    answers = together(*[partial(service.erase_user, user_id=bram.id)] * 4)
    assert answers == [{"erased": True}] * 4
    finish(house)
    assert books(rain)["expired"] == 100


def test_somebody_unknown_is_erased_already_and_nobody_is_no_one(service):
    assert service.erase_user(user_id=str(uuid.uuid4())) == {"erased": True}
    with refused("INVALID_INPUT", field="user_id"):
        service.erase_user(user_id=None)


def test_nobody_but_the_service_erases(house, asha, bram):
    for caller in (house.anon, bram):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.erase_user(user_id=asha.id)


# ------------------------------------------------------------------------------ from the dashboard


def test_deleting_a_sign_in_erases_the_person(house, rain, life, asha, books):
    assert delete_sign_in(house, life) == 1
    finish(house)

    left = everything(house)
    for word in ("Bram ", "Bram.", "'Bram'", "Elder", "bram@", "bram.png", *WORDS.split()):
        assert word not in left, [line for line in left.splitlines() if word in line]
    assert life.id not in [
        member["user"]["id"] for member in asha.list_members(community_id=rain)["members"]
    ]
    books(rain)


def test_deleting_a_sign_in_after_erase_user_changes_nothing(house, service, life):
    service.erase_user(user_id=life.id)
    finish(house)
    once = everything(house)
    assert delete_sign_in(house, life) == 1
    assert everything(house) == once


def test_auth_s_soft_delete_erases_too(house, rain, bram, asha):
    """Auth obscures the address and keeps the row (RULES 13.3)."""
    (invite,) = house.service.mint_invites(email="bram@chas.test")["invites"]
    auth = Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")
    auth.sql("update auth.users set deleted_at = now(), email = 'x9' where id = %(id)s", id=bram.id)
    assert name_of(house, bram) == "a former member"
    (kept,) = house.owner.read("invites", id=invite["id"])
    assert (kept["email"], kept["email_hash"]) == (None, None)
    finish(house)
    assert len(asha.list_members(community_id=rain)["members"]) == 1
    with refused("UNAUTHORIZED"):
        bram.get_access()


def test_an_invite_to_an_address_of_before_loses_it(house, service, bram):
    """Changed in Auth meanwhile, and minted before the change or after it."""
    mint = partial(service.mint_invites, email="bram@chas.test")
    (before,) = mint()["invites"]
    auth = Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")
    auth.sql("update auth.users set email = 'new@chas.test' where id = %(id)s", id=bram.id)
    (after,) = mint()["invites"]
    (now,) = service.mint_invites(email="New@chas.test")["invites"]
    (other,) = service.mint_invites(email="other@chas.test")["invites"]
    service.erase_user(user_id=bram.id)
    left = {row["id"]: row["email"] for row in service.list_invites()["invites"]}
    assert [left[one["id"]] for one in (before, after, now)] == [None] * 3
    assert left[other["id"]] == "other@chas.test"


def test_a_deletion_the_trigger_missed_is_made_up_for(house, rain, bram, asha):
    admin = Caller(house=house, role="supabase_admin", login="supabase_admin")
    admin.sql("alter table auth.users disable trigger on_auth_user_deleted")
    assert delete_sign_in(house, bram) == 1
    assert name_of(house, bram) == "Bram"
    finish(house)
    assert name_of(house, bram) == "a former member"
    assert len(asha.list_members(community_id=rain)["members"]) == 1


def test_a_broken_community_holds_up_no_other(house, rain, asha, bram, clock):
    """Its leaving is tried again; the other communities and the words do not wait."""
    other = asha.create_community(name="Other")["community"]
    bram.join_community(invite_code=other["invite_code"])
    bram.send_message(community_id=rain, content="bram-said")
    broken = min(rain, other["id"])
    house.owner.sql(
        """
        create function private.break_leaving() returns trigger language plpgsql
        set search_path = '' as $$ begin raise exception 'broken'; end $$
        """
    )
    house.owner.sql(
        sql.SQL(
            "create trigger broken before update on private.community_members for each row"
            " when (old.community_id = {}) execute function private.break_leaving()"
        ).format(sql.Literal(broken))
    )
    house.service.erase_user(user_id=bram.id)
    finish(house)
    still = house.owner.read("community_members", user_id=bram.id, left_at=None)
    assert [str(row["community_id"]) for row in still] == [broken]
    assert "bram-said" not in everything(house)

    house.owner.sql("drop trigger broken on private.community_members")
    clock.forward(minutes=2)
    finish(house)
    assert not house.owner.read("community_members", user_id=bram.id, left_at=None)
    assert house.owner.read("erasures") == []


def test_a_busy_community_delays_no_erasure(house, rain, asha, bram):
    with ExitStack() as busy:
        moderator = busy.enter_context(asha.transaction())
        moderator.update_community(community_id=rain, patch={"name": "Busy"})
        with meanwhile(partial(house.service.erase_user, user_id=bram.id)) as erasing:
            assert erasing.result(timeout=2) == {"erased": True}
    assert name_of(house, bram) == "a former member"


# ------------------------------------------------------------------------------ at the same time


def words_of(house, person):
    return house.owner.sql(
        "select 1 from private.chat_messages where user_id = %(id)s and content <> ''",
        id=person.id,
    )


def test_a_message_under_way_is_covered_by_the_erasure(house, rain, asha, bram):
    with ExitStack() as slow:
        sender = slow.enter_context(bram.transaction())
        sender.send_message(community_id=rain, content="under way")
        assert house.service.erase_user(user_id=bram.id) == {"erased": True}
        with meanwhile(partial(finish, house)) as following:
            assert not wait([following], timeout=0.5).done
            slow.close()
            following.result(timeout=20)
    assert not words_of(house, bram)
    shown = asha.list_messages(community_id=rain)["messages"]
    assert "under way" not in json.dumps(shown)


@pytest.mark.parametrize("round_", range(4))
def test_acts_beside_an_erasure_leave_nothing(house, rain, asha, bram, stranger, round_):
    """Whatever was first: no words, membership, name or community of theirs appears afterwards."""
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    answers = together(
        partial(house.service.erase_user, user_id=bram.id),
        partial(bram.send_message, community_id=rain, content="beside"),
        partial(bram.update_me, display_name="Beside"),
        partial(bram.create_community, name="Beside"),
        partial(bram.declare_joy, community_id=rain, title="beside", cc_spent=5),
        partial(house.service.erase_user, user_id=stranger.id),
        partial(stranger.join_community, invite_code=code),
    )
    for answer in answers[1:5]:
        assert not isinstance(answer, Refusal) or answer.code in ("UNAUTHORIZED", "NOT_FOUND")
    finish(house)
    assert "beside" not in everything(house)
    for person in (bram, stranger):
        assert name_of(house, person) == "a former member"
        assert not house.owner.read("community_members", user_id=person.id, left_at=None)
    house.books(rain)


def test_a_moderator_s_words_go_with_them(house, rain, service, asha, bram, chloe):
    """The reason of a strike, of a removal, of an election called off (F6)."""
    house.owner.sql(
        "select private.set_role(%(rain)s, %(id)s, 'moderator', true)", rain=rain, id=bram.id
    )
    line = chloe.send_message(community_id=rain, content="Hm")["message"]
    bram.strike_message(message_id=line["id"], reason="bram-struck")
    opened = bram.create_election(
        community_id=rain, title="bram-titled", ends_at="2026-03-02 14:00+00:00"
    )["election"]
    bram.cancel_election(election_id=opened["id"], reason="bram-cancelled")
    bram.remove_member(community_id=rain, user_id=chloe.id, reason="bram-removed")
    service.erase_user(user_id=bram.id)

    shown = json.dumps(
        [
            asha.list_messages(community_id=rain),
            asha.list_notifications(),
            chloe.list_notifications(),
            asha.list_audit(community_id=rain),
            asha.list_elections(community_id=rain),
        ]
    )
    for word in ("bram-struck", "bram-titled", "bram-cancelled", "bram-removed", "Bram"):
        assert word not in shown, word
    finish(house)
    assert "bram-" not in everything(house)


def test_nobody_can_make_themselves_or_another_unerasable(house, rain, service, asha, bram, clock):
    """2,400 names, and titles that are patterns (F2, F4): nothing is searched for them."""
    for n in range(25):
        clock.forward(hours=24)
        for name in (f"{n}(" * 20, f"\\{n}[" * 20):
            bram.update_me(display_name=name[:80])
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    for _ in range(3):
        election = asha.create_election(
            community_id=rain, title="Bo " * 40, ends_at=clock.now + timedelta(hours=2)
        )["election"]
        asha.cancel_election(election_id=election["id"], reason=f"{bram.id} " + "Bo " * 80)
    assert service.erase_user(user_id=bram.id) == {"erased": True}
    finish(house)
    lines = asha.list_messages(community_id=rain, page_size=200)["messages"]
    assert any(("Bo " * 40).strip() in line["content"] for line in lines)


def test_deleting_somebody_who_never_had_a_profile_works(house, sign_up):
    nobody = sign_up("ghost@chas.test", "Ghost")
    house.owner.sql("delete from private.addresses where user_id = %(id)s", id=nobody.id)
    house.owner.sql("delete from private.users where id = %(id)s", id=nobody.id)
    assert delete_sign_in(house, nobody) == 1
