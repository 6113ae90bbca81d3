"""The hour before Sunset: what is about to be lost, and joys nobody has witnessed (RULES 17)."""

import json
from functools import partial

import pytest
from people import refused, together

SUNSET = "2026-03-02 23:59+00:00"
LAST_HOUR = "2026-03-02 22:59+00:00"


@pytest.fixture
def job(house):
    """The job at a moment; how many communities it served."""

    def run(moment):
        house.clock.at(moment)
        query = "select private.last_light(%(now)s) as served"
        (row,) = house.owner.sql(query, now=house.clock.now)
        return row["served"]

    return run


def notices(member, kind):
    listed = member.list_notifications()["notifications"]
    return [notice for notice in listed if notice["type"] == kind]


def asked(people, joy):
    """Who of these was asked to witness a joy, by name."""
    return {
        person.get_me()["display_name"]
        for person in people
        for notice in notices(person, "unwitnessed")
        if notice["ref_id"] == joy["id"]
    }


def light(member, rain):
    return member.get_last_light(community_id=rain)["last_light"]


def broadcasts(house, event):
    return [row for row in house.owner.read("realtime.messages") if row["event"] == event]


# ------------------------------------------------------------------------------ asking for it


def test_in_the_last_hour_it_tells_what_is_about_to_be_lost(rain, asha, bram, clock):
    joy = bram.declare_joy(community_id=rain, title="A joy", cc_spent=60)["declaration"]
    for moment, left in (
        ("2026-03-02 22:58:59+00:00", None),
        (LAST_HOUR, 3600),
        ("2026-03-02 23:58:59+00:00", 1),
        (SUNSET, None),
        ("2026-03-03 00:00+00:00", None),
    ):
        clock.at(moment)
        shown = light(asha, rain)
        assert (shown and shown["seconds_left"]) == left
        if shown:
            assert shown["total"] == 140
            assert [one["id"] for one in shown["unwitnessed"]] == [joy["id"]]
            assert "bram" not in json.dumps({**shown, "unwitnessed": []}).lower()


def test_a_witnessed_a_struck_and_an_erased_joy_are_not_among_them(
    house, service, rain, asha, bram, chloe, clock
):
    here = {"community_id": rain, "cc_spent": 5}
    witnessed = bram.declare_joy(title="Seen", **here)["declaration"]
    chloe.witness_declaration(declaration_id=witnessed["id"])
    struck = bram.declare_joy(title="Struck", **here)["message"]
    asha.strike_message(message_id=struck["id"], reason="No")
    chloe.declare_joy(title="Erased", **here)
    left = bram.declare_joy(title="Left", **here)["declaration"]
    service.erase_user(user_id=chloe.id)
    clock.at(LAST_HOUR)
    assert [joy["id"] for joy in light(asha, rain)["unwitnessed"]] == [left["id"]]


def test_a_stranger_learns_of_no_last_light(rain, stranger, unadmitted, clock):
    clock.at(LAST_HOUR)
    with refused("NOT_FOUND"):
        light(stranger, rain)
    with refused("INVITE_REQUIRED"):
        light(unadmitted, rain)


# ------------------------------------------------------------------------------ being told


def test_the_hour_is_told_once(house, rain, asha, bram, job):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=80)
    assert job("2026-03-02 22:58+00:00") == 0
    assert job(LAST_HOUR) == 1
    assert job(LAST_HOUR) == 0
    assert job("2026-03-02 23:30+00:00") == 0

    # A fifth of the budget is not more than a fifth of it.
    (notice,) = notices(asha, "last_light")
    assert notice["title"] == "120 CC are about to be lost"
    assert (notice["ref_kind"], notice["ref_id"]) == ("last_light", rain)
    assert not notices(bram, "last_light")
    (told,) = broadcasts(house, "last_light")
    assert told["topic"] == f"community:{rain}"


def test_every_day_has_its_own(rain, asha, bram, job, clock):
    assert job(LAST_HOUR) == 1
    clock.at("2026-03-03 08:00+00:00")
    asha.get_balance(community_id=rain)
    assert job("2026-03-03 22:58+00:00") == 0
    assert job("2026-03-03 22:59+00:00") == 1
    (notice,) = notices(asha, "last_light")
    assert (notice["count"], notice["facts"]["day"]) == (2, "2026-03-03")


