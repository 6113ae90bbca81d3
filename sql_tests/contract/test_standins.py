"""Signing in and live updates, as unchanged clients find them on the local stack."""

import asyncio
import itertools
import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from cluster import ROOT
from keys import PUBLISHABLE, SECRET, Keys
from supabase import acreate_client, create_client
from supabase_auth.errors import AuthApiError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.contract

PASSWORD = "declared joy"  # the seed's, and never anywhere but here
VERSION = {"x-supabase-api-version": "2024-01-01"}
names = (f"guest{number}@example.org" for number in itertools.count())


# ------------------------------------------------------------------------------ helpers


class House:
    """The local stack, as its clients and its operator reach it."""

    def __init__(self, local: Any) -> None:
        self.stack = local
        self.place: Path = local.place
        self.auth = f"{local.url}/auth/v1"
        self.keys = Keys.kept_in(self.place / "keys.json")
        port = local.environment["CHAS_PG_PORT"]
        self.database = f"postgresql://supabase_admin@127.0.0.1:{port}/postgres"

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as admin:
            done = admin.execute(query, values)
            return done.fetchall() if done.description else []

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        headers = {"apikey": PUBLISHABLE} | options.pop("headers", VERSION)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.request(method, f"{self.auth}{path}", headers=headers, **options)

    def sign_in(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        said = {"email": email, "password": password}
        answer = self.ask("POST", "/token?grant_type=password", json=said)
        assert answer.status_code == 200, answer.text
        session: dict[str, Any] = answer.json()
        return session

    def refresh(self, token: str) -> Any:
        said = {"refresh_token": token}
        return self.ask("POST", "/token?grant_type=refresh_token", json=said)

    def newcomer(self) -> str:
        """Somebody new, confirmed, with the password of all."""
        email = next(names)
        said = {"email": email, "password": PASSWORD, "email_confirm": True}
        headers = {"apikey": SECRET}
        made = httpx.post(f"{self.auth}/admin/users", headers=headers, json=said)
        assert made.status_code == 200, made.text
        return email

    def letters(self, email: str) -> list[str]:
        """The links the local postman printed for an address."""
        log = (self.place / "Auth.log").read_text()
        return re.findall(rf"Letter to {re.escape(email)} .*: (http\S+)", log)

    def token(self, who: str, seconds: int) -> str:
        """A token of one's own making, for as long as one likes."""
        ((id_, email),) = self.sql("select id, email from auth.users where email = %s", who)
        user = {
            "id": id_,
            "email": email,
            "phone": "",
            "raw_app_meta_data": {},
            "raw_user_meta_data": {},
            "is_anonymous": False,
        }
        return self.keys.user_token(user, self.stack.url, seconds)

    def js(self, script: str) -> Any:
        """What `script` returns; it has `supabase`, `sign_in` and `until`."""
        given = {"ADDRESS": self.stack.url, "KEY": PUBLISHABLE, "PASSWORD": PASSWORD}
        head = "\n".join(f"const {name} = {json.dumps(value)}" for name, value in given.items())
        program = (self.place / "script.mjs").absolute()
        program.write_text(f"{PRELUDE}\n{head}\n{script}")
        node = "cd supabase && timeout 60 node --input-type=module"
        return json.loads(self.stack.shell(f"{node} < '{program}'"))


PRELUDE = """
import { createClient } from '@supabase/supabase-js'
const client = () => createClient(ADDRESS, KEY)
const sign_in = async (name) => {
  const one = client()
  const email = `${name}@example.org`
  const { error } = await one.auth.signInWithPassword({ email, password: PASSWORD })
  if (error) throw error
  return one
}
const until = async (what, seconds = 20) => {
  for (const end = Date.now() + seconds * 1000; !what(); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`)
    await new Promise((go) => setTimeout(go, 20))
  }
}
const status = (channel) => new Promise((go) =>
  channel.subscribe((said, error) => go([said, error?.message ?? null])))
const home = async (one) => (await one.rpc('list_my_communities')).data.communities[0].id
const done = (answer) => { console.log(JSON.stringify(answer)); process.exit(0) }
"""


@pytest.fixture(scope="module")
def house(stack) -> House:
    return House(stack)


@pytest.fixture(scope="module")
def rain(house: House) -> str:
    ((community,),) = house.sql("select id::text from private.communities where name = 'Rain'")
    return str(community)


class Socket:
    """One socket of Realtime, in the older serializer."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self._refs = itertools.count(1)

    def send(self, topic: str, event: str, payload: dict[str, Any]) -> str:
        ref = str(next(self._refs))
        said = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        self._wire.send(json.dumps(said))
        return ref

    def hear(self, seconds: float = 10) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._wire.recv(timeout=seconds))
        return heard

    def reply(self, ref: str) -> tuple[str, Any]:
        while (heard := self.hear())["ref"] != ref or heard["event"] != "phx_reply":
            pass
        return heard["payload"]["status"], heard["payload"]["response"]

    def join(self, topic: str, token: str | None, **config: Any) -> tuple[str, Any]:
        payload = {"config": {"private": True, **config}, "access_token": token}
        return self.reply(self.send(f"realtime:{topic}", "phx_join", payload))


@contextmanager
def socket(house: House, key: str = PUBLISHABLE) -> Iterator[Socket]:
    address = house.stack.url.replace("http", "ws") + "/realtime/v1/websocket"
    with connect(f"{address}?apikey={key}&vsn=1.0.0", proxy=None) as wire:
        yield Socket(wire)


# ------------------------------------------------------------------------------ signing in


def test_supabase_js_signs_in_calls_a_door_and_is_told_of_every_turn(house):
    told = house.js("""
      const supabase = client()
      const events = []
      supabase.auth.onAuthStateChange((event) => events.push(event))
      await until(() => events.length)
      const email = 'bram@example.org'
      const signed = await supabase.auth.signInWithPassword({ email, password: PASSWORD })
      const me = await supabase.rpc('get_me')
      const claims = await supabase.auth.getClaims()
      const { data: { user: asked } } = await supabase.auth.getUser()
      await supabase.auth.refreshSession()
      const renamed = await supabase.auth.updateUser({ data: { colour: 'blue' } })
      await supabase.auth.signOut()
      await until(() => events.includes('SIGNED_OUT'))
      const { user } = signed.data
      const shown = { claims: claims.data.claims, renamed: renamed.data.user }
      done({ user, me: me.data, asked, events, ...shown })
    """)
    assert told["events"] == [
        *("INITIAL_SESSION", "SIGNED_IN", "TOKEN_REFRESHED", "USER_UPDATED", "SIGNED_OUT"),
    ]
    assert told["user"]["id"] == told["asked"]["id"] == told["me"]["id"] == told["claims"]["sub"]
    assert told["user"]["identities"][0]["provider"] == "email"
    assert told["claims"]["role"] == "authenticated"
    assert told["claims"]["amr"][0]["method"] == "password"
    assert told["renamed"]["user_metadata"]["colour"] == "blue"


def test_supabase_py_signs_in_and_calls_a_door(house):
    client = create_client(house.stack.url, PUBLISHABLE)
    events: list[str] = []
    client.auth.on_auth_state_change(lambda event, _: events.append(event))
    signed = client.auth.sign_in_with_password({"email": "eli@example.org", "password": PASSWORD})
    me: Any = client.rpc("get_me").execute().data
    assert signed.user
    assert me["id"] == signed.user.id
    client.auth.refresh_session()
    client.auth.sign_out()
    assert events == ["SIGNED_IN", "TOKEN_REFRESHED", "SIGNED_OUT"]


@pytest.mark.parametrize(
    ("email", "password"), [("asha@example.org", "wrong"), ("nobody@example.org", PASSWORD)]
)
def test_a_wrong_password_and_a_stranger_are_answered_alike(house, email, password):
    client = create_client(house.stack.url, PUBLISHABLE)
    with pytest.raises(AuthApiError) as refused:
        client.auth.sign_in_with_password({"email": email, "password": password})
    assert (refused.value.code, refused.value.status) == ("invalid_credentials", 400)
    assert refused.value.message == "Invalid login credentials"


def test_errors_have_the_shape_of_the_version_that_is_asked_for(house):
    said = {"email": "asha@example.org", "password": "wrong"}
    new = house.ask("POST", "/token?grant_type=password", json=said)
    assert new.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert new.headers["x-supabase-api-version"] == "2024-01-01"
    old = house.ask("POST", "/token?grant_type=password", json=said, headers={})
    assert old.json() == {
        "code": 400,
        "error_code": "invalid_credentials",
        "msg": "Invalid login credentials",
    }
    assert new.headers["x-sb-error-code"] == old.headers["x-sb-error-code"]


def test_a_browser_may_ask_from_another_origin(house):
    asked = {
        "Origin": "http://127.0.0.1:5173",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "apikey,authorization,x-supabase-api-version",
    }
    before = httpx.options(f"{house.auth}/token?grant_type=password", headers=asked)
    assert before.status_code == 204
    assert before.headers["access-control-allow-origin"] == "*"
    answer = house.ask("POST", "/token?grant_type=password", json={}, headers=asked)
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-Supabase-Api-Version" in answer.headers["access-control-expose-headers"]


def test_without_a_key_or_with_a_bad_token_nobody_is_told_anything(house):
    assert httpx.get(f"{house.auth}/user").status_code == 401
    assert house.ask("GET", "/user", "not.a.token").json()["code"] == "bad_jwt"
    # The key of all is a token too, but no person's.
    assert house.ask("GET", "/user").json()["code"] == "bad_jwt"
    (key,) = httpx.get(f"{house.auth}/.well-known/jwks.json").json()["keys"]
    assert (key["alg"], "d" in key) == ("ES256", False)


def test_a_sign_up_is_confirmed_by_its_letter_once(house):
    email = next(names)
    said = {"email": email.upper(), "password": "a secret", "data": {"full_name": "Guest"}}
    signed = house.ask("POST", "/signup", json=said).json()
    assert (signed["email"], "access_token" in signed) == (email, False)
    assert signed["user_metadata"]["full_name"] == "Guest"
    refused = house.ask("POST", "/token?grant_type=password", json=said)
    assert refused.json()["code"] == "email_not_confirmed"

    (link,) = house.letters(email)
    opened = httpx.get(link)
    assert opened.status_code == 303
    told = parse_qs(urlsplit(opened.headers["location"]).fragment)
    assert told["type"] == ["signup"]
    me = house.ask("GET", "/user", told["access_token"][0]).json()
    assert (me["email"], bool(me["email_confirmed_at"])) == (email, True)
    assert house.sign_in(email, "a secret")["user"]["id"] == signed["id"]

    again = parse_qs(urlsplit(httpx.get(link).headers["location"]).fragment)
    assert again["error_code"] == ["otp_expired"]
    # Whoever tries a known address learns nothing.
    other = house.ask("POST", "/signup", json=said)
    assert other.status_code == 200
    assert (other.json()["identities"], other.json()["id"] == signed["id"]) == ([], False)


def test_the_house_makes_a_profile_and_waits_for_an_invite(house):
    token = house.sign_in(house.newcomer())["access_token"]
    asked = house.stack.client(token).rpc("get_access").execute().data
    assert asked["whitelisted"] is False


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"email": "short@example.org", "password": "12345"}, 422, "weak_password"),
        ({"email": "long@example.org", "password": "x" * 73}, 400, "validation_failed"),
        ({"email": "none@example.org"}, 400, "validation_failed"),
        ({"email": "no address", "password": PASSWORD}, 400, "validation_failed"),
        ({}, 422, "anonymous_provider_disabled"),
    ],
)
def test_a_bad_sign_up_is_refused(house, said, status, code):
    answer = house.ask("POST", "/signup", json=said)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_forgotten_password_is_set_anew_by_letter(house):
    email = house.newcomer()
    assert house.ask("POST", "/recover", json={"email": email}).json() == {}
    (link,) = house.letters(email)
    told = parse_qs(urlsplit(httpx.get(link).headers["location"]).fragment)
    token = told["access_token"][0]
    same = house.ask("PUT", "/user", token, json={"password": PASSWORD})
    assert same.json()["code"] == "same_password"
    house.ask("PUT", "/user", token, json={"password": "another joy"}).raise_for_status()
    assert house.sign_in(email, "another joy")


def test_a_new_address_is_in_force_once_its_letter_is_opened(house):
    old, new = house.newcomer(), next(names)
    token = house.sign_in(old)["access_token"]
    asked = house.ask("PUT", "/user", token, json={"email": new}).json()
    assert (asked["email"], asked["new_email"]) == (old, new)
    (link,) = house.letters(new)
    httpx.get(link)
    assert house.sign_in(new)["user"]["identities"][0]["email"] == new


# ------------------------------------------------------------------------------ sessions


def test_refresh_tokens_rotate_and_a_lost_answer_is_given_again(house):
    first = house.sign_in(house.newcomer())
    second = house.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    again = house.refresh(first["refresh_token"]).json()
    assert again["refresh_token"] == second["refresh_token"]
    claims = [house.keys.read(one["access_token"]) for one in (first, second, again)]
    assert len({claim["session_id"] for claim in claims}) == 1
    assert claims[0]["amr"] == claims[1]["amr"]
    assert house.refresh("nonsense").json()["code"] == "refresh_token_not_found"


def test_a_stolen_refresh_token_ends_the_session_for_thief_and_owner(house):
    first = house.sign_in(house.newcomer())
    second = house.refresh(first["refresh_token"]).json()
    third = house.refresh(second["refresh_token"]).json()
    house.sql(
        "update auth.refresh_tokens set updated_at = now() - interval '11 s' where token = %s",
        first["refresh_token"],
    )
    stolen = house.refresh(first["refresh_token"])
    assert stolen.json() == {
        "code": "refresh_token_already_used",
        "message": "Invalid Refresh Token: Already Used",
    }
    # The owner's newest was revoked just now; a moment later it earns nothing either.
    house.sql("update auth.refresh_tokens set updated_at = updated_at - interval '11 s'")
    assert house.refresh(third["refresh_token"]).status_code == 400


def test_signing_out_ends_the_sessions_it_names(house):
    email = house.newcomer()
    here, there = house.sign_in(email), house.sign_in(email)

    def code(session: dict[str, Any]) -> str | None:
        said: str | None = house.ask("GET", "/user", session["access_token"]).json().get("code")
        return said

    assert house.ask("POST", "/logout?scope=others", here["access_token"]).status_code == 204
    assert (code(here), code(there)) == (None, "session_not_found")
    assert house.refresh(there["refresh_token"]).json()["code"] == "refresh_token_not_found"
    assert house.ask("POST", "/logout?scope=global", here["access_token"]).status_code == 204
    assert code(here) == "session_not_found"


def test_a_new_password_ends_the_other_sessions(house):
    email = house.newcomer()
    here, there = house.sign_in(email), house.sign_in(email)
    house.ask("PUT", "/user", here["access_token"], json={"password": "another joy"})
    assert house.ask("GET", "/user", here["access_token"]).status_code == 200
    assert house.ask("GET", "/user", there["access_token"]).json()["code"] == "session_not_found"


def test_make_token_is_a_session_like_any_other(house):
    token = house.stack.token("Asha")
    assert house.ask("GET", "/user", token).json()["email"] == "asha@example.org"


# ------------------------------------------------------------------------------ the admin


def test_the_admin_makes_finds_changes_bans_and_deletes(house):
    admin = create_client(house.stack.url, SECRET).auth.admin
    email = next(names)
    made = admin.create_user(
        {
            "email": email,
            "password": PASSWORD,
            "email_confirm": True,
            "user_metadata": {"full_name": "Made"},
            "app_metadata": {"chas_role": "steward"},
        }
    ).user
    session = house.sign_in(email)
    assert session["user"]["app_metadata"]["chas_role"] == "steward"
    with pytest.raises(AuthApiError) as taken:
        admin.create_user({"email": email, "password": PASSWORD})
    assert taken.value.code == "email_exists"
    assert made.id in [user.id for user in admin.list_users(page=1, per_page=500)]

    admin.update_user_by_id(made.id, {"ban_duration": "24h"})
    said = {"email": email, "password": PASSWORD}
    assert house.ask("POST", "/token?grant_type=password", json=said).json()["code"] == (
        "user_banned"
    )
    assert house.refresh(session["refresh_token"]).json()["code"] == "user_banned"
    admin.update_user_by_id(made.id, {"ban_duration": "none"})
    assert house.sign_in(email)

    admin.delete_user(made.id)
    with pytest.raises(AuthApiError) as gone:
        admin.get_user_by_id(made.id)
    assert gone.value.code == "user_not_found"
    left = "select count(*) from auth.sessions where user_id = %s"
    assert house.sql(left, made.id) == [(0,)]


def test_whoever_is_deleted_softly_leaves_a_row_that_says_nothing(house):
    email = house.newcomer()
    id_ = house.sign_in(email)["user"]["id"]
    create_client(house.stack.url, SECRET).auth.admin.delete_user(id_, should_soft_delete=True)
    said = {"email": email, "password": PASSWORD}
    refused = house.ask("POST", "/token?grant_type=password", json=said)
    assert refused.json()["code"] == "invalid_credentials"
    row = house.sql(
        "select u::text || i::text from auth.users u, auth.identities i where u.id = %s"
        " and i.user_id = u.id",
        id_,
    )
    assert email not in str(row)


def test_nobody_but_the_secret_key_is_the_admin(house):
    token = house.sign_in("asha@example.org")["access_token"]
    for method, path in [("GET", "/admin/users"), ("DELETE", f"/admin/users/{uuid.uuid4()}")]:
        refused = house.ask(method, path, token)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_admin")


# ------------------------------------------------------------------------------ live updates


def no_way_to(topic: str) -> str:
    return f"You do not have permissions to read from this Channel topic: {topic}"


def test_supabase_js_hears_what_another_does(house):
    told = house.js("""
      const asha = await sign_in('asha'), bram = await sign_in('bram')
      const community = await home(asha)
      const heard = [], rows = [], system = []
      const filter = `community_id=eq.${community}`
      const lines = { event: 'INSERT', schema: 'private', table: 'chat_messages', filter }
      const channel = asha.channel(`community:${community}`, { config: { private: true } })
        .on('broadcast', { event: '*' }, (said) => heard.push(said))
        .on('postgres_changes', lines, (said) => rows.push(said))
        .on('system', {}, (said) => system.push(said))
      const joined = await status(channel)
      await until(() => system.length)
      const line = { community_id: community, content: 'Heard?' }
      const { data } = await bram.rpc('send_message', line)
      await until(() => heard.length && rows.length)
      await asha.removeAllChannels()
      done({ joined, heard, rows, system, sent: data.message })
    """)
    assert told["joined"] == ["SUBSCRIBED", None]
    (broadcast,) = told["heard"]
    assert broadcast["event"] == broadcast["payload"]["kind"] == "message"
    assert broadcast["payload"]["ids"] == {"message_id": told["sent"]["id"]}
    assert broadcast["meta"]["id"] == broadcast["payload"]["id"]
    (row,) = told["rows"]
    assert (row["new"]["id"], row["new"]["content"]) == (told["sent"]["id"], "Heard?")
    _, _, types = (ROOT / "supabase" / "types" / "database.ts").read_text().partition("type Rows =")
    _, _, columns = types.partition("chat_messages: {")
    assert row["new"].keys() == set(re.findall(r"(\w+): ", columns.partition("}")[0]))
    assert told["system"][0]["message"] == "Subscribed to PostgreSQL"


def test_a_stranger_an_anonymous_and_a_public_channel_are_refused(house, rain):
    stranger = house.newcomer().partition("@")[0]
    told = house.js(f"""
      const topic = 'community:{rain}', hidden = {{ config: {{ private: true }} }}
      const stranger = await sign_in('{stranger}'), asha = await sign_in('asha')
      done([
        await status(stranger.channel(topic, hidden)),
        await status(client().channel(topic, hidden)),
        await status(asha.channel(topic)),
      ])
    """)
    denied = f"Unauthorized: {no_way_to(f'community:{rain}')}"
    assert told == [
        ["CHANNEL_ERROR", denied],
        ["CHANNEL_ERROR", denied],
        ["CHANNEL_ERROR", "PrivateOnly: This project only allows private channels"],
    ]


def test_supabase_py_hears_what_the_house_sends(house, rain):
    said = asyncio.run(hear_a_greeting(house, f"community:{rain}"))
    assert said["payload"]["words"] == "hello"


async def hear_a_greeting(house: House, topic: str) -> Any:
    client = await acreate_client(house.stack.url, PUBLISHABLE)
    await client.auth.sign_in_with_password({"email": "chloe@example.org", "password": PASSWORD})
    heard: asyncio.Queue[Any] = asyncio.Queue()
    joined = asyncio.Event()
    config: Any = {"config": {"private": True, "broadcast": None, "presence": None}}
    channel = client.channel(topic, config)
    channel.on_broadcast("greeting", heard.put_nowait)
    await channel.subscribe(lambda state, _: joined.set() if state == "SUBSCRIBED" else None)
    async with asyncio.timeout(10):
        await joined.wait()
        send = """select realtime.send('{"words": "hello"}', 'greeting', %s, true)"""
        await asyncio.to_thread(house.sql, send, topic)
        said = await heard.get()
    await client.remove_all_channels()
    await client.realtime.close()
    return said


def test_nobody_speaks_but_the_house(house):
    told = house.js("""
      const asha = await sign_in('asha'), bram = await sign_in('bram')
      const topic = `community:${await home(asha)}`
      const heard = []
      const hers = asha.channel(topic, { config: { private: true } })
        .on('broadcast', { event: '*' }, (said) => heard.push(said.event))
      const his = bram.channel(topic, { config: { private: true } })
      await status(hers); await status(his)
      await his.send({ type: 'broadcast', event: 'forged', payload: { kind: 'dawn' } })
      await bram.rpc('send_message', { community_id: topic.slice(10), content: 'After it' })
      await until(() => heard.length)
      done(heard)
    """)
    assert told == ["message"]


def test_a_key_that_is_none_opens_no_socket(house):
    with pytest.raises(InvalidStatus) as refused, socket(house, key="sb_publishable_wrong"):
        pass
    assert refused.value.response.status_code == 401
    said = json.loads(refused.value.response.body or b"")
    assert said == {"error": "The token provided is not a valid JWT"}


def test_a_heartbeat_is_answered_and_what_nobody_joined_is_unmatched(house):
    with socket(house) as one:
        assert one.reply(one.send("phoenix", "heartbeat", {})) == ("ok", {})
        answer = one.reply(one.send("realtime:nowhere", "broadcast", {}))
        assert answer == ("error", {"reason": "unmatched topic"})


def test_an_expired_token_shuts_its_channel_and_a_new_one_keeps_it(house, rain):
    topic = f"realtime:community:{rain}"
    with socket(house) as left, socket(house) as kept:
        for one in (left, kept):
            token = house.token("asha@example.org", 3)
            assert one.join(f"community:{rain}", token)[0] == "ok"
        kept.send(topic, "access_token", {"access_token": house.token("asha@example.org", 60)})
        said = left.hear()
        assert (said["event"], said["payload"]) == (
            "system",
            {
                "extension": "system",
                "status": "error",
                "message": "Token has expired 0 seconds ago",
                "channel": f"community:{rain}",
            },
        )
        assert left.hear()["event"] == "phx_close"
        # The socket itself stays.
        assert left.reply(left.send("phoenix", "heartbeat", {}))[0] == "ok"

        house.sql("select realtime.send('{}', 'still', %s, true)", f"community:{rain}")
        assert kept.hear()["payload"]["event"] == "still"
        expired = house.token("asha@example.org", -5)
        status, response = left.join(f"community:{rain}", expired)
        assert status == "error"
        assert response["reason"].startswith("InvalidJWTToken: Token has expired ")


def test_whoever_has_gone_hears_on_until_their_token_is_renewed(house, rain):
    topic = f"community:{rain}"
    email = house.newcomer()
    ((id_,),) = house.sql("select id::text from auth.users where email = %s", email)
    create_client(house.stack.url, SECRET).rpc("admit_person", {"user_id": id_}).execute()
    guest = house.token(email, 60)
    client = house.stack.client(guest)
    query = "select code from private.join_codes where community_id = %s"
    ((code,),) = house.sql(query, rain)
    client.rpc("join_community", {"invite_code": code}).execute()

    with socket(house) as theirs:
        assert theirs.join(topic, guest)[0] == "ok"
        client.rpc("leave_community", {"community_id": rain}).execute()
        assert theirs.hear()["event"] == "broadcast"
        new = {"access_token": house.token(email, 61)}
        theirs.send(f"realtime:{topic}", "access_token", new)
        while (said := theirs.hear())["event"] == "broadcast":
            pass
        assert (said["event"], said["payload"]["message"]) == ("system", no_way_to(topic))


def test_a_row_is_told_to_those_who_may_read_it(house, rain):
    """A notice is its reader's alone; its deletion is told to all, and is no more than a key."""
    wanted = {"event": "*", "schema": "private", "table": "notifications"}
    bram, eli = house.token("bram@example.org", 60), house.token("eli@example.org", 60)
    asha = house.stack.client(house.token("asha@example.org", 60))
    with socket(house) as his, socket(house) as elis:
        for one, token in ((his, bram), (elis, eli)):
            status, response = one.join(f"community:{rain}", token, postgres_changes=[wanted])
            assert status == "ok"
            assert response["postgres_changes"][0].items() >= wanted.items()
            assert one.hear()["event"] == "system"

        ((id_,),) = house.sql("select id::text from private.users where display_name = 'Bram'")
        asha.rpc(
            "request_borrow",
            {"community_id": rain, "lender_id": id_, "amount": 1, "reason": "Tea"},
        ).execute()
        rows = changes(his)
        assert [(row["type"], row["record"]["user_id"]) for row in rows] == [("INSERT", id_)]
        assert changes(elis) == []

        house.sql("delete from private.notifications where id = %s", rows[0]["record"]["id"])
        (gone,) = changes(elis)
        assert (gone["type"], gone["old_record"]["id"]) == ("DELETE", rows[0]["record"]["id"])
        key = house.sql(
            "select attname from pg_attribute join pg_index on attnum = any(indkey)"
            " and indrelid = attrelid and indisprimary"
            " where attrelid = 'private.notifications'::regclass"
        )
        assert gone["old_record"].keys() == {name for (name,) in key}


def changes(one: Socket) -> list[dict[str, Any]]:
    """The row changes that come within a second."""
    found = []
    end = time.monotonic() + 1
    while (left := end - time.monotonic()) > 0:
        try:
            said = one.hear(left)
        except TimeoutError:
            break
        if said["event"] == "postgres_changes":
            found.append(said["payload"]["data"])
    return found


def test_what_is_not_published_is_not_subscribed_to(house, rain):
    asha = house.token("asha@example.org", 60)
    wanted = {"event": "*", "schema": "private", "table": "ledger_entries"}
    with socket(house) as hers:
        assert hers.join(f"community:{rain}", asha, postgres_changes=[wanted])[0] == "ok"
        said = hers.hear()["payload"]
        assert (said["extension"], said["status"]) == ("postgres_changes", "error")


def test_after_a_restart_clients_join_again_by_themselves(house):
    """The server is killed under a joined client, and started again."""
    pid = json.loads((house.place / "Realtime.json").read_text())["pid"]
    start = f"CHAS_STACK={house.place.name} python {ROOT}/supabase/local/stack.py up"
    told = house.js(f"""
      import {{ exec }} from 'node:child_process'
      const asha = await sign_in('asha'), bram = await sign_in('bram')
      const community = await home(asha)
      const said = [], heard = []
      asha.channel(`community:${{community}}`, {{ config: {{ private: true }} }})
        .on('broadcast', {{ event: '*' }}, (one) => heard.push(one.event))
        .subscribe((status) => said.push(status))
      await until(() => said.length)
      process.kill({pid}, 'SIGKILL')
      await until(() => said.length > 1)
      await new Promise((go) => exec({json.dumps(start)}, go))
      await until(() => said.at(-1) === 'SUBSCRIBED', 40)
      await bram.rpc('send_message', {{ community_id: community, content: 'Back' }})
      await until(() => heard.length)
      done({{ said, heard }})
    """)
    assert (told["said"][0], told["said"][-1]) == ("SUBSCRIBED", "SUBSCRIBED")
    assert "CHANNEL_ERROR" in told["said"]
    assert told["heard"] == ["message"]


# ------------------------------------------------------------------------------ the stack itself


def test_status_names_every_part(house):
    said = house.stack.run("status")
    parts = ("PostgreSQL", "PostgREST", "Auth", "Realtime", "edge", "gateway")
    assert [line.split()[0] for line in said.splitlines()] == list(parts)
    assert said.count("runs on port") == len(parts)


def test_a_proxy_is_not_asked_for_the_way_to_our_own(house):
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    before = house.stack.environment.copy()
    house.stack.environment |= proxies
    try:
        house.stack.run("stop")
        assert "Up in" in house.stack.run("up")
        assert "late" in house.stack.run("steward", "health")
    finally:
        house.stack.environment = before


def test_the_clock_brings_a_sunset_and_a_dawn_and_comes_back(house, rain):
    asha = house.stack.client(house.token("asha@example.org", 600))

    def purse() -> dict[str, Any]:
        said: Any = asha.rpc("get_balance", {"community_id": rain}).execute().data
        balance: dict[str, Any] = said["balance"]
        return balance

    before = purse()
    house.stack.run("clock", "today 23:59")
    closed = purse()
    assert (closed["day_open"], closed["remaining"], closed["day"]) == (False, 0, before["day"])
    assert "00:05:00" in house.stack.run("clock", "tomorrow 00:05")
    after = purse()
    assert (after["day_open"], after["day"] > before["day"]) == (True, True)
    assert after["remaining"] == after["daily_budget"]
    with pytest.raises(AssertionError, match="is no moment"):
        house.stack.run("clock", "one day")
    assert "as everywhere" in house.stack.run("clock", "now")


def test_nothing_of_it_listens_beyond_this_machine(house):
    """Every listener of ours, as the kernel lists them, is on 127.0.0.1."""
    ours = {
        json.loads(path.read_text()).get("pid")
        for path in house.place.glob("*.json")
        if path.stem in ("Auth", "Realtime", "PostgREST", "edge", "gateway")
    }
    inodes = {
        str(file.readlink()).removeprefix("socket:[").removesuffix("]")
        for pid in ours
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if "socket" in str(file.readlink())
    }
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in inodes
    ]
    assert listening
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}
