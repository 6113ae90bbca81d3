"""The commands of a steward, as a program of its own before the real house."""

import os
import re
import shutil
import subprocess
import sys
import uuid

import psycopg
import pytest
from cluster import ROOT

from edge.__main__ import PARSER


def test_from_the_first_invite_to_the_last_goodbye(
    project, edge, run, told, sign_up, house, asha, rain
):
    """Mint here, redeem at the edge, suspend, restore, erase; the books balance."""
    (invite,) = told("mint", "--note", "for Zoe")["invites"]
    zoe = sign_up("Zoe")
    edge.ask("POST", "/auth/invite/redeem", zoe, json={"invite_code": invite["code"]})
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    zoe.join_community(invite_code=code)

    assert told("suspend", zoe.email, "--reason", "Asked to pause")["person"]["standing"] == (
        "suspended"
    )
    assert zoe.get_access()["whitelisted"] is False
    assert told("restore", zoe.id)["person"]["standing"] == "admitted"
    assert told("correct", rain, zoe.email, -30, "Granted twice")["balance"]["remaining"] == 70

    unsure = run("erase", zoe.email)
    assert unsure.returncode == 1
    assert "--yes" in unsure.stderr
    for _ in range(2):
        assert told("erase", zoe.id, "--yes") == {"erased": True}
    with psycopg.connect(project.auth.database_url) as auth:
        assert not auth.execute("select from auth.users where id = %s", [zoe.id]).rowcount
    assert run("people", zoe.email).stdout.strip() == "people: none"
    assert house.books(rain)["forfeited"] == 30


def test_somebody_is_let_in_without_an_invite(told, uma, steward):
    told("admit", uma.email, "--as", steward.email)
    assert uma.get_access()["whitelisted"] is True
    act = told("acts", "--most", 1)["acts"][0]
    assert (act["action"], act["subject"]["id"]) == ("steward_admitted", uma.id)
    assert act["actor"]["id"] == steward.id


def test_invites_are_minted_listed_and_revoked(told):
    minted = told("mint", "--count", 2, "--max-uses", 3, "--days", 1, "--theme", "mint")
    assert {invite["max_uses"] for invite in minted["invites"]} == {3}
    newest = told("invites", "--most", 2)["invites"]
    assert {invite["id"] for invite in newest} == {invite["id"] for invite in minted["invites"]}
    assert "code" not in newest[0]

    assert told("revoke", newest[0]["id"])["invite"]["state"] == "revoked"
    (second,) = told("invites", "--most", 1, "--before", newest[0]["id"])["invites"]
    assert second["id"] == newest[1]["id"]


def test_a_community_is_looked_at_and_settled(told, rain):
    shown = told("community", rain)
    assert shown["books"]["balanced"]
    assert told("community", rain, "--quick")["books"] is None
    settled = told("settle", rain)
    assert settled["calendar"]["day"] == shown["calendar"]["day"]
    assert {run["error"] for run in settled["runs"]} == {None}


def test_jobs_and_their_runs_are_shown(told, rain):
    told("settle", rain)
    assert "daily_reset" in {job["name"] for job in told("jobs")["jobs"]}
    runs = told("runs", "--job", "daily_sunset", "--most", 5)["runs"]
    assert rain in {run["community_id"] for run in runs}
    assert told("runs", "--failed", "--job", "no such job")["runs"] == []


def test_health_fails_when_a_dawn_is_late(run, house, rain):
    house.owner.sql("select private.daily_reset()")  # other tests let communities oversleep
    assert run("health").stdout.splitlines()[0] == "status: ok"
    late = """
      update private.community_days
      set sunset_at = sunset_at - interval '3 days', dawn_at = dawn_at - interval '3 days'
      where community_id = %(rain)s
    """
    house.owner.sql(late, rain=rain)
    try:
        sick = run("health")
        assert sick.returncode == 1
        assert "dawn_late_seconds: " in sick.stdout
        assert sick.stderr.startswith("A Dawn is late: ")
        tired = run("jobs")
        assert tired.returncode == 1
        assert tired.stderr.startswith("Late: ")
    finally:
        house.owner.sql("select private.daily_reset()")


