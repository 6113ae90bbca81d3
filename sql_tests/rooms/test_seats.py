"""Who is able, the seat never empty, the close that is a fact of the clock (RULES 2.3, 9)."""

import time
import uuid
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from doors import assert_shape
from people import Caller, Refusal, lines, meanwhile, notices, refused, roles, together

END = "2026-03-03T12:00:00+00:00"
DAWN = "2026-03-03 00:00+00:00"


@pytest.fixture
def stella(sign_up, admit):
    return admit(sign_up("stella@chas.test", "Stella", steward=True))


@pytest.fixture
def bram(join_rain, clock):
    """There longer than Chloe."""
    clock.at("2026-03-02 11:00+00:00")
    return join_rain("bram@chas.test", "Bram")


@pytest.fixture
def chloe(bram, join_rain, clock):
    clock.at("2026-03-02 12:00+00:00")
    return join_rain("chloe@chas.test", "Chloe")


@pytest.fixture
def council(rain, asha, bram, chloe, clock):
    """Bram is on it longer than Chloe."""
    for member in (bram, chloe):
        asha.set_council(community_id=rain, user_id=member.id, granted=True)
        clock.forward(seconds=1)
    return [asha, bram, chloe]


@pytest.fixture
def suspend(service):
    def do(person):
        service.suspend_person(user_id=person.id, reason="Because")

    return do


@pytest.fixture
def ban_by_auth(house):
    def do(person):
        auth = Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")
        auth.sql("update auth.users set banned_until = 'infinity' where id = %(id)s", id=person.id)

    return do


@pytest.fixture
def code(asha, rain):
    return asha.set_join_code(community_id=rain)["invite_code"]


def elect(moderator, rain, **more):
    terms = {"community_id": rain, "title": "Who keeps the rain?", "ends_at": END}
    return moderator.create_election(**(terms | more))["election"]


def vote(voter, election, candidate):
    return voter.vote_election(election_id=election["id"], candidate_id=candidate.id)["election"]


def moderators(house, rain):
    rows = house.owner.read("community_members", community_id=rain, left_at=None)
    return {str(row["user_id"]) for row in rows if "moderator" in row["roles"]}


def wait_for_a_lock(house, call):
    while not house.owner.sql("""
      select pid from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    """):
        assert not call.done(), call.result()
        time.sleep(0.01)


# ------------------------------------------------------------------------------ able people


def test_candidates_and_voters_are_people_who_can_act(rain, council, suspend):
    asha, bram, chloe = council
    suspend(bram)
    election = elect(asha, rain)

    assert [one["user"]["id"] for one in election["candidates"]] == [asha.id, chloe.id]
    assert election["electors"] == 2


def test_an_election_needs_two_voters_who_can_act(rain, council, suspend, ban_by_auth):
    asha, bram, chloe = council
    suspend(bram)
    ban_by_auth(chloe)
    with refused("NO_ELECTORS", electors=1, least=2):
        elect(asha, rain)


def test_ballots_of_and_for_people_who_cannot_act_at_the_close_do_not_count(
    rain, council, suspend, clock, join_rain
):
    asha, bram, chloe = council
    dora = join_rain("dora@chas.test", "Dora")
    asha.set_council(community_id=rain, user_id=dora.id, granted=True)
    election = elect(asha, rain, seat_rule="renew")
    for voter, choice in ((asha, bram), (bram, bram), (chloe, chloe), (dora, asha)):
        vote(voter, election, choice)
    suspend(bram)
    suspend(dora)
    clock.at(END)

    over = asha.get_election(election_id=election["id"])["election"]
    assert over["winner"]["id"] == chloe.id
    votes = {one["user"]["display_name"]: one["votes"] for one in over["candidates"]}
    assert votes == {"Chloe": 1, "Asha": 0, "Bram": None, "Dora": None}
    assert roles(chloe, rain)["Chloe"] == ["member", "moderator", "council"]


def test_who_is_restored_before_the_close_is_counted_again(service, rain, council, suspend, clock):
    asha, bram, chloe = council
    election = elect(asha, rain)
    for voter in (asha, chloe):
        vote(voter, election, bram)
    suspend(bram)
    service.restore_person(user_id=bram.id)
    clock.at(END)
    assert asha.get_election(election_id=election["id"])["election"]["winner"]["id"] == bram.id


def test_an_early_close_waits_for_nobody_who_cannot_vote(rain, council, suspend):
    asha, bram, chloe = council
    election = elect(asha, rain)
    vote(asha, election, chloe)
    suspend(bram)
    with refused("CONFLICT", awaiting=1, electors=3, turnout=1, possible_at=END):
        asha.close_election(election_id=election["id"])
    vote(chloe, election, chloe)
    assert asha.close_election(election_id=election["id"])["election"]["winner"]["id"] == chloe.id


