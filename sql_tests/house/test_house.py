"""The rules of the house itself, read from its catalogue: what CONTRIBUTING asks, as tests.

Most tests ask for the list of offenders and want it empty, so that a failure names them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from cluster import PLATFORM, run_sql
from doors import FOR_PEOPLE, FOR_THE_SERVICE, defaults
from people import Caller, House
from pglast import ast, parse_sql
from pglast.parser import scan
from servers import ROOMS

# Tables of people and of the whole Bureau; every other table names the community it belongs to.
OF_NO_COMMUNITY = {
    "private.addresses",
    "private.admissions",
    "private.bureau_acts",
    "private.erasures",
    "private.invite_misses",
    "private.invites",
    "private.repeats",
    "private.settings",
    "private.suspended_addresses",
    "private.users",
}

# Who may ask the real clock: the clock itself, and what compares with the real time of others.
ASK_THE_REAL_CLOCK = {
    "private.clock()",
    "private.able_person(p_user_id uuid)",
    "private.able_among(p_user_ids uuid[])",
    "private.standing_of(p_user_id uuid)",
    "private.get_account(p_user_id uuid)",
    "private.serve_community(p_job text, p_community_id uuid, p_now timestamp with time zone)",
    "private.serve_batch(p_job text, p_community_ids uuid[], p_now timestamp with time zone)",
    "private.tell(VARIADIC p_broadcasts private.broadcast[])",
    "private.record_run(p_job text, p_community_id uuid, p_started_at timestamp with time zone,"
    " p_rows integer, p_error text, p_now timestamp with time zone)",
}

Catalogue = Callable[[LiteralString], list[Any]]

VIEWS: LiteralString = """
  create or replace temporary view relations as
  select
    c.*,
    n.nspname || '.' || c.relname as name,
    obj_description(c.oid, 'pg_class') as comment
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'private');

  create or replace temporary view tables as
  select * from relations where relkind in ('r', 'p');

  create or replace temporary view functions as
  select
    p.*,
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name,
    n.nspname as schema,
    l.lanname as language,
    case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end as definition,
    obj_description(p.oid, 'pg_proc') as comment
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  join pg_language as l on l.oid = p.prolang
  where n.nspname in ('public', 'private');

  create or replace temporary view grants as
  select g.*, coalesce(r.rolname, 'public') as who
  from (
    select name, relkind::text as kind, a.*
    from relations, aclexplode(coalesce(relacl, acldefault('r', relowner))) as a
    where relkind <> 'S'
    union all
    select name, 'S', a.*
    from relations, aclexplode(coalesce(relacl, acldefault('s', relowner))) as a
    where relkind = 'S'
    union all
    select r.name || '.' || c.attname, 'column', a.*
    from relations as r
    join pg_attribute as c on c.attrelid = r.oid, aclexplode(c.attacl) as a
    union all
    select name, 'function', a.*
    from functions, aclexplode(coalesce(proacl, acldefault('f', proowner))) as a
    union all
    select nspname, 'schema', a.*
    from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) as a
    where nspname in ('public', 'private')
  ) as g
  left join pg_roles as r on r.oid = g.grantee
  where r.rolname is null or r.rolname in ('anon', 'authenticated', 'service_role');
