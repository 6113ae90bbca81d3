"""Who may do what: every door, every table behind them, and everybody who may come.

The answers are written in matrix.md. Whatever the catalogue has and its tables have not, or the
other way round, fails; so does every cell that turns out otherwise than written. Through PostgREST
no table can be named at all (test_doors_only.py); here they are asked by SQL, as the reading doors
and Realtime ask them, so that grants and row level security are proven by themselves.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from people import Caller, House, Refusal
from psycopg import sql
from world import IN_ORDER, World

MATRIX = Path(__file__).with_name("matrix.md")
PEOPLE = ("anon", "unadmitted", "outsider", "member", "banned", "moderator", "service")
WRITES = ("insert", "update", "delete", "truncate")

# Whose a row is, by the columns that say so.
OWNERS = ("user_id", "borrower_id", "lender_id")

Cells = dict[tuple[str, str], str]


def written() -> Cells:
    """The tables of matrix.md: a line for each act, a column for each person."""
    cells: Cells = {}
    for line in MATRIX.read_text().splitlines():
        if not line.startswith("| "):
            continue
        act, *answers = [cell.strip() for cell in line.strip().strip("|").split("|")]
        assert len(answers) == len(PEOPLE), act
        if act == "act":
            assert tuple(answers) == PEOPLE
            continue
        for person, answer in zip(PEOPLE, answers, strict=True):
            assert answer, f"{act}: nothing is written for {person}"
            for one in each_act(act, cells):
                assert (one, person) not in cells, f"{one} is written twice"
                cells[one, person] = answer
    return cells


def each_act(act: str, above: Cells) -> list[str]:
    """`write everything` stands for four, on every table above."""
    if act != "write everything":
        return [act]
    tables = {done.removeprefix("read ") for done, _ in above if done.startswith("read ")}
    return [f"{verb} {table}" for verb in WRITES for table in sorted(tables)]


# ------------------------------------------------------------------------------ the catalogue


@dataclass
class Relation:
    schema: str
    name: str
    columns: list[str]
    kind: str
    # Whether any of the roles that come may read any of it.
    is_shown: bool
    # Rows by their place in the table, those of a view by their ids: all of them, the
    # community's, each person's own.
    all: set[str] = field(default_factory=set)
    community: set[str] = field(default_factory=set)

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def relations(house: House) -> list[Relation]:
    query = """
      select
        n.nspname as schema,
        c.relname as name,
        c.relkind::text as kind,
        array(
          select a.attname::text from pg_attribute as a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        ) as columns,
        exists (
          select from unnest(array['anon', 'authenticated', 'service_role']) as role
          where has_any_column_privilege(role, c.oid, 'select')
        ) as is_shown
      from pg_class as c
      join pg_namespace as n on n.oid = c.relnamespace
      where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'f')
      order by c.relname
    """
    return [Relation(**row) for row in house.owner.sql(query)]


def functions(house: House) -> dict[str, list[str]]:
    """With the arguments each cannot do without."""
    query = """
      select p.proname as name, p.proargnames[:p.pronargs - p.pronargdefaults] as arguments
      from pg_proc as p
      where p.pronamespace = 'public'::regnamespace
    """
    rows = house.owner.sql(query)
    return {row["name"]: row["arguments"] or [] for row in rows}


# ------------------------------------------------------------------------------ the people


@dataclass
class Scene:
    house: House
    rain: World
    hill: World
    callers: dict[str, Caller]


@pytest.fixture
def scene(house, unadmitted, stranger):
    """Everything has happened in two communities; the people are of the first, or of none."""
    hill, rain = World(house, "Hill"), World(house, "Rain")
    callers = {
        "anon": house.anon,
        "unadmitted": unadmitted,
        "outsider": stranger,
        "member": rain.member,
        "banned": rain.banned,
        "moderator": rain.moderator,
        "service": house.service,
    }
    assert tuple(callers) == PEOPLE
    return Scene(house, rain, hill, callers)


# ------------------------------------------------------------------------------ reading


def found_reading(scene: Scene, relation: Relation, person: str) -> str:
    """denied, nothing, own (rows), community (the rows of it), all."""
    caller = scene.callers[person]
    try:
        seen = places(caller, relation, sql.SQL("true"))
    except psycopg.errors.InsufficientPrivilege:
        return "some columns" if any_column(caller, relation) else "denied"
    own = own_rows(scene, relation, getattr(caller, "id", None))
    named = {"nothing": set[str](), "own": own, "community": relation.community}
    for name, rows in (named | {"all": relation.all}).items():
        if seen == rows:
            return name
    return f"{len(seen)} rows of {len(relation.all)}"


def any_column(caller: Caller, relation: Relation) -> bool:
    for column in relation.columns:
        read = sql.SQL("select {} from {}").format(sql.Identifier(column), relation.identifier)
        try:
            caller.sql(read)
        except psycopg.errors.InsufficientPrivilege:
            continue
        return True
    return False


def own_rows(scene: Scene, relation: Relation, person: str | None) -> set[str]:
    owners = [c for c in OWNERS if c in relation.columns] or ["id"] * (
        relation.name in ("users", "shown_people")
    )
    if not owners or not person:
        return set()
    mine = sql.SQL(" or ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(person)) for column in owners
    )
    return places(scene.house.owner, relation, mine)


def places(caller: Caller, relation: Relation, condition: sql.Composable) -> set[str]:
    ids = [name for name in relation.columns if name == "id" or name.endswith("_id")]
    place = (
        sql.SQL("ctid") if relation.kind != "v" else sql.SQL(", ").join(map(sql.Identifier, ids))
    )
    read = sql.SQL("select row({})::text as place from {} where {}")
    return {row["place"] for row in caller.sql(read.format(place, relation.identifier, condition))}


def know_the_rows(scene: Scene, relation: Relation) -> None:
    members = "id in (select user_id from private.community_members where community_id = {})"
    conditions = {
        "communities": sql.SQL("id = {}"),
        "users": sql.SQL(members),
        "shown_people": sql.SQL(members),
        "shown_notifications": sql.SQL(
            "id in (select id from private.notifications where community_id = {})"
        ),
        "shown_celebrations": sql.SQL(
            "jashn_id in (select id from private.jashns where community_id = {})"
        ),
    }
    of_rain = conditions.get(relation.name, sql.SQL("community_id = {}"))
    relation.all = places(scene.house.owner, relation, sql.SQL("true"))
    relation.community = places(scene.house.owner, relation, of_rain.format(scene.rain.community))
    # Where these were the same, an answer would prove nothing.
    assert set() < relation.community < relation.all, f"{relation.name} has too few rows"
    if any(column in relation.columns for column in OWNERS):
        for person in scene.rain.members:
            own = own_rows(scene, relation, person.id)
            assert own & relation.community != relation.community, relation.name


# ------------------------------------------------------------------------------ writing


def found_writing(caller: Caller, relation: Relation) -> dict[str, str]:
    """Each act tried on the table, and where it takes columns on each of them alone."""
    table = relation.identifier
    tried: dict[str, list[sql.Composed]] = {
        "insert": [sql.SQL("insert into {} default values").format(table)],
        "update": [],
        "delete": [sql.SQL("delete from {} where true").format(table)],
        "truncate": [sql.SQL("truncate {} cascade").format(table)],
    }
    for name in map(sql.Identifier, relation.columns):
        insert = sql.SQL("insert into {} ({}) values (default)").format(table, name)
        update = sql.SQL("update {} set {} = default where true").format(table, name)
        tried["insert"].append(insert)
        tried["update"].append(update)
    return {act: outcome(caller, statements) for act, statements in tried.items()}


def outcome(caller: Caller, statements: list[sql.Composed]) -> str:
    found = "denied"
    with caller.transaction() as inside:
        assert inside.inside
        for statement in statements:
            try:
                with inside.inside.transaction():
                    inside.inside.execute(statement)
                found = "done"
            except (
                psycopg.errors.InsufficientPrivilege,
                # A view into which nobody could write, or not this column; none can be truncated.
                psycopg.errors.ObjectNotInPrerequisiteState,
                psycopg.errors.FeatureNotSupported,
                psycopg.errors.GeneratedAlways,
                psycopg.errors.WrongObjectType,
            ):
                continue
            except psycopg.Error as error:
                found = f"not denied, but {error.sqlstate}"
        raise psycopg.Rollback
    return found


# ------------------------------------------------------------------------------ calling


def arguments(scene: Scene) -> dict[str, Any]:
    """What everybody calls every function with: what a member could mean by it."""
    rain = scene.rain
    spent, open_one = scene.house.service.mint_invites(count=2)["invites"]
    return IN_ORDER | {
        **rain.things,
        "candidate_id": rain.moderator.id,
        "code": open_one["code"],
        "enforce_invites": True,
        "invite_code": rain.code,
        "invite_id": spent["id"],
        "lender_id": rain.council.id,
        "user_id": rain.council.id,
    }


def found_calling(caller: Caller, door: str, given: dict[str, Any]) -> str:
    """answers, the code of the refusal, or denied: not a word from inside."""
    found = "answers"
    with caller.transaction(read_only=door in caller.house.read_only_doors) as inside:
        assert inside.inside
        try:
            answer = getattr(inside, door)(**given)
            inside.inside.execute("set constraints all immediate")
            found = answer.get("refused", {}).get("code", "answers")
        except Refusal as refusal:
            found = refusal.code
        except psycopg.errors.InsufficientPrivilege:
            found = "denied"
        except psycopg.Error as error:
            found = f"{error.sqlstate}"
        raise psycopg.Rollback
    return found


# ------------------------------------------------------------------------------ the proof


def found(scene: Scene) -> Cells:
    cells: Cells = {}
    for relation in relations(scene.house):
        if relation.is_shown:
            know_the_rows(scene, relation)
        for person, caller in scene.callers.items():
            cells[f"read {relation.name}", person] = found_reading(scene, relation, person)
            for act, answer in found_writing(caller, relation).items():
                cells[f"{act} {relation.name}", person] = answer
    given = arguments(scene)
    own = {"cancel_borrow": {"borrow_request_id": scene.rain.own_request}}
    for door, names in functions(scene.house).items():
        for person, caller in scene.callers.items():
            wanted = {name: (given | own.get(door, {}))[name] for name in names}
            cells[f"call {door}", person] = found_calling(caller, door, wanted)
    return cells


def test_everybody_may_do_what_is_written_and_nothing_else(scene, record_property):
    cells, expected = found(scene), written()

    not_written = sorted({act for act, _ in cells.keys() - expected.keys()})
    assert not not_written, "matrix.md says nothing about these"
    gone = sorted({act for act, _ in expected.keys() - cells.keys()})
    assert not gone, "matrix.md speaks of what is no more"
    astray = [
        f"{person}: {act}: {cells[act, person]} instead of {answer}"
        for (act, person), answer in expected.items()
        if cells[act, person] != answer
    ]
    assert not astray
    record_property("cells of the matrix checked", len(cells))
