"""Every way a token can lie."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from edge.errors import Refusal
from edge.gateway import Gateway
from edge.identity import Identity
from edge.tests.project import refused, settings_from
from edge.tokens import Keys, Tokens

EVERY_DOOR = [
    ("GET", "/auth/session"),
    ("GET", "/auth/access"),
    ("POST", "/auth/invite/redeem"),
    ("POST", "/invites"),
    ("GET", "/invites"),
    ("DELETE", "/invites/3f2b8e62-0f4c-4a43-9a57-6f6a5d0c5f10"),
    ("DELETE", "/account"),
]


def encoded(part) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_each_kind_of_honest_token_is_believed(edge, project, uma):
    legacy = jwt.encode(
        jwt.decode(project.token(uma), options={"verify_signature": False}),
        project.keys.secret,
        "HS256",
    )

    for token in (project.token(uma), legacy):
        assert edge.ask("GET", "/auth/session", token).json()["user"]["id"] == uma.id


def lies() -> dict[str, dict[str, Any]]:
    now = int(time.time())
    return {
        "wrong issuer": {"iss": "https://elsewhere.supabase.co/auth/v1"},
        "no issuer": {"iss": None},
        "wrong audience": {"aud": "anon"},
        "no audience": {"aud": None},
        "expired": {"exp": now - 5},
        "without an end": {"exp": None},
        "an end that is no time": {"exp": "soon"},
        "not yet valid": {"nbf": now + 3600},
        "no sub": {"sub": None},
        "a sub that is no uuid": {"sub": "asha"},
        "a sub that is a number": {"sub": 7},
        "the service role": {"role": "service_role"},
        "the owner's role": {"role": "postgres"},
        "no role": {"role": None},
        "app_metadata that is no object": {"app_metadata": "steward"},
    }


@pytest.mark.parametrize("lie", lies())
def test_a_token_with_a_wrong_claim_opens_no_door(edge, project, steward, lie):
    token = project.token(steward, **lies()[lie])

    for method, path in EVERY_DOOR:
        refused(edge.ask(method, path, token), "UNAUTHORIZED", 401)


def forged(project, steward) -> dict[str, str]:
    """Tokens with honest claims, and a signature that is not the project's."""
    claims = jwt.decode(project.token(steward), options={"verify_signature": False})
    kid = {"kid": project.keys.key_id}
    stranger = ec.generate_private_key(ec.SECP256R1())
    strange_rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = ec.EllipticCurvePublicKey
    key = ECAlgorithm.from_jwk(project.keys.published["keys"][0])
    assert isinstance(key, public)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def with_public_key(header) -> str:
        """PyJWT will not sign with it, so by hand."""
        text = f"{encoded(header)}.{encoded(claims)}"
        signature = hmac.digest(pem, text.encode(), hashlib.sha256)
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    honest = project.token(steward)
    return {
        "alg none": f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}.",
        "alg None with kid": f"{encoded({'alg': 'None', **kid})}.{encoded(claims)}.",
        "HS256 with the public key": with_public_key({"alg": "HS256", "typ": "JWT"}),
        "HS256 with the public key and kid": with_public_key({"alg": "HS256", **kid}),
        "HS256 with another secret": jwt.encode(claims, "another secret" * 5, "HS256"),
        "HS512 with the secret": jwt.encode(claims, project.keys.secret, "HS512"),
        "ES256 of a stranger": jwt.encode(claims, stranger, "ES256", headers=kid),
        "RS256 under the kid of an ES256 key": jwt.encode(
            claims, strange_rsa, "RS256", headers=kid
        ),
        "unknown kid": jwt.encode(claims, stranger, "ES256", headers={"kid": "unknown"}),
        "no kid": jwt.encode(claims, project.keys.signing_key, "ES256"),
        "changed claims": honest.replace(honest.split(".")[1], encoded({**claims, "sub": "x"})),
        "no signature": honest.rpartition(".")[0] + ".",
        "own key in the header": jwt.encode(
            claims, stranger, "ES256", headers={"jwk": json.loads(ECAlgorithm.to_jwk(stranger))}
        ),
        "the anon key": project.keys.role_token("anon"),
        "the service key": project.keys.role_token("service_role"),
        "an opaque key": "sb_secret_local",
        "no token at all": "x",
        "header that is a list": f"{encoded([])}.{encoded(claims)}.x",
        "header that is too deep": base64.urlsafe_b64encode(b"[" * 9000).decode() + ".e30.x",
        "alg that is a list": f"{encoded({'alg': ['HS256'], **kid})}.{encoded(claims)}.x",
        "kid that is a number": f"{encoded({'alg': 'ES256', 'kid': 1})}.{encoded(claims)}.x",
        "letters outside ASCII": "é.é.é",
    }


