"""Enough is enough (RULES 1.1, 3.2, 3.3), and people who stand but cannot act (RULES, Words)."""

import re

import psycopg
import pytest
from cluster import ROOT
from people import Caller, Refusal, lines, notices, refused, together


def admin_of(house):
    return Caller(house=house, role="supabase_admin", login="supabase_admin")


REPEATED = "5c8fa511-b835-45ea-b7a2-2d344f6545ca"

# ------------------------------------------------------------------------------ limits


def test_ten_new_names_a_day_are_enough(asha, clock):
    for n in range(10):
        clock.forward(minutes=1)
        asha.update_me(display_name=f"Asha {n}")
    clock.forward(minutes=1)
    with refused("RATE_LIMITED", most=10) as told:
        asha.update_me(display_name="Asha the last")
    assert told.facts["retry_after"] == 24 * 3600 - 10 * 60
    asha.update_me(avatar_url="https://chas.test/a.png")
    asha.update_me(display_name="Asha 9")

    clock.forward(seconds=told.facts["retry_after"])
    assert asha.update_me(display_name="Asha the last")["display_name"] == "Asha the last"


def test_a_name_of_the_same_moment_counts_once_each(asha):
    answers = together(*[lambda n=n: asha.update_me(display_name=f"Asha {n}") for n in range(14)])
    assert sum(isinstance(answer, Refusal) for answer in answers) == 4


def test_thirty_lines_a_minute_that_cost_nothing_are_enough(rain, asha, bram, clock):
    clock.forward(minutes=1)  # the founding was a line too
    for _ in range(15):
        asha.set_council(community_id=rain, user_id=bram.id, granted=True)
        asha.set_council(community_id=rain, user_id=bram.id, granted=False)
    with refused("RATE_LIMITED", most=30, retry_after=60):
        asha.update_community(community_id=rain, patch={"description": "Wet"})
    # Joys, messages and votes are limited otherwise; others are not held up.
    asha.declare_joy(community_id=rain, title="Rain", cc_spent=1)
    asha.send_message(community_id=rain, content="Hello")
    bram.request_borrow(community_id=rain, lender_id=asha.id, amount=5, reason="Tea")
    assert len(lines(bram, rain, "council_appointed")) == 15

    clock.forward(seconds=60)
    asha.update_community(community_id=rain, patch={"description": "Wet"})


def test_leaving_is_possible_whatever_was_done_before(rain, asha, bram, clock):
    clock.forward(minutes=1)
    for _ in range(15):
        asha.set_council(community_id=rain, user_id=bram.id, granted=True)
        asha.set_council(community_id=rain, user_id=bram.id, granted=False)
    left = asha.leave_community(community_id=rain, successor_id=bram.id)
    assert left["left"] is True


def test_forty_joys_at_once_meet_no_limit(rain, asha, books):
    answers = together(
        *[
            lambda n=n: asha.declare_joy(community_id=rain, title=f"Joy {n}", cc_spent=10)
            for n in range(40)
        ]
    )
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(refusals) == 30
    assert {refusal.code for refusal in refusals} == {"INSUFFICIENT_CC"}
    assert books(rain)["spent"] == 100


# ------------------------------------------------------------------------------ locks


def test_no_lock_of_another_program_stalls_paging(house, rain, asha):
    """The families of advisory locks have classes of their own (F19)."""
    asha.send_message(community_id=rain, content="One")
    with house.connection("supabase_admin") as outside:
        for key in ("1", "0", "1128792066"):
            outside.execute(f"select pg_advisory_lock_shared({key})")
        outside.execute("select pg_advisory_lock_shared(1, 1)")
        page = asha.list_messages(community_id=rain, after_id=0)["messages"]
        outside.execute("select pg_advisory_unlock_all()")
    assert page[-1]["content"] == "One"


CLASSED = r"pg_(?:try_)?advisory_xact_lock(?:_shared)?\(\s*(\d{10}),"


def test_the_classes_of_locks_are_those_of_the_ground():
    rooms = {room.name: room.read_text() for room in (ROOT / "supabase/schemas").glob("*.sql")}
    moving = (ROOT / "supabase/local/move.py").read_text()
    listed = set(re.findall(r"^--   (\d{10})  ", rooms["010_ground.sql"], flags=re.MULTILINE))
    used = {number for text in rooms.values() for number in re.findall(CLASSED, text)}
    assert used | set(re.findall(r"^MOVING = (\d{10})$", moving, re.MULTILINE)) == listed
    everywhere = "".join(rooms.values())
    calls = len(re.findall(r"pg_(?:try_)?advisory_\w+\(", everywhere))
    assert calls == len(re.findall(CLASSED, everywhere))


