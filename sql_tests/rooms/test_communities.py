"""Founding, joining, and what members see of their community (RULES 2)."""

import time
import uuid
from contextlib import ExitStack
from functools import partial

import psycopg
import pytest
from doors import assert_shape
from people import Refusal, meanwhile, refused, together


@pytest.fixture
def code(asha, rain):
    return asha.get_community(community_id=rain)["community"]["invite_code"]


@pytest.fixture
def banned(rain, asha, bram):
    """Bram, thrown out of rain for good."""
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Enough", ban=True)
    return bram


# ------------------------------------------------------------------------------ founding


def test_a_founder_is_moderator_and_has_the_days_budget_at_once(stranger, books):
    answer = stranger.create_community(
        name="Monsoon", description="Rain only", timezone="Asia/Kolkata", daily_cc_budget=250
    )
    community, member, balance = answer["community"], answer["member"], answer["balance"]

    assert_shape("community", community)
    assert_shape("member", member)
    assert_shape("person", member["user"])
    assert_shape("balance", balance)
    assert community["name"] == "Monsoon"
    assert community["description"] == "Rain only"
    assert community["timezone"] == "Asia/Kolkata"
    assert community["daily_cc_budget"] == 250
    assert community["electorate"] == "council"
    assert community["member_count"] == 1
    assert len(community["invite_code"]) >= 12
    assert sorted(member["roles"]) == ["member", "moderator"]
    assert member["user"]["id"] == stranger.id
    assert balance["user_id"] == stranger.id
    assert balance["remaining"] == balance["daily_budget"] == 250
    assert balance["spent_today"] == balance["debt"] == 0
    assert books(community["id"])["minted"] == 250


def test_a_day_is_the_communitys_own(stranger, clock):
    clock.at("2026-03-02 20:00+00:00")
    balance = stranger.create_community(name="Monsoon", timezone="Asia/Kolkata")["balance"]

    assert balance["day"] == "2026-03-03"
    assert balance["day_open"] is True
    assert balance["next_sunset_at"] == "2026-03-03T18:29:00+00:00"
    assert balance["next_dawn_at"] == "2026-03-03T18:30:00+00:00"


def test_whoever_founds_while_the_day_is_closed_starts_with_an_empty_purse(stranger, clock, books):
    clock.at("2026-03-02 23:59+00:00")
    answer = stranger.create_community(name="Midnight")

    assert answer["balance"]["remaining"] == 0
    assert answer["balance"]["day_open"] is False
    assert answer["balance"]["next_dawn_at"] == "2026-03-03T00:00:00+00:00"
    assert books(answer["community"]["id"])["minted"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 51},
        {"name": None},
        {"description": "x" * 201},
        {"timezone": "Mars/Olympus"},
        {"timezone": "'; drop table users"},
        {"timezone": ""},
        {"timezone": None},
        {"daily_cc_budget": 9},
        {"daily_cc_budget": 1001},
        {"daily_cc_budget": None},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_community_that_makes_no_sense_is_not_founded(stranger, wrong):
    with refused("INVALID_INPUT", field=next(iter(wrong))):
        stranger.create_community(**({"name": "Monsoon"} | wrong))
    assert stranger.list_my_communities() == {"communities": []}


def test_one_person_founds_ten_communities_and_no_more(stranger):
    found = partial(stranger.create_community, name="Another")
    answers = together(*[found] * 12)

    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [refusal.code for refusal in refusals] == ["CONFLICT", "CONFLICT"]
    assert len(stranger.list_my_communities()["communities"]) == 10


# ------------------------------------------------------------------------------ joining


def test_joining_makes_a_member_with_the_days_budget(rain, code, stranger, books):
    answer = stranger.join_community(invite_code=code)

    assert answer["community"]["id"] == rain
    assert answer["community"]["member_count"] == 2
    assert "invite_code" not in answer["community"]
    assert answer["member"]["roles"] == ["member"]
    assert answer["balance"]["remaining"] == 100
    assert books(rain)["minted"] == 200


@pytest.mark.parametrize(
    "pasted",
    [
        "  {0}\n",
        "{0}\u00a0",
        "\ufeff{0}",
        "{1}-{2}",
        "{1}\u2011{2}",
        "{1} \u2013 {2}",
        "{1}\u200b{2}",
    ],
    ids=ascii,
)
def test_a_code_is_matched_without_regard_to_what_people_paste(rain, code, stranger, pasted):
    answer = stranger.join_community(
        invite_code=pasted.format(code.upper(), code[:6].upper(), code[6:])
    )
    assert answer["community"]["id"] == rain


