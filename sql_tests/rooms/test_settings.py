"""Settings at once and at Dawn, and the join code (RULES 2.2, 2.4)."""

import time
import uuid
from contextlib import ExitStack
from functools import partial

import pytest
from doors import assert_shape
from people import Refusal, lines, meanwhile, refused, together


@pytest.fixture
def change(asha, rain):
    """`change(name="Monsoon")`: Asha patches the settings of rain."""
    return lambda **patch: asha.update_community(community_id=rain, patch=patch)


def rules(person, rain):
    return person.get_rules(community_id=rain)


# ------------------------------------------------------------------------------ at once


def test_name_and_description_change_at_once(rain, asha, bram, change):
    answer = change(name="Monsoon", description="Every drop")

    assert_shape("community", answer["community"])
    assert answer["community"]["name"] == "Monsoon"
    assert answer["community"]["description"] == "Every drop"
    assert answer["pending"] == {}
    assert rules(bram, rain)["in_force"]["name"] == "Monsoon"
    (line,) = lines(bram, rain, "settings_changed")
    assert line["user"] is None
    assert "a new description and name" in line["content"]
    # Which settings, not what they came to be: a name is read where it stands.
    assert line["facts"]["changed"] == ["description", "name"]
    (entry, *_) = asha.list_audit(community_id=rain)["entries"]
    assert entry["action"] == "settings_changed"
    assert entry["actor"]["id"] == asha.id


def test_a_description_may_be_taken_away(rain, bram, change):
    change(description="Every drop")
    change(description="")
    assert rules(bram, rain)["in_force"]["description"] == ""


# ------------------------------------------------------------------------------ at the next Dawn

LATER = {"daily_cc_budget": 250, "timezone": "Asia/Kolkata", "electorate": "members"}


def test_budget_zone_and_electorate_wait_for_dawn_and_are_announced(rain, bram, change, clock):
    before = rules(bram, rain)["in_force"]
    answer = change(**LATER)

    assert answer["pending"] == LATER
    assert answer["community"]["daily_cc_budget"] == 100
    assert rules(bram, rain) == {"in_force": before, "pending": LATER, "willed": []}
    (line,) = lines(bram, rain, "settings_changed")
    assert line["facts"]["pending"] == LATER
    assert line["facts"]["next_dawn_at"] == "2026-03-03T00:00:00+00:00"
    assert "250" in line["content"]
    assert bram.preview_dawn(community_id=rain)["grant"] == 250

    clock.at("2026-03-03 00:00+00:00")
    assert rules(bram, rain) == {"in_force": before | LATER, "pending": {}, "willed": []}
    balance = bram.get_balance(community_id=rain)["balance"]
    assert balance["remaining"] == balance["daily_budget"] == 250
    assert balance["next_dawn_at"] == "2026-03-03T18:30:00+00:00"


def test_what_is_set_back_pends_no_more(rain, bram, change):
    change(**LATER)
    assert change(daily_cc_budget=100)["pending"] == {
        "timezone": "Asia/Kolkata",
        "electorate": "members",
    }
    assert change(timezone="UTC", electorate="council")["pending"] == {}

    assert rules(bram, rain)["pending"] == {}
    assert len(lines(bram, rain, "settings_changed")) == 3


def test_a_patch_that_changes_nothing_is_told_to_nobody(rain, asha, change):
    change(daily_cc_budget=250)
    assert change(daily_cc_budget=250, name="Rain", electorate="council")["pending"] == {
        "daily_cc_budget": 250
    }
    assert change()["pending"] == {"daily_cc_budget": 250}
    assert len(lines(asha, rain, "settings_changed")) == 1


def test_a_change_settles_an_overdue_day_first(rain, bram, change, clock, books):
    change(daily_cc_budget=250)
    clock.at("2026-03-03 09:00+00:00")

    answer = change(daily_cc_budget=300)
    assert answer["community"]["daily_cc_budget"] == 250
    assert answer["pending"] == {"daily_cc_budget": 300}
    assert bram.get_balance(community_id=rain)["balance"]["remaining"] == 250
    books(rain)


def test_a_moderator_removed_while_they_wait_changes_nothing(house, rain, asha, bram):
    house.owner.sql(
        "select private.set_role(%(rain)s, %(id)s, 'moderator', true)", rain=rain, id=bram.id
    )
    with ExitStack() as removing:
        moderator = removing.enter_context(asha.transaction())
        moderator.remove_member(community_id=rain, user_id=bram.id, reason="No")
        late = partial(bram.update_community, community_id=rain, patch={"name": "Mine"})
        with meanwhile(late) as changing:
            while not house.owner.sql("""
              select pid from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock'
            """):
                assert not changing.done()
                time.sleep(0.01)
            removing.close()
    with pytest.raises(Refusal, match="NOT_FOUND"):
        changing.result()
    assert rules(asha, rain)["in_force"]["name"] == "Rain"


