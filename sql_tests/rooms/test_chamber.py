"""The Chamber: talk, paging, the last-read mark (RULES 3)."""

import uuid
from functools import partial

import psycopg
import pytest
from doors import assert_shape
from people import Refusal, Row, refused, together


def say(member, rain, *words):
    return [member.send_message(community_id=rain, content=word)["message"] for word in words]


def pages_forward(reader, rain, after):
    """Everything after a message, three at a time, as a reader who keeps up."""
    read: list[Row] = []
    more = True
    while more:
        page = reader.list_messages(community_id=rain, after_id=after, page_size=3)
        read += page["messages"]
        more = page["has_more"]
        after = read[-1]["id"] if read else after
    return read


def pages_back(reader, rain):
    """Everything, from the newest page back to the first message."""
    page = reader.list_messages(community_id=rain, page_size=3)
    read: list[Row] = page["messages"]
    while page["has_more"]:
        page = reader.list_messages(community_id=rain, page_size=3, before_id=read[0]["id"])
        read = page["messages"] + read
    return read


# ------------------------------------------------------------------------------ talk


def test_a_message_is_heard_by_every_member(rain, asha, bram):
    message = bram.send_message(community_id=rain, content="Is it raining?")["message"]

    assert_shape("message", message)
    assert message["type"] == "message"
    assert message["user"]["id"] == bram.id
    assert message["content"] == "Is it raining?"
    assert message["deleted"] is False
    for nothing in ("event", "declaration", "borrow_request", "tip_to_tip", "election"):
        assert message[nothing] is None
    assert asha.list_messages(community_id=rain)["messages"][-1] == message
    assert asha.get_message(message_id=message["id"]) == {"message": message}


@pytest.mark.parametrize("content", ["", "   ", "\n\t\u200b", "x" * 2001, None])
def test_a_message_is_neither_blank_nor_endless(rain, asha, content):
    with refused("INVALID_INPUT", field="content"):
        asha.send_message(community_id=rain, content=content)


def test_a_message_may_have_two_thousand_characters(rain, asha):
    assert asha.send_message(community_id=rain, content="☔" * 2000)["message"]


def test_a_member_sends_twenty_messages_a_minute(rain, asha, bram, clock):
    say(asha, rain, *map(str, range(20)))

    with refused("RATE_LIMITED") as refusal:
        say(asha, rain, "One more")
    assert refusal.facts["possible_at"] == "2026-03-02T12:01:00+00:00"
    say(bram, rain, "I have said nothing yet")
    clock.forward(minutes=1)
    say(asha, rain, "Now")


def test_twenty_messages_a_minute_holds_when_all_are_sent_at_once(rain, asha):
    answers = together(*[partial(asha.send_message, community_id=rain, content="!")] * 30)
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]

    assert [refusal.code for refusal in refusals] == ["RATE_LIMITED"] * 10


def test_cards_do_not_count_as_messages(rain, asha):
    for _ in range(21):
        asha.declare_joy(community_id=rain, title="Small joy", cc_spent=1)
    say(asha, rain, "Still talking")


def test_a_message_sent_sixteen_times_with_one_request_id_is_sent_once(rain, asha, bram):
    send = partial(
        asha.send_message, community_id=rain, content="Once", request_id=str(uuid.uuid4())
    )
    answers = together(*[send] * 16)

    assert answers == [answers[0]] * 16
    heard = bram.list_messages(community_id=rain)["messages"]
    assert [message["content"] for message in heard].count("Once") == 1


def test_talk_goes_on_while_the_day_is_closed(rain, asha, clock):
    clock.at("2026-03-02 23:59:30+00:00")
    assert say(asha, rain, "Good night")


def test_a_system_line_has_no_author_and_an_event(rain, bram):
    lines = [
        message
        for message in bram.list_messages(community_id=rain)["messages"]
        if message["type"] == "system"
    ]
    assert lines, "joining is told in the Chamber"
    for line in lines:
        assert_shape("message", line)
        assert line["user"] is None
        assert line["event"]


