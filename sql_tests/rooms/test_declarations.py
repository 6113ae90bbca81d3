"""Joys: declaring, witnessing, the Gazette (RULES 4)."""

import uuid
from functools import partial

import pytest
from doors import assert_shape
from people import Refusal, paged, refused, together


@pytest.fixture
def joy(asha, rain):
    """Asha's first rain, 5 CC."""
    return asha.declare_joy(community_id=rain, title="First rain", cc_spent=5)["declaration"]


# ------------------------------------------------------------------------------ declaring


def test_what_declaring_answers_is_what_reading_shows(rain, asha):
    told = asha.declare_joy(community_id=rain, title="First rain", cc_spent=3, description="Wet")

    read = asha.get_declaration(declaration_id=told["declaration"]["id"])
    assert told["declaration"] == read["declaration"]
    assert told["message"] == asha.list_messages(community_id=rain)["messages"][-1]
    assert told["balance"] == asha.get_balance(community_id=rain)["balance"]


def test_a_joy_costs_its_price_and_is_told_in_the_chamber(rain, asha, books):
    answer = asha.declare_joy(
        community_id=rain,
        title="First rain",
        cc_spent=30,
        description="On a tin roof",
        image_url="https://chas.test/rain.jpg",
    )
    declaration, message, balance = answer["declaration"], answer["message"], answer["balance"]

    assert_shape("declaration", declaration)
    assert_shape("person", declaration["user"])
    assert_shape("message", message)
    assert_shape("balance", balance)
    assert declaration["community_id"] == rain
    assert declaration["user"]["id"] == asha.id
    assert declaration["title"] == "First rain"
    assert declaration["description"] == "On a tin roof"
    assert declaration["cc_spent"] == 30
    assert declaration["image_url"] == "https://chas.test/rain.jpg"
    assert declaration["witnessed_count"] == 0
    assert declaration["has_witnessed"] is False
    assert message["type"] == "declaration"
    assert message["declaration"] == declaration
    assert balance["remaining"] == 70
    assert balance["spent_today"] == 30
    assert books(rain)["spent"] == 30


def test_the_whole_purse_may_go_on_one_joy(rain, asha, books):
    answer = asha.declare_joy(community_id=rain, title="Everything", cc_spent=100)
    assert answer["balance"]["remaining"] == 0
    books(rain)


def test_a_joy_beyond_the_purse_is_refused_with_what_would_be_possible(rain, asha, books):
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=97)

    with refused("INSUFFICIENT_CC", short_by=2, largest_possible=3) as refusal:
        asha.declare_joy(community_id=rain, title="Second rain", cc_spent=5)
    assert refusal.facts["possible_at"] == "2026-03-03T00:00:00+00:00"
    assert len(asha.list_gazette(community_id=rain)["declarations"]) == 1
    assert books(rain)["spent"] == 97


