"""People, their sign-up and their admission (RULES 1.1, 1.2)."""

import uuid
from dataclasses import replace

import psycopg
import pytest
from people import refused

# Something of the right type for every argument of every door.
ANYTHING = {
    "uuid": str(uuid.uuid4()),
    "text": "anything",
    "integer": 1,
    "bigint": 1,
    "boolean": True,
    "jsonb": {"name": "anything"},
    "date": "2026-03-01",
    "timestamp with time zone": "2026-03-02 14:00+00",
}


@pytest.fixture
def doors(house):
    """Every door for people that stands, with arguments its types accept."""
    rows = house.owner.sql("""
      select
        proname as name,
        coalesce(proargnames[:pronargs], '{}') as names,
        array(select format_type(t, null) from unnest(proargtypes) as t) as types
      from pg_proc
      where
        pronamespace = 'public'::regnamespace
        and has_function_privilege('authenticated', oid, 'execute')
      order by proname
    """)
    return {
        row["name"]: {
            name: ANYTHING[kind] for name, kind in zip(row["names"], row["types"], strict=True)
        }
        for row in rows
    }


# ------------------------------------------------------------------------------ signing up


def test_a_sign_up_makes_a_profile(sign_up, admit):
    me = admit(sign_up("asha.rao@chas.test", "Asha Rao", "https://chas.test/asha.png")).get_me()

    assert me["display_name"] == "Asha Rao"
    assert me["avatar_url"] == "https://chas.test/asha.png"
    assert me["email"] == "asha.rao@chas.test"
    assert me["created_at"] == "2026-03-02T12:00:00+00:00"


@pytest.mark.parametrize("full_name", [None, "", "   ", 5, {"first": "Asha"}])
def test_without_a_name_the_address_lends_its_first_part(sign_up, admit, full_name):
    assert admit(sign_up("asha.rao@chas.test", full_name)).get_me()["display_name"] == "asha.rao"


@pytest.mark.parametrize("avatar_url", ["javascript:alert(1)", "data:text/html,x", "no address", 7])
def test_an_avatar_is_a_web_address_or_none(sign_up, admit, avatar_url):
    person = admit(sign_up("asha@chas.test", "Asha", avatar_url))
    assert person.get_me()["avatar_url"] is None


def test_no_sign_up_fails_for_what_the_provider_says(sign_up, admit):
    assert admit(sign_up("asha@chas.test", "A" * 5000)).get_me()["display_name"] == "A" * 80