def test_a_correction_repeated_with_its_id_happens_once(told, asha, rain):
    for _ in range(2):
        told("correct", rain, asha.id, 5, "Once", "--request-id", uuid.UUID(int=7))
    assert asha.get_balance(community_id=rain)["balance"]["remaining"] == 105


# ------------------------------------------------------------------------------ refusals, words


def test_a_refusal_is_told_with_its_facts_and_a_status(run, asha, rain):
    done = run("correct", rain, asha.id, -101, "Too much")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("INSUFFICIENT_CC: ")
    assert "  short_by: 1\n" in done.stderr


def test_who_is_not_found_or_not_alone_is_told(run, told, sign_up):
    sign_up("Twin")
    sign_up("Twin")
    assert run("admit", "nobody@nowhere.test").stderr.startswith("NOT_FOUND: ")
    assert run("admit", "twin").stderr.startswith("CONFLICT: More than one")
    assert run("admit", uuid.uuid4()).stderr.startswith("NOT_FOUND: ")
    malformed = run("community", "no-uuid").stderr
    assert malformed.splitlines() == [
        "(not answered: inspect_community 22P02)",
        "INVALID_INPUT: A value has the wrong form.",
    ]


def test_the_house_out_of_reach_is_told(run):
    done = run("jobs", SUPABASE_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert "UNAVAILABLE: " in done.stderr


def test_on_the_local_stack_help_is_the_stewards_own():
    """Of `make steward`; nothing has to run for it."""
    stack, place = ROOT / "supabase/local/stack.py", f"help-{os.getpid()}"
    try:
        for words, says in (("--help", "usage: python -m edge "), ("mint --help", "--max-uses")):
            done = subprocess.run(
                [sys.executable, str(stack), "steward", *words.split()],
                env={**os.environ, "CHAS_STACK": place},
                capture_output=True,
                text=True,
                check=True,
            )
            assert says in done.stdout
    finally:
        shutil.rmtree(ROOT / ".local" / place)


def test_whoever_reads_no_further_is_no_trouble(project, told):
    """`… | head -1` of an answer that does not fit into a pipe."""
    for _ in range(3):
        told("mint", "--count", 100, "--note", "x" * 200)
    command = f"{sys.executable} -m edge invites --most 200 --json | head -1"

    done = subprocess.run(
        ["bash", "-c", command],
        env=project.environment,
        cwd=project.place,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_missing_setting_is_told(run):
    done = run("jobs", SUPABASE_SERVICE_KEY="")
    assert done.returncode == 1
    assert "SUPABASE_SERVICE_KEY is missing" in done.stderr


def test_a_page_that_is_not_the_last_says_so(run, told):
    told("mint", "--count", 2)
    assert "There are more: --before" in run("invites", "--most", 1).stdout.splitlines()[-1]


def test_an_answer_reads_as_lines(run, asha, rain):
    lines = run("people", asha.email).stdout.splitlines()
    assert lines[:2] == ["people:", f"- id: {asha.id}"]
    assert "  display_name: Asha" in lines
    assert f"  - id: {rain}" in lines
    assert "    roles: member, moderator" in lines
    assert f"  user: Asha ({asha.id})" in run("community", rain).stdout.replace("- ", "  ")


def test_help_teaches_every_command(capsys):
    with pytest.raises(SystemExit):
        PARSER.parse_args(["--help"])
    commands = re.findall(r"^    ([a-z]+)", capsys.readouterr().out, flags=re.MULTILINE)
    assert len(commands) >= 15
    for command in commands:
        with pytest.raises(SystemExit):
            PARSER.parse_args([command, "--help"])
        assert f"Example: {PARSER.prog} {command}" in " ".join(capsys.readouterr().out.split())