def test_a_forged_token_opens_no_door(edge, project, steward):
    for name, token in forged(project, steward).items():
        for method, path in EVERY_DOOR:
            raw = {"Authorization": f"Bearer {token}".encode("latin-1")}
            answer = edge.ask(method, path, headers=raw)
            assert answer.status_code == 401, f"{name}: {answer.text}"
            refused(answer, "UNAUTHORIZED", 401)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  x y", "Basic YTpi", "bearer", "Token x"])
def test_only_a_bearer_token_is_a_token(edge, header):
    refused(
        edge.ask("GET", "/auth/session", headers={"Authorization": header}), "UNAUTHORIZED", 401
    )


def test_without_the_shared_secret_nothing_signed_with_one_is_believed(project, uma):
    claims = jwt.decode(project.token(uma), options={"verify_signature": False})
    with project.edge(SUPABASE_JWT_SECRET="") as edge:
        refused(
            edge.ask("GET", "/auth/session", jwt.encode(claims, project.keys.secret, "HS256")),
            "UNAUTHORIZED",
            401,
        )
        assert edge.ask("GET", "/auth/session", uma).status_code == 200


def test_another_issuer_can_be_named(project, uma):
    with project.edge(SUPABASE_ISSUER="https://auth.chas.test/auth/v1") as edge:
        refused(edge.ask("GET", "/auth/session", uma), "UNAUTHORIZED", 401)
        token = project.token(uma, iss="https://auth.chas.test/auth/v1")
        assert edge.ask("GET", "/auth/session", token).status_code == 200


def test_an_anonymous_sign_in_opens_no_door(edge, house):
    nobody = house.sign_up(None)
    for method, path in EVERY_DOOR:
        refused(edge.ask(method, path, nobody), "FORBIDDEN", 403)


def test_a_banned_person_opens_no_door(edge, project, steward):
    ban = "update auth.users set banned_until = now() + interval '1 day' where id = %s"
    as_auth(project, ban, steward)

    for method, path in EVERY_DOOR:
        refused(edge.ask(method, path, steward), "FORBIDDEN", 403)


def test_a_deleted_person_opens_no_door_but_the_last(edge, project, steward):
    as_auth(project, "delete from auth.users where id = %s", steward)

    for method, path in EVERY_DOOR[:-1]:
        refused(edge.ask(method, path, steward), "UNAUTHORIZED", 401)
    assert edge.ask("DELETE", "/account", steward).json() == {"erased": True}


def test_somebody_who_never_was_opens_no_door(edge, project, steward):
    nobody = project.token(steward, sub=str(uuid.uuid4()))

    for method, path in EVERY_DOOR[:-1]:
        refused(edge.ask(method, path, nobody), "UNAUTHORIZED", 401)


def as_auth(project, statement, person) -> None:
    with psycopg.connect(project.auth.database_url) as auth:
        assert auth.execute(statement, [person.id]).rowcount == 1


# ------------------------------------------------------------------------------ over time


