"""One member against all: what a free evening can do, and that nobody waits for it (RULES 3.2).

How long others take meanwhile is measured by `make soak ARGS=attacks`.
"""

from collections import Counter

import psycopg
import pytest
from attacks import ATTACKS, CONNECTIONS, Attacks, named
from people import Refusal, notices, refused, together

MINUTE = 60

# ------------------------------------------------------------------------------ how much

# The most sixteen connections may do within one moment, a hundred tries in all, each act of theirs.
MOST = {
    "asks and takes back": {"done": 10, "chat_messages": 5, "borrow_requests": 5},
    "comes and goes": {"done": 40, "chat_messages": 40},
    "proposes and declines": {"done": 40, "tip_to_tip_proposals": 20, "chat_messages": 40},
    "rewrites": {"done": 30},
    "is away and back": {"done": 30, "absences": 1},
    "plays the moderator": {"done": 0},
    "votes again": {"done": 0},
    "reads everything": {},
    "pages forward": {},
    "guesses": {"done": 10},
}


# What follows from an act that is counted, one for one or fewer for each who is told.
BESIDE = {"notifications", "audit_entries", "gazette_items"}

REFUSALS = {
    "asks and takes back": {"RATE_LIMITED", "CONFLICT"},
    "comes and goes": {"RATE_LIMITED", "CONFLICT", "NOT_FOUND"},
    "proposes and declines": {"RATE_LIMITED", "ACTIVE_TIP_TO_TIP_EXISTS"},
    "rewrites": {"RATE_LIMITED"},
    "is away and back": {"RATE_LIMITED", "CONFLICT"},
    "plays the moderator": {"FORBIDDEN"},
    "votes again": {"ALREADY_VOTED"},
    "reads everything": {"RATE_LIMITED"},
    "pages forward": set(),
    "guesses": {"RATE_LIMITED", "NOT_FOUND"},
}


