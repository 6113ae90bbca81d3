"""A community moves from one database of the Bureau into another (docs/scale.md)."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import psycopg
import pytest
from cluster import ROOT, Trouble
from flaws import assert_flawless
from move import connect, forget, move
from people import Caller, House, Member, Refusal, meanwhile, refused
from psycopg import sql
from rest import stand_still
from world import IN_ORDER, NOW, World

STEPS = ["ready", "held", "packed", "unpacked", "closed", "late rows: 0", "open"]
KEY = b"k" * 32
# Doors about money that settle a day when they may write; by GET they read.
OF_MONEY = (
    *("get_balance", "list_ledger", "audit_ledger", "preview_dawn", "list_loans", "get_sunset"),
    *("get_tip_to_tip", "list_tip_to_tips"),
)


@dataclass
class Bureau:
    """Two databases of one Bureau."""

    houses: tuple[House, House]

    def steps(self, community: str, back: bool = False) -> Iterator[str]:
        old, new = (
            connect(house.address("postgres")) for house in self.houses[:: -1 if back else 1]
        )
        with old, new:
            yield from move(community, old, new)

    def move(self, community: str, back: bool = False) -> list[str]:
        return list(self.steps(community, back))

    def open_homes(self, community: str) -> list[House]:
        query = "select id from private.communities where id = %(id)s"
        return [house for house in self.houses if house.owner.sql(query, id=community)]


@pytest.fixture
def other(server, template, house):
    with server.clone(template) as database:
        other = House(lambda login: server.cluster.url(database, login), house.read_only_doors)
        yield other
        other.close()


@pytest.fixture
def bureau(house, other):
    """The first was there before there were two; the second already has people of its own."""
    house.clock.at(NOW)
    stand_still(house)
    stand_still(other)
    number(house, 0, KEY)
    number(other, 1, KEY)
    return Bureau((house, other))


def number(house: House, which: int, key: bytes | None = None) -> None:
    try:
        house.owner.sql("select private.number_database(%(n)s, %(key)s)", n=which, key=key)
    except psycopg.Error as error:
        if error.sqlstate != "PGRST":
            raise
        raise Refusal(error) from None


def import_accounts(old: House, new: House) -> None:
    """As an operator brings Auth's people from one project to the other."""
    auth = Caller(house=new, role="supabase_auth_admin", login="supabase_auth_admin")
    known = {row["id"] for row in auth.sql("select id from auth.users")}
    for user in old.owner.sql(
        "select to_jsonb(u) - 'confirmed_at' as row, id from auth.users as u"
    ):
        if user["id"] not in known:
            row = user["row"]
            auth.sql(
                sql.SQL(
                    "insert into auth.users ({0}) select {0} from"
                    " jsonb_populate_record(null::auth.users, %(row)s)"
                ).format(sql.SQL(", ").join(map(sql.Identifier, row))),
                row=psycopg.types.json.Jsonb(row),
            )


@pytest.fixture
def rain(bureau):
    """A community with a history, beside another; a third is in the house it will move to."""
    here, there = bureau.houses
    World(there, "Lake")
    World(here, "Hill")
    rain = World(here, "Rain")
    live_on(rain)
    import_accounts(here, there)
    return rain


def live_on(rain: World) -> None:
    """Days with editions, somebody erased, a call with a request_id, lines unread."""
    house = rain.house
    here = {"community_id": rain.community}
    gone, late = rain._join("Gone"), rain._join("Late")
    gone.send_message(content="Of somebody gone", **here)
    for day in ("2026-03-16", "2026-03-17"):
        house.clock.at(f"{day} 06:00+00:00")
        joy = rain.member.declare_joy(title=f"Joy of {day}", cc_spent=3, **here)["declaration"]
        late.witness_declaration(declaration_id=joy["id"])
    house.service.erase_user(user_id=gone.id)
    while house.owner.sql("select private.go_on_erasing(private.clock()) as n")[0]["n"]:
        pass
    rain.things["request_id"] = str(uuid.uuid4())
    rain.things["said"] = rain.moderator.send_message(
        content="Once", request_id=rain.things["request_id"], **here
    )
    house.service.suspend_person(user_id=late.id, reason="Trouble")
    rain.things["late"] = late
    stand_still(house)


