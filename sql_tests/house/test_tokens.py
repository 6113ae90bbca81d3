"""Tokens as PostgREST and the house judge them; edge/tests/test_tokens.py has the edge's part.

Whose signature it is and whether it still holds, PostgREST asks; whose token it is, and whether
that person may still come in, the house asks afresh with every call.
"""

import json
import time
import uuid
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from jwt.utils import base64url_encode
from people import Caller
from rest import nothing_changes
from world import World


@pytest.fixture(scope="module")
def world(rest):
    return World(rest.house, "Tokens")


@pytest.fixture
def person(rest, world):
    """A member, their own for each test."""
    address = f"tess-{uuid.uuid4().hex}@chas.test"
    member = rest.house.admit(rest.house.sign_up(address, "Tess"))
    member.join_community(invite_code=world.code)
    return member


@pytest.fixture
def judged(rest, world):
    """What an act and a reading come to with a token: the status, and the code of the refusal.

    Whoever PostgREST believes and the house does not is shown no row besides, were it asked by SQL.
    """

    def judge(token):
        with nothing_changes(rest.house):
            here = {"community_id": world.community, "content": "Let me in"}
            act = rest.call(token, "send_message", **here)
            reading = rest.ask("GET", "/rpc/list_my_communities", token)
        came_to = act.status_code, act.json()["code"]
        assert (reading.status_code, reading.json()["code"]) == came_to
        if not came_to[1].startswith("PGRST"):
            claims = jwt.decode(token, options={"verify_signature": False, "verify_sub": False})
            believed = Caller(house=rest.house, role="authenticated", claims=claims)
            for table in ("communities", "chat_messages", "community_members"):
                assert believed.read(table) == []
        return came_to

    return judge


def test_an_honest_token_opens(rest, world, person):
    said = rest.call(rest.sign(person), "send_message", community_id=world.community, content="Hi")
    assert said.json()["message"]["user"]["id"] == person.id
    legacy = jwt.encode(person.claims, rest.keys.secret, "HS256")
    assert rest.ask("GET", "/rpc/list_my_communities", legacy).json()["communities"]


NOBODIES = [None, "", "asha", "7", "null", str(uuid.UUID(int=0)), "' or true --", "\U0001f600"]


def test_a_token_of_nobody_is_unauthorized_and_reads_nothing(rest, person, judged):
    for sub in [*NOBODIES, person.id[:-1], f"{person.id} ", f"{{{person.id}}}", "x" * 2000]:
        assert judged(rest.sign(person, sub=sub)) == (401, "UNAUTHORIZED"), sub


def test_a_sub_that_is_no_text_is_no_token(rest, person, judged):
    for sub in (7, True, ["x"], {"a": 1}):
        # PyJWT, being strict, would not sign it.
        token = jwt.api_jws.encode(body({**person.claims, "sub": sub}), rest.keys.secret, "HS256")
        assert judged(token) == (401, "PGRST301"), sub


def body(claims):
    return json.dumps(claims).encode()


def test_a_person_who_is_gone_is_unauthorized(rest, person, judged):
    token = rest.sign(person)
    auth = rest.house.owner
    auth.sql("delete from auth.users where id = %(id)s", id=person.id)
    assert judged(token) == (401, "UNAUTHORIZED")


def test_a_person_softly_deleted_by_auth_is_unauthorized(rest, person, judged):
    change(rest, person, deleted_at=rest.house.clock.now)
    assert judged(rest.sign(person)) == (401, "UNAUTHORIZED")


def test_a_person_erased_is_unauthorized(rest, person, judged):
    token = rest.sign(person)
    rest.house.service.erase_user(user_id=person.id)
    assert judged(token) == (401, "UNAUTHORIZED")


def test_a_person_banned_in_auth_is_forbidden_until_it_ends(rest, person, judged):
    token = rest.sign(person)
    now = rest.house.owner.sql("select now() as now")[0]["now"]
    change(rest, person, banned_until=now + timedelta(hours=1))
    assert judged(token) == (403, "FORBIDDEN")
    change(rest, person, banned_until=now - timedelta(hours=1))
    assert rest.ask("GET", "/rpc/list_my_communities", token).json()["communities"]


def test_an_anonymous_sign_in_is_forbidden(rest, person, judged):
    nobody = rest.house.sign_up(None)
    assert judged(rest.sign(nobody)) == (403, "FORBIDDEN")
    # What the token says of it does not count: Auth knows.
    assert judged(rest.sign(nobody, is_anonymous=False)) == (403, "FORBIDDEN")


