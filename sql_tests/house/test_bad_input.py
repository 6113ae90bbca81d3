"""Every door, asked for nonsense through PostgREST: what is refused is refused in order.

Never a 5xx. What cannot even become the arguments of the function keeps PostgREST's own 4xx; what
the function sees gets a code of RULES 12; and what was refused leaves every row as it was.

CHAS_CALLS says how many calls are tried, here 1500; `make soak` tries 20,000 and more.
"""

import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest
from doors import FOR_PEOPLE, FOR_THE_SERVICE
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nonsense import BODIES, BY_TYPE, KINDS, LONG, ODD, QUOTES, SCRIPTS, WISHES, json_values, texts
from people import STATUS_OF, Caller, House, Member
from psycopg import sql
from rest import Rest, everything
from world import IN_ORDER, NOW, World

CALLS = int(os.environ.get("CHAS_CALLS", "1500"))
# Last those after which nobody might be left to call the others.
EMPTYING = {"erase_user", "leave_community", "remove_member", "suspend_person"}
DOORS = sorted(FOR_PEOPLE | FOR_THE_SERVICE, key=lambda door: (door in EMPTYING, door))
ENOUGH = 1000

Arguments = dict[str, Any]


# ------------------------------------------------------------------------------ the town


class Town:
    """Two communities behind PostgREST, and what has come of the calls."""

    def __init__(self, house: House, rest: Rest) -> None:
        self.house = house
        self.rest = rest
        self.hill, self.rain = World(house, "Hill"), World(house, "Rain")
        self.people: dict[str, Caller] = {
            "member": self.rain.member,
            "council": self.rain.council,
            "moderator": self.rain.moderator,
            "neighbour": self.hill.moderator,
            "banned": self.rain.banned,
            "outsider": house.admit(house.sign_up("sol@chas.test", "Sol")),
            "unadmitted": house.sign_up("uma@chas.test", "Uma"),
            "anon": house.anon,
            "service": house.service,
        }
        self.doors = {
            row["name"]: dict(zip(row["names"], row["types"], strict=True))
            for row in house.owner.sql("""
              select
                proname as name,
                coalesce(proargnames[:pronargs], '{}') as names,
                array(select format_type(t, null) from unnest(proargtypes) as t) as types
              from pg_proc where pronamespace = 'public'::regnamespace
            """)
        }
        (invite,) = house.service.mint_invites()["invites"]
        worlds = (self.rain, self.hill)
        people = [person.id for world in worlds for person in (*world.members, world.banned)]
        self.in_order: dict[str, list[Any]] = {name: [value] for name, value in IN_ORDER.items()}
        for name in self.rain.things:
            self.in_order[name] = [world.things[name] for world in worlds]
        for name in ("user_id", "lender_id", "candidate_id", "successor_id", "author_id"):
            self.in_order[name] = people
        self.in_order |= {
            "code": [invite["code"]],
            "invite_code": [world.code for world in worlds],
            "invite_id": [invite["id"]],
            "vote": ["accept", "decline"],
        }
        # Whatever has an id, for whoever asks for something else.
        self.ids = [value for known in self.in_order.values() for value in known]
        self.calls = 0
        self.state = everything(house)

    def newcomer(self) -> Member:
        address = f"{uuid.uuid4().hex}@chas.test"
        person = self.house.admit(self.house.sign_up(address, "Newcomer"))
        person.join_community(invite_code=self.rain.code)
        return person

    def settle(self) -> None:
        self.state = everything(self.house)

    def audit(self) -> None:
        """By the house's own proof: nobody may be left who could ask for it."""
        for world in (self.rain, self.hill):
            prove = "select private.prove_books(%(id)s) as books"
            (proof,) = self.house.owner.sql(prove, id=world.community)
            assert proof["books"]["balanced"], proof


@pytest.fixture(scope="module")
def towns(server, template, tmp_path_factory):
    """Gives a town; a new one when the last has grown old, and with it slow to look through."""
    with ExitStack() as standing:
        towns: list[Town] = []

        def town() -> Town:
            if not towns or towns[-1].calls >= ENOUGH:
                standing.close()
                towns.append(build())
            return towns[-1]

        def build() -> Town:
            database = server.copy(template, "town")
            house = House(lambda login: server.cluster.url(database, login), frozenset())
            standing.callback(house.close)
            house.clock.at(NOW)
            rest = standing.enter_context(Rest.serving(house, tmp_path_factory.mktemp("town")))
            return Town(house, rest)

        yield town


