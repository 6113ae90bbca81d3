"""Moves one community, whole, into another database of the Bureau: `move.py [--forget] COMMUNITY`.

CHAS_FROM and CHAS_TO are the two databases, as postgresql:// addresses of role postgres, directly
or through a pooler in session mode. Each of three commits leaves one home, never two:

1. the new database holds all the rows as luggage, where nobody looks;
2. the old one has them no more, and says where they went: the moment of the move;
3. the new one has them in their places.

Whoever is stopped before the second has changed nothing; after it, the same command goes on.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from cluster import Trouble

Connection = psycopg.Connection[tuple[Any, ...]]

# Beside the families of locks that 010_ground lists.
MOVING = 1128792070


def connect(url: str) -> Connection:
    connection = psycopg.connect(url, autocommit=True, application_name="chas move")
    connection.execute("set statement_timeout = 0")
    return connection


def value(home: Connection, query: LiteralString, *arguments: Any) -> Any:
    row = home.execute(query, arguments or None).fetchone()
    return row and row[0]


def move(community: str, old: Connection, new: Connection) -> Iterator[str]:
    """Says each step once it is done."""
    number = agree(old, new)
    if not value(new, "select pg_try_advisory_lock(%s, uuid_hash(%s))", MOVING, community):
        raise Trouble("It is being moved just now.")

    if value(old, "select true from private.communities where id = %s", community):
        yield from leave(community, old, new, number)
        unpacked = True
    else:
        require_under_way(community, old, new, number)
        unpacked = False
    yield from arrive(community, old, new, unpacked)


def agree(old: Connection, new: Connection) -> int:
    """What two databases must have in common, and what not; the number of the new one."""
    asked: LiteralString = "select database_number, address_key from private.settings"
    ours, theirs = (home.execute(asked).fetchone() or (None, None) for home in (old, new))
    if ours[0] is None or theirs[0] is None:
        raise Trouble("Give both databases a number first: private.number_database.")
    if ours[0] == theirs[0]:
        raise Trouble(f"Both databases have the number {ours[0]}.")
    if ours[1] != theirs[1]:
        raise Trouble("The two hash addresses under different keys.")
    lacking: LiteralString = """
      select array_agg(s::text) from private.id_sequences() as s where not private.is_numbered(s)
    """
    for home in (old, new):
        if names := value(home, lacking):
            raise Trouble(f"Call private.number_database again: {', '.join(names)} came since.")
    columns: LiteralString = """
      select string_agg(format('%s.%s %s', t.name, a.attname, a.atttypid::regtype), ', '
        order by t.name, a.attname)
      from private.moving_tables() as t
      join pg_attribute as a on a.attrelid = ('private.' || t.name)::regclass
      where a.attnum > 0 and not a.attisdropped
    """
    if value(old, columns) != value(new, columns):
        raise Trouble("Their tables differ: push the same migrations to both.")
    return int(theirs[0])


def forget(community: str, old: Connection, new: Connection) -> None:
    """Takes away the luggage of a move that is not to be finished."""
    if not value(old, "select true from private.communities where id = %s", community):
        raise Trouble("It has left, or never was there: its luggage is all there is of it.")
    new.execute("delete from private.luggage where community_id = %s", [community])


def require_under_way(community: str, old: Connection, new: Connection, number: int) -> None:
    went = value(
        old, "select database_number from private.departures where community_id = %s", community
    )
    if went is None:
        raise Trouble("There is no such community.")
    if went != number:
        raise Trouble(f"It has moved to database {went}.")
    luggage: LiteralString = "select true from private.luggage where community_id = %s limit 1"
    if not value(new, luggage, community):
        raise Trouble("It has moved there already.")


def leave(community: str, old: Connection, new: Connection, number: int) -> Iterator[str]:
    new.execute("delete from private.luggage where community_id = %s", [community])
    people = value(old, "select private.people_of(%s)", community)
    alive = value(
        old,
        "select array(select id from private.users where id = any(%s) and erased_at is null)",
        people,
    )
    missing = value(new, "select private.accounts_missing(%s)", alive)
    if missing:
        names = ", ".join(map(str, missing[:20]))
        raise Trouble(f"{len(missing)} of its people have no account there: {names}")
    marks = value(old, "select private.id_marks()::text")
    new.execute("select private.lift_ids(%s::jsonb)", [marks])
    yield "ready"

    with old.transaction():
        old.execute("set local lock_timeout = '30s'")
        old.execute("select private.hold_for_move(%s, %s)", [community, number])
        yield "held"
        people = value(old, "select private.people_of(%s)", community)
        with new.transaction():
            carry(old, new, "select * from private.pack_people(%s, %s)", community, people)
            old.execute("set local session_replication_role = replica")
            carry(old, new, "select * from private.pack_community(%s)", community)
        yield "packed"
        # Every check of the new house is asked before the old one lets go.
        new.execute("begin")
        new.execute("select private.unpack_community(%s)", [community])
        yield "unpacked"
    yield "closed"


def carry(old: Connection, new: Connection, query: LiteralString, *arguments: Any) -> None:
    with (
        old.cursor().copy(f"copy ({query}) to stdout", arguments) as rows,
        new.cursor().copy("copy private.luggage from stdin") as luggage,
    ):
        for some in rows:
            luggage.write(some)


def arrive(community: str, old: Connection, new: Connection, unpacked: bool) -> Iterator[str]:
    """Waits for acts that met the community before it left, and brings what they still wrote."""
    before = set(value(old, "select private.under_way()"))
    while before & set(value(old, "select private.under_way()")):
        time.sleep(0.05)
    with old.transaction():
        old.execute("set local session_replication_role = replica")
        late = old.execute(
            "select community_id, table_name, key::text, row::text from private.pack_community(%s)",
            [community],
        ).fetchall()
        if late:
            if unpacked:
                new.execute("rollback")
                unpacked = False
            with new.transaction():
                new.cursor().executemany(
                    """
                    insert into private.luggage values (%s, %s, %s, %s)
                    on conflict on constraint luggage_pkey do update set row = excluded.row
                    """,
                    late,
                )
    yield f"late rows: {len(late)}"
    if not unpacked:
        new.execute("begin")
        new.execute("select private.unpack_community(%s)", [community])
    new.execute("commit")
    yield "open"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("community", metavar="COMMUNITY", help="its id")
    parser.add_argument("--forget", action="store_true", help="drop a move that was killed")
    asked = parser.parse_args()
    try:
        with connect(os.environ["CHAS_FROM"]) as old, connect(os.environ["CHAS_TO"]) as new:
            if asked.forget:
                forget(asked.community, old, new)
                return 0
            for step in move(asked.community, old, new):
                print(step, flush=True)
    except KeyError as name:
        print(f"Set {name} to the address of a database.", file=sys.stderr)
        return 1
    except (Trouble, psycopg.Error) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