"""


@pytest.fixture
def catalogue(house: House) -> Iterator[Catalogue]:
    """The first column of a query, which sees the views above."""
    with house.owner.transaction() as owner:
        owner.sql(VIEWS)

        def ask(query: LiteralString) -> list[Any]:
            return [next(iter(row.values())) for row in owner.sql(query)]

        yield ask


# ------------------------------------------------------------------------------ who may do what


def test_every_table_has_row_level_security(catalogue):
    assert not catalogue("select name from tables where not relrowsecurity")


def test_every_view_sees_what_its_reader_may_see(catalogue):
    assert not catalogue("""
      select name from relations
      where
        relkind = 'm'
        or relkind = 'v' and not 'security_invoker=on' = any (coalesce(reloptions, '{}'))
    """)


def test_every_policy_is_for_signed_in_people_to_read(catalogue):
    assert not catalogue("""
      select schemaname || '.' || tablename || ': ' || policyname from pg_policies
      where
        schemaname in ('public', 'private', 'realtime')
        and (roles <> '{authenticated}' or cmd <> 'SELECT' or permissive <> 'PERMISSIVE')
    """)


def test_no_table_asks_two_policies_for_one_reader(catalogue):
    assert not catalogue("""
      select schemaname || '.' || tablename from pg_policies
      where schemaname in ('public', 'private')
      group by schemaname, tablename
      having count(*) > 1
    """)


def test_policies_call_functions_once_for_a_query_not_for_every_row(house):
    for name, condition, _ in policies(house):
        assert not list(nodes(condition, ast.FuncCall, outside=ast.SubLink)), name
        for call in nodes(condition, ast.FuncCall):
            assert not list(nodes(call.args, ast.ColumnRef)), name


def test_policies_look_for_what_leads_an_index(house):
    for name, condition, leading in policies(house):
        compared = {
            column[-1].sval
            for comparison in nodes(condition, ast.A_Expr, outside=ast.SubLink)
            for side in (comparison.lexpr, comparison.rexpr)
            if (column := getattr(side, "fields", None))
        }
        assert not compared or compared & set(leading), name


def policies(house: House) -> list[tuple[str, Any, list[str]]]:
    """Those of our tables: name, parsed condition, the columns that lead an index of the table."""
    found = house.owner.sql("""
      select
        p.tablename || ': ' || p.policyname as name,
        p.qual,
        array(
          select a.attname
          from pg_index as i
          join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
          where i.indrelid = format('%I.%I', p.schemaname, p.tablename)::regclass
        ) as leading
      from pg_policies as p
      where p.schemaname in ('public', 'private')
    """)
    return [
        (one["name"], parse_sql(f"select where {one['qual']}"), one["leading"]) for one in found
    ]


def test_nothing_exposed_runs_with_the_rights_of_its_owner(catalogue):
    assert not catalogue("select name from functions where schema = 'public' and prosecdef")


def test_every_function_has_an_empty_search_path(catalogue):
    assert not catalogue("""
      select name from functions where not coalesce(proconfig, '{}') @> array['search_path=""']
    """)


def test_nobody_holds_anything_through_public_and_anon_holds_nothing(house):
    assert not open_to_anybody(house)


def open_to_anybody(house: House) -> list[Any]:
    with house.owner.transaction() as owner:
        owner.sql(VIEWS)
        return owner.sql("""
          select name || ': ' || privilege_type || ' to ' || who as held from grants
          where who in ('public', 'anon') and not (kind = 'schema' and name = 'public')
        """)


def test_public_holds_doors_and_nothing_else(catalogue):
    assert not catalogue("""
      select name from relations where name like 'public.%'
      union all
      select format_type(oid, null) from pg_type where typnamespace = 'public'::regnamespace
    """)


# What reading doors and policies ask on their reader's behalf, and what every door may refuse with.
# A function more in this list is one more that a signed-in caller of SQL could call by itself.
WITHOUT_A_DOOR = {
    "authenticated": {
        *("caller_id", "clock", "entry_kinds", "may_hear", "my_communities", "my_id"),
        *("my_moderated_communities", "proposal_status", "refuse"),
        *("require_admitted", "require_choice", "require_declaration", "require_member"),
        *("require_member_today", "require_moderator", "require_page_size", "require_proposal"),
        *("require_seen", "require_week", "week_of"),
    },
    "service_role": {"caller_id", "clock", "refuse", "require_choice", "require_page_size"},
}


@pytest.mark.parametrize("role", WITHOUT_A_DOOR)
def test_clients_may_execute_the_kernel_of_their_doors_and_these(house, role):
    query = """
      select p.proname as name, d.oid is null as without_a_door
      from pg_proc as p
      left join pg_proc as d on d.pronamespace = 'public'::regnamespace and d.proname = p.proname
        and has_function_privilege(%(role)s, d.oid, 'execute')
      where
        p.pronamespace = 'private'::regnamespace
        and has_function_privilege(%(role)s, p.oid, 'execute')
    """
    found = house.owner.sql(query, role=role)
    assert {row["name"] for row in found if row["without_a_door"]} == WITHOUT_A_DOOR[role]
    assert len(found) > len(WITHOUT_A_DOOR[role])


def test_the_api_only_reads_tables(catalogue):
    assert not catalogue("""
      select name || ': ' || privilege_type || ' to ' || who from grants
      where
        kind = 'S'
        or kind = 'schema' and privilege_type <> 'USAGE'
        or kind not in ('S', 'schema', 'function') and privilege_type <> 'SELECT'
    """)


def test_every_door_is_for_people_or_for_the_service_never_for_both(catalogue):
    assert not catalogue("""
      select f.name from functions as f
      left join grants as g on g.kind = 'function' and g.name = f.name
      where f.schema = 'public'
      group by f.name
      having count(g.who) <> 1
    """)


def test_what_postgres_makes_tomorrow_is_closed(house):
    assert not open_tomorrow(house)


def open_tomorrow(house: House) -> list[Any]:
    with house.owner.transaction() as owner:
        owner.sql(VIEWS)
        owner.sql("""
          create table public.tomorrow (id bigint generated always as identity);
          create view public.tomorrow_seen as select;
          create sequence public.tomorrow_counts;
          create function public.tomorrow() returns void language sql return null;
          create function private.tomorrow() returns void language sql return null;
        """)
        found: list[Any] = owner.sql("select * from grants where name like '%tomorrow%'")
        return found


def test_realtime_tells_only_what_people_may_read(catalogue):
    assert not catalogue("""
      select schemaname || '.' || tablename from pg_publication_tables
      where
        pubname = 'supabase_realtime'
        and (
          not has_table_privilege('authenticated', format('%I.%I', schemaname, tablename), 'select')
          or tablename ~ 'balance|ledger|ballot'
        )
    """)


# ------------------------------------------------------------------------------ the contract


def test_the_doors_of_the_contract_stand_open_to_whom_they_are_for(house):
    open_to = {
        role: {
            row["proname"]
            for row in house.owner.sql(
                """
                select proname from pg_proc
                where
                  pronamespace = 'public'::regnamespace
                  and has_function_privilege(%(role)s, oid, 'execute')
                """,
                role=role,
            )
        }
        for role in ("authenticated", "service_role")
    }
    closed = FOR_PEOPLE.keys() - open_to["authenticated"]
    assert not closed
    closed_to_the_service = FOR_THE_SERVICE.keys() - open_to["service_role"]
    assert not closed_to_the_service
    assert not open_to["authenticated"] & FOR_THE_SERVICE.keys()


def test_every_door_has_the_arguments_of_the_contract(house):
    doors = house.owner.sql("""
      select
        p.proname as name,
        coalesce(p.proargnames[:p.pronargs], '{}') as names,
        array(
          select pg_get_function_arg_default(p.oid, n) from generate_series(1, p.pronargs) as n
        ) as defaults,
        p.prorettype::regtype::text as answer
      from pg_proc as p
      where p.pronamespace = 'public'::regnamespace
    """)
    for door in doors:
        promised = defaults((FOR_PEOPLE | FOR_THE_SERVICE).get(door["name"], ""))
        has = dict(zip(door["names"], map(bare, door["defaults"]), strict=True))
        assert promised.items() <= has.items(), door["name"]
        assert None not in (has[more] for more in has.keys() - promised.keys()), door["name"]
        assert door["answer"] in ("json", "jsonb"), door["name"]


def bare(default: str | None) -> str | None:
    """`NULL::uuid` as `null`, `'UTC'::text` as `'UTC'`; None where there is no default."""
    value = default and default.partition("::")[0]
    return "null" if value == "NULL" else value


def test_one_name_is_one_function(catalogue):
    assert not catalogue("""
      select schema || '.' || proname from functions group by schema, proname having count(*) > 1
    """)


# ------------------------------------------------------------------------------ words and names


def test_every_door_says_what_it_does_then_what_it_answers(catalogue):
    assert not catalogue(r"""
      select name from functions
      where schema = 'public' and (comment is null or comment !~ '^[^\n]+\.\n\n\S')
    """)


def test_everything_else_says_what_it_is(catalogue):
    """But for a function that is its door's twin: the door has said it."""
    assert not catalogue("""
      select name from functions as f
      where
        comment is null
        and not exists (
          select from functions as door where door.schema = 'public' and door.proname = f.proname
        )
      union all
      select name from relations where relkind in ('r', 'p', 'v', 'm') and comment is null
    """)