# ------------------------------------------------------------------------------ able


UNABLE = {
    "suspended": "insert into private.admissions (user_id, admitted_at, suspended_at)"
    " values (%(id)s, null, now()) on conflict (user_id) do update set suspended_at = now()",
    "banned by Auth": "update auth.users set banned_until = now() + interval '1 day'"
    " where id = %(id)s",
    "deleted softly": "update auth.users set deleted_at = now() where id = %(id)s",
    "deleted": "delete from auth.users where id = %(id)s",
    "erased": "select private.erase_user(%(id)s)",
}


@pytest.mark.parametrize("how", UNABLE)
def test_who_cannot_act_is_on_no_roll_and_seen_to_be_so(house, rain, asha, bram, chloe, how):
    admin_of(house).sql(UNABLE[how], id=bram.id)
    members = {m["user"]["id"]: m for m in asha.list_members(community_id=rain)["members"]}
    if bram.id in members:
        assert members[bram.id]["able"] is False
    assert members[chloe.id]["able"] is True
    tip = asha.propose_tip_to_tip(community_id=rain, title="Tea", stake_amount=5)["proposal"]
    assert (tip["electors"], tip["awaiting"]) == (2, 1)
    with pytest.raises(Refusal):
        bram.send_message(community_id=rain, content="Still here")
    chloe.vote_tip_to_tip(proposal_id=tip["id"], vote="accept")
    assert asha.get_balance(community_id=rain)["balance"]["remaining"] == 100


def test_able_is_who_stands_admitted(house, rain, asha, bram, chloe, unadmitted):
    """The explanation and the question never disagree."""
    people = [asha, bram, chloe, unadmitted, house.sign_up(None)]
    for person, how in zip(people[1:3], ("suspended", "banned by Auth"), strict=True):
        admin_of(house).sql(UNABLE[how], id=person.id)
    for person in people:
        (row,) = house.owner.sql(
            "select private.is_able(%(id)s) as able, private.standing_of(%(id)s) as standing",
            id=person.id,
        )
        assert row["able"] == (row["standing"] == "admitted"), row


@pytest.mark.parametrize("enforced", [True, False])
def test_able_is_the_same_of_one_and_among_many(
    house, rain, asha, bram, sign_up, unadmitted, enforced
):
    people = [house.admit(sign_up(f"{n}@chas.test")) for n in range(len(UNABLE))]
    for person, sql in zip(people, UNABLE.values(), strict=True):
        admin_of(house).sql(sql, id=person.id)
    people += [asha, bram, unadmitted, sign_up(None)]
    settings = "update private.settings set enforce_invites = %(enforced)s where id"
    house.owner.sql(settings, enforced=enforced)
    (row,) = house.owner.sql(
        """
        select
          private.able_among(%(ids)s::uuid[]) as among,
          array(
            select p.id from unnest(%(ids)s::uuid[]) as p (id)
            where private.is_able(p.id)
            order by p.id
          ) as one_by_one
        """,
        ids=[person.id for person in people],
    )
    assert row["among"] == row["one_by_one"]
    assert len(row["among"]) == (2 if enforced else 3)


# ------------------------------------------------------------------------------ missing profiles


@pytest.fixture
def unprofiled(house):
    """Signed up while the trigger was missing."""
    admin_of(house).sql("alter table auth.users disable trigger on_auth_user_created")
    person = house.sign_up("nora@chas.test", "Nora")
    admin_of(house).sql("alter table auth.users enable trigger on_auth_user_created")
    assert not house.owner.read("users", id=person.id)
    return person


def test_a_missing_profile_is_made_at_the_next_call(house, unprofiled):
    with refused("UNAUTHORIZED"):
        unprofiled.getting().get_access()
    assert unprofiled.get_access()["whitelisted"] is False
    assert house.owner.read("users", id=unprofiled.id)[0]["display_name"] == "Nora"


def test_a_missing_profile_is_made_by_a_redemption(house, unprofiled):
    (invite,) = house.service.mint_invites()["invites"]
    answer = house.service.redeem_invite(user_id=unprofiled.id, code=invite["code"])
    assert answer["whitelisted"] is True
    assert unprofiled.get_me()["display_name"] == "Nora"


def test_a_missing_profile_is_made_by_housekeeping(house, unprofiled):
    house.owner.sql("select private.housekeeping()")
    assert house.owner.read("users", id=unprofiled.id)


def test_the_edge_finds_somebody_without_a_profile(house, unprofiled):
    assert house.service.get_account(user_id=unprofiled.id)["display_name"] == "Nora"


def test_calls_at_once_make_a_missing_profile_once(house, unprofiled):
    answers = together(*[unprofiled.get_access] * 6)
    assert [answer["whitelisted"] for answer in answers] == [False] * 6
    assert len(house.owner.read("users", id=unprofiled.id)) == 1


