"""CHAS shares its database with others: it takes nothing of theirs, and stands when they falter
(RULES 11.2, 14.3)."""

import threading
import time
from contextlib import contextmanager
from typing import Any

import pytest
from losses import LOSSES, superuser
from people import Caller

WELL: dict[str, Any] = {"mended": [], "missing": []}


@pytest.fixture
def admin(house):
    return superuser(house)


@pytest.fixture
def auth(house):
    return Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")


# ------------------------------------------------------------------------------ theirs is theirs


def test_mend_leaves_jobs_tables_and_triggers_of_others(house, admin, service):
    admin.sql("create table public.theirs (id bigint primary key)")
    admin.sql("alter publication supabase_realtime add table public.theirs")
    admin.sql("select cron.schedule('theirs', '5 4 * * *', 'select 1')")
    admin.sql("""
        create function public.theirs() returns trigger language plpgsql as
        'begin return null; end'
    """)
    admin.sql("create trigger theirs after insert on auth.users execute function public.theirs()")
    for loss in LOSSES.values():
        admin.sql(loss)
    assert service.mend()["missing"] == []

    (job,) = admin.read("cron.job", jobname="theirs")
    assert (job["schedule"], job["active"]) == ("5 4 * * *", True)
    assert admin.read("pg_catalog.pg_publication_tables", tablename="theirs")
    assert admin.read("pg_catalog.pg_trigger", tgname="theirs")


def test_a_publication_of_all_tables_is_left_as_it_is(admin, service):
    admin.sql("drop publication supabase_realtime")
    admin.sql("create publication supabase_realtime for all tables")
    assert service.get_health()["missing"] == []
    assert service.mend() == {"mended": [], "missing": []}
    assert admin.read("pg_catalog.pg_publication", pubname="supabase_realtime", puballtables=True)


# ------------------------------------------------------------------------------ Auth's own tables

# Whatever is not Auth's own and would stop an `alter table … alter column` or `drop column` there.
LEANING = """
    select pg_describe_object(d.classid, d.objid, d.objsubid) as what
    from pg_depend as d
    join pg_class as c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
    where c.relnamespace = 'auth'::regnamespace and (
      d.classid in ('pg_proc'::regclass, 'pg_rewrite'::regclass)
      or d.classid in ('pg_trigger'::regclass, 'pg_policy'::regclass) and d.refobjsubid > 0
    )
    union all
    select conname::text from pg_constraint
    where connamespace = 'private'::regnamespace and confrelid in (
      select oid from pg_class where relnamespace = 'auth'::regnamespace
    )
"""


def test_nothing_of_the_house_leans_on_a_column_of_auth(admin):
    assert admin.sql(LEANING) == []
    admin.sql("create view public.leaning as select email from auth.users")
    assert len(admin.sql(LEANING)) == 1


@pytest.mark.parametrize(
    "change",
    [
        "alter table auth.users alter column email type text",
        "alter table auth.users alter column phone type varchar(15)",
        "alter table auth.users add column new_thing jsonb not null default '{}'",
        "alter table auth.users drop column reauthentication_token",
        "alter table auth.users alter column role type text, alter column aud type text",
    ],
)
def test_auth_changes_its_tables_and_the_house_goes_on(auth, house, asha, bram, service, change):
    auth.sql(change)
    zoe = house.admit(house.sign_up("zoe@chas.test", "Zoe"))
    assert zoe.get_me()["display_name"] == "Zoe"
    auth.sql("delete from auth.users where id = %(id)s", id=bram.id)
    assert service.get_health()["missing"] == []


# ------------------------------------------------------------------------------ Realtime falters

FALTERING = {
    "no schema": "drop schema realtime cascade",
    "no function": "drop function realtime.send",
    "no partition": """
        do $$
        declare
          v_name text;
        begin
          for v_name in select inhrelid::regclass from pg_inherits
            where inhparent = 'realtime.messages'::regclass
          loop
            execute 'drop table ' || v_name;
          end loop;
        end $$
    """,
    "closed to us": (
        "revoke all on function realtime.send from public, postgres, supabase_realtime_admin"
    ),
    "it raises": """
        create or replace function realtime.send(
          payload jsonb, event text, topic text, private boolean default true
        ) returns void language plpgsql as 'begin raise ''broken''; end'
    """,
}


def acts(rain, asha, bram):
    """What people do all day; each of it is told on a topic or on several."""
    joy = asha.declare_joy(community_id=rain, title="A joy", cc_spent=2)["declaration"]
    yield "declare"
    bram.witness_declaration(declaration_id=joy["id"])
    yield "witness"
    asha.send_message(community_id=rain, content="Hello")
    yield "send"
    request = bram.request_borrow(community_id=rain, lender_id=asha.id, amount=3, reason="For tea")[
        "borrow_request"
    ]
    yield "ask"
    asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    yield "lend"
    bram.propose_tip_to_tip(community_id=rain, title="The sea", stake_amount=3)
    yield "propose"


@pytest.mark.parametrize("how", FALTERING)
def test_every_act_succeeds_while_realtime_falters(admin, house, rain, asha, bram, how):
    admin.sql(FALTERING[how])
    assert len(list(acts(rain, asha, bram))) == 6
    assert house.books(rain)["balanced"]
    told = []
    with asha.transaction() as inside:
        inside.inside.add_notice_handler(lambda notice: told.append(notice.severity))
        inside.send_message(community_id=rain, content="Is anybody there?")
    assert told
    assert set(told) == {"WARNING"}


def test_without_realtime_health_names_its_policy(admin, service):
    admin.sql("drop schema realtime cascade")
    gone = ["policy people_hear_their_topics on realtime.messages"]
    assert service.get_health()["missing"] == gone
    assert service.mend() == {"mended": [], "missing": gone}


@contextmanager
def locked(admin):
    """As when Realtime makes its partitions, for as long as the block lasts."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with admin.transaction() as inside:
            inside.sql("lock table realtime.messages in access exclusive mode")
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_lock_on_realtime_keeps_no_act_for_more_than_half_a_second(
    admin, rain, asha, bram, record_property
):
    usual = timed(acts(rain, asha, bram))
    with locked(admin):
        kept = timed(acts(rain, bram, asha))
    longest = max(kept[act] - usual[act] for act in usual)
    record_property("ms the longest an act was kept by a lock on Realtime", int(longest * 1000))
    assert longest > 0.3, "the lock was not in the way"
    assert longest < 0.6


def timed(steps):
    taken, begun = {}, time.monotonic()
    for step in steps:
        taken[step] = time.monotonic() - begun
        begun = time.monotonic()
    return taken
