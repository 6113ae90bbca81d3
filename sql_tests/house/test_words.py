"""Every text and JSON the house keeps, and whose it is (RULES 3.1, 13.2).

A new column of words that nobody has named here fails. What people wrote has an author, is shown
only while they are not erased, and goes with them; the rest is the house's own, or a setting.
"""

import pytest

# Words with the column (of the same table) that says whose they are.
WORDS = {
    "chat_messages.content": "user_id",
    "words.content": "author_id",
    "declarations.title": "user_id",
    "declarations.description": "user_id",
    "declarations.image_url": "user_id",
    "borrow_requests.reason": "borrower_id",
    "gazette_items.content": "author_id",
    "tip_to_tip_proposals.title": "proposer_id",
    "tip_to_tip_proposals.description": "proposer_id",
    "jashn_celebrations.message": "user_id",
    "bureau_acts.reason": "actor_id",
    "users.display_name": "id",
    "users.avatar_url": "id",
    "users.person": "id",
}
# What stewards write on an invite, to whom it is made out and for them alone.
OF_INVITES = {f"invites.{name}" for name in ("email", "note", "welcome_title", "welcome_message")}
# A community's own, kept by its moderators in turn.
SETTINGS = {
    *(f"communities.{name}" for name in ("name", "description", "timezone", "electorate")),
    *("communities.pending", "communities.willed", "tip_to_tip_proposals.amendment"),
}
# Ids, amounts, days and the house's own keywords; facts name words by id.
HOUSE_S_OWN = {
    "audit_entries.action",
    "borrow_requests.status",
    "ledger_entries.type",
    "loans.status",
    "stakes.status",
    "tip_to_tip_proposals.status",
    "tip_to_tip_votes.vote",
    "audit_entries.facts",
    "bureau_acts.action",
    "bureau_acts.facts",
    "chat_messages.event",
    "chat_messages.facts",
    "chat_messages.type",
    "community_members.roles",
    "election_candidates.roles",
    "elections.seat_rule",
    "elections.status",
    "gazette_editions.digest",
    "gazette_items.digest",
    "gazette_items.salt",
    "invites.theme",
    "jashns.decided_by",
    "job_runs.error",
    "job_runs.job",
    "job_troubles.job",
    "join_codes.code",
    "notification_mutes.type",
    "notifications.event",
    "notifications.facts",
    "notifications.ref_kind",
    "notifications.type",
    "repeats.made",
    "repeats.rpc",
}
# Whole rows of a community that moves in, for as long as that takes: nobody is shown any.
ON_THE_WAY = {"luggage.key", "luggage.row", "luggage.table_name"}
FACTS = ("audit_entries.facts", "bureau_acts.facts", "chat_messages.facts", "notifications.facts")


def columns(house):
    """Texts and JSON of every table, domains and lists of them included."""
    found = house.owner.sql("""
      select c.relname || '.' || a.attname as name
      from pg_class as c
      join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      join pg_type as t on t.oid = a.atttypid
      left join pg_type as e on e.oid = coalesce(nullif(t.typbasetype, 0), nullif(t.typelem, 0))
      where
        c.relnamespace = 'private'::regnamespace and c.relkind in ('r', 'p')
        and (t.typname in ('text', 'varchar', 'json', 'jsonb') or e.typname in ('text', 'jsonb'))
    """)
    return {row["name"] for row in found}


def test_every_text_is_somebody_s_or_the_house_s_own(house):
    assert columns(house) == {*WORDS, *OF_INVITES, *SETTINGS, *HOUSE_S_OWN, *ON_THE_WAY}


def test_words_stand_beside_their_author(house):
    for name, author in WORDS.items():
        table = name.partition(".")[0]
        has = house.owner.sql(
            """
            select 1 from pg_attribute
            where attrelid = %(table)s::regclass and attname = %(name)s
            """,
            table=f"private.{table}",
            name=author,
        )
        assert has, name


@pytest.mark.parametrize("name", FACTS)
def test_facts_hold_no_words(world_of_everything, name):
    """Every text in a fact is an id, a time, a day, a number or one of the house's keywords."""
    house, known = world_of_everything
    table, column = name.split(".")
    texts = house.owner.sql(
        f"""
        select distinct v #>> '{{}}' as text
        from private.{table}, jsonb_path_query({column}, 'strict $.**') as v
        where jsonb_typeof(v) = 'string'
        """
    )
    for row in texts:
        assert "Secret" not in row["text"], row
        assert not any(word in row["text"] for word in known), row


@pytest.fixture
def world_of_everything(house):
    from world import World

    world = World(house, "Rain")
    names = [row["display_name"] for row in house.owner.read("users")]
    return world.house, names