@pytest.mark.parametrize("guess", ["%", "____________", "", "  ", "nosuchcodeatall", "*"])
def test_a_code_is_never_a_pattern(rain, stranger, guess):
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=guess)


def test_half_a_code_is_no_code(code, stranger):
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=code[:-1])


def test_nobody_joins_twice(rain, code, bram, books):
    with refused("CONFLICT"):
        bram.join_community(invite_code=code)
    assert books(rain)["minted"] == 200


def test_joining_many_times_at_once_joins_once(rain, code, stranger, books):
    answers = together(*[partial(stranger.join_community, invite_code=code)] * 8)

    assert sum(not isinstance(answer, Refusal) for answer in answers) == 1
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"CONFLICT"}
    assert books(rain)["minted"] == 200


def test_many_people_join_at_once(rain, code, sign_up, admit, books):
    people = [admit(sign_up(f"p{n}@chas.test")) for n in range(8)]
    together(*[partial(person.join_community, invite_code=code) for person in people])

    assert len(people[0].list_members(community_id=rain)["members"]) == 9
    assert books(rain)["purses"] == 900


def test_whoever_is_banned_stays_out(code, banned):
    with refused("FORBIDDEN"):
        banned.join_community(invite_code=code)


def test_whoever_joins_while_the_day_is_closed_waits_for_dawn(rain, code, clock, stranger, books):
    clock.at("2026-03-02 23:59:30+00:00")
    assert stranger.join_community(invite_code=code)["balance"]["remaining"] == 0

    clock.at("2026-03-03 00:00+00:00")
    assert stranger.get_balance(community_id=rain)["balance"]["remaining"] == 100
    books(rain)


def test_only_moderators_see_the_code(rain, code, asha, bram):
    assert asha.read("join_codes", code=code) != []
    assert bram.read("join_codes") == []
    assert "invite_code" not in bram.get_community(community_id=rain)["community"]
    assert code not in str(bram.list_my_communities())


def test_twenty_joinings_an_hour_are_enough(rain, code, stranger, clock):
    for _ in range(20):
        stranger.join_community(invite_code=code)
        stranger.leave_community(community_id=rain)
        clock.forward(minutes=1)

    with refused("RATE_LIMITED", most=20, retry_after=2400) as refusal:
        stranger.join_community(invite_code=code)
    with refused("RATE_LIMITED", most=20):
        stranger.create_community(name="One more")
    clock.at(refusal.facts["possible_at"])
    stranger.join_community(invite_code=code)
    with refused("RATE_LIMITED", retry_after=60):
        stranger.create_community(name="One more")


def test_foundings_count_as_joinings(rain, code, stranger, clock):
    for _ in range(10):
        stranger.create_community(name="One of ten")
    for _ in range(10):
        stranger.join_community(invite_code=code)
        stranger.leave_community(community_id=rain)
    with refused("RATE_LIMITED", most=20, retry_after=3600):
        stranger.join_community(invite_code=code)


def test_of_many_joinings_at_once_no_more_than_twenty_succeed(
    house, sign_up, admit, stranger, clock
):
    codes = []
    for n in range(3):
        founder = admit(sign_up(f"f{n}@chas.test", f"F{n}"))
        codes += [
            founder.create_community(name="One")["community"]["invite_code"] for _ in range(8)
        ]
    answers = together(*(partial(stranger.join_community, invite_code=code) for code in codes))
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert {refusal.code for refusal in refusals} == {"RATE_LIMITED"}
    assert len(refusals) == 4


def test_a_hundred_communities_at_a_time_are_enough(house, rain, code, stranger):
    house.owner.sql(
        """
        with many as (
          insert into private.communities (name, created_by)
          select 'One of many', %(me)s from generate_series(1, 100) returning id
        )
        insert into private.community_members (community_id, user_id, joined_at, joined_day)
        select id, %(me)s, '2026-01-01 00:00+00:00', '2026-01-01' from many
        """,
        me=stranger.id,
    )
    with refused("CONFLICT", most=100):
        stranger.join_community(invite_code=code)
    house.owner.sql(
        """
        update private.community_members set left_at = private.clock()
        where user_id = %(me)s and community_id = (
          select community_id from private.community_members where user_id = %(me)s limit 1
        )
        """,
        me=stranger.id,
    )
    stranger.join_community(invite_code=code)
    with refused("CONFLICT"):
        stranger.create_community(name="One more")


