"""Keeping out who has gone, and letting them come back (RULES 2.6)."""

import time
import uuid
from contextlib import ExitStack
from functools import partial

import pytest
from people import Refusal, lines, meanwhile, paged, refused, together


@pytest.fixture
def code(asha, rain):
    return asha.set_join_code(community_id=rain)["invite_code"]


@pytest.fixture
def gone(rain, bram):
    """Bram, who has left."""
    bram.leave_community(community_id=rain)
    return bram


@pytest.fixture
def ban(rain, asha):
    def do(person, reason="Abuse, then gone"):
        return asha.ban_member(community_id=rain, user_id=person.id, reason=reason)

    return do


def bans(moderator, rain, **page):
    return moderator.list_bans(community_id=rain, **page)["bans"]


def audited(moderator, rain):
    entry = moderator.list_audit(community_id=rain)["entries"][0]
    return entry["action"], entry["sentence"]


def test_who_has_left_is_kept_from_coming_back(rain, code, asha, gone, chloe, ban):
    told = len(chloe.list_messages(community_id=rain)["messages"])
    assert ban(gone) == {"banned": True}

    with refused("FORBIDDEN"):
        gone.join_community(invite_code=code)
    (one,) = bans(asha, rain)
    assert one.keys() == {"id", "user", "reason", "banned_by", "created_at"}
    assert (one["user"]["id"], one["banned_by"]["id"]) == (gone.id, asha.id)
    assert (one["reason"], one["created_at"]) == ("Abuse, then gone", "2026-03-02T12:00:00+00:00")
    assert audited(asha, rain) == (
        "member_banned",
        "“Asha” banned “Bram”: “Abuse, then gone”.",
    )
    assert len(chloe.list_messages(community_id=rain)["messages"]) == told


def test_a_ban_is_lifted_and_who_was_banned_may_come_back(rain, code, asha, gone, ban):
    ban(gone)
    assert asha.lift_ban(community_id=rain, user_id=gone.id) == {"banned": False}
    assert bans(asha, rain) == []
    assert audited(asha, rain) == ("ban_lifted", "“Asha” lifted the ban of “Bram”.")
    assert gone.join_community(invite_code=code)["member"]["roles"] == ["member"]
    assert lines(asha, rain, "member_returned") != []


def test_a_ban_that_came_with_a_removal_is_listed_and_lifted_too(rain, code, asha, bram):
    asha.remove_member(community_id=rain, user_id=bram.id, reason="Rude", ban=True)
    assert [one["reason"] for one in bans(asha, rain)] == ["Rude"]
    asha.lift_ban(community_id=rain, user_id=bram.id)
    bram.join_community(invite_code=code)


def test_a_present_member_is_removed_not_banned(rain, asha, bram, ban):
    with refused("CONFLICT", present=True):
        ban(bram)
    with refused("CONFLICT", present=True):
        ban(asha)


def test_nobody_is_banned_twice_or_let_in_twice(rain, asha, gone, ban):
    ban(gone)
    with refused("CONFLICT", banned=True):
        ban(gone, "Another reason")
    assert [one["reason"] for one in bans(asha, rain)] == ["Abuse, then gone"]
    asha.lift_ban(community_id=rain, user_id=gone.id)
    with refused("NOT_FOUND"):
        asha.lift_ban(community_id=rain, user_id=gone.id)


def test_only_who_was_a_member_is_banned(service, rain, asha, gone, stranger, ban):
    for nobody in (stranger.id, str(uuid.uuid4()), None):
        with refused("NOT_FOUND"):
            asha.ban_member(community_id=rain, user_id=nobody, reason="Because")
        with refused("NOT_FOUND"):
            asha.lift_ban(community_id=rain, user_id=nobody)
    service.erase_user(user_id=gone.id)
    with refused("NOT_FOUND"):
        ban(gone)


@pytest.mark.parametrize("reason", ["", " ", "\u200b", "x" * 281, None])
def test_a_ban_has_a_reason(rain, gone, ban, reason):
    with refused("INVALID_INPUT", field="reason"):
        ban(gone, reason)


def test_only_moderators_ban_lift_and_list(rain, gone, chloe):
    for door, more in (
        ("ban_member", {"user_id": gone.id, "reason": "Because"}),
        ("lift_ban", {"user_id": gone.id}),
        ("list_bans", {}),
    ):
        with refused("FORBIDDEN"):
            getattr(chloe, door)(community_id=rain, **more)


def test_a_stranger_learns_nothing_of_bans(rain, gone, ban, stranger):
    ban(gone)
    for person in (stranger, gone):
        for place in (rain, str(uuid.uuid4())):
            for door, more in (
                ("ban_member", {"user_id": gone.id, "reason": "Because"}),
                ("lift_ban", {"user_id": gone.id}),
                ("list_bans", {}),
            ):
                with refused("NOT_FOUND"):
                    getattr(person, door)(community_id=place, **more)
        with pytest.raises(Exception, match="permission denied"):
            person.read("bans")


def test_bans_come_page_by_page_the_latest_first(rain, asha, bram, chloe, join_rain, ban):
    people = [bram, chloe, join_rain("dora@chas.test", "Dora")]
    for person in people:
        person.leave_community(community_id=rain)
        ban(person)
    listed = paged(asha.list_bans, "bans", community_id=rain, page_size=2)
    assert [one["user"]["id"] for one in listed] == [one.id for one in reversed(people)]
    for size in (0, 201):
        with refused("INVALID_INPUT", field="page_size"):
            asha.list_bans(community_id=rain, page_size=size)


def test_words_and_names_of_the_erased_are_in_no_list_of_bans(
    house, service, rain, asha, bram, chloe
):
    house.owner.sql(
        "select private.set_role(%(rain)s, %(bram)s, 'moderator', true)", rain=rain, bram=bram.id
    )
    bram.remove_member(community_id=rain, user_id=chloe.id, reason="Secret", ban=True)
    service.erase_user(user_id=bram.id)
    service.erase_user(user_id=chloe.id)
    (one,) = bans(asha, rain)
    assert one["reason"] is None
    assert one["user"]["display_name"] == one["banned_by"]["display_name"] == "a former member"


def test_of_two_bans_at_once_one_is_too_late(rain, asha, gone, ban):
    answers = together(partial(ban, gone), partial(ban, gone))
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "CONFLICT"
    assert len(bans(asha, rain)) == 1


def test_who_is_just_coming_back_is_in_or_finds_the_ban(house, rain, code, asha, gone):
    with ExitStack() as banning:
        moderator = banning.enter_context(asha.transaction())
        moderator.ban_member(community_id=rain, user_id=gone.id, reason="Because")
        with meanwhile(partial(gone.join_community, invite_code=code)) as coming:
            while not house.owner.sql("""
              select pid from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock'
            """):
                assert not coming.done(), coming.result()
                time.sleep(0.01)
            banning.close()
    with pytest.raises(Refusal, match="FORBIDDEN"):
        coming.result()


def test_a_ban_is_in_the_banned_persons_export_and_in_nobody_elses(rain, asha, gone, ban):
    ban(gone)
    (mine,) = gone.export_my_data()["communities"]
    assert mine["ban"]["banned_by"] == asha.id
    assert [one["ban"] for one in asha.export_my_data()["communities"]] == [None]
