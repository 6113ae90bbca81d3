"""Notices: what is told, folded, read and muted (RULES 11.1)."""

import pytest
from doors import assert_shape
from people import paged, refused


@pytest.fixture
def joy(asha, rain):
    return asha.declare_joy(community_id=rain, title="First rain", cc_spent=5)["declaration"]


@pytest.fixture
def witnessed(asha, bram, joy):
    """The notice Asha gets when Bram has witnessed her joy."""
    bram.witness_declaration(declaration_id=joy["id"])
    (notice,) = asha.list_notifications()["notifications"]
    return notice


def test_an_author_is_told_of_a_witness(rain, asha, bram, joy, witnessed):
    assert_shape("notification", witnessed)
    assert witnessed["type"] == "witnessed"
    assert witnessed["community_id"] == rain
    assert witnessed["ref_kind"] == "declaration"
    assert witnessed["ref_id"] == joy["id"]
    assert witnessed["read"] is False
    assert witnessed["count"] == 1
    assert witnessed["title"]
    assert asha.list_notifications()["unread"] == 1
    assert bram.list_notifications() == {"notifications": [], "has_more": False, "unread": 0}


def test_unread_notices_about_one_thing_fold_into_one(asha, chloe, joy, witnessed):
    chloe.witness_declaration(declaration_id=joy["id"])

    (folded,) = asha.list_notifications()["notifications"]
    assert folded["count"] == 2
    assert asha.list_notifications()["unread"] == 1


def test_what_was_read_is_not_folded_into(asha, chloe, joy, witnessed):
    read = asha.mark_notification_read(notification_id=witnessed["id"])["notification"]
    assert read == witnessed | {"read": True}
    chloe.witness_declaration(declaration_id=joy["id"])

    newest, oldest = asha.list_notifications()["notifications"]
    assert newest["count"] == 1
    assert oldest == read
    assert asha.list_notifications(unread_only=True)["notifications"] == [newest]


def test_notices_are_listed_newest_first_page_by_page(rain, asha, bram):
    for n in range(5):
        joy = asha.declare_joy(community_id=rain, title=f"Joy {n}", cc_spent=1)["declaration"]
        bram.witness_declaration(declaration_id=joy["id"])

    ids = [row["id"] for row in paged(asha.list_notifications, "notifications", page_size=2)]
    assert len(ids) == 5
    assert ids == sorted(ids, reverse=True)


def test_all_can_be_marked_read_at_once(asha, witnessed):
    assert asha.mark_all_notifications_read() == {"count": 1}
    assert asha.mark_all_notifications_read() == {"count": 0}
    assert asha.list_notifications()["unread"] == 0


def test_a_muted_type_is_silent_in_that_community(rain, asha, bram, joy):
    mute = {"community_id": rain, "type": "witnessed"}
    assert asha.mute_notifications(**mute, muted=True) == {"muted": ["witnessed"]}
    bram.witness_declaration(declaration_id=joy["id"])

    assert asha.list_notifications()["notifications"] == []
    assert asha.list_mutes(community_id=rain) == {"muted": ["witnessed"]}
    assert bram.list_mutes(community_id=rain) == {"muted": []}
    assert asha.mute_notifications(**mute, muted=False) == {"muted": []}
    assert asha.list_mutes(community_id=rain) == {"muted": []}


@pytest.mark.parametrize("kind", ["nonsense", "", None])
def test_only_known_types_are_muted(rain, asha, kind):
    with refused("INVALID_INPUT", field="type"):
        asha.mute_notifications(community_id=rain, type=kind, muted=True)


def test_a_notice_is_read_by_its_owner_alone(bram, stranger, witnessed):
    for other in (bram, stranger):
        with refused("NOT_FOUND"):
            other.mark_notification_read(notification_id=witnessed["id"])
        assert other.read("notifications") == []


def test_a_stranger_mutes_nothing_and_reads_no_mute(rain, stranger):
    with refused("NOT_FOUND"):
        stranger.mute_notifications(community_id=rain, type="witnessed", muted=True)
    with refused("NOT_FOUND"):
        stranger.list_mutes(community_id=rain)