@pytest.mark.parametrize(
    "deed",
    [
        "insert into private.chat_messages (community_id, type, content)"
        " select id, 'system', 'You have all won' from private.communities",
        "update private.chat_messages set content = 'forged' where true",
        "delete from private.chat_messages where true",
        "select private.announce(id, 'member_left') from private.communities",
    ],
)
def test_nothing_in_the_chamber_can_be_forged(rain, bram, deed):
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction)):
        bram.sql(deed)


# ------------------------------------------------------------------------------ paging


def test_the_newest_page_comes_first_its_oldest_message_on_top(rain, asha):
    sent = say(asha, rain, *map(str, range(10)))
    page = asha.list_messages(community_id=rain, page_size=4)

    assert page["messages"] == sent[-4:]
    assert page["has_more"] is True


def test_paging_back_shows_every_message_once_though_all_have_one_time(rain, asha, bram):
    before = asha.list_messages(community_id=rain)["messages"]
    sent = [*say(asha, rain, *"abcdefg"), *say(bram, rain, *"hijklmn")]

    assert len({message["created_at"] for message in sent}) == 1
    assert pages_back(asha, rain) == before + sent


def test_paging_forward_shows_every_message_once(rain, asha):
    first, *others = say(asha, rain, *"abcdefgh")
    assert pages_forward(asha, rain, first["id"]) == others


def test_after_the_newest_comes_an_empty_page(rain, asha):
    (message,) = say(asha, rain, "Last")
    assert asha.list_messages(community_id=rain, after_id=message["id"]) == {
        "messages": [],
        "has_more": False,
    }


def test_one_page_has_one_anchor(rain, asha):
    with refused("INVALID_INPUT"):
        asha.list_messages(community_id=rain, before_id=1, after_id=1)


@pytest.mark.parametrize("page_size", [0, 201, None])
def test_a_page_has_1_to_200_messages(rain, asha, page_size):
    with refused("INVALID_INPUT", field="page_size"):
        asha.list_messages(community_id=rain, page_size=page_size)


def test_a_reader_paging_forward_misses_no_message_committed_out_of_order(rain, asha, bram, chloe):
    (last,) = say(asha, rain, "Before")
    with bram.transaction() as slow:
        say(slow, rain, "Begun first")
        say(chloe, rain, "Begun second")
        newest = asha.list_messages(community_id=rain)["messages"]
        early = pages_forward(asha, rain, last["id"])

    assert newest[-1]["content"] == "Begun second"
    late = pages_forward(asha, rain, early[-1]["id"] if early else last["id"])
    assert [message["content"] for message in early + late] == ["Begun first", "Begun second"]


def test_a_writer_who_gives_up_holds_no_reader_back(rain, asha, bram, chloe):
    (last,) = say(asha, rain, "Before")
    with bram.transaction() as slow:
        say(slow, rain, "Never sent")
        say(chloe, rain, "Sent")
        raise psycopg.Rollback

    read = pages_forward(asha, rain, last["id"])
    assert [message["content"] for message in read] == ["Sent"]


def test_readers_paging_forward_while_many_write_miss_nothing_and_see_nothing_twice(
    rain, asha, bram, chloe, join_rain
):
    (last,) = say(asha, rain, "Before")
    writers = [asha, bram, chloe, *(join_rain(f"w{n}@chas.test", f"W{n}") for n in range(3))]
    (last,) = say(asha, rain, "Now")

    def write(writer):
        return [message["id"] for n in range(15) for message in say(writer, rain, str(n))]

    def read(reader):
        read: list[int] = []
        after = last["id"]
        while len(read) < 15 * len(writers):
            fresh = pages_forward(reader, rain, after)
            read += [message["id"] for message in fresh]
            after = read[-1] if read else after
        return read

    *written, first_reading, second_reading = together(
        *[partial(write, writer) for writer in writers], partial(read, bram), partial(read, chloe)
    )
    everything = sorted(message_id for one in written for message_id in one)
    assert first_reading == everything
    assert second_reading == everything