def test_no_comment_only_repeats_a_name(house):
    """`What send_message does.` says nothing; nor would `The purse of a day.` of purse_of_day."""
    with house.owner.transaction() as owner:
        owner.sql(VIEWS)
        said = owner.sql("""
          select name, proname as word, comment from functions where comment is not null
          union all
          select name, relname, comment from relations where comment is not null
        """)
    filling = {"what", "does", "answers", "the", "a", "an", "of", "is", "it", "and", "to", "s"}
    repeating = {
        one["name"]
        for one in said
        if set(re.findall(r"[a-z]+", one["comment"].lower()))
        <= filling | set(one["word"].split("_"))
    }
    assert not repeating


def test_arguments_are_bare_at_the_door_and_marked_inside(catalogue):
    assert not catalogue(r"""
      select name from functions, unnest(proargnames[1:pronargs]) as argument
      where argument like 'p\_%' <> (schema = 'private')
    """)


def test_names_are_lowercase(catalogue):
    assert not catalogue("""
      select name from functions where proname <> lower(proname)
      union all
      select name from relations where name <> lower(name)
    """)


def test_checks_and_keys_are_named_for_what_must_hold(catalogue):
    assert not catalogue(r"""
      select conname from pg_constraint
      where
        connamespace::regnamespace::text in ('public', 'private')
        and (contype = 'c' and conname ~ '_check\d*$' or contype = 'u' and conname ~ '_key\d*$')
    """)