@pytest.mark.parametrize(
    "wrong",
    [
        {"cc_spent": 0},
        {"cc_spent": -5},
        {"cc_spent": None},
        {"title": ""},
        {"title": " \n "},
        {"title": None},
        {"title": "x" * 121},
        {"description": "x" * 1001},
        {"image_url": "javascript:alert(1)"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_joy_that_makes_no_sense_is_not_declared(rain, asha, wrong):
    joy = {"community_id": rain, "title": "First rain", "cc_spent": 5}
    with refused("INVALID_INPUT", field=next(iter(wrong))):
        asha.declare_joy(**(joy | wrong))
    assert asha.get_balance(community_id=rain)["balance"]["remaining"] == 100


def test_what_no_dawn_will_grant_is_promised_for_no_dawn(rain, asha):
    with refused("INSUFFICIENT_CC", short_by=1, largest_possible=100) as refusal:
        asha.declare_joy(community_id=rain, title="A palace", cc_spent=101)
    assert refusal.facts["possible_at"] is None


@pytest.mark.parametrize("nothing", ["\u200e", "\u00ad\u2800", "\u3164 \u061c", "\ufe0f"])
def test_a_title_that_shows_nothing_is_no_title(rain, asha, nothing):
    with refused("INVALID_INPUT", field="title"):
        asha.declare_joy(community_id=rain, title=nothing, cc_spent=1)


def test_from_sunset_to_dawn_nothing_is_declared(rain, asha, clock):
    clock.at("2026-03-02 23:58:59+00:00")
    asha.declare_joy(community_id=rain, title="Just in time", cc_spent=1)

    clock.at("2026-03-02 23:59+00:00")
    with refused("DAY_CLOSED") as refusal:
        asha.declare_joy(community_id=rain, title="Too late", cc_spent=1)
    assert refusal.facts["possible_at"] == "2026-03-03T00:00:00+00:00"


def test_forty_declarations_at_once_spend_a_purse_exactly(rain, asha, books):
    declare = partial(asha.declare_joy, community_id=rain, title="A tenth", cc_spent=10)
    answers = together(*[declare] * 40)

    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(refusals) == 30
    assert {refusal.code for refusal in refusals} == {"INSUFFICIENT_CC"}
    assert len(asha.list_gazette(community_id=rain)["declarations"]) == 10
    assert asha.get_balance(community_id=rain)["balance"]["remaining"] == 0
    assert books(rain)["spent"] == 100


def test_of_two_joys_too_dear_together_one_is_declared(rain, asha, books):
    declare = partial(asha.declare_joy, community_id=rain, title="Sixty", cc_spent=60)
    answers = together(declare, declare)

    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "INSUFFICIENT_CC"
    assert refusal.facts["short_by"] == 20
    assert books(rain)["spent"] == 60


def test_one_joy_sent_sixteen_times_with_one_request_id_is_declared_once(rain, asha, books):
    declare = partial(
        asha.declare_joy,
        community_id=rain,
        title="First rain",
        cc_spent=10,
        request_id=str(uuid.uuid4()),
    )
    answers = together(*[declare] * 16)

    assert answers == [answers[0]] * 16
    assert len(asha.list_gazette(community_id=rain)["declarations"]) == 1
    assert books(rain)["spent"] == 10


def test_a_request_id_belongs_to_one_member_one_call_and_its_arguments(rain, asha, bram, books):
    mine = {"community_id": rain, "cc_spent": 10, "request_id": str(uuid.uuid4())}
    asha.declare_joy(title="First rain", **mine)

    with refused("CONFLICT"):
        asha.declare_joy(title="Second rain", **mine)
    bram.declare_joy(title="First rain", **mine)
    asha.send_message(community_id=rain, content="Look up", request_id=mine["request_id"])
    assert books(rain)["spent"] == 20


def test_a_refusal_is_not_remembered(rain, asha, clock):
    joy = {"community_id": rain, "title": "Dear", "cc_spent": 60, "request_id": str(uuid.uuid4())}
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=50)
    with refused("INSUFFICIENT_CC"):
        asha.declare_joy(**joy)

    clock.at("2026-03-03 12:00+00:00")
    assert asha.declare_joy(**joy)["balance"]["remaining"] == 40


def test_a_repeat_is_answered_as_things_stand_now(house, rain, asha, bram, clock, books):
    said = {"community_id": rain, "title": "Oops", "cc_spent": 10, "request_id": str(uuid.uuid4())}
    first = bram.declare_joy(**said)
    asha.witness_declaration(declaration_id=first["declaration"]["id"])
    asha.strike_message(message_id=first["message"]["id"], reason="Not here")
    clock.forward(days=1)

    again = bram.declare_joy(**said)
    assert again["declaration"]["id"] == first["declaration"]["id"]
    assert (again["declaration"]["title"], again["declaration"]["witnessed_count"]) == ("", 1)
    assert again["message"]["deleted"] is True
    # The day is settled first: what the balance shows is true now.
    assert again["balance"] == bram.get_balance(community_id=rain)["balance"]
    assert (again["balance"]["day"], again["balance"]["remaining"]) == ("2026-03-03", 100)
    assert books(rain)["spent"] == 10
    (kept,) = house.owner.read("repeats", rpc="declare_joy")
    assert kept["made"] == {
        "declaration_id": first["declaration"]["id"],
        "message_id": first["message"]["id"],
    }


def test_who_has_left_is_not_answered_again(rain, asha, bram):
    said = {"community_id": rain, "title": "Bye", "cc_spent": 10, "request_id": str(uuid.uuid4())}
    bram.declare_joy(**said)
    bram.leave_community(community_id=rain)
    with refused("NOT_FOUND"):
        bram.declare_joy(**said)


def test_a_request_id_is_kept_seven_days(rain, asha, clock):
    joy = {"community_id": rain, "title": "Again", "cc_spent": 1, "request_id": str(uuid.uuid4())}
    first = asha.declare_joy(**joy)

    clock.forward(days=7, seconds=-1)
    assert asha.declare_joy(**joy)["declaration"] == first["declaration"]
    clock.forward(seconds=1)
    other = asha.declare_joy(**joy | {"title": "Another"})
    assert other["declaration"]["title"] == "Another"
    assert asha.declare_joy(**joy | {"title": "Another"}) == other


# ------------------------------------------------------------------------------ witnessing


def test_others_bear_witness_and_the_author_is_told(rain, asha, bram, chloe, joy):
    assert bram.witness_declaration(declaration_id=joy["id"]) == {
        "witnessed": True,
        "witnessed_count": 1,
    }
    assert chloe.witness_declaration(declaration_id=joy["id"])["witnessed_count"] == 2

    seen = bram.get_declaration(declaration_id=joy["id"])
    assert seen["declaration"]["witnessed_count"] == 2
    assert seen["declaration"]["has_witnessed"] is True
    assert {person["id"] for person in seen["witnesses"]} == {bram.id, chloe.id}
    assert asha.get_declaration(declaration_id=joy["id"])["declaration"]["has_witnessed"] is False
    (told,) = asha.list_notifications()["notifications"]
    assert told["type"] == "witnessed"
    assert told["ref_id"] == joy["id"]


def test_nobody_witnesses_the_same_joy_twice(rain, bram, joy):
    bram.witness_declaration(declaration_id=joy["id"])

    with refused("CONFLICT"):
        bram.witness_declaration(declaration_id=joy["id"])
    assert bram.get_declaration(declaration_id=joy["id"])["declaration"]["witnessed_count"] == 1


def test_nobody_witnesses_their_own_joy(asha, joy):
    with refused("CANNOT_WITNESS_OWN"):
        asha.witness_declaration(declaration_id=joy["id"])


def test_two_witnesses_at_once_by_one_person_are_one(bram, joy):
    answers = together(*[partial(bram.witness_declaration, declaration_id=joy["id"])] * 4)
    codes = [answer.code for answer in answers if isinstance(answer, Refusal)]
    assert codes == ["CONFLICT"] * 3


def test_witnesses_go_on_while_the_day_is_closed(clock, bram, joy):
    clock.at("2026-03-02 23:59:30+00:00")
    assert bram.witness_declaration(declaration_id=joy["id"])["witnessed"] is True


# ------------------------------------------------------------------------------ the Gazette


def test_the_gazette_lists_joys_newest_first_page_by_page(rain, asha, bram):
    titles = [f"Joy {n}" for n in range(7)]
    for n, title in enumerate(titles):
        (asha, bram)[n % 2].declare_joy(community_id=rain, title=title, cc_spent=1)

    listed = paged(bram.list_gazette, "declarations", community_id=rain, page_size=3)
    assert [joy["title"] for joy in listed] == titles[::-1]
    for joy in listed:
        assert_shape("declaration", joy)


def test_the_gazette_of_one_author(rain, asha, bram):
    asha.declare_joy(community_id=rain, title="Hers", cc_spent=1)
    bram.declare_joy(community_id=rain, title="His", cc_spent=1)

    (joy,) = asha.list_gazette(community_id=rain, author_id=bram.id)["declarations"]
    assert joy["title"] == "His"


def test_an_empty_gazette_is_an_empty_list(rain, asha):
    assert asha.list_gazette(community_id=rain) == {"declarations": [], "has_more": False}


@pytest.mark.parametrize("page_size", [0, 201, None])
def test_a_gazette_page_has_1_to_200_joys(rain, asha, page_size):
    with refused("INVALID_INPUT", field="page_size"):
        asha.list_gazette(community_id=rain, page_size=page_size)


# ------------------------------------------------------------------------------ strangers


def test_a_stranger_declares_and_witnesses_nothing(rain, stranger, joy):
    with refused("NOT_FOUND"):
        stranger.declare_joy(community_id=rain, title="Mine too", cc_spent=1)
    with refused("NOT_FOUND"):
        stranger.list_gazette(community_id=rain)
    for door in (stranger.get_declaration, stranger.witness_declaration):
        with refused("NOT_FOUND") as real:
            door(declaration_id=joy["id"])
        with refused("NOT_FOUND") as imagined:
            door(declaration_id=str(uuid.uuid4()))
        assert real == imagined


def test_a_stranger_reads_no_joy_and_no_witness(bram, stranger, joy):
    bram.witness_declaration(declaration_id=joy["id"])
    for table in ("declarations", "witnesses", "chat_messages"):
        assert bram.read(table) != []
        assert stranger.read(table) == []


def test_a_member_of_another_community_is_a_stranger_here(stranger, joy):
    stranger.create_community(name="Elsewhere")
    with refused("NOT_FOUND"):
        stranger.witness_declaration(declaration_id=joy["id"])