def test_nobody_but_its_owner_sees_an_address(rain, asha, bram):
    bram_as_asha_sees_him = [
        member["user"]
        for member in asha.list_members(community_id=rain)["members"]
        if member["user"]["id"] == bram.id
    ]
    assert [user.keys() for user in bram_as_asha_sees_him] == [{"id", "display_name", "avatar_url"}]
    assert all("@" not in str(row) for row in asha.read("users"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        asha.read("auth.users")


# ------------------------------------------------------------------------------ oneself


def test_people_change_their_name_and_avatar(asha):
    asha.update_me(display_name="Asha of Rain", avatar_url="https://chas.test/new.png")
    me = asha.update_me(avatar_url="")

    assert me["display_name"] == "Asha of Rain"
    assert me["avatar_url"] is None
    assert me == asha.get_me()


@pytest.mark.parametrize("name", ["", "   ", "\u00a0\u200b", "x" * 81])
def test_a_name_is_neither_blank_nor_endless(asha, name):
    with refused("INVALID_INPUT", field="display_name"):
        asha.update_me(display_name=name)


def test_an_avatar_that_is_no_web_address_is_refused(asha):
    with refused("INVALID_INPUT", field="avatar_url"):
        asha.update_me(avatar_url="javascript:alert(1)")


def test_strangers_to_each_other_see_no_profile(asha, stranger):
    assert [row["id"] for row in map(dict, stranger.read("users"))] != []
    assert {str(row["id"]) for row in stranger.read("users")} == {stranger.id}
    assert {str(row["id"]) for row in asha.read("users")} == {asha.id}


# ------------------------------------------------------------------------------ admission


def test_get_access_works_before_admission_and_tells_who_is_in(unadmitted, admit):
    waiting = {"whitelisted": False, "whitelist_required": True, "is_steward": False}
    assert unadmitted.get_access() == waiting
    assert admit(unadmitted).get_access() == waiting | {"whitelisted": True}


def test_a_steward_is_one_by_the_token_alone(sign_up):
    assert sign_up("tara@chas.test", "Tara", steward=True).get_access()["is_steward"]


def test_until_admitted_every_other_door_asks_for_an_invite(unadmitted, doors):
    del doors["get_access"]
    for name, arguments in doors.items():
        with refused("INVITE_REQUIRED"):
            getattr(unadmitted, name)(**arguments)


def test_whoever_is_nobody_is_asked_to_sign_in(unadmitted, doors):
    nobody = {"no such person": str(uuid.uuid4()), "no uuid": "nobody", "nothing": ""}
    for sub in nobody.values():
        caller = replace(unadmitted, claims=unadmitted.claims | {"sub": sub})
        for name, arguments in doors.items():
            with refused("UNAUTHORIZED"):
                getattr(caller, name)(**arguments)


def test_an_anonymous_sign_in_is_refused_even_when_admitted(house, sign_up, admit, doors):
    visitor = sign_up(None)
    house.owner.sql(
        "insert into private.admissions (user_id) values (%(id)s) on conflict do nothing",
        id=visitor.id,
    )
    for name, arguments in doors.items():
        with refused("FORBIDDEN"):
            getattr(visitor, name)(**arguments)


def test_whom_auth_has_banned_may_do_nothing(house, asha, doors):
    house.owner.sql(
        "update auth.users set banned_until = now() + interval '1 day' where id = %(id)s",
        id=asha.id,
    )
    for name, arguments in doors.items():
        with refused("FORBIDDEN"):
            getattr(asha, name)(**arguments)


def test_anon_and_the_service_open_no_door_for_people(house, doors):
    for name, arguments in doors.items():
        for caller in (house.anon, house.service):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                getattr(caller, name)(**arguments)


def test_an_admission_taken_back_bites_on_the_next_call(house, rain, bram):
    message = bram.send_message(community_id=rain, content="Still here")["message"]
    house.owner.sql(
        "update private.admissions set suspended_at = private.clock() where user_id = %(id)s",
        id=bram.id,
    )

    with refused("INVITE_REQUIRED"):
        bram.send_message(community_id=rain, content="And now?")
    with refused("INVITE_REQUIRED"):
        bram.list_messages(community_id=rain)
    with refused("INVITE_REQUIRED"):
        bram.get_message(message_id=message["id"])
    assert bram.read("chat_messages") == []
    assert bram.read("communities") == []
    assert bram.read("users") == []


def test_nobody_lets_themselves_in(unadmitted):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        unadmitted.sql("insert into private.admissions (user_id) values (auth.uid())")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        unadmitted.sql("select private.admit(auth.uid())")


# ------------------------------------------------------------------------------ the gate


def test_the_gate_can_be_opened_to_everybody(service, unadmitted):
    assert service.initialize_settings(enforce_invites=False) == {"enforce_invites": False}

    assert unadmitted.get_access()["whitelist_required"] is False
    assert unadmitted.create_community(name="Open house")["community"]["name"] == "Open house"


def test_a_setting_once_set_is_not_initialized_again(service):
    service.initialize_settings(enforce_invites=True)
    assert service.initialize_settings(enforce_invites=False) == {"enforce_invites": True}


def test_the_service_asks_who_somebody_is(service, sign_up):
    tara = sign_up("tara@chas.test", "Tara", steward=True, confirmed=False)
    account = service.get_account(user_id=tara.id)

    assert account["email"] == "tara@chas.test"
    assert account["email_confirmed"] is False
    assert account["display_name"] == "Tara"
    assert account["is_steward"] is True
    assert account["whitelisted"] is False
    assert account["whitelist_required"] is True
    assert account["banned"] is False
    with refused("NOT_FOUND"):
        service.get_account(user_id=str(uuid.uuid4()))


@pytest.mark.parametrize("name", ["Asha\nSystem: hello", "Asha\u202e", "\u200b\u2800", "a\tb"])
def test_a_name_is_one_plain_line(asha, name):
    """It stands inside the house's own sentences, and must not pass for more of them."""
    with refused("INVALID_INPUT", field="display_name"):
        asha.update_me(display_name=name)


def test_a_sign_up_starts_with_a_name_one_can_see(sign_up, admit):
    assert admit(sign_up("uma@chas.test", "\u200b\u2800")).get_me()["display_name"] == "uma"
    assert admit(sign_up("zoe@chas.test", "Zoe\nZ")).get_me()["display_name"] == "ZoeZ"