def test_plain_indexes_are_named_for_the_columns_that_lead_them(catalogue):
    assert not catalogue(r"""
      select i.relname from relations as i
      join pg_index as x on x.indexrelid = i.oid
      join pg_class as t on t.oid = x.indrelid
      where
        not x.indisunique
        and x.indpred is null
        and not exists (
          select from generate_series(1, x.indnatts) as width
          where i.relname = t.relname || '_' || (
            select string_agg(a.attname, '_' order by k.n)
            from unnest(x.indkey) with ordinality as k (attnum, n)
            join pg_attribute as a on a.attrelid = t.oid and a.attnum = k.attnum
            where k.n <= width
          ) || '_idx'
        )
    """)


# ------------------------------------------------------------------------------ tables


def test_every_table_has_a_primary_key(catalogue):
    assert not catalogue("""
      select name from tables
      where not exists (select from pg_index where indrelid = tables.oid and indisprimary)
    """)


def test_every_foreign_key_leads_an_index(catalogue):
    assert not catalogue("""
      select f.conrelid::regclass || ': ' || f.conname from pg_constraint as f
      where
        f.contype = 'f'
        and f.connamespace::regnamespace::text in ('public', 'private')
        and not exists (
          select
          from
            pg_index as i,
            string_to_array(i.indkey::text, ' ') as indexed
          where
            i.indrelid = f.conrelid
            and indexed[:cardinality(f.conkey)]::int2 [] @> f.conkey
            -- An index of the rows that have the reference serves as well.
            and coalesce(pg_get_expr(i.indpred, i.indrelid) ~ '^[(][a-z_]+ IS NOT NULL[)]$', true)
        )
    """)


def test_what_belongs_to_a_community_names_it(catalogue):
    of_none = catalogue("""
      select name from tables
      where
        relname <> 'communities'
        and not exists (
          select from pg_attribute where attrelid = tables.oid and attname = 'community_id'
        )
    """)
    assert set(of_none) == OF_NO_COMMUNITY


def test_every_time_has_a_zone_and_no_text_is_padded(catalogue):
    assert not catalogue("""
      select t.name || '.' || a.attname from tables as t
      join pg_attribute as a on a.attrelid = t.oid
      join pg_type as y on y.oid = a.atttypid
      where y.typname in ('timestamp', 'time', 'money', 'char', 'bpchar')
    """)


def test_no_default_goes_round_the_clock(catalogue):
    assert not catalogue(r"""
      select t.name || '.' || a.attname from tables as t
      join pg_attribute as a on a.attrelid = t.oid
      join pg_attrdef as d on d.adrelid = t.oid and d.adnum = a.attnum
      where pg_get_expr(d.adbin, d.adrelid) ~* '\m(now|\w+_timestamp)\(|\mcurrent_|\mlocaltime'
    """)


# ------------------------------------------------------------------------------ bodies


def test_every_rule_about_time_asks_the_one_clock(catalogue):
    asked = catalogue(r"""
      select s.name
      from (
        select f.name, f.definition from functions as f
        union all
        select r.name, pg_get_viewdef(r.oid) from relations as r where r.relkind = 'v'
      ) as s
      where s.definition ~* '\m(now|\w+_timestamp)\(\)|\m(current_(date|time)|\w+timestamp)\M[^(]'
    """)
    assert set(asked) == ASK_THE_REAL_CLOCK


def test_nothing_is_refused_with_a_code_that_postgrest_tries_again(catalogue):
    assert not catalogue("""
      select name from functions where definition ~* '40001|serialization_failure'
    """)


def test_every_update_and_delete_says_which_rows(house):
    without = [
        function["name"]
        for function in bodies(house)
        for statement in writes(function["definition"])
        if not isinstance(statement, ast.InsertStmt) and statement.whereClause is None
    ]
    assert not without