# ------------------------------------------------------------------------------ an empty seat


def test_a_suspended_moderators_seat_passes_at_once(service, rain, council, suspend):
    asha, bram, chloe = council
    suspend(asha)

    assert roles(chloe, rain)["Bram"] == ["member", "moderator", "council"]
    (line,) = lines(chloe, rain, "moderator_seated")
    assert line["facts"] == {"user_id": bram.id}
    assert notices(bram, "system")[0]["title"] == "You are moderator now"
    assert bram.list_audit(community_id=rain)["entries"][0]["action"] == "moderator_seated"
    # Who held the seat moderates again beside the heir.
    service.restore_person(user_id=asha.id)
    assert asha.set_join_code(community_id=rain)["open"] is True


def test_a_seat_is_filled_from_who_can_act_only(rain, council, suspend, ban_by_auth):
    asha, bram, chloe = council
    suspend(bram)
    suspend(asha)
    assert "moderator" in roles(chloe, rain)["Chloe"]


def test_without_a_council_the_member_of_longest_standing_is_seated(
    rain, asha, bram, chloe, suspend
):
    suspend(asha)
    assert "moderator" in roles(chloe, rain)["Bram"]
    assert "moderator" not in roles(chloe, rain)["Chloe"]


def test_nobody_is_seated_while_another_moderator_can_act(house, rain, asha, bram, chloe, suspend):
    house.owner.sql(
        "select private.set_role(%(rain)s, %(bram)s, 'moderator', true)", rain=rain, bram=bram.id
    )
    suspend(asha)
    assert lines(chloe, rain, "moderator_seated") == []
    assert moderators(house, rain) == {asha.id, bram.id}


def test_a_seat_that_auth_has_emptied_is_filled_at_the_next_dawn(
    house, rain, council, ban_by_auth, clock
):
    asha, bram, chloe = council
    ban_by_auth(asha)
    assert moderators(house, rain) == {asha.id}

    clock.at(DAWN)
    house.owner.sql("select private.daily_reset(%(now)s)", now=clock.now)
    assert moderators(house, rain) == {asha.id, bram.id}
    assert lines(chloe, rain, "moderator_seated")[0]["created_at"] == "2026-03-03T00:00:00+00:00"
    clock.forward(days=1)
    house.owner.sql("select private.daily_reset(%(now)s)", now=clock.now)
    assert len(lines(chloe, rain, "moderator_seated")) == 1


def test_where_nobody_can_act_a_dawn_seats_nobody_and_the_next_does(
    house, service, rain, asha, bram, suspend, clock, books
):
    suspend(bram)
    suspend(asha)
    clock.at(DAWN)
    house.owner.sql("select private.daily_reset(%(now)s)", now=clock.now)
    assert moderators(house, rain) == {asha.id}

    service.restore_person(user_id=bram.id)
    clock.forward(days=1)
    assert bram.get_balance(community_id=rain)["balance"]["remaining"] == 100
    assert moderators(house, rain) == {asha.id, bram.id}


def test_a_seating_is_no_act_of_whoever_settles_the_day(
    house, rain, council, ban_by_auth, clock, asha, bram
):
    """Thirty lines a minute is Bram's own limit; the Dawn he settles is the house's."""
    ban_by_auth(asha)
    house.owner.sql(
        """
        insert into private.chat_messages (community_id, type, event, facts, maker_id, created_at)
        select %(rain)s, 'system', 'settings_changed', '{}', %(bram)s, '2026-03-02 23:59:50+00:00'
        from generate_series(1, 30)
        """,
        rain=rain,
        bram=bram.id,
    )
    clock.at(DAWN)
    assert bram.get_balance(community_id=rain)["balance"]["remaining"] == 100
    assert moderators(house, rain) == {asha.id, bram.id}


@pytest.mark.parametrize("attempt", range(4))
def test_two_suspensions_at_once_leave_a_moderator(house, service, rain, council, attempt):
    asha, bram, chloe = council
    together(
        partial(service.suspend_person, user_id=asha.id, reason="Because"),
        partial(service.suspend_person, user_id=bram.id, reason="Because"),
    )
    able = house.owner.sql("select private.able_moderator_ids(%(rain)s) as ids", rain=rain)
    assert [str(one) for one in able[0]["ids"]] == [chloe.id]


# ------------------------------------------------------------------------------ a steward's word