# ------------------------------------------------------------------------------ the calls


@st.composite
def calls(draw: st.DrawFn, town: Town, door: str) -> tuple[str, str, Arguments]:
    """Who, by which method, with what: in order but for a thing or two."""
    ours = "service" if door in FOR_THE_SERVICE else "member"
    who = draw(st.sampled_from([ours] * 6 + ["moderator", "council", *town.people]))
    types = town.doors[door]
    arguments = {
        name: draw(st.sampled_from(town.in_order[name])) for name in types if name in town.in_order
    }
    for name in draw(st.lists(st.sampled_from([*types, ""]), max_size=2)):
        if name:
            arguments[name] = draw(nonsense(town, types[name]))
        elif draw(st.booleans()):
            arguments[draw(texts)] = draw(json_values)
        else:
            arguments.pop(next(iter(arguments), ""), None)
    if draw(st.integers(0, 9)):
        return who, "POST", arguments
    return who, "GET", {in_an_address(n): in_an_address(v) for n, v in arguments.items()}


def nonsense(town: Town, type_: str) -> st.SearchStrategy[Any]:
    kinds = [BY_TYPE[type_], BY_TYPE[type_], json_values, st.sampled_from(town.ids)]
    if type_ == "text":
        kinds += [st.sampled_from(ODD), st.sampled_from(LONG)]
    return st.one_of(kinds)


def ask(town: Town, who: str, method: str, door: str, arguments: Arguments) -> httpx.Response:
    person = town.people[who]
    if method == "GET":
        return town.rest.ask("GET", f"/rpc/{door}", person, params=arguments)
    json_header = {"Content-Type": "application/json"}
    body = body_of(arguments)
    return town.rest.ask("POST", f"/rpc/{door}", person, content=body, headers=json_header)


def body_of(arguments: Arguments) -> str:
    """JSON knows greater numbers than Python's floats."""
    text = json.dumps(arguments)
    return text.replace('"@1e400@"', "1e400").replace('"@1E+1000000@"', "1E+1000000")


def in_an_address(value: Any) -> str:
    """Text, UTF-8, and not too long for an address."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace").decode()[:500]


def judge(town: Town, who: str, method: str, door: str, arguments: Arguments) -> str:
    """What a call came to: an answer, or the code of its refusal."""
    answer = ask(town, who, method, door, arguments)
    told = f"{who}: {method} {door} {body_of(arguments)[:1000]} -> {answer.text[:1000]}"
    town.calls += 1
    if answer.status_code == 200:
        town.settle()
        return "answers"

    assert 400 <= answer.status_code < 500, f"{answer.status_code}: {told}"
    said = answer.json()
    code = said["code"]
    if code in STATUS_OF:
        assert answer.status_code == STATUS_OF[code], told
        assert said["message"].strip(), told
        assert isinstance(json.loads(said["details"]), dict), told
    elif code == "42501":
        role = town.people[who].role
        for_whom = "service_role" if door in FOR_THE_SERVICE else "authenticated"
        assert role != for_whom, told
    elif code == "25006":
        # A door that writes, asked by GET.
        assert (method, answer.status_code) == ("GET", 405), told
    else:
        known = code.startswith("PGRST") or code == complaint(town, door, arguments)
        assert known, f"neither PostgREST's own nor of RULES 12: {told}"
    assert everything(town.house) == town.state, f"refused, but not without a trace: {told}"
    return str(code)


def complaint(town: Town, door: str, arguments: Arguments) -> str | None:
    """What PostgreSQL says to these as arguments of the types the door has, before any function."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))
        for name, type_ in town.doors[door].items()
    ]
    convert = sql.SQL("select * from json_to_record({}) as _ ({})").format(
        sql.Literal(body_of(arguments)), sql.SQL(", ").join(columns)
    )
    try:
        town.house.owner.sql(convert)
    except psycopg.Error as error:
        return error.sqlstate
    return None


# ------------------------------------------------------------------------------ the proof