def test_plpgsql_check_finds_nothing(house):
    assert not complaints(house)


def bodies(house: House) -> list[dict[str, Any]]:
    with house.owner.transaction() as owner:
        owner.sql(VIEWS)
        return owner.sql("select name, definition from functions")


def complaints(house: House, since: int = 0) -> list[str]:
    """What plpgsql_check says about every function newer than an oid, trigger functions too."""
    superuser = Caller(house=house, role="supabase_admin", login="supabase_admin")
    superuser.sql("create extension if not exists plpgsql_check with schema extensions")
    found = superuser.sql(
        """
        select concat_ws(' ', p.oid::regprocedure, 'line', c.lineno, c.message, c.detail) as said
        from pg_proc as p
        left join pg_trigger as t on t.tgfoid = p.oid and not t.tgisinternal
        cross join lateral extensions.plpgsql_check_function_tb(
          p.oid,
          coalesce(t.tgrelid, 0),
          fatal_errors => false,
          extra_warnings => true,
          security_warnings => true,
          oldtable => t.tgoldtable,
          newtable => t.tgnewtable
        ) as c
        where
          p.oid > %(since)s
          -- Of a trigger's function nothing can be said before there is the trigger.
          and (p.prorettype <> 'trigger'::regtype or t.oid is not null)
          and p.pronamespace::regnamespace::text in ('public', 'private')
          and p.prolang = (select l.oid from pg_language as l where l.lanname = 'plpgsql')
        """,
        since=since,
    )
    return [row["said"] for row in found]


# ------------------------------------------------------------------------------ the stairs


@pytest.fixture
def empty_house(server: Any) -> Iterator[House]:
    with server.clone(server.platform) as database:
        house = House(lambda login: server.cluster.url(database, login), frozenset())
        yield house
        house.close()


def test_a_room_speaks_only_to_rooms_below_it(empty_house):
    looking_up = []
    for room in ROOMS:
        (newest,) = empty_house.owner.sql("select max(oid::bigint) as oid from pg_proc")
        with empty_house.connection("postgres") as connection:
            connection.execute(room.read_bytes())
        looking_up += [f"{room.name}: {said}" for said in complaints(empty_house, newest["oid"])]
    assert not looking_up


def test_a_room_writes_only_its_own_tables():
    owners = owners_of_tables()
    foreign = {
        f"{room.name} writes {table}"
        for room in ROOMS
        for _, definition in statements(room, ast.CreateFunctionStmt)
        for statement in writes(definition)
        if owners.get(table := statement.relation.relname, room.name) != room.name
    }
    assert not foreign


def test_no_trigger_sits_on_the_table_of_another_room():
    """Auth's own tables have no room."""
    owners = owners_of_tables()
    foreign = {
        f"{room.name}: {trigger.trigname} on {trigger.relation.relname}"
        for room in ROOMS
        for trigger, _ in statements(room, ast.CreateTrigStmt)
        if trigger.relation.schemaname != "auth" and owners[trigger.relation.relname] != room.name
    }
    assert not foreign


THE_BOX = {"ballot_boxes", "ballots", "election_candidates", "election_electors"}


def test_nothing_outside_the_ballots_room_looks_inside_the_box():
    """What others need of it they ask of its functions (RULES 9.2)."""
    owners = owners_of_tables()
    (room,) = {owners[table] for table in THE_BOX}
    names = re.compile(rf"\b({'|'.join(THE_BOX)})\b")
    looking = {
        f"{other.name}: {text.splitlines()[0]}"
        for other in ROOMS
        if other.name != room
        for kind in (ast.CreateFunctionStmt, ast.ViewStmt)
        for _, text in statements(other, kind)
        if names.search(without_words(text))
    }
    assert not looking


def without_words(text: str) -> str:
    """What is said in quotes or comments names no table."""
    return re.sub(r"--.*|'[^']*'", "", text)


def owners_of_tables() -> dict[str, str]:
    return {
        statement.relation.relname: room.name
        for room in ROOMS
        for statement in nodes(parsed(room.read_text()), ast.CreateStmt)
    }


def statements(room: Path, kind: type) -> Iterator[tuple[Any, str]]:
    """Those of one kind, each with its text."""
    text = room.read_text()
    for raw in parsed(text):
        if isinstance(raw.stmt, kind):
            start = raw.stmt_location
            yield raw.stmt, text[start : start + raw.stmt_len].strip()


# ------------------------------------------------------------------------------ both modes