def test_a_steward_names_a_moderator(service, stella, rain, asha, bram, chloe):
    member = service.seat_moderator(
        community_id=rain, user_id=bram.id, reason="Asha is ill", steward_id=stella.id
    )["member"]

    assert_shape("member", member)
    assert (member["user"]["id"], member["roles"]) == (bram.id, ["member", "moderator"])
    (line,) = lines(chloe, rain, "moderator_named")
    assert line["content"] == "A steward made “Bram” moderator: “Asha is ill”."
    entry = asha.list_audit(community_id=rain)["entries"][0]
    assert (entry["action"], entry["actor"]) == ("steward_named_moderator", None)
    assert entry["facts"]["reason"] == "Asha is ill"
    assert notices(bram, "system")[0]["title"] == "You are moderator now"
    act = service.list_steward_acts()["acts"][0]
    assert (act["action"], act["actor"]["id"]) == ("steward_named_moderator", stella.id)
    assert "moderator" in roles(chloe, rain)["Asha"]

    service.seat_moderator(community_id=rain, user_id=bram.id, reason="Again")
    assert len(lines(chloe, rain, "moderator_named")) == 1


def test_a_community_everyone_has_left_lives_again(service, rain, code, asha, bram, clock, books):
    for person in (bram, asha):
        person.leave_community(community_id=rain)
    member = service.seat_moderator(community_id=rain, user_id=bram.id, reason="Nobody left")
    assert member["member"]["roles"] == ["member", "moderator"]
    assert bram.get_balance(community_id=rain)["balance"]["remaining"] == 0

    with refused("NOT_FOUND"):
        asha.join_community(invite_code=code)
    bram.set_join_code(community_id=rain, open=True)
    assert asha.join_community(invite_code=code)["member"]["roles"] == ["member"]
    clock.at(DAWN)
    assert bram.get_balance(community_id=rain)["balance"]["remaining"] == 100
    books(rain)


def test_somebody_new_is_brought_in_as_a_member_first(service, rain, asha, stranger, books):
    service.seat_moderator(community_id=rain, user_id=stranger.id, reason="A neutral hand")
    assert roles(asha, rain)["Sol"] == ["member", "moderator"]
    assert lines(asha, rain, "member_joined")[-1]["facts"] == {"user_id": stranger.id}
    assert stranger.get_balance(community_id=rain)["balance"]["remaining"] == 100
    books(rain)


def test_only_who_can_act_and_may_be_there_is_seated(service, rain, asha, bram, stranger, suspend):
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Rude", ban=True)
    seat = partial(service.seat_moderator, community_id=rain, reason="Because")
    with refused("FORBIDDEN", banned=True):
        seat(user_id=bram.id)
    suspend(stranger)
    with refused("CONFLICT", standing="suspended"):
        seat(user_id=stranger.id)
    with refused("INVALID_INPUT", field="reason"):
        seat(user_id=stranger.id, reason="\u2800")
    with refused("NOT_FOUND"):
        seat(user_id=str(uuid.uuid4()))
    with refused("NOT_FOUND"):
        seat(user_id=asha.id, community_id=str(uuid.uuid4()))
    with refused("FORBIDDEN"):
        seat(user_id=asha.id, steward_id=asha.id)
    with refused("NOT_FOUND"):
        service.erase_user(user_id=stranger.id)
        seat(user_id=stranger.id)


def test_nobody_but_the_service_seats_a_moderator(stella, rain, asha):
    for caller in (stella, asha):
        with pytest.raises(Exception, match="permission denied"):
            caller.seat_moderator(community_id=rain, user_id=asha.id, reason="Because")


def test_seated_twice_at_once_is_seated_once(house, service, rain, asha, stranger, books):
    seat = partial(service.seat_moderator, community_id=rain, user_id=stranger.id, reason="Because")
    assert [answer["member"]["roles"] for answer in together(seat, seat)] == [
        ["member", "moderator"]
    ] * 2
    assert len(lines(asha, rain, "moderator_named")) == 1
    books(rain)


# ------------------------------------------------------------------------------ the close, a fact


@pytest.fixture
def renewed(rain, council, clock):
    """Bram has won every seat by the clock; no job has come by."""
    asha, bram, _ = council
    election = elect(asha, rain, seat_rule="renew")
    for voter in council:
        vote(voter, election, bram)
    clock.at(END)
    return election


