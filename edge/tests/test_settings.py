"""What is missing or malformed stops the start with a sentence that names it."""

import subprocess
import sys
from pathlib import Path

import pytest
from cluster import ROOT

from edge.settings import Settings, load_settings

GOOD = {
    "PYTHONPATH": str(ROOT),
    "SUPABASE_URL": "https://abc.supabase.co",
    "SUPABASE_ANON_KEY": "sb_publishable_abc",
    "SUPABASE_SERVICE_KEY": "sb_secret_abc",
    "EDGE_PORT": "1",
}


def start(place: Path, environment: dict[str, str], *arguments: str):
    return subprocess.run(
        [sys.executable, "-m", "edge", *arguments],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("name", ["SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY"])
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_missing_setting_stops_the_start(tmp_path, name, how):
    environment = {k: v for k, v in GOOD.items() if k != name} | (
        {name: ""} if how == "empty" else {}
    )

    started = start(tmp_path, environment)

    assert started.returncode == 1
    assert started.stdout == ""
    (line,) = started.stderr.splitlines()
    assert line.startswith(f"{name} is missing: the ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", "abc.supabase.co"),
        ("SUPABASE_URL", "https://abc.supabase.co/rest/v1"),
        ("SUPABASE_URL", "postgresql://abc"),
        ("SUPABASE_ANON_KEY", "sb_secret_precious"),
        ("SUPABASE_ANON_KEY", "precious"),
        ("SUPABASE_SERVICE_KEY", "sb_publishable_precious"),
        ("SUPABASE_SERVICE_KEY", "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.precious"),
        ("SUPABASE_SERVICE_KEY", "a.b.precious"),
        ("SUPABASE_JWT_SECRET", "precious"),
        ("SUPABASE_ISSUER", "precious"),
        ("LOG_LEVEL", "precious"),
        ("ALLOWED_ORIGINS", "https://chas.test,precious"),
        ("ALLOWED_ORIGINS", "https://chas.test/precious"),
        ("ALLOWED_ORIGINS", '["https://precious.test"]'),
        ("SLOW_REQUEST_LOG_THRESHOLD_MS", "precious"),
        ("SLOW_REQUEST_LOG_THRESHOLD_MS", "-1"),
        ("AUTH_TOKEN_CACHE_TTL_SECONDS", "precious"),
        ("AUTH_TOKEN_CACHE_TTL_SECONDS", "nan"),
        ("AUTH_TOKEN_CACHE_TTL_SECONDS", "86400"),
        ("HOUSE_TIMEOUT_SECONDS", "0"),
        ("HOUSE_TIMEOUT_SECONDS", "61"),
        ("METRICS", "precious"),
        ("ENFORCE_INVITE_WHITELIST", "precious"),
        ("INVITE_ATTEMPTS_PER_MINUTE", "0"),
        ("EDGE_PORT", "precious"),
        ("EDGE_PORT", "70000"),
    ],
)
def test_a_malformed_setting_stops_the_start_without_showing_it(tmp_path, name, value):
    started = start(tmp_path, GOOD | {name: value})

    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert line.startswith(f"{name} is malformed (")
    assert "precious" not in line


def test_everything_wrong_is_told_at_once(tmp_path):
    started = start(tmp_path, {"PYTHONPATH": str(ROOT), "EDGE_PORT": "x"})

    assert [line.split()[0] for line in started.stderr.splitlines()] == [
        "SUPABASE_URL",
        "SUPABASE_ANON_KEY",
        "SUPABASE_SERVICE_KEY",
        "EDGE_PORT",
    ]


def test_settings_may_stand_in_a_file(tmp_path):
    lines = (f"{name}={value}" for name, value in GOOD.items() if name != "EDGE_PORT")
    tmp_path.joinpath(".env").write_text("\n".join([*lines, "EDGE_PORT=x", "SOMETHING_ELSE=1"]))

    (line,) = start(tmp_path, {"PYTHONPATH": str(ROOT)}).stderr.splitlines()

    assert line.startswith("EDGE_PORT is malformed")


def test_the_example_explains_every_setting_and_starts_the_edge(monkeypatch, tmp_path):
    example = (ROOT / ".env.example").read_text()
    names = {line.lstrip("# ").partition("=")[0] for line in example.splitlines() if "=" in line}

    assert {name.upper() for name in Settings.model_fields} <= names

    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    filled = example.replace("SUPABASE_URL=", "SUPABASE_URL=https://abc.supabase.co")
    filled = filled.replace("SUPABASE_ANON_KEY=", "SUPABASE_ANON_KEY=sb_publishable_abc")
    filled = filled.replace("SUPABASE_SERVICE_KEY=", "SUPABASE_SERVICE_KEY=sb_secret_abc")
    tmp_path.joinpath(".env").write_text(filled)
    monkeypatch.chdir(tmp_path)
    assert load_settings().issuer == "https://abc.supabase.co/auth/v1"


def test_help_teaches(tmp_path):
    asked = start(tmp_path, {"PYTHONPATH": str(ROOT)}, "--help")

    assert asked.returncode == 0
    assert "python -m edge" in asked.stdout
    assert ".env.example" in asked.stdout


def test_a_secret_does_not_print(monkeypatch):
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert "sb_secret_abc" not in f"{settings!r} {settings!s} {settings.model_dump()}"