@pytest.fixture
def house_in(server):
    """A house in a project of one or the other mode, built from texts of rooms."""

    @contextmanager
    def build(mode: str, rooms: Iterable[str]) -> Iterator[House]:
        with server.clone(server.platform) as database:
            url = server.cluster.url(database, "supabase_admin")
            # A platform laid again leaves the defaults as they are, unless there are none.
            forget = [
                "-calter default privileges for role postgres in schema public"
                f" revoke all on {kind} from postgres, anon, authenticated, service_role"
                for kind in ("tables", "sequences", "functions")
            ]
            run_sql(url, *forget, f"-cset chas.platform = '{mode}'", "-f", PLATFORM)
            with psycopg.connect(server.cluster.url(database), autocommit=True) as connection:
                for room in rooms:
                    connection.execute(room.encode())
            house = House(lambda login: server.cluster.url(database, login), frozenset())
            yield house
            house.close()

    return build


TEXTS = [room.read_text() for room in ROOMS]


def test_both_modes_of_default_privileges_end_in_the_same_grants(house_in):
    def grants_in(mode: str) -> Any:
        with house_in(mode, TEXTS) as house, house.owner.transaction() as owner:
            owner.sql(VIEWS)
            return owner.sql("""
              select name, kind, who, privilege_type from grants
              union all
              select
                format('new %s in %s', d.defaclobjtype, d.defaclnamespace::regnamespace),
                'default', coalesce(r.rolname, 'public'), a.privilege_type
              from pg_default_acl as d, aclexplode(d.defaclacl) as a
              left join pg_roles as r on r.oid = a.grantee
              where d.defaclrole = 'postgres'::regrole
              order by 1, 2, 3, 4
            """)

    assert grants_in("hosted_old") == grants_in("hosted_new")


CLOSING = re.findall(r"^alter default privileges [^;]+;$", TEXTS[0], flags=re.MULTILINE)


def test_the_ground_closes_functions_tables_and_sequences():
    assert len(CLOSING) == 4


@pytest.mark.parametrize("line", CLOSING)
def test_without_a_closing_line_of_the_ground_these_tests_are_red(house_in, line):
    """What lets the rooms do without a `revoke` beside each function.

    Asked below the machinery, which lays again what is missing of it.
    """
    ground, *others = (text for room, text in zip(ROOMS, TEXTS, strict=True) if room.name < "9")
    with house_in("hosted_old", [ground.replace(line, ""), *others]) as house:
        assert open_to_anybody(house) or open_tomorrow(house)


def test_the_rooms_revoke_nothing_beside_a_function():
    revoking = {
        room.name
        for room in ROOMS
        for grant, _ in statements(room, ast.GrantStmt)
        if not grant.is_grant
    }
    assert not revoking


# ------------------------------------------------------------------------------ reading SQL


def parsed(text: str) -> Any:
    """Statements as PostgreSQL's own parser sees them, a raw node each."""
    return parse_sql(text)


def writes(definition: str) -> Iterator[Any]:
    """Every insert, update and delete inside a `create function` statement, parsed."""
    (raw,) = parsed(definition)
    options = {option.defname: option.arg for option in raw.stmt.options}
    body = definition if raw.stmt.sql_body else options["as"][0].sval
    tokens = [(token, body[token.start : token.end + 1].lower()) for token in scan(body)]
    words = ["", *(word for _, word in tokens), ""]

    for n, (token, word) in enumerate(tokens, start=1):
        locks = word == "update" and words[n - 1] in ("for", "key", "do")
        if (word == "update" and not locks) or (word, words[n + 1]) in WRITING:
            end = end_of_statement(tokens[n:])
            (written,) = parsed(body[token.start : end])
            yield written.stmt


WRITING = [("insert", "into"), ("delete", "from")]


def end_of_statement(tokens: list[tuple[Any, str]]) -> int | None:
    """Where a statement ends inside plpgsql: its `returning ... into` is not for SQL's parser."""
    depth = 0
    for token, word in tokens:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth < 0 or (depth == 0 and word in (";", "loop", "returning")):
            return int(token.start)
    return None


def nodes(tree: Any, kind: type, outside: type | tuple[()] = ()) -> Iterator[Any]:
    """Every node of a kind that is not below a node of another."""
    if isinstance(tree, list | tuple):
        for branch in tree:
            yield from nodes(branch, kind, outside)
    elif isinstance(tree, ast.Node) and not isinstance(tree, outside):
        if isinstance(tree, kind):
            yield tree
        for member in tree:
            yield from nodes(getattr(tree, member), kind, outside)