@pytest.mark.parametrize("how", ["deleted", "deleted softly", "erased"])
def test_whom_auth_has_deleted_or_the_house_erased_is_not_healed_back(house, unprofiled, how):
    if how == "erased":
        unprofiled.get_access()
    admin_of(house).sql(UNABLE[how], id=unprofiled.id)
    with refused("UNAUTHORIZED"):
        unprofiled.get_access()
    with refused("NOT_FOUND"):
        house.service.get_account(user_id=unprofiled.id)
    house.owner.sql("select private.housekeeping()")
    assert not [one for one in house.owner.read("users", id=unprofiled.id) if not one["erased_at"]]


def test_nobody_heals_a_stranger(house, unprofiled, asha):
    """Whoever is called by an id that Auth does not know is nobody, and stays so."""
    (invite,) = house.service.mint_invites()["invites"]
    with refused("NOT_FOUND"):
        house.service.get_account(user_id=REPEATED)
    answer = house.service.redeem_invite(user_id=REPEATED, code=invite["code"])
    assert answer["refused"]["code"] in ("NOT_FOUND", "UNAUTHORIZED")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        asha.sql("select private.heal_profile(%(id)s)", id=unprofiled.id)
    assert not house.owner.read("users", id=unprofiled.id)


# ------------------------------------------------------------------------------ texts and codes


@pytest.mark.parametrize("text", ["v", "vv", "v v", "\U0001f3f4", "ﷺ", "क"])
def test_a_letter_is_visible(rain, asha, text):
    sent = asha.send_message(community_id=rain, content=text)["message"]
    assert sent["content"] == text


@pytest.mark.parametrize(
    "text",
    [
        *("\u000b", "\u2065", "\uffef", "\ufe00", "\U000e0100", "\U000e0041", "\ufff9"),
        *("\u17b4", "\u2800", "\u3164", "\u00ad\u200b", "\u0378", "\u2067\u2069"),
    ],
)
def test_what_shows_nothing_is_no_text(rain, asha, text):
    with refused("INVALID_INPUT", field="content"):
        asha.send_message(community_id=rain, content=text)
    with refused("INVALID_INPUT", field="display_name"):
        asha.update_me(display_name=text)


@pytest.mark.parametrize("trick", ["\u202b", "\u2067", "\u202e", "“", "”", "\n", "\ufffa"])
def test_a_name_holds_no_trick(rain, asha, trick):
    for call, field in (
        (lambda name: asha.update_me(display_name=name), "display_name"),
        (lambda name: asha.create_community(name=name), "name"),
        (lambda name: asha.update_community(community_id=rain, patch={"name": name}), "name"),
    ):
        with refused("INVALID_INPUT", field=field, possible="Eve"):
            call(f"E{trick}ve")


@pytest.mark.parametrize(
    "joint", ["\u00a0", "\u2011", "\u2013", "\u200b", "\ufeff", "\u2212", " - "]
)
def test_a_code_is_found_as_it_is_pasted(house, rain, asha, stranger, unadmitted, joint):
    (invite,) = house.service.mint_invites()["invites"]
    pasted = joint.join((invite["code"][:5], invite["code"][5:].lower(), ""))
    answer = house.service.redeem_invite(user_id=unadmitted.id, code=pasted)
    assert answer.get("whitelisted") is True
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    joined = stranger.join_community(invite_code=joint.join((code[:4], code[4:].upper(), "")))
    assert joined["community"]["id"] == rain


@pytest.mark.parametrize("wild", ["%", "_", "*", "?", "."])
def test_a_code_knows_no_wildcard(rain, asha, stranger, wild):
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=code[:-1] + wild)


# ------------------------------------------------------------------------------ zones


@pytest.mark.parametrize(
    ("name", "region"),
    [
        *(("CET", "Europe/Brussels"), ("EET", "Europe/Athens"), ("MET", "Europe/Brussels")),
        *(("WET", "Europe/Lisbon"), ("EST", "America/Panama"), ("cest", "Europe/Brussels")),
        *(("XYZ", None), ("Europe", None), ("Japan", None), ("Europe/Nowhere", None)),
        *(("europe/lisbon", None), ("Abc/Def+3", None), ("ABC/DEF+3", None)),
        *(("posix/Europe/Lisbon", None), ("America/Argentina", None), (None, None)),
    ],
)
def test_a_zone_has_a_region_and_is_spelt_as_it_is(rain, asha, name, region):
    facts = {"field": "timezone"} | ({"region": region} if region else {})
    with refused("INVALID_INPUT", **facts) as said:
        asha.create_community(name="Elsewhere", timezone=name)
    assert said.facts == facts
    if name:
        for patch in ({"timezone": name}, {"timezone": name, "name": "Other"}):
            with refused("INVALID_INPUT", **facts):
                asha.update_community(community_id=rain, patch=patch)
            with refused("INVALID_INPUT", **facts):
                asha.propose_tip_to_tip(
                    community_id=rain, title="T", stake_amount=1, amendment={"timezone": name}
                )
    if region:
        asha.update_community(community_id=rain, patch={"timezone": region})