def test_two_changes_at_once_are_both_kept(rain, bram, change):
    together(
        partial(change, daily_cc_budget=250), partial(change, electorate="members", name="Monsoon")
    )
    assert rules(bram, rain)["pending"] == {"daily_cc_budget": 250, "electorate": "members"}
    assert rules(bram, rain)["in_force"]["name"] == "Monsoon"


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " \t"},
        {"name": "x" * 51},
        {"name": None},
        {"name": 5},
        {"description": "x" * 201},
        {"description": ["a"]},
        {"daily_cc_budget": 9},
        {"daily_cc_budget": 1001},
        {"daily_cc_budget": 10.5},
        {"daily_cc_budget": 10**40},
        {"daily_cc_budget": "100"},
        {"daily_cc_budget": True},
        {"daily_cc_budget": None},
        {"timezone": "Mars/Olympus"},
        {"timezone": "posix/UTC"},
        {"timezone": {}},
        {"electorate": "everyone"},
        {"electorate": 1},
        {"created_by": "me"},
        {"": 1},
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(rain, bram, change, wrong):
    before = rules(bram, rain)
    with refused("INVALID_INPUT", field=next(iter(wrong))):
        change(**({"description": "Fine"} | wrong))
    assert rules(bram, rain) == before


@pytest.mark.parametrize("patch", ["null", "[]", '"name"', "5"])
def test_a_patch_is_an_object(rain, asha, patch):
    with pytest.raises(Exception, match='"patch') as raised:
        asha.sql(
            "select public.update_community(%(rain)s, %(patch)s::jsonb)", rain=rain, patch=patch
        )
    assert getattr(raised.value, "sqlstate", None) == "PGRST"


def test_a_whole_number_written_with_a_point_is_whole(change):
    assert change(daily_cc_budget=250.0)["pending"] == {"daily_cc_budget": 250}


def test_members_change_no_settings(rain, asha, bram):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    with refused("FORBIDDEN"):
        bram.update_community(community_id=rain, patch={"name": "Mine"})
    with refused("FORBIDDEN"):
        bram.set_join_code(community_id=rain)


@pytest.mark.parametrize(
    ("door", "arguments"),
    [("update_community", {"patch": {"name": "Mine"}}), ("set_join_code", {}), ("get_rules", {})],
)
def test_a_stranger_finds_no_community_to_change(rain, stranger, door, arguments):
    with refused("NOT_FOUND") as real:
        getattr(stranger, door)(community_id=rain, **arguments)
    with refused("NOT_FOUND") as imagined:
        getattr(stranger, door)(community_id=str(uuid.uuid4()), **arguments)
    assert real == imagined


# ------------------------------------------------------------------------------ the join code


def test_a_moderator_sees_the_code(rain, asha):
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    assert asha.set_join_code(community_id=rain) == {
        "invite_code": code,
        "open": True,
        "expires_at": None,
    }
    assert asha.list_audit(community_id=rain)["entries"][0]["action"] == "community_founded"


def test_a_rotated_code_opens_and_the_old_one_opens_nothing(rain, asha, stranger):
    old = asha.set_join_code(community_id=rain)["invite_code"]
    new = asha.set_join_code(community_id=rain, rotate=True)["invite_code"]

    assert new != old
    assert len(new) >= 12
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=old)
    assert stranger.join_community(invite_code=new)["community"]["id"] == rain


def test_a_paused_code_opens_nothing_until_it_is_resumed(rain, asha, stranger):
    paused = asha.set_join_code(community_id=rain, open=False)
    assert paused["open"] is False
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=paused["invite_code"])

    assert asha.set_join_code(community_id=rain, open=True) == paused | {"open": True}
    stranger.join_community(invite_code=paused["invite_code"])


def test_a_code_expires_and_loses_its_expiry_when_it_is_opened_again(rain, asha, stranger, clock):
    code = asha.set_join_code(community_id=rain, expires_at="2026-03-02 13:00+00:00")
    assert code["expires_at"] == "2026-03-02T13:00:00+00:00"
    assert asha.set_join_code(community_id=rain, open=True) == code

    clock.at("2026-03-02 13:00+00:00")
    with refused("NOT_FOUND"):
        stranger.join_community(invite_code=code["invite_code"])
    endless = asha.set_join_code(community_id=rain, open=True)
    assert endless == code | {"expires_at": None}
    stranger.join_community(invite_code=code["invite_code"])


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "4000-01-01 BC", "99999-01-01"])
def test_a_code_expires_at_a_moment_of_our_calendar(rain, asha, moment):
    with refused("INVALID_INPUT", field="expires_at"):
        asha.set_join_code(community_id=rain, expires_at=moment)


def test_a_new_code_starts_open_and_without_expiry_unless_told_otherwise(rain, asha):
    asha.set_join_code(community_id=rain, open=False, expires_at="2026-03-02 13:00+00:00")
    new = asha.set_join_code(community_id=rain, rotate=True)
    assert (new["open"], new["expires_at"]) == (True, None)

    paused = asha.set_join_code(community_id=rain, rotate=True, open=False)
    assert paused["open"] is False


def test_the_audit_log_keeps_what_was_done_to_the_code_but_not_the_code(rain, asha):
    new = asha.set_join_code(community_id=rain, rotate=True, open=False)["invite_code"]
    entry = asha.list_audit(community_id=rain)["entries"][0]

    assert entry["action"] == "join_code_changed"
    assert entry["facts"] == {"rotated": True, "open": False}
    assert new not in str(asha.list_audit(community_id=rain))


def test_two_moderators_rotating_at_once_leave_one_code_that_opens(rain, asha, stranger):
    answers = together(*[partial(asha.set_join_code, community_id=rain, rotate=True)] * 4)
    assert not [answer for answer in answers if isinstance(answer, Refusal)]

    code = asha.set_join_code(community_id=rain)["invite_code"]
    assert code in {answer["invite_code"] for answer in answers}
    assert stranger.join_community(invite_code=code)["community"]["id"] == rain