# ------------------------------------------------------------------------------ the last-read mark


def test_unread_counts_what_others_wrote_since_the_mark(rain, asha, bram):
    say(asha, rain, "One")
    one, two, *_ = say(bram, rain, "Two", "Three")
    asha.declare_joy(community_id=rain, title="Four", cc_spent=1)
    bram.declare_joy(community_id=rain, title="Five", cc_spent=1)

    assert unread(asha, rain) == 3
    assert asha.mark_chamber_read(community_id=rain, message_id=one["id"]) == {"unread": 2}
    assert asha.mark_chamber_read(community_id=rain, message_id=two["id"]) == {"unread": 1}
    assert unread(asha, rain) == 1
    assert unread(bram, rain) == 2


def test_the_mark_never_moves_back(rain, asha, bram):
    one, two = say(bram, rain, "One", "Two")
    asha.mark_chamber_read(community_id=rain, message_id=two["id"])
    assert asha.mark_chamber_read(community_id=rain, message_id=one["id"]) == {"unread": 0}


def test_what_was_said_before_one_came_is_not_unread(rain, asha, join_rain):
    say(asha, rain, "Long ago")
    assert unread(join_rain("dora@chas.test", "Dora"), rain) == 0


def test_a_mark_is_set_on_a_message_of_the_same_chamber(rain, asha, stranger):
    elsewhere = stranger.create_community(name="Elsewhere")["community"]["id"]
    (foreign,) = say(stranger, elsewhere, "Not for Asha")
    for message_id in (foreign["id"], 10**12):
        with refused("NOT_FOUND"):
            asha.mark_chamber_read(community_id=rain, message_id=message_id)


def unread(member, rain):
    (community,) = member.list_my_communities()["communities"]
    assert community["id"] == rain
    return community["unread"]


# ------------------------------------------------------------------------------ second thoughts


def test_authors_edit_a_message_for_fifteen_minutes(rain, asha, bram, clock):
    (message,) = say(asha, rain, "Helo")
    clock.forward(minutes=14, seconds=59)
    edited = asha.edit_message(message_id=message["id"], content="Hello")["message"]
    assert edited == message | {"content": "Hello", "edited_at": "2026-03-02T12:14:59+00:00"}
    assert bram.get_message(message_id=message["id"])["message"] == edited

    clock.forward(seconds=1)
    with refused("EDIT_WINDOW_PASSED", passed_at="2026-03-02T12:15:00+00:00"):
        asha.edit_message(message_id=message["id"], content="Good bye")
    with refused("INVALID_INPUT", field="content"):
        asha.edit_message(message_id=say(asha, rain, "New")[0]["id"], content=" ")


def test_authors_delete_a_message_and_an_empty_line_stays(rain, asha, bram, clock):
    (message,) = say(asha, rain, "Something unwise")
    clock.forward(days=3)
    gone = asha.delete_message(message_id=message["id"])["message"]

    assert gone["deleted"] is True
    assert gone["content"] == ""
    assert asha.delete_message(message_id=message["id"])["message"] == gone
    assert gone in bram.list_messages(community_id=rain)["messages"]
    assert "unwise" not in str(bram.read("chat_messages"))
    with refused("CONFLICT"):
        asha.edit_message(message_id=message["id"], content="Back again")


def test_nobody_edits_or_deletes_what_another_said_or_a_card(rain, asha, bram):
    (message,) = say(bram, rain, "Mine")
    joy = bram.declare_joy(community_id=rain, title="A card", cc_spent=1)
    for member, line in ((asha, message), (bram, joy["message"])):
        with refused("FORBIDDEN"):
            member.edit_message(message_id=line["id"], content="Forged")
        with refused("FORBIDDEN"):
            member.delete_message(message_id=line["id"])