def test_nobody_joins_with_a_code_that_is_just_being_paused(house, rain, code, asha, stranger):
    with ExitStack() as pausing:
        moderator = pausing.enter_context(asha.transaction())
        moderator.set_join_code(community_id=rain, open=False)
        with meanwhile(partial(stranger.join_community, invite_code=code)) as coming:
            wait_for_a_lock(house, coming)
            pausing.close()
    with pytest.raises(Refusal, match="NOT_FOUND"):
        coming.result()


def test_nobody_joins_a_community_its_last_member_is_just_leaving(
    house, rain, code, asha, stranger
):
    with ExitStack() as leaving:
        last = leaving.enter_context(asha.transaction())
        last.leave_community(community_id=rain)
        with meanwhile(partial(stranger.join_community, invite_code=code)) as coming:
            wait_for_a_lock(house, coming)
            leaving.close()
    with pytest.raises(Refusal, match="NOT_FOUND"):
        coming.result()
    assert house.owner.read("community_members", community_id=rain, left_at=None) == []


def test_of_leaving_last_and_joining_at_once_nobody_is_left_without_a_moderator(
    house, sign_up, admit
):
    for n in range(10):
        asha, bram = (
            admit(sign_up(f"{name}{n}@chas.test", f"{name} {n}")) for name in ("last", "next")
        )
        community = asha.create_community(name="Rain")["community"]
        together(
            partial(asha.leave_community, community_id=community["id"]),
            partial(bram.join_community, invite_code=community["invite_code"]),
        )
        there = house.owner.read("community_members", community_id=community["id"], left_at=None)
        assert not there or any("moderator" in one["roles"] for one in there)


def wait_for_a_lock(house, call):
    while not house.owner.sql("""
      select pid from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    """):
        assert not call.done(), call.result()
        time.sleep(0.01)


# ------------------------------------------------------------------------------ request_id


def test_a_community_founded_again_with_one_request_id_is_founded_once(stranger):
    found = partial(stranger.create_community, name="Monsoon", request_id=str(uuid.uuid4()))
    answers = together(*[found] * 16)

    assert answers == [answers[0]] * 16
    assert found() == answers[0]
    assert len(stranger.list_my_communities()["communities"]) == 1


def test_a_request_id_used_for_something_else_is_a_conflict(stranger):
    request_id = str(uuid.uuid4())
    stranger.create_community(name="Monsoon", request_id=request_id)

    with refused("CONFLICT"):
        stranger.create_community(name="Drought", request_id=request_id)


def test_joining_again_with_one_request_id_joins_once(rain, code, stranger, books):
    join = partial(stranger.join_community, invite_code=code, request_id=str(uuid.uuid4()))
    assert join() == join()
    assert books(rain)["minted"] == 200


def test_a_repeat_is_answered_as_it_stands_now(rain, code, asha, stranger):
    join = partial(stranger.join_community, invite_code=code, request_id=str(uuid.uuid4()))
    join()
    asha.update_community(community_id=rain, patch={"name": "Drizzle"})
    stranger.declare_joy(community_id=rain, title="Puddles", cc_spent=30)

    again = join()
    assert again["community"]["name"] == "Drizzle"
    assert again["balance"]["remaining"] == 70


def test_who_has_left_is_shown_nothing_by_a_repeat(rain, code, stranger):
    request = str(uuid.uuid4())
    stranger.join_community(invite_code=code, request_id=request)
    stranger.leave_community(community_id=rain)
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=code, request_id=request)

    found = partial(stranger.create_community, name="Monsoon", request_id=str(uuid.uuid4()))
    founded = found()["community"]["id"]
    stranger.leave_community(community_id=founded)
    with refused("NOT_FOUND"):
        found()


def test_a_repeat_keeps_ids_and_no_words(house, code, stranger):
    made = stranger.create_community(name="Monsoon", request_id=str(uuid.uuid4()))
    (kept,) = house.owner.read("repeats", user_id=stranger.id)
    assert kept["made"] == {"community_id": made["community"]["id"]}
    assert "Monsoon" not in str(kept)