@pytest.mark.parametrize("what", ATTACKS, ids=named)
def test_a_free_evening_does_so_much_and_no_more(house, what):
    """Every other answer is a refusal: a deadlock or a timeout would end the test."""
    address = house.address("authenticator")
    attacks = Attacks(house, address, "2026-03-04 08:00+00:00", members=6)
    heard, wrote = attacks.strike_at_once(what, tries=100 // CONNECTIONS)
    most = MOST[named(what)]
    assert heard["done"] <= most.get("done", heard["done"])
    growing = {table: rows for table, rows in wrote.items() if table not in BESIDE}
    assert growing.keys() <= most.keys(), wrote
    assert all(rows <= most[table] for table, rows in growing.items()), wrote
    assert not heard.keys() - {"done", *REFUSALS[named(what)]}, heard
    house.books(attacks.home)


# ------------------------------------------------------------------------------ quiet acts


@pytest.fixture
def honoured(house, rain, asha, bram, clock):
    """The id of a Jashn that honours Asha."""
    clock.at("2026-03-08 12:00+00:00")
    asha.declare_joy(community_id=rain, title="Tea", cc_spent=1)
    clock.at("2026-03-15 00:05+00:00")
    house.owner.sql("select private.weekly_jashn(%(now)s)", now=clock.now)
    return asha.get_jashn(community_id=rain)["jashn"]["id"]


@pytest.fixture(params=["edit", "strike", "ban", "code", "absence", "celebration"])
def quiet(request, rain, asha, bram, chloe):
    """Who acts, and something they might do without end."""
    line = asha.send_message(community_id=rain, content="Hello")["message"]["id"]
    here = {"community_id": rain}

    def be_away():
        asha.declare_absence(from_day="2026-03-20", to_day="2026-03-21", **here)
        asha.end_absence(**here)

    def ban():
        asha.ban_member(user_id=chloe.id, reason="No", **here)
        asha.lift_ban(user_id=chloe.id, **here)

    if request.param == "ban":
        chloe.leave_community(**here)
    if request.param == "celebration":
        jashn = request.getfixturevalue("honoured")
        return bram, lambda: bram.celebrate_jashn(jashn_id=jashn, message="Well done"), 1
    if request.param == "absence":
        request.getfixturevalue("clock").at("2026-03-15 12:00+00:00")
    return asha, *{
        "edit": (lambda: asha.edit_message(message_id=line, content="Hello again"), 1),
        "strike": (lambda: asha.strike_message(message_id=line, reason="No"), 1),
        "ban": (ban, 2),
        "code": (lambda: asha.set_join_code(rotate=True, **here), 1),
        "absence": (be_away, 2),
    }[request.param]


def test_thirty_quiet_acts_a_minute_are_enough(rain, quiet, clock):
    who, act, counts = quiet
    for _ in range(30 // counts):
        act()
    with refused("RATE_LIMITED", most=30, retry_after=MINUTE):
        act()
    # Nobody is kept from talking by it, nor is anything done elsewhere counted here.
    who.send_message(community_id=rain, content="Enough")
    clock.forward(seconds=MINUTE)
    act()


def test_of_forty_edits_at_once_thirty_are_made(rain, asha):
    line = asha.send_message(community_id=rain, content="Hello")["message"]["id"]
    answers = together(
        *[lambda n=n: asha.edit_message(message_id=line, content=f"Edit {n}") for n in range(40)]
    )
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert {refusal.code for refusal in refusals} == {"RATE_LIMITED"}
    assert len(refusals) == 10


def test_what_a_minute_will_not_mend_is_promised_to_nobody(rain, asha, clock):
    """The window of an edit is over before the limit is."""
    line = asha.send_message(community_id=rain, content="Hello")["message"]["id"]
    clock.forward(minutes=14, seconds=30)
    for n in range(30):
        asha.edit_message(message_id=line, content=f"Edit {n}")
    with refused("RATE_LIMITED", possible_at=None, retry_after=None):
        asha.edit_message(message_id=line, content="Edit")


def test_a_stranger_meets_no_limit_of_quiet_acts(rain, asha, stranger):
    line = asha.send_message(community_id=rain, content="Hello")["message"]["id"]
    for call in (
        lambda: stranger.edit_message(message_id=line, content="Mine"),
        lambda: stranger.strike_message(message_id=line, reason="No"),
        lambda: stranger.end_absence(community_id=rain),
    ):
        with refused("NOT_FOUND"):
            call()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        asha.read("quiet_acts")


# ------------------------------------------------------------------------------ nobody waits


@pytest.fixture
def turned(house, rain):
    """Within it somebody holds the day of rain alone, and who waits for a lock fails."""
    with house.connection("supabase_admin") as admin:
        name = admin.info.dbname
        admin.execute(f"alter role authenticator in database {name} set lock_timeout = '100ms'")
    house.close()
    with house.owner.transaction() as holder:
        holder.sql("select private.lock_membership(%(community)s)", community=rain)
        yield


@pytest.fixture
def voted(rain, asha, bram, chloe):
    """The id of a proposal for another zone that Bram has voted on."""
    tip = asha.propose_tip_to_tip(
        community_id=rain, title="East", stake_amount=1, amendment={"timezone": "Asia/Tokyo"}
    )["proposal"]["id"]
    bram.vote_tip_to_tip(proposal_id=tip, vote="accept")
    return tip


def test_nobody_waits_for_who_is_refused(rain, asha, bram, chloe, voted, turned):
    """What is refused anyway is refused before anything is locked: it can hold nobody up."""
    with pytest.raises(psycopg.errors.LockNotAvailable):
        chloe.declare_joy(community_id=rain, title="Tea", cc_spent=1)

    here, them = {"community_id": rain}, {"community_id": rain, "user_id": chloe.id}
    expected = {
        "FORBIDDEN": [
            lambda: bram.remove_member(reason="No", **them),
            lambda: bram.ban_member(reason="No", **them),
            lambda: bram.lift_ban(**them),
            lambda: bram.set_council(granted=True, **them),
            lambda: bram.step_down(**here),
            lambda: bram.update_community(patch={"timezone": "Asia/Tokyo"}, **here),
        ],
        "ALREADY_VOTED": [lambda: bram.vote_tip_to_tip(proposal_id=voted, vote="accept")],
        "LAST_MODERATOR": [
            lambda: asha.leave_community(**here),
            lambda: asha.step_down(**here),
            lambda: asha.remove_member(community_id=rain, user_id=asha.id, reason="No"),
        ],
        "CONFLICT": [lambda: asha.ban_member(reason="No", **them)],
        "NOT_FOUND": [lambda: asha.lift_ban(**them)],
    }
    for code, calls in expected.items():
        for call in calls:
            with refused(code):
                call()
    # What changes nothing does not wait either.
    assert asha.set_council(granted=False, **them)["member"]["roles"] == ["member"]


def test_who_is_away_waits_for_nobody_who_acts(house, rain, asha, bram):
    """An absence begins tomorrow at the earliest: no roll of today is held for it."""
    with house.owner.transaction() as acting:
        acting.sql("select private.hold_day(%(community)s)", community=rain)
        bram.declare_absence(community_id=rain, from_day="2026-03-03", to_day="2026-03-03")
        bram.end_absence(community_id=rain)


def test_of_two_absences_of_one_member_at_once_one_is_declared(rain, bram):
    days = [{"from_day": f"2026-03-0{day}", "to_day": f"2026-03-0{day}"} for day in (4, 6)]
    answers = together(*[lambda d=d: bram.declare_absence(community_id=rain, **d) for d in days])
    codes = Counter(answer.code for answer in answers if isinstance(answer, Refusal))
    assert codes == {"CONFLICT": 1}


# ------------------------------------------------------------------------------ long readings


def test_what_is_much_to_read_is_read_once_at_a_time(rain, asha, bram):
    with asha.transaction(read_only=True) as reading:
        reading.export_my_data()
        for again in (
            asha.export_my_data,
            lambda: asha.verify_gazette(community_id=rain),
            lambda: asha.audit_ledger(community_id=rain),
        ):
            with refused("RATE_LIMITED", most=1, possible_at=None, retry_after=None):
                again()
        assert bram.export_my_data()["profile"]["display_name"] == "Bram"
        assert bram.verify_gazette(community_id=rain)["holds"] is True
    assert asha.verify_gazette(community_id=rain)["holds"] is True


# ------------------------------------------------------------------------------ nothing is written


def version(house, table, thing):
    (row,) = house.owner.sql(
        f"select xmin::text, xmax::text, ctid::text from private.{table} where id = %(id)s",
        id=thing,
    )
    return row


def test_a_vote_cast_again_does_not_touch_the_proposal(house, voted, bram):
    before = version(house, "tip_to_tip_proposals", voted)
    with refused("ALREADY_VOTED"):
        bram.vote_tip_to_tip(proposal_id=voted, vote="decline")
    assert version(house, "tip_to_tip_proposals", voted) == before


def test_a_notice_read_again_is_not_written_again(house, asha, bram, chloe, voted):
    (notice,) = notices(chloe, "tip_to_tip")
    chloe.mark_notification_read(notification_id=notice["id"])
    before = version(house, "notifications", notice["id"])
    again = chloe.mark_notification_read(notification_id=notice["id"])["notification"]
    assert again["read"] is True
    assert version(house, "notifications", notice["id"]) == before


# ------------------------------------------------------------------------------ titles


@pytest.mark.parametrize("title", ["Tea\nA steward set a purse", "Tea\u2028", "Té\rno", "\tTea"])
def test_a_title_is_one_line(rain, asha, bram, title):
    with refused("INVALID_INPUT", field="title"):
        asha.declare_joy(community_id=rain, title=title, cc_spent=1)
    with refused("INVALID_INPUT", field="title"):
        asha.propose_tip_to_tip(community_id=rain, title=title, stake_amount=1)