def test_no_body_and_no_header_breaks_a_door(towns, record_property):
    town = towns()
    asked: list[tuple[str, bytes, dict[str, str]]]
    asked = [(kind, body, {}) for kind in KINDS for body in BODIES.values()]
    asked += [("application/json", b"{}", {n: v}) for n, values in WISHES.items() for v in values]
    for kind, body, wishes in asked:
        for door in ("send_message", "update_community", "get_me", "nowhere"):
            headers = {"Content-Type": kind, **wishes}
            answer = town.rest.ask(
                "POST", f"/rpc/{door}", town.rain.moderator, content=body, headers=headers
            )
            assert answer.status_code < 500, f"{door} {headers} {body[:60]!r}: {answer.text}"
            if answer.status_code >= 400:
                assert everything(town.house) == town.state
            town.settle()
    record_property("odd bodies and headers", 4 * len(asked))


def test_no_question_to_a_table_breaks_it(towns, record_property):
    town = towns()
    questions = [
        f"{column}={test}.{value}"
        for column in ("id", "community_id", "created_at", "'", "select")
        for test in ("eq", "like", "in", "fts", "cs", "not.is", "")
        for value in ("x", "(1,2", "{}", "%00", "%", "null", "9" * 40, "infinity", "'")
    ]
    questions += ["select=*,auth.users(*)", "select=users(*,communities(*))", "order=id.x"]
    questions += ["limit=-1", "offset=-1", "limit=99999999999999999999", "or=(", "select=id::text"]
    questions += ["select=now()", "select=id:pg_sleep(9)", "columns=x", "on_conflict=id"]
    for question in questions:
        answer = town.rest.ask("GET", f"/chat_messages?{question}", town.rain.member)
        assert answer.status_code < 500, f"{question}: {answer.text}"
    assert everything(town.house) == town.state
    record_property("odd questions to a table", len(questions))


# The argument that says it, the rest of the call, the table that keeps it.
SAID = {
    "send_message": ("content", {}, "chat_messages"),
    "declare_joy": ("title", {"cc_spent": 1}, "declarations"),
    "propose_tip_to_tip": ("title", {"stake_amount": 1}, "tip_to_tip_proposals"),
    "create_community": ("name", {}, "communities"),
    "update_me": ("display_name", {}, "users"),
}


# Line breaks, direction marks that embed, override or isolate, and the marks names are set in.
NOT_IN_A_NAME = re.compile("[\n\u202a-\u202e\u2066-\u2069“”]")


@pytest.mark.parametrize("door", SAID)
def test_words_come_back_as_they_were_said(towns, door):
    town = towns()
    name, others, table = SAID[door]
    here = {"community_id": town.rain.community} if "community_id" in town.doors[door] else {}
    for text in SCRIPTS + QUOTES:
        if name in ("name", "display_name") and NOT_IN_A_NAME.search(text):
            continue
        if name == "title" and "\n" in text:
            continue  # a title is one line
        # Each by somebody new, with a purse of their own.
        person = town.newcomer()
        answer = town.rest.call(person, door, **here, **others, **{name: text})
        assert text in words(answer.json()), answer.text
        assert text in {row[name] for row in person.read(table)}
    town.settle()


def words(answer: Any) -> set[str]:
    """Every text in an answer, at any depth."""
    if isinstance(answer, str):
        return {answer}
    inside = answer.values() if isinstance(answer, dict) else answer
    return set().union(*map(words, inside)) if isinstance(inside, Iterable) else set()


def test_no_door_is_forgotten(towns):
    assert towns().doors.keys() == set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_nonsense_is_refused_in_order(towns, door, record_property):
    town = towns()
    came_to: Counter[str] = Counter()

    @settings(
        max_examples=CALLS // len(DOORS),
        deadline=None,
        database=None,
        derandomize=CALLS < ENOUGH * 10,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(town, door))
    def every_call_is_judged(call: tuple[str, str, Arguments]) -> None:
        who, method, arguments = call
        came_to[judge(town, who, method, door, arguments)] += 1

    every_call_is_judged()
    town.audit()
    assert came_to.total()
    record_property("calls of nonsense", came_to.total())
    record_property("of these refused, and nothing changed", came_to.total() - came_to["answers"])