def test_every_zone_with_a_region_is_one(house):
    """What PostgreSQL lists, without the half a second that the list takes."""
    (row,) = house.owner.sql(
        r"""
        select
          count(*) filter (where private.is_zone(z.name)) as found,
          count(*) filter (where private.is_zone(lower(z.name))) as in_small,
          count(*) filter (where private.is_zone(upper(z.name))) as in_capitals,
          count(*) as listed,
          current_setting('timezone') as kept
        from pg_timezone_names as z
        where z.name ~ '/' and z.name !~ '^(posix|right)/'
        """
    )
    assert row["found"] == row["listed"] > 400
    assert (row["in_small"], row["in_capitals"]) == (0, 0)
    assert row["kept"] == house.owner.sql("show timezone")[0]["TimeZone"]


# ------------------------------------------------------------------------------ unread, notices


def test_unread_counts_what_still_stands(rain, asha, bram):
    sent = [asha.send_message(community_id=rain, content=f"{n}")["message"] for n in range(3)]
    bram.mark_chamber_read(community_id=rain, message_id=sent[0]["id"])
    assert bram.mark_chamber_read(community_id=rain, message_id=1)["unread"] == 2
    asha.delete_message(message_id=sent[1]["id"])
    assert bram.mark_chamber_read(community_id=rain, message_id=1)["unread"] == 1
    asha.strike_message(message_id=sent[2]["id"], reason="Enough")
    assert bram.mark_chamber_read(community_id=rain, message_id=1)["unread"] == 0


def test_a_notice_that_folds_moves_to_the_top(rain, asha, bram, chloe, clock):
    joys = [
        asha.declare_joy(community_id=rain, title=title, cc_spent=1)["declaration"]["id"]
        for title in ("First", "Second")
    ]
    bram.witness_declaration(declaration_id=joys[0])
    clock.forward(minutes=1)
    bram.witness_declaration(declaration_id=joys[1])
    clock.forward(minutes=1)
    chloe.witness_declaration(declaration_id=joys[0])
    top, below = notices(asha, "witnessed")
    assert (top["ref_id"], top["count"], below["ref_id"]) == (joys[0], 2, joys[1])
    assert top["title"] == "“Chloe” and one other witnessed your joy"
    assert [person["display_name"] for person in top["people"]] == ["Chloe", "Bram"]
    assert top["updated_at"] > below["updated_at"] > top["created_at"]


def test_leaving_reads_the_notices_of_a_community(rain, asha, bram):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    assert bram.list_notifications()["unread"] == 1
    bram.leave_community(community_id=rain)
    listed = bram.list_notifications()
    assert listed["unread"] == 0
    opened = bram.mark_notification_read(notification_id=listed["notifications"][0]["id"])
    assert opened["notification"]["read"] is True


def test_what_was_struck_is_gone_from_notices_and_repeats(rain, asha, bram):
    joy = bram.declare_joy(
        community_id=rain,
        title="Shame",
        cc_spent=1,
        request_id=REPEATED,
    )
    asha.witness_declaration(declaration_id=joy["declaration"]["id"])
    assert notices(bram, "witnessed")[0]["body"] == "Shame"
    asha.strike_message(message_id=joy["message"]["id"], reason="Rude")
    assert notices(bram, "witnessed")[0]["body"] == ""
    again = bram.declare_joy(
        community_id=rain,
        title="Shame",
        cc_spent=1,
        request_id=REPEATED,
    )
    assert again["declaration"]["id"] == joy["declaration"]["id"]
    assert again["declaration"]["title"] == ""
    assert again["message"]["struck_reason"] == "Rude"


def test_nothing_kept_of_a_repeat_is_words(house, rain, asha):
    asha.send_message(community_id=rain, content="A secret", request_id=REPEATED)
    (kept,) = house.owner.read("repeats")
    assert set(kept["made"]) == {"message_id"}


def test_a_stranger_meets_no_limit_but_a_closed_door(rain, stranger):
    for _ in range(3):
        with refused("NOT_FOUND"):
            stranger.send_message(community_id=rain, content="Hi")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.sql("select private.require_line_rate(%(c)s, %(c)s)", c=rain)
