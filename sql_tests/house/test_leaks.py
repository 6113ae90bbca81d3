"""The look-out for secrets finds them, and cries over nothing else."""

import secrets

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from leaks import leaks


def pem():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# Made as the test runs: written down, they would be found in this file.
SECRETS = {
    "a private key": pem,
    "a secret key of Supabase": lambda: "sb_secret" + "_" + secrets.token_urlsafe(24),
    "an access token of Supabase": lambda: "sbp" + "_" + secrets.token_hex(20),
    "a JSON web token": lambda: jwt.encode({"role": "service_role"}, "k" * 40, "HS256"),
    "a database address with its password": lambda: "postgresql://me:" + "hunter2@db.test/postgres",
    "a client secret of Google": lambda: "GOCSPX" + "-" + secrets.token_hex(14),
    "a token of GitHub": lambda: "ghp" + "_" + secrets.token_hex(18),
    "a secret given a value": lambda: "\nSUPABASE_JWT_SECRET" + "=" + secrets.token_hex(32),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_found_where_it_is(kind):
    text = f"first line\n  x = '{SECRETS[kind]()}'\n"
    assert kind in {found for _, found in leaks(text)}
    assert {line for line, _ in leaks(text)} <= {2, 3}


def test_what_is_no_secret_is_none():
    for harmless in (
        "postgresql://postgres:postgres@127.0.0.1/postgres",
        "postgresql://{role}:{password}@host/x",
        jwt.encode({"role": "anon"}, "k" * 40, "HS256"),
        "--hash=sha256:" + secrets.token_hex(32),
        "SUPABASE_SERVICE_KEY=",
        "sb_secret_local",
    ):
        assert not list(leaks(harmless)), harmless