class Watch:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_fetched_again_for_a_new_kid_but_not_for_every_stranger(project, uma):
    auth, watch = project.auth, Watch()
    next_pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    next_key = json.loads(RSAAlgorithm.to_jwk(next_pair.public_key())) | {"kid": "next"}
    claims = jwt.decode(project.token(uma), options={"verify_signature": False})
    old_token = project.token(uma)
    new_token = jwt.encode(claims, next_pair, "RS256", headers={"kid": "next"})

    async def story() -> None:
        async with httpx.AsyncClient() as http:
            keys = Keys(f"{project.url}/auth/v1/.well-known/jwks.json", http, watch)
            tokens = Tokens(settings_from(project.environment), keys)
            before = auth.asked_for_keys
            await asyncio.gather(*(tokens.verify(old_token) for _ in range(10)))
            assert auth.asked_for_keys == before + 1  # once for all of them

            auth.published = {"keys": [*project.keys.published["keys"], next_key]}
            await turned_away(tokens, new_token)
            watch.now += 29
            await turned_away(tokens, new_token)
            assert auth.asked_for_keys == before + 1
            watch.now += 1
            await tokens.verify(new_token)
            assert auth.asked_for_keys == before + 2

            auth.published = {"keys": [next_key]}  # the old key is withdrawn
            watch.now += 599
            await tokens.verify(old_token)
            watch.now += 1
            await turned_away(tokens, old_token)
            await tokens.verify(new_token)

            auth.fails = True  # and those we know go on serving
            watch.now += 6000
            await tokens.verify(new_token)

    try:
        asyncio.run(story())
    finally:
        auth.published, auth.fails = project.keys.published, False


async def turned_away(tokens: Tokens, token: str) -> None:
    with pytest.raises(Refusal) as refusal:
        await tokens.verify(token)
    assert refusal.value.code == "UNAUTHORIZED"


def test_where_keys_cannot_be_had_nobody_is_called_a_liar(project, uma):
    project.auth.fails = True
    try:
        with project.edge() as edge:
            refused(edge.ask("GET", "/auth/session", uma), "UNAVAILABLE", 502)
            project.auth.fails = False
            time.sleep(3.1)
            assert edge.ask("GET", "/auth/session", uma).status_code == 200
    finally:
        project.auth.fails = False


def test_a_shared_secret_among_the_published_keys_is_no_key(project, uma):
    """Nor is a key of another kind than it is used as."""
    secret = {"kty": "oct", "k": encoded("x" * 40), "kid": "secret", "alg": "HS256"}
    curve = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
    project.auth.published = {"keys": [secret, curve | {"kid": "p384"}, {"kty": "EC"}, {}]}

    async def story() -> None:
        async with httpx.AsyncClient() as http:
            keys = Keys(f"{project.url}/auth/v1/.well-known/jwks.json", http)
            assert await keys.find("secret") is None
            assert await keys.find("p384") is None

    try:
        asyncio.run(story())
    finally:
        project.auth.published = project.keys.published


def test_a_ban_is_noticed_within_the_time_the_settings_allow(project, asha):
    watch = Watch()

    async def story() -> None:
        gateway = Gateway(settings_from(project.environment))
        keys = Keys(f"{project.url}/auth/v1/.well-known/jwks.json", gateway.http)
        identity = Identity(Tokens(settings_from(project.environment), keys), gateway, 15, watch)
        authorization = f"Bearer {project.token(asha)}"
        caller = await identity.recognise(authorization)
        assert str(caller.id) == asha.id
        await identity.require_welcome(caller.id)

        as_auth(project, "update auth.users set banned_until = 'infinity' where id = %s", asha)
        watch.now += 14
        await identity.require_welcome(caller.id)
        watch.now += 1
        with pytest.raises(Refusal) as refusal:
            await identity.require_welcome(caller.id)
        assert refusal.value.code == "FORBIDDEN"
        await gateway.close()

    asyncio.run(story())