def readings(house: House, rain: World) -> dict[str, Any]:
    """What every door that reads answers to everybody, page by page where there are pages."""
    required = house.owner.sql("""
      select
        proname as name, proargnames as all,
        proargnames[:pronargs - pronargdefaults] as arguments
      from pg_proc where pronamespace = 'public'::regnamespace
        and has_function_privilege('authenticated', oid, 'execute')
    """)
    told: dict[str, Any] = {}
    for person in (*rain.members, rain.banned, rain.things["late"]):
        reader = replace(person, house=house).getting()
        for door in required:
            name = door["name"]
            if name not in (*house.read_only_doors, *OF_MONEY):
                continue
            given = {
                argument: rain.things.get(argument) or IN_ORDER.get(argument) or person.id
                for argument in door["arguments"] or []
            }
            pages: list[Any] = []
            try:
                if "before_id" in (door["all"] or []):
                    pages = all_pages(getattr(reader, name), given)
                else:
                    pages = [getattr(reader, name)(**given)]
            except Refusal as refusal:
                pages = [refusal.code]
            if name == "export_my_data" and "admission" in pages[0]:
                # An invite stays where it was minted.
                pages[0]["admission"]["invite_id"] = None
            told[f"{name} to {person.email}"] = pages
    return told


def all_pages(door: Callable[..., Any], given: dict[str, Any]) -> list[Any]:
    pages, before = [], None
    while True:
        page = door(page_size=3, **given, **({"before_id": before} if before else {}))
        pages.append(page)
        if not page["has_more"]:
            return pages
        (rows,) = [rows for rows in page.values() if isinstance(rows, list)]
        # A Chamber's page has the oldest first.
        edge = min(rows, key=lambda row: row["id"]) if "messages" in page else rows[-1]
        before = edge.get("id", edge.get("number"))


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from differences(one[name], other[name], f"{place}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (this, that) in enumerate(zip(one, other, strict=True)):
            yield from differences(this, that, f"{place}[{number}]")
    elif one != other:
        yield f"{place}: {one} and {other}"


def rows_of(house: House, community: str) -> dict[str, list[str]]:
    """Every row of a community, as text."""
    tables = house.owner.sql("select name, home from private.moving_tables()")
    query = "select t::text as row from private.{} as t where t.{} = %(id)s order by 1"
    return {
        table["name"]: [
            row["row"]
            for row in house.owner.sql(
                sql.SQL(query).format(*map(sql.Identifier, (table["name"], table["home"]))),
                id=community,
            )
        ]
        for table in tables
    }


def ids_of(house: House) -> dict[str, list[int]]:
    """What the growing numbers of every table are, of all communities."""
    columns = house.owner.sql("""
      select attrelid::regclass::text as name, attname from pg_attribute
      where attidentity <> '' and attrelid::regclass::text ~ '^private[.]'
    """)
    query = "select {}::bigint as id from {}"
    return {
        column["name"]: [
            row["id"]
            for row in house.owner.sql(
                sql.SQL(query).format(
                    sql.Identifier(column["attname"]),
                    sql.Identifier(*column["name"].split(".")),
                )
            )
        ]
        for column in columns
        # A sealed item's place is its own edition's.
        if column["name"] != "private.gazette_items"
    }


# ------------------------------------------------------------------------------ the move


def test_a_community_moves_with_all_it_was(bureau, rain):
    here, there = bureau.houses
    told, rows, given = readings(here, rain), rows_of(here, rain.community), ids_of(here)
    assert sum(map(len, rows.values())) > 150
    assert all(rows[name] for name in ("loans", "bans", "absences", "ballots", "gazette_editions"))

    assert bureau.move(rain.community) == STEPS

    there.clock.at(here.clock.now)
    assert rows_of(there, rain.community) == rows
    assert not any(rows_of(here, rain.community).values())
    found = readings(there, rain)
    for door, answer in told.items():
        assert list(differences(found[door], answer)) == [], door
    assert len(told) > 100

    mina = replace(rain.moderator, house=there)
    assert mina.verify_gazette(community_id=rain.community)["holds"]
    assert mina.verify_gazette(community_id=rain.community)["editions"] >= 3
    for home in bureau.houses:
        assert_flawless(home)
    for table, numbers in ids_of(there).items():
        assert len(numbers) == len(set(numbers)), table
        assert not set(numbers) & set(ids_of(here)[table]), table
        assert set(given[table]) <= {*numbers, *ids_of(here)[table]}


def test_life_goes_on_in_the_new_home(bureau, rain):
    here, there = bureau.houses
    newest = rain.moderator.list_messages(community_id=rain.community)["messages"][-1]["id"]
    unread = rain.member.list_my_communities()["communities"][0]["unread"]
    bureau.move(rain.community)
    there.clock.at(here.clock.now)
    home = {"community_id": rain.community}
    mina, bram, chloe = (replace(person, house=there) for person in rain.members)

    (listed,) = bram.list_my_communities()["communities"]
    assert listed["unread"] == unread
    # A repeat is answered with what the first call made, in the old home.
    again = mina.send_message(content="Once", request_id=rain.things["request_id"], **home)
    assert again == rain.things["said"]

    # What comes after is greater, and paging forward brings it all.
    said = chloe.send_message(content="In the new home", **home)["message"]
    assert said["id"] > newest
    assert mina.list_messages(after_id=newest, **home)["messages"] == [said]
    bram.witness_declaration(declaration_id=rain.things["declaration_id"])
    election = bram.get_active_election(**home)["election"]
    if election:
        chloe.vote_election(election_id=election["id"], candidate_id=chloe.id)
    bram.declare_joy(title="Unpacked", cc_spent=4, **home)
    editions = mina.verify_gazette(**home)["editions"]
    for day in ("2026-03-18", "2026-03-19"):
        there.clock.at(f"{day} 06:00+00:00")
        there.owner.sql("select private.daily_reset(%(now)s)", now=there.clock.now)
        assert there.books(rain.community)["balanced"]
    assert mina.verify_gazette(**home)["editions"] == editions + 1
    assert mina.verify_gazette(**home)["holds"]
    assert_flawless(there)


def test_the_old_home_says_where_it_went_to_who_was_there(bureau, rain):
    here = bureau.houses[0]
    sol = here.admit(here.sign_up("sol@chas.test", "Sol"))
    bureau.move(rain.community)
    home = {"community_id": rain.community}
    for act in (
        lambda who: who.get_community(**home),
        lambda who: who.get_balance(**home),
        lambda who: who.send_message(content="Anybody?", **home),
        lambda who: who.declare_joy(title="Alone", cc_spent=1, **home),
        lambda who: who.list_messages(**home),
    ):
        with refused("NOT_FOUND", moved_to=1):
            act(rain.member)
        for somebody in (sol, rain.banned):
            with refused("NOT_FOUND") as refusal:
                act(somebody)
            assert refusal.facts == {}
    for thing in ("message_id", "declaration_id", "proposal_id", "election_id"):
        door = {"message_id": "get_message", "declaration_id": "get_declaration"}.get(
            thing, "get_election" if thing == "election_id" else "get_tip_to_tip"
        )
        with refused("NOT_FOUND"):
            getattr(rain.member, door)(**{thing: rain.things[thing]})
    with refused("NOT_FOUND"):
        sol.join_community(invite_code=rain.code)
    assert rain.member.list_my_communities()["communities"] == []
    assert rain.member.list_notifications()["notifications"] == []
    for job in ("daily_reset", "daily_sunset", "weekly_jashn", "election_close", "housekeeping"):
        later = "2026-04-01 12:00+00:00"
        here.owner.sql(sql.SQL("select private.{}(%(now)s)").format(sql.Identifier(job)), now=later)
    assert not any(rows_of(here, rain.community).values())


def test_it_comes_back_and_its_numbers_only_grow(bureau, rain):
    here, there = bureau.houses
    home = {"community_id": rain.community}
    seen = []
    for house, back in ((here, None), (there, False), (here, True), (there, False)):
        if back is not None:
            assert bureau.move(rain.community, back=back) == STEPS
        house.clock.at(here.clock.now)
        mina = replace(rain.moderator, house=house)
        seen.append(mina.send_message(content="Here", **home)["message"]["id"])
        import_accounts(there, here)
    assert seen == sorted(set(seen))
    assert len(seen) == 4
    assert [number % 1024 for number in seen[1:]] == [1, 0, 1]
    assert max(seen) < 2**53, "a number JavaScript can hold"
    assert bureau.open_homes(rain.community) == [there]
    with refused("NOT_FOUND", moved_to=1):
        rain.member.get_balance(**home)


# ------------------------------------------------------------------------------ killed on the way


@pytest.mark.parametrize("step", STEPS)
def test_who_is_killed_after_any_step_goes_on_by_beginning_again(bureau, rain, step):
    here, there = bureau.houses
    rows = rows_of(here, rain.community)
    steps = bureau.steps(rain.community)
    while next(steps) != step:
        pass
    hang_up(bureau)
    if step != "open":
        with pytest.raises(psycopg.Error):
            list(steps)

    # Whole in one of them, where people go on, or in the luggage of the new one; never in both.
    closed = STEPS.index(step) >= STEPS.index("closed")
    homes = bureau.open_homes(rain.community)
    assert homes == ([there] if step == "open" else [] if closed else [here])
    if homes == [here]:
        assert rows_of(here, rain.community) == rows
        rain.member.send_message(content="Still here", community_id=rain.community)
        rows = rows_of(here, rain.community)
    if step == "open":
        with pytest.raises(Trouble, match="moved there already"):
            bureau.move(rain.community)
    else:
        bureau.move(rain.community)
    assert bureau.open_homes(rain.community) == [there]
    assert rows_of(there, rain.community) == rows
    assert there.owner.read("luggage") == []


def hang_up(bureau: Bureau) -> None:
    """As the server sees it when the command is killed: its lines are dead."""
    for house in bureau.houses:
        admin = Caller(house=house, role="supabase_admin", login="supabase_admin")
        admin.sql("""
          select pg_terminate_backend(pid, 5000) from pg_stat_activity
          where datname = current_database() and application_name = 'chas move'
        """)


def test_a_move_that_is_not_to_be_finished_leaves_nothing_behind(bureau, rain):
    here, there = bureau.houses
    steps = bureau.steps(rain.community)
    while next(steps) != "packed":
        pass
    hang_up(bureau)
    assert there.owner.read("luggage")
    with connect(here.address("postgres")) as old, connect(there.address("postgres")) as new:
        forget(rain.community, old, new)
        assert there.owner.read("luggage") == []
        list(move(rain.community, old, new))
        with pytest.raises(Trouble, match="It has left"):
            forget(rain.community, old, new)


def test_a_command_killed_at_random_leaves_one_whole_home(bureau, rain):
    here, there = bureau.houses
    rows = rows_of(here, rain.community)
    kills = 0
    for tenths in count(3):
        command = subprocess.Popen(
            [sys.executable, ROOT / "supabase" / "local" / "move.py", rain.community],
            env=os.environ
            | {
                "CHAS_FROM": here.address("postgres"),
                "CHAS_TO": there.address("postgres"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        time.sleep(tenths * 0.04)
        command.send_signal(signal.SIGKILL)
        said, _ = command.communicate()
        kills += command.returncode == -signal.SIGKILL
        homes = bureau.open_homes(rain.community)
        assert len(homes) <= 1
        luggage = there.owner.read("luggage")
        assert homes or luggage, said
        for home in homes:
            assert rows_of(home, rain.community) == rows
        if homes == [there]:
            break
    assert kills


# ------------------------------------------------------------------------------ while people act


def test_no_act_is_lost_that_was_answered(bureau, rain):
    """People talk, declare, witness and mark while their community goes."""
    here, there = bureau.houses
    home = {"community_id": rain.community}
    over = False
    answered: list[tuple[str, Any]] = []
    joy = rain.moderator.declare_joy(title="Witness me", cc_spent=1, **home)["declaration"]["id"]

    def act(person: Member) -> None:
        for n in count():
            if over:
                return
            try:
                said = person.send_message(content=f"{n}", **home)["message"]["id"]
                answered.append(("message", said))
                marked = person.mark_chamber_read(message_id=said, **home)
                answered.append(("mark", (person.id, said, marked)))
                declared = person.declare_joy(title=f"{n}", cc_spent=1, **home)
                answered.append(("joy", declared["declaration"]["id"]))
                person.mute_notifications(type="witnessed", muted=n % 2 == 0, **home)
                answered.append(("mute", (person.id, n % 2 == 0)))
            except Refusal as refusal:
                if refusal.code == "NOT_FOUND":
                    return
                assert refusal.code in ("RATE_LIMITED", "INSUFFICIENT_CC"), refusal

    assert joy
    with ThreadPoolExecutor(3) as threads:
        acting = [threads.submit(act, person) for person in rain.members]
        time.sleep(0.3)
        assert bureau.move(rain.community)[-1] == "open"
        over = True
        for one in acting:
            one.result(timeout=30)

    assert len(answered) > 10
    there.clock.at(here.clock.now)
    lines = {row["id"] for row in there.owner.read("chat_messages", **home)}
    joys = {str(row["id"]) for row in there.owner.read("declarations", **home)}
    assert {made for what, made in answered if what == "message"} <= lines
    assert {made for what, made in answered if what == "joy"} <= joys
    marks = {
        str(row["user_id"]): row["last_read_id"]
        for row in there.owner.read("chamber_marks", **home)
    }
    for person in rain.members:
        mine = [made[1] for what, made in answered if what == "mark" and made[0] == person.id]
        assert marks[person.id] == max(mine)
        mutes = [made[1] for what, made in answered if what == "mute" and made[0] == person.id]
        muted = there.owner.read("notification_mutes", user_id=person.id, type="witnessed", **home)
        assert not mutes or bool(muted) == mutes[-1]
    assert not any(rows_of(here, rain.community).values())
    assert there.books(rain.community)["balanced"]
    assert_flawless(there)


def test_what_is_written_late_comes_after(bureau, rain):
    """Somebody who met the community before it left, and holds nothing of it, writes at last."""
    here, there = bureau.houses
    steps = bureau.steps(rain.community)
    row = {"community_id": rain.community, "job": "daily_reset", "retry_at": here.clock.now}
    with here.owner.transaction() as slow:
        slow.sql("select id from private.communities where id = %(id)s", id=rain.community)
        while next(steps) != "closed":
            pass
        slow.sql(
            "insert into private.job_troubles values (%(community_id)s, %(job)s, %(retry_at)s)",
            **row,
        )
        with meanwhile(lambda: list(steps)) as rest:
            time.sleep(0.3)
            assert not rest.done()
            assert slow.inside
            slow.inside.execute("commit")
    assert rest.result() == ["late rows: 1", "open"]
    assert len(there.owner.read("job_troubles", community_id=rain.community)) == 1
    assert not any(rows_of(here, rain.community).values())


# ------------------------------------------------------------------------------ what is refused


def test_nobody_moves_what_is_not_there_or_has_gone(bureau, rain, server, template):
    with pytest.raises(Trouble, match="no such community"):
        bureau.move(str(uuid.uuid4()))
    bureau.move(rain.community)
    with pytest.raises(Trouble, match="moved there already"):
        bureau.move(rain.community)
    with server.clone(template) as database:
        third = House(lambda login: server.cluster.url(database, login), frozenset())
        number(third, 2, KEY)
        with pytest.raises(Trouble, match="It has moved to database 1"):
            Bureau((bureau.houses[0], third)).move(rain.community)
        third.close()


def test_two_moves_of_one_community_are_one(bureau, rain):
    steps = bureau.steps(rain.community)
    assert next(steps) == "ready"
    with pytest.raises(Trouble, match="being moved just now"):
        bureau.move(rain.community)
    assert list(steps)[-1] == "open"


def test_everybody_needs_an_account_in_the_new_home(bureau, rain):
    here, there = bureau.houses
    nora = rain._join("Nora")
    with pytest.raises(Trouble, match=nora.id):
        bureau.move(rain.community)
    assert bureau.open_homes(rain.community) == [here]
    import_accounts(here, there)
    assert bureau.move(rain.community) == STEPS


def test_databases_of_one_bureau_have_numbers_and_a_key_of_their_own(house, other):
    bureau = Bureau((house, other))
    anything = str(uuid.uuid4())
    with pytest.raises(Trouble, match="Give both databases a number"):
        bureau.move(anything)
    number(house, 0)
    number(house, 0)
    with refused("CONFLICT", number=0):
        number(house, 1)
    with refused("CONFLICT"):
        number(house, 0, b"another")
    with refused("INVALID_INPUT"):
        number(other, 1024)
    number(other, 0)
    with pytest.raises(Trouble, match="Both databases have the number 0"):
        bureau.move(anything)


def test_a_house_in_use_is_number_nought(house, rain_of_asha):
    with refused("CONFLICT"):
        number(house, 1)
    number(house, 0)


def test_keys_and_tables_must_be_the_same(house, other):
    number(house, 0, KEY)
    number(other, 1, b"another")
    with pytest.raises(Trouble, match="different keys"):
        Bureau((house, other)).move(str(uuid.uuid4()))
    other.owner.sql("update private.settings set address_key = %(key)s where id", key=KEY)
    other.owner.sql("alter table private.loans add column extra text")
    with pytest.raises(Trouble, match="tables differ"):
        Bureau((house, other)).move(str(uuid.uuid4()))
    other.owner.sql("create sequence private.extra_seq")
    with pytest.raises(Trouble, match="extra_seq came since"):
        Bureau((house, other)).move(str(uuid.uuid4()))
    number(other, 1)
    with pytest.raises(Trouble, match="tables differ"):
        Bureau((house, other)).move(str(uuid.uuid4()))


@pytest.fixture
def rain_of_asha(house):
    asha = house.admit(house.sign_up("asha@chas.test", "Asha"))
    return asha.create_community(name="Rain")["community"]["id"]


# ------------------------------------------------------------------------------ its people


def test_erased_or_suspended_anywhere_is_so_in_the_new_home(bureau, rain):
    here, there = bureau.houses
    home = {"community_id": rain.community}
    mina, bram, chloe = rain.members
    bureau.move(rain.community)
    bureau.move(rain.community, back=True)
    # Known in both now. One is erased there, one here; a third is suspended here.
    there.service.erase_user(user_id=bram.id)
    while there.owner.sql("select private.go_on_erasing(private.clock()) as n")[0]["n"]:
        pass
    here.service.erase_user(user_id=chloe.id)
    here.service.suspend_person(user_id=mina.id, reason="Trouble")

    bureau.move(rain.community)
    there.clock.at(here.clock.now)
    while there.owner.sql("select private.go_on_erasing(private.clock()) as n")[0]["n"]:
        pass
    for gone in (bram, chloe):
        (person,) = there.owner.read("users", id=gone.id)
        assert person["display_name"] == "a former member"
        assert all(
            row["content"] == ""
            for row in there.owner.read("chat_messages", user_id=gone.id, **home)
        )
    with refused("INVITE_REQUIRED"):
        replace(mina, house=there).get_community(**home)


# ------------------------------------------------------------------------------ ids


def test_a_line_under_way_is_not_skipped_when_ids_jump(house, rain_of_asha):
    """Its position was locked before the jump, its id is taken after it (RULES 3.3)."""
    number(house, 0)
    home = {"community_id": rain_of_asha}
    asha, bram = (
        Member.of(house, row, {})
        for row in house.owner.sql("select id, email from auth.users order by email limit 1")
        for _ in range(2)
    )
    first = asha.send_message(content="First", **home)["message"]["id"]
    with house.owner.transaction() as slow:
        slow.sql("select private.next_line_id()")
        with house.owner.transaction() as writer:
            writer.sql("select private.lift_ids(private.id_marks())")
        later = bram.send_message(content="Later", **home)["message"]["id"]
        assert later > first + 2**32
        shown = asha.list_messages(after_id=first, **home)["messages"]
        assert shown == []
        slow.sql(
            "select private.post_message(%(c)s, %(u)s, 'message', 'Slow')",
            c=rain_of_asha,
            u=asha.id,
        )
        assert asha.list_messages(after_id=first, **home)["messages"] == []
    shown = asha.list_messages(after_id=first, **home)["messages"]
    assert [line["content"] for line in shown] == ["Later", "Slow"]