def test_moderators_strike_a_line_with_a_reason_and_its_money_stays(rain, asha, bram, books):
    joy = bram.declare_joy(community_id=rain, title="Unkind words", cc_spent=7)
    struck = asha.strike_message(message_id=joy["message"]["id"], reason="Not among us")["message"]

    assert struck["deleted"] is True
    assert "Unkind" not in str(bram.list_messages(community_id=rain))
    assert "Unkind" not in str(bram.list_gazette(community_id=rain))
    assert "Unkind" not in str(bram.read("declarations"))
    assert books(rain)["spent"] == 7
    entry = asha.list_audit(community_id=rain)["entries"][0]
    assert entry["actor"]["id"] == asha.id
    assert entry["facts"]["reason"] == "Not among us"


def test_only_moderators_strike_and_never_without_a_reason(rain, asha, bram, stranger):
    (message,) = say(asha, rain, "A word of the moderator")
    with refused("FORBIDDEN"):
        bram.strike_message(message_id=message["id"], reason="I object")
    with refused("NOT_FOUND"):
        stranger.strike_message(message_id=message["id"], reason="I object")
    for reason in ("", "  ", "x" * 281, None):
        with refused("INVALID_INPUT", field="reason"):
            asha.strike_message(message_id=message["id"], reason=reason)


# ------------------------------------------------------------------------------ strangers


def test_a_page_shows_the_rows_that_row_level_security_shows(rain, asha, bram, chloe, stranger):
    """The page is read with the house's own rights, the table with the caller's."""
    message = say(asha, rain, "Hello")[0]
    asha.declare_joy(community_id=rain, title="A joy", cc_spent=1)
    elsewhere = stranger.create_community(name="Elsewhere")["community"]["id"]
    say(stranger, elsewhere, "Not for Rain")

    for member in (asha, bram, chloe):
        page = member.list_messages(community_id=rain, page_size=200)["messages"]
        assert [line["id"] for line in page] == sorted(
            row["id"] for row in member.read("chat_messages")
        )
    chloe.leave_community(community_id=rain)
    for outsider in (chloe, stranger):
        assert not {row["id"] for row in outsider.read("chat_messages", community_id=rain)}
        with refused("NOT_FOUND"):
            outsider.list_messages(community_id=rain)
        with refused("NOT_FOUND"):
            outsider.get_message(message_id=message["id"])


def test_a_stranger_hears_and_says_nothing(rain, asha, stranger):
    (message,) = say(asha, rain, "Among us")

    with refused("NOT_FOUND"):
        stranger.list_messages(community_id=rain)
    with refused("NOT_FOUND"):
        stranger.send_message(community_id=rain, content="Let me in")
    with refused("NOT_FOUND"):
        stranger.mark_chamber_read(community_id=rain, message_id=message["id"])
    with refused("NOT_FOUND") as real:
        stranger.get_message(message_id=message["id"])
    with refused("NOT_FOUND") as imagined:
        stranger.get_message(message_id=10**12)
    assert real == imagined
    assert stranger.read("chat_messages") == []
    assert stranger.read("chamber_marks") == []


def test_struck_words_vanish_from_the_notices_that_quoted_them(rain, asha, bram, chloe):
    asked = bram.request_borrow(
        community_id=rain, lender_id=chloe.id, amount=5, reason="Words better unsaid"
    )
    bram.propose_tip_to_tip(community_id=rain, title="Worse ones", stake_amount=1)
    cards = [
        message["id"]
        for message in asha.list_messages(community_id=rain)["messages"]
        if message["type"] in ("borrow_request", "tip_to_tip")
    ]
    for card in cards:
        asha.strike_message(message_id=card, reason="Unkind")

    assert asked["message"]["id"] in cards
    notices = chloe.list_notifications()["notifications"]
    assert [notice["body"] for notice in notices] == ["", ""]