def test_an_admission_taken_back_bites_with_the_next_call(rest, person, judged):
    token = rest.sign(person)
    suspend = "update private.admissions set suspended_at = %(now)s where user_id = %(id)s"
    rest.house.owner.sql(suspend, now=rest.house.clock.now, id=person.id)
    assert judged(token) == (403, "INVITE_REQUIRED")


def test_what_people_may_write_themselves_makes_no_steward(rest, person):
    written = {"user_metadata": {"chas_role": "steward"}, "chas_role": "steward"}
    answer = rest.call(rest.sign(person, **written), "get_access")
    assert answer.json()["is_steward"] is False


def change(rest, person, **columns):
    for column, value in columns.items():
        query = {
            "deleted_at": "update auth.users set deleted_at = %(value)s where id = %(id)s",
            "banned_until": "update auth.users set banned_until = %(value)s where id = %(id)s",
        }[column]
        rest.house.owner.sql(query, value=value, id=person.id)


# ------------------------------------------------------------------------------ roles


def test_no_token_makes_anybody_another_role(rest, person):
    roles = ("postgres", "supabase_admin", "authenticator", "supabase_auth_admin", "pg_monitor")
    for role in roles:
        with nothing_changes(rest.house):
            for token in both_ways(rest, {**person.claims, "role": role}):
                for answer in (
                    rest.call(token, "get_me"),
                    rest.ask("GET", "/rpc/get_access", token),
                ):
                    assert answer.status_code == 403, f"{role}: {answer.text}"


def test_a_role_there_is_not_is_no_role(rest, person):
    for token in both_ways(rest, {**person.claims, "role": "nobody"}):
        for answer in (rest.call(token, "get_me"), rest.ask("GET", "/rpc/get_access", token)):
            # PostgREST's own answer; the edge says 401.
            assert (answer.status_code, answer.json()["code"]) == (400, "22023")


def both_ways(rest, claims):
    yield jwt.encode(claims, rest.keys.signing_key, "ES256", headers={"kid": rest.keys.key_id})
    yield jwt.encode(claims, rest.keys.secret, "HS256")


def test_a_token_without_a_role_is_anon(rest, person):
    answer = rest.call(rest.sign(person, role=None), "get_me")
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")


# ------------------------------------------------------------------------------ signatures


def lies(keys, claims):
    """Tokens PostgREST must not believe."""
    now = int(time.time())
    stranger = ec.generate_private_key(ec.SECP256R1())
    key = ECAlgorithm.from_jwk(keys.published["keys"][0])
    assert isinstance(key, ec.EllipticCurvePublicKey)
    public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(key=keys.signing_key, algorithm="ES256", kid=keys.key_id, **other):
        return jwt.encode(claims | other, key, algorithm, headers={"kid": kid})

    def by_hand(header, key):
        parts = (body(header), body(claims))
        text = b".".join(base64url_encode(part) for part in parts)
        signature = jwt.get_algorithm_by_name("HS256").sign(text, key)
        return (text + b"." + base64url_encode(signature)).decode()

    honest = signed()
    return {
        "alg none": by_hand({"alg": "none"}, b"").rpartition(".")[0] + ".",
        "HS256 with the public key": by_hand({"alg": "HS256"}, public),
        "HS256 with the public key and its kid": by_hand(
            {"alg": "HS256", "kid": keys.key_id}, public
        ),
        "HS256 with another secret": signed("another secret" * 5, "HS256"),
        "ES256 of a stranger": signed(stranger),
        "ES256 of a stranger, unknown kid": signed(stranger, kid="rotated"),
        "expired": signed(exp=now - 60),
        "not yet valid": signed(nbf=now + 3600),
        "issued tomorrow": signed(iat=now + 86400),
        "changed": honest[:-8] + ("A" * 8),
        "no signature": honest.rpartition(".")[0] + ".",
        "an opaque key": "sb_secret_local",
        "nonsense": "a.b.c",
    }


def test_no_forged_token_is_believed(rest, person):
    forged = lies(rest.keys, person.claims)
    for lie, token in forged.items():
        for answer in (rest.call(token, "get_me"), rest.ask("GET", "/rpc/get_access", token)):
            assert answer.status_code == 401, f"{lie}: {answer.text}"
            assert answer.json()["code"].startswith("PGRST30"), lie
