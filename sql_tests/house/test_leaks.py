"""The look-out for secrets finds them, and cries over nothing else."""

import json
import secrets

import jwt
import leaks
import pytest
from cluster import ROOT
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def pem():
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# Made as the test runs: written down, they would be found in this file.
SECRETS = {
    "a private key": pem,
    "a secret key of Supabase": lambda: "sb_secret" + "_" + secrets.token_urlsafe(24),
    "an access token of Supabase": lambda: "sbp" + "_" + secrets.token_hex(20),
    "a JSON web token": lambda: jwt.encode({"role": "service_role"}, "k" * 40, "HS256"),
    "a database address with its password": lambda: (
        "postgresql://me:" + "hunter2" + "@db.test/postgres"
    ),
    "a client secret of Google": lambda: "GOCSPX" + "-" + secrets.token_hex(14),
    "a token of GitHub": lambda: "ghp" + "_" + secrets.token_hex(18),
    "a secret given a value": lambda: "\nSUPABASE_JWT_SECRET" + "=" + secrets.token_hex(32),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_found_where_it_is(kind, tmp_path):
    planted = tmp_path / "planted.txt"
    planted.write_text(f"first line\n  x = '{SECRETS[kind]()}'\n")
    _, new = leaks.scan([planted])
    assert {secret.line_number for _, secret in new} <= {2, 3}
    assert new


def test_a_secret_in_the_project_fails_the_run(tmp_path, monkeypatch, capsys):
    """A key beside those known to be harmless, in a file that has some."""
    known = tmp_path / "test_settings.py"
    theirs = (ROOT / "edge" / "tests" / "test_settings.py").read_text()
    known.write_text(f"{theirs}\nkey = '{SECRETS['a secret key of Supabase']()}'\n")
    monkeypatch.setattr("sys.argv", ["leaks.py", str(known)])
    assert leaks.main() == 1
    assert "Key of Supabase or Google" in capsys.readouterr().out


def test_what_is_no_secret_is_none(tmp_path):
    for harmless in (
        "postgresql://{role}:{password}@host/x",
        "--hash=sha256:" + secrets.token_hex(32),
        "SUPABASE_SERVICE_KEY=",
        "sb_secret_local",
    ):
        planted = tmp_path / "planted.txt"
        planted.write_text(harmless)
        found, _ = leaks.scan([planted])
        assert not found, harmless


def test_what_is_accepted_is_little():
    """Each line of it was read once; a long list nobody reads."""
    known = json.loads(leaks.KNOWN.read_text())["results"]
    assert sum(map(len, known.values())) < 25
    assert all((ROOT / name).exists() for name in known)