# ------------------------------------------------------------------------------ looking


def test_my_communities_are_listed_with_what_waits_for_me(rain, asha, bram):
    asha.create_community(name="Second")
    bram.send_message(community_id=rain, content="Hello")
    listed = {row["id"]: row for row in asha.list_my_communities()["communities"]}

    assert len(listed) == 2
    community = listed[rain]
    assert_shape("community", community)
    assert_shape("balance", community["balance"])
    assert sorted(community["roles"]) == ["member", "moderator"]
    assert community["unread"] >= 1
    assert community["last_activity"] == "2026-03-02T12:00:00+00:00"
    assert community["awaiting_my_vote"] == 0
    assert community["balance"]["day"] == "2026-03-02"


def test_listing_never_settles_a_day(rain, asha, clock):
    clock.at("2026-03-05 12:00+00:00")
    (community,) = asha.list_my_communities()["communities"]
    assert community["balance"]["day"] == "2026-03-02"


def test_members_are_listed_the_longest_standing_first(rain, asha, clock, join_rain):
    clock.forward(minutes=1)
    dora = join_rain("dora@chas.test", "Dora")
    clock.forward(minutes=1)
    eva = join_rain("eva@chas.test", "Eva")

    members = dora.list_members(community_id=rain)["members"]
    assert [member["user"]["id"] for member in members] == [asha.id, dora.id, eva.id]
    for member in members:
        assert_shape("member", member)
        assert member["community_id"] == rain
    assert dora.get_community(community_id=rain)["members"] == members


def test_the_rules_in_force_are_shown_and_nothing_pends(rain, bram):
    assert bram.get_rules(community_id=rain) == {
        "in_force": {
            "name": "Rain",
            "description": "",
            "daily_cc_budget": 100,
            "timezone": "UTC",
            "electorate": "council",
        },
        "pending": {},
        "willed": [],
    }


# ------------------------------------------------------------------------------ strangers


@pytest.mark.parametrize("door", ["get_community", "get_rules", "list_members"])
def test_a_stranger_learns_not_even_whether_a_community_exists(rain, stranger, door):
    with refused("NOT_FOUND") as real:
        getattr(stranger, door)(community_id=rain)
    with refused("NOT_FOUND") as imagined:
        getattr(stranger, door)(community_id=str(uuid.uuid4()))

    assert real == imagined


def test_a_stranger_reads_nothing_of_a_community(rain, stranger):
    assert stranger.list_my_communities() == {"communities": []}
    for table in ("communities", "community_members", "join_codes"):
        assert stranger.read(table) == []


def test_whoever_left_sees_nothing_any_more(rain, banned):
    with refused("NOT_FOUND"):
        banned.get_community(community_id=rain)
    assert banned.read("communities") == []
    assert banned.list_my_communities() == {"communities": []}


@pytest.mark.parametrize(
    "deed",
    [
        "insert into private.community_members (community_id, user_id, roles)"
        " select id, auth.uid(), '{member,moderator}' from private.communities",
        "update private.communities set daily_cc_budget = 1000 where true",
        "update private.community_members set roles = '{member,moderator}' where true",
        "delete from private.community_members where true",
    ],
)
def test_nobody_writes_past_the_doors(rain, bram, deed):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        bram.sql(deed)


def test_the_kernel_itself_tells_a_stranger_nothing(rain, asha, bram, stranger, unadmitted):
    """No request reaches the schema private; should one ever, it learns no more than at a door."""
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    ends_at = "2026-03-03 12:00+00"
    election = asha.create_election(community_id=rain, title="Who?", ends_at=ends_at)["election"]
    ask = "select private.get_community(%(c)s) as answer"
    look = "select private.get_election(%(e)s) as answer"

    for nobody, answer in ((stranger, "NOT_FOUND"), (unadmitted, "INVITE_REQUIRED")):
        with pytest.raises(psycopg.Error, match=answer):
            nobody.sql(ask, c=rain)
        with pytest.raises(psycopg.Error, match=answer):
            nobody.sql(look, e=election["id"])
    (seen,) = asha.sql(ask, c=rain)
    assert seen["answer"]["community"]["name"] == "Rain"
    (seen,) = asha.sql(look, e=election["id"])
    assert seen["answer"]["election"]["electors"] == 2
