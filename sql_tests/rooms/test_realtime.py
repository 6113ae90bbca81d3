"""What the frontend hears and who may listen (RULES 11.2), read as the Realtime server does."""

import json
import struct
import uuid
from dataclasses import dataclass

import psycopg
import pytest
from people import Row

HEARD = {
    "communities",
    "community_members",
    "notifications",
    "chat_messages",
    "declarations",
    "witnesses",
    "borrow_requests",
    "tip_to_tip_proposals",
    "tip_to_tip_votes",
    "elections",
    "jashns",
    "jashn_celebrations",
}

# A value that is in no new row because the update left it, out of line, as it was.
UNTOUCHED = object()


# ------------------------------------------------------------------------------ the wire


@dataclass
class Change:
    """One change as the publication tells it; `old` is the key, or the whole row, or nothing."""

    verb: str
    table: str
    new: Row
    old: Row
    whole_old: bool


class Ear:
    """A logical slot of the publication, on a connection of its own, decoded from pgoutput."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.relations: dict[int, tuple[str, list[str]]] = {}
        connection.execute("select pg_create_logical_replication_slot('ear', 'pgoutput', true)")

    def hear(self) -> list[Change]:
        """What has been committed since it was asked last."""
        rows = self.connection.execute(
            """
            select data from pg_logical_slot_get_binary_changes(
              'ear', null, null, 'proto_version', '1', 'publication_names', 'supabase_realtime'
            )
            """
        )
        return [change for (data,) in rows for change in self._decode(data)]

    def _decode(self, data: bytes) -> list[Change]:
        kind = data[:1].decode()
        if kind == "R":
            self._learn(data)
        if kind not in "IUD":
            return []
        (relation,) = struct.unpack_from("!I", data, 1)
        table, columns = self.relations[relation]
        tuples: dict[str, Row] = {}
        at = 5
        while at < len(data):
            which = data[at : at + 1].decode()
            tuples[which], at = read_tuple(data, at + 1, columns)
        old = tuples.get("O") or tuples.get("K") or {}
        return [Change(kind, table, tuples.get("N", {}), old, "O" in tuples)]

    def _learn(self, data: bytes) -> None:
        (relation,) = struct.unpack_from("!I", data, 1)
        _, at = read_name(data, 5)
        table, at = read_name(data, at)
        (count,) = struct.unpack_from("!H", data, at + 1)
        at += 3
        columns = []
        for _ in range(count):
            name, at = read_name(data, at + 1)
            columns.append(name)
            at += 8
        self.relations[relation] = (table, columns)


def read_name(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def read_tuple(data: bytes, at: int, columns: list[str]) -> tuple[Row, int]:
    (count,) = struct.unpack_from("!H", data, at)
    at += 2
    row: Row = {}
    for name in columns[:count]:
        kind, at = data[at : at + 1], at + 1
        if kind == b"t":
            (length,) = struct.unpack_from("!I", data, at)
            row[name] = data[at + 4 : at + 4 + length].decode()
            at += 4 + length
        else:
            row[name] = None if kind == b"n" else UNTOUCHED
    return row, at


@pytest.fixture
def ear(house):
    """Hears from now on; whatever a test needs beforehand comes before it in its arguments."""
    with psycopg.connect(house.address("postgres"), autocommit=True) as connection:
        yield Ear(connection)


def tables(changes):
    return {(change.verb, change.table) for change in changes}


# ------------------------------------------------------------------------------ the publication


def test_the_publication_holds_what_a_frontend_follows_and_nothing_else(house):
    published = house.owner.sql("""
      select tablename from pg_publication_tables where pubname = 'supabase_realtime'
    """)
    assert {row["tablename"] for row in published} == HEARD


def test_members_hear_a_joy_its_line_and_its_witness(house, rain, asha, bram, ear):
    joy = asha.declare_joy(community_id=rain, title="First rain", cc_spent=5)["declaration"]
    heard = ear.hear()
    assert tables(heard) == {("I", "declarations"), ("I", "chat_messages")}
    (told,) = [change.new for change in heard if change.table == "declarations"]
    assert (told["id"], told["title"], told["community_id"]) == (joy["id"], "First rain", rain)

    bram.witness_declaration(declaration_id=joy["id"])
    assert tables(ear.hear()) == {
        ("I", "witnesses"),
        ("U", "declarations"),
        ("I", "notifications"),
    }


def test_members_hear_what_is_asked_proposed_voted_and_answered(house, rain, asha, bram, ear):
    asked = bram.request_borrow(community_id=rain, lender_id=asha.id, amount=5, reason="Tea")
    heard = tables(ear.hear())
    assert {("I", "borrow_requests"), ("I", "notifications"), ("I", "chat_messages")} == heard

    asha.respond_borrow(borrow_request_id=asked["borrow_request"]["id"], action="approved")
    assert ("U", "borrow_requests") in tables(ear.hear())

    tea = bram.propose_tip_to_tip(community_id=rain, title="Tea", stake_amount=5)["proposal"]
    assert {("I", "tip_to_tip_proposals"), ("I", "tip_to_tip_votes")} < tables(ear.hear())
    asha.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    assert {("U", "tip_to_tip_proposals"), ("I", "tip_to_tip_votes")} < tables(ear.hear())


def test_members_hear_edits_settings_and_who_comes_and_goes(house, rain, asha, bram, stranger, ear):
    line = bram.send_message(community_id=rain, content="Hello")["message"]
    bram.edit_message(message_id=line["id"], content="Hello!")
    assert [(change.verb, change.new["content"]) for change in ear.hear()] == [
        ("I", "Hello"),
        ("U", "Hello!"),
    ]
    asha.update_community(community_id=rain, patch={"name": "Monsoon"})
    assert ("U", "communities") in tables(ear.hear())
    code = asha.set_join_code(community_id=rain)["invite_code"]
    stranger.join_community(invite_code=code)
    assert ("I", "community_members") in tables(ear.hear())
    stranger.leave_community(community_id=rain)
    assert ("U", "community_members") in tables(ear.hear())


def test_what_is_rolled_back_is_never_heard(house, rain, asha, bram, ear):
    with bram.transaction() as undone:
        undone.declare_joy(community_id=rain, title="Never", cc_spent=5)
        undone.send_message(community_id=rain, content="Never said")
        raise psycopg.Rollback
    assert ear.hear() == []
    assert "Never" not in str(house.owner.read("realtime.messages"))

    bram.send_message(community_id=rain, content="Said")
    assert [change.new["content"] for change in ear.hear()] == ["Said"]


def test_the_running_count_of_an_election_is_never_heard(house, rain, asha, bram, clock, ear):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    election = asha.create_election(
        community_id=rain, title="Spring", ends_at="2026-03-02 14:00+00:00"
    )["election"]
    assert ("I", "elections") in tables(ear.hear())
    broadcasts = len(house.owner.read("realtime.messages"))

    for choice in (asha, bram, asha):
        bram.vote_election(election_id=election["id"], candidate_id=choice.id)
    assert ear.hear() == []
    assert len(house.owner.read("realtime.messages")) == broadcasts

    clock.at("2026-03-02 14:00+00:00")
    house.owner.sql("select private.election_close()")
    (closed,) = [change for change in ear.hear() if change.table == "elections"]
    assert (closed.verb, closed.new["winner_id"]) == ("U", asha.id)


def test_a_dawn_and_a_sunset_are_one_broadcast_each_and_no_change(
    house, rain, asha, bram, clock, ear
):
    asha.request_borrow(community_id=rain, lender_id=bram.id, amount=5, reason="Tea")
    ear.hear()
    before = [row["id"] for row in house.owner.read("realtime.messages")]
    clock.at("2026-03-02 23:59+00:00")
    house.owner.sql("select private.daily_sunset()")
    clock.at("2026-03-03 00:00+00:00")
    house.owner.sql("select private.daily_reset()")

    # The job has written down, besides, that the request lapsed.
    assert tables(ear.hear()) <= {("U", "borrow_requests"), ("U", "communities")}
    broadcasts = [row for row in house.owner.read("realtime.messages") if row["id"] not in before]
    assert sorted((row["topic"], row["event"]) for row in broadcasts) == [
        (f"community:{rain}", "dawn"),
        (f"community:{rain}", "sunset"),
    ]


def test_an_update_carries_the_long_text_it_did_not_touch(house, rain, asha, bram, ear):
    # Too long for its row, and of characters that do not compress.
    long = "".join(chr(0x1F300 + (n * 7919) % 700) for n in range(1000))
    joy = asha.declare_joy(community_id=rain, title="Long", cc_spent=5, description=long)
    tea = asha.propose_tip_to_tip(
        community_id=rain, title="Long", stake_amount=5, description=long
    )["proposal"]
    ear.hear()

    bram.witness_declaration(declaration_id=joy["declaration"]["id"])
    bram.vote_tip_to_tip(proposal_id=tea["id"], vote="accept")
    updates = {change.table: change for change in ear.hear() if change.verb == "U"}
    for table in ("declarations", "tip_to_tip_proposals"):
        assert updates[table].new["description"] is UNTOUCHED
        assert updates[table].old["description"] == long


def test_a_deletion_tells_no_more_than_the_key(house, rain, asha, bram, clock, ear):
    bram.request_borrow(community_id=rain, lender_id=asha.id, amount=5, reason="A secret")
    ear.hear()
    clock.forward(days=91)
    house.owner.sql("select private.housekeeping()")

    (gone,) = [change for change in ear.hear() if change.verb == "D"]
    assert gone.table == "notifications"
    assert not gone.whole_old
    assert {name for name, value in gone.old.items() if value is not None} == {"id"}


# ------------------------------------------------------------------------------ broadcasts


def hears(person, topic, extension="broadcast"):
    """Whether a private channel would let somebody in: the probe Realtime makes when they join."""
    with person.transaction() as joining:
        joining.sql("select set_config('realtime.topic', %(topic)s, true)", topic=topic)
        (count,) = joining.sql(
            """
            select count(*) as n from realtime.messages
            where topic = %(topic)s and extension = %(extension)s
            """,
            topic=topic,
            extension=extension,
        )
        return bool(count["n"])


@pytest.fixture
def topics(house, rain, asha, bram):
    """The topics of rain, of Asha and of Bram, on each of which something has been sent."""
    for person in (asha, bram):
        person.declare_joy(community_id=rain, title="Rain", cc_spent=1)
    topics = {"rain": f"community:{rain}", "asha": f"user:{asha.id}", "bram": f"user:{bram.id}"}
    sent = {row["topic"] for row in house.owner.read("realtime.messages")}
    assert set(topics.values()) <= sent
    return topics


def test_members_join_their_community_and_their_own_topic(topics, asha, bram):
    assert hears(bram, topics["rain"])
    assert hears(bram, topics["bram"])
    assert not hears(bram, topics["asha"])
    assert hears(asha, topics["rain"])


def test_outsiders_join_nothing_of_others(topics, stranger, unadmitted, house):
    for outsider in (stranger, unadmitted, house.anon):
        for topic in topics.values():
            assert not hears(outsider, topic)


def test_whoever_left_or_was_banned_joins_no_more(rain, topics, asha, bram):
    asha.remove_member(community_id=rain, user_id=bram.id, reason="No", ban=True)
    assert not hears(bram, topics["rain"])
    assert hears(bram, topics["bram"])


def test_without_admission_nobody_joins_even_their_own(house, topics, bram):
    house.owner.sql(
        "update private.admissions set suspended_at = now() where user_id = %(id)s", id=bram.id
    )
    assert not hears(bram, topics["rain"])
    assert not hears(bram, topics["bram"])


def test_whoever_is_erased_joins_nothing(service, topics, bram):
    service.erase_user(user_id=bram.id)
    assert not hears(bram, topics["rain"])
    assert not hears(bram, topics["bram"])


@pytest.mark.parametrize("shape", ["{}", "community:%", "community:", "COMMUNITY:{}", "user:{}"])
def test_only_the_very_name_of_a_topic_opens_it(house, rain, topics, bram, shape):
    topic = shape.format(rain)
    house.owner.sql("select realtime.send('{}', 'x', %(topic)s, true)", topic=topic)
    assert not hears(bram, topic)


def test_no_topic_at_all_opens_nothing(topics, bram):
    assert bram.read("realtime.messages") == []


def test_presence_is_nobodys(house, topics, bram):
    house.owner.sql(
        """
        insert into realtime.messages (topic, extension, event, private)
        values (%(topic)s, 'presence', 'x', true)
        """,
        topic=topics["rain"],
    )
    assert not hears(bram, topics["rain"], extension="presence")


def test_nobody_speaks_but_the_house(topics, bram):
    with bram.transaction() as joined:
        joined.sql("select set_config('realtime.topic', %(topic)s, true)", topic=topics["rain"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            joined.sql(
                """
                insert into realtime.messages (topic, extension, event, private)
                values (%(topic)s, 'broadcast', 'x', true)
                """,
                topic=topics["rain"],
            )
        raise psycopg.Rollback


def test_broadcasts_carry_ids_and_no_words_and_purses_are_told_to_their_owner(
    house, rain, topics, asha, bram
):
    asked = bram.request_borrow(community_id=rain, lender_id=asha.id, amount=5, reason="A secret")
    asha.respond_borrow(borrow_request_id=asked["borrow_request"]["id"], action="approved")
    asha.remove_member(community_id=rain, user_id=bram.id, reason="A secret")

    for row in house.owner.read("realtime.messages"):
        assert row["private"] is True
        assert row["payload"].keys() == {"id", "kind", "ids"}
        assert row["payload"]["kind"] == row["event"]
        for name, value in row["payload"]["ids"].items():
            assert name == "day" or name.endswith(("_id", "_kind")), row
            assert len(json.dumps(value)) <= 40, row
        if row["topic"].startswith("community:"):
            assert row["event"] not in ("balance", "notification")
    told = {
        row["topic"] for row in house.owner.read("realtime.messages") if row["event"] == "balance"
    }
    assert told == {topics["asha"], topics["bram"]}


def test_a_failing_broadcast_breaks_no_act(house, rain, asha):
    """A day without a partition is how sending fails on the platform: it only warns."""
    with psycopg.connect(house.address("supabase_admin"), autocommit=True) as admin:
        admin.execute("truncate realtime.messages")
        for (partition,) in admin.execute(
            "select inhrelid::regclass::text from pg_inherits"
            " where inhparent = 'realtime.messages'::regclass"
        ).fetchall():
            admin.execute(f"drop table {partition}".encode())

    asha.declare_joy(community_id=rain, title="Unheard", cc_spent=5)
    assert house.owner.read("realtime.messages") == []
    assert asha.list_gazette(community_id=rain)["declarations"][0]["title"] == "Unheard"


def test_a_person_who_is_no_uuid_hears_nothing(house, bram):
    with house.connection("authenticator") as connection, connection.transaction():
        connection.execute(
            "select set_config('role', 'authenticated', true),"
            " set_config('request.jwt.claims', %s, true),"
            " set_config('realtime.topic', %s, true)",
            [json.dumps({"sub": "nobody", "role": "authenticated"}), f"user:{uuid.uuid4()}"],
        )
        heard = connection.execute("select * from realtime.messages").fetchall()
    assert heard == []