def test_a_late_job_sends_nothing_after_sunset(house, rain, asha, bram, job):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    assert job(SUNSET) == 1
    assert job(SUNSET) == 0
    assert not notices(asha, "last_light")
    assert not notices(asha, "unwitnessed")
    assert not broadcasts(house, "last_light")
    # Nor when the Sunset came first, as it does from a member's call.
    asha.get_balance(community_id=rain)
    assert job("2026-03-03 00:00+00:00") == 0


def test_nothing_is_told_where_nothing_is_unspent_and_nothing_unwitnessed(
    house, rain, asha, bram, job
):
    for person, other in ((asha, bram), (bram, asha)):
        joy = person.declare_joy(community_id=rain, title="All of it", cc_spent=100)
        other.witness_declaration(declaration_id=joy["declaration"]["id"])
    assert job(LAST_HOUR) == 1
    assert not broadcasts(house, "last_light")
    assert not notices(asha, "last_light")


def test_who_founds_in_the_last_hour_is_told_nothing(asha, job, clock):
    clock.at("2026-03-02 23:10+00:00")
    asha.create_community(name="Late")
    assert job("2026-03-02 23:20+00:00") == 0


def test_two_jobs_at_once_tell_it_once(house, rain, asha, clock):
    clock.at(LAST_HOUR)
    job = partial(house.owner.sql, "select private.last_light(%(now)s)", now=clock.now)
    together(job, job, job)
    assert len(broadcasts(house, "last_light")) == 1
    (notice,) = notices(asha, "last_light")
    assert notice["count"] == 1


def test_both_can_be_muted(rain, asha, bram, job):
    bram.declare_joy(community_id=rain, title="A joy", cc_spent=5)
    for kind in ("last_light", "unwitnessed"):
        asha.mute_notifications(community_id=rain, type=kind, muted=True)
    job(LAST_HOUR)
    assert not notices(asha, "last_light")
    assert not notices(asha, "unwitnessed")
    assert notices(bram, "last_light")


# ------------------------------------------------------------------------------ no joy unwitnessed


def test_an_unwitnessed_joy_is_put_before_who_witnessed_least(
    rain, asha, bram, chloe, join_rain, job
):
    dora, emil = join_rain("dora@chas.test", "Dora"), join_rain("emil@chas.test", "Emil")
    people = (asha, bram, chloe, dora, emil)
    seen = bram.declare_joy(community_id=rain, title="Seen", cc_spent=5)["declaration"]
    asha.witness_declaration(declaration_id=seen["id"])
    joy = chloe.declare_joy(community_id=rain, title="Unseen", cc_spent=5)["declaration"]
    job(LAST_HOUR)
    # Neither its author nor Asha, who witnessed once.
    assert asked(people, joy) == {"Bram", "Dora", "Emil"}
    assert not asked(people, seen)
    (notice,) = notices(dora, "unwitnessed")
    assert notice["title"] == "Nobody has witnessed this joy of “Chloe” yet"
    assert notice["body"] == "Unseen"
    # Nothing is ever witnessed automatically.
    assert dora.get_declaration(declaration_id=joy["id"])["witnesses"] == []


def test_of_many_who_witnessed_alike_nobody_is_asked_for_all(rain, asha, bram, join_rain, job):
    people = [join_rain(f"p{n}@chas.test", f"P{n}") for n in range(7)]
    joys = [
        bram.declare_joy(community_id=rain, title="Unseen", cc_spent=5)["declaration"]
        for _ in range(3)
    ]
    job(LAST_HOUR)
    everybody = [asha, bram, *people]
    for joy in joys:
        who = asked(everybody, joy)
        assert len(who) == 3
        assert "Bram" not in who
    assert max(len(notices(person, "unwitnessed")) for person in everybody) <= 2


def test_who_cannot_act_is_not_asked(service, rain, asha, bram, chloe, job):
    joy = bram.declare_joy(community_id=rain, title="Unseen", cc_spent=5)["declaration"]
    service.suspend_person(user_id=chloe.id, reason="Because")
    job(LAST_HOUR)
    service.restore_person(user_id=chloe.id)
    assert asked((asha, bram, chloe), joy) == {"Asha"}


def test_an_erased_author_is_named_in_no_notice(service, rain, asha, bram, chloe, job):
    bram.declare_joy(community_id=rain, title="Secret", cc_spent=5)
    job(LAST_HOUR)
    assert notices(asha, "unwitnessed")
    service.erase_user(user_id=bram.id)
    shown = json.dumps(notices(asha, "unwitnessed"))
    assert "Bram" not in shown
    assert "Secret" not in shown