MODERATE: dict[str, dict[str, Any]] = {
    "update_community": {"patch": {"description": "Wet"}},
    "set_join_code": {"rotate": True},
    "list_audit": {},
    "list_bans": {},
    "remove_member": {"reason": "Because"},
    "ban_member": {"reason": "Because"},
    "set_council": {"granted": False},
    "create_election": {"title": "Anew", "ends_at": "2026-03-04 12:00+00:00"},
}


@pytest.mark.parametrize("door", MODERATE)
def test_who_lost_the_seat_rules_no_more_and_who_won_it_does_job_or_no_job(
    rain, council, join_rain, renewed, door
):
    asha, bram, chloe = council
    asked = MODERATE[door] | {"community_id": rain}
    if door in ("remove_member", "set_council"):
        asked["user_id"] = chloe.id
    if door == "ban_member":
        chloe.leave_community(community_id=rain)
        asked["user_id"] = chloe.id
    with refused("FORBIDDEN"):
        getattr(asha, door)(**asked)
    getattr(bram, door)(**asked)


def test_a_strike_settles_the_election_first(house, rain, council, renewed):
    asha, bram, chloe = council
    line = chloe.send_message(community_id=rain, content="Hello")["message"]
    with refused("FORBIDDEN"):
        asha.strike_message(message_id=line["id"], reason="No")
    bram.strike_message(message_id=line["id"], reason="No")
    assert moderators(house, rain) == {bram.id}
    assert len(lines(chloe, rain, "election_closed")) == 1


def test_readings_reckon_as_if_it_had_been_written(house, rain, council, renewed):
    asha, bram, chloe = council
    assert moderators(house, rain) == {asha.id}

    assert "invite_code" in bram.get_community(community_id=rain)["community"]
    assert "invite_code" not in asha.get_community(community_id=rain)["community"]
    assert roles(chloe, rain) == {
        "Asha": ["member"],
        "Bram": ["member", "moderator", "council"],
        "Chloe": ["member", "council"],
    }
    assert bram.list_my_communities()["communities"][0]["roles"] == roles(chloe, rain)["Bram"]
    assert bram.getting().list_audit(community_id=rain)["entries"] != []
    assert bram.read("audit_entries", community_id=rain) != []
    assert bram.read("join_codes") != []
    assert asha.read("audit_entries", community_id=rain) == []
    assert asha.read("join_codes") == []
    assert moderators(house, rain) == {asha.id}


def test_an_election_that_nobody_won_changes_no_reading(rain, council, clock):
    asha, bram, _ = council
    elect(asha, rain, seat_rule="renew")
    clock.at(END)
    assert "moderator" in roles(bram, rain)["Asha"]
    assert asha.set_join_code(community_id=rain)["open"] is True


def test_the_winner_of_an_overdue_election_is_no_candidate_for_an_open_one(rain, council, renewed):
    asha, bram, _ = council
    with refused("ELECTION_CLOSED"):
        bram.cancel_election(election_id=renewed["id"], reason="No")
    with refused("FORBIDDEN"):
        asha.cancel_election(election_id=renewed["id"], reason="No")


def test_acts_of_winner_and_loser_at_once_close_it_once(house, rain, council, renewed):
    asha, bram, chloe = council
    winner, loser, _, _ = together(
        partial(bram.set_join_code, community_id=rain, rotate=True),
        partial(asha.set_join_code, community_id=rain, rotate=True),
        partial(chloe.list_members, community_id=rain),
        lambda: house.owner.sql("select private.election_close(%(now)s)", now=house.clock.now),
    )
    assert "invite_code" in winner
    assert isinstance(loser, Refusal)
    assert loser.code == "FORBIDDEN"
    assert len(lines(chloe, rain, "election_closed")) == 1
    assert moderators(house, rain) == {bram.id}


def test_a_stranger_learns_nothing_of_an_overdue_election(rain, council, renewed, stranger):
    for door, more in MODERATE.items():
        with refused("NOT_FOUND"):
            people = {"user_id": council[2].id} if door not in ("list_audit", "list_bans") else {}
            if door in ("update_community", "set_join_code", "create_election"):
                people = {}
            getattr(stranger, door)(community_id=rain, **more, **people)


def test_the_code_is_not_opened_behind_the_last_leaver(house, rain, code, asha, stranger):
    """What a moderator does while they leave in another window comes before, or too late."""
    with ExitStack() as leaving:
        moderator = leaving.enter_context(asha.transaction())
        moderator.leave_community(community_id=rain)
        with meanwhile(partial(asha.set_join_code, community_id=rain, open=True)) as opening:
            wait_for_a_lock(house, opening)
            leaving.close()
    with pytest.raises(Refusal, match="NOT_FOUND"):
        opening.result()
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=code)
