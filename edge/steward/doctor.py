"""Checks a deployment off: what a project has, what it lacks, and what cannot be seen from here."""

import argparse
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from edge.errors import Refusal
from edge.health import HouseHealth
from edge.settings import Settings
from edge.steward.acts import JOB_LATE_SECONDS, Row, Steward, Unwell
from edge.tokens import usable

DONE, LACKING, UNSEEN = "done", "lacking", "unseen"
MARKS = {DONE: "[x]", LACKING: "[ ]", UNSEEN: "[?]"}

# Whatever the edge and its stewards ask; a house that lacks one has not had its newest migrations.
DOORS = {
    *("admit_person", "erase_user", "find_people", "get_access", "get_account", "get_health"),
    *("get_jobs", "initialize_settings", "inspect_community", "list_invites", "list_job_runs"),
    *("list_steward_acts", "mend", "mint_invites", "post_correction", "preview_invite"),
    *("redeem_invite", "restore_person", "revoke_invite", "seat_moderator", "settle_community"),
    *("suspend_person",),
}
# Those of them asked as a member. Nobody without a token of their own may even knock.
OF_MEMBERS = {"get_access"}

# Names of tables, none of which may mean anything to the API.
TABLES = ("users", "communities", "ledger_entries")

# The kinds of things that get_health may name as missing (RULES 14.1).
KINDS = {
    "jobs": "job ",
    "triggers on auth.users": "trigger ",
    "Realtime policy": "policy ",
    "published tables": "published table ",
    "default privileges": "default privileges ",
    "profiles": "profile ",
    "erasures": "erasure ",
    "grants on doors": "grants on doors",
    "pg_cron": "extension pg_cron",
}

OUT_OF_SIGHT = {
    "migrations": "`supabase migration list` compares the history",
    "Realtime": 'Settings: "Allow public access" must be off, else anybody joins public topics',
    "redirects": "Authentication, URL configuration: the site's and the frontend's addresses",
    "mail": "Authentication, Emails: a sender of your own, if people sign in by mail",
    "backups": "Database, Backups",
}


@dataclass(frozen=True)
class Check:
    what: str
    state: str
    says: str


def checked(what: str, holds: object, says: str, otherwise: str) -> Check:
    return Check(what, DONE if holds else LACKING, says if holds else otherwise)


async def doctor(steward: Steward, asked: argparse.Namespace) -> Row:
    visit = Visit(steward, asked.origin, asked.edge)
    checks = [check async for check in visit.everything()]
    answer: Row = {"checks": [asdict(check) for check in checks]}
    lacking = sum(check.state == LACKING for check in checks)
    if lacking:
        raise Unwell(answer, f"{lacking} of {len(checks)} are lacking.")
    return answer


def in_check_marks(answer: Row) -> str:
    return "\n".join(f"{MARKS[c['state']]} {c['what']}: {c['says']}" for c in answer["checks"])


class Visit:
    def __init__(self, steward: Steward, origin: str | None, edge: str | None) -> None:
        self._steward = steward
        self._settings: Settings = steward.settings
        self._http = steward.gateway.http
        self._origin = origin
        self._edge = edge

    async def everything(self) -> AsyncIterator[Check]:
        looks: dict[str, Callable[[], AsyncIterator[Check]]] = {
            "publishable key": self.publishable_key,
            "doors": self.doors,
            "schemas": self.schemas,
            "health": self.health,
            "jobs on time": self.jobs,
            "signing keys": self.signing_keys,
            "Auth": self.auth,
            "browsers": self.browsers,
            "edge": self.edge,
        }
        for what, look in looks.items():
            try:
                async for check in look():
                    yield check
            except Refusal as refusal:
                yield Check(what, LACKING, f"{refusal.code}: {refusal.message}")
            except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
                yield Check(what, LACKING, f"no answer that makes sense ({type(error).__name__})")
        for what, says in OUT_OF_SIGHT.items():
            yield Check(what, UNSEEN, f"cannot be seen from here: {says}")

    # ------------------------------------------------------------------ the project's API

    async def publishable_key(self) -> AsyncIterator[Check]:
        """With it alone one is a stranger: the database itself turns one away, not the gateway."""
        key = self._settings.supabase_anon_key.get_secret_value()
        url = f"{self._settings.supabase_url}/rest/v1/rpc/get_access"
        answer = await self._http.post(url, json={}, headers=as_key(key))
        yield checked(
            "publishable key",
            answer.status_code == 401 and code_of(answer) == "42501",
            "known to the project, and opens no door by itself",
            f"status {answer.status_code} where a stranger's 401 is due: another project's key, "
            "or the house is not there",
        )

    async def doors(self) -> AsyncIterator[Check]:
        paths = (await self._as_service("/", Accept="application/openapi+json"))["paths"]
        found = {path.removeprefix("/rpc/") for path in paths if path.startswith("/rpc/")}
        # A member's door is not in what the service role is shown; the key above has met one.
        missing = DOORS - OF_MEMBERS - found
        yield checked(
            "doors",
            not missing,
            f"all {len(DOORS - OF_MEMBERS)} that the edge and its stewards ask",
            f"push the migrations: {', '.join(sorted(missing))} not there",
        )
        tables = {path for path in paths if path != "/" and not path.startswith("/rpc/")}
        for name in TABLES:
            url = f"{self._settings.supabase_url}/rest/v1/{name}"
            if (await self._http.get(url, headers=as_key(self._service_key))).status_code != 404:
                tables.add(f"/{name}")
        yield checked(
            "tables",
            not tables,
            "none can be named through the API",
            f"not everything here is a door: {', '.join(sorted(tables))}",
        )

    async def schemas(self) -> AsyncIterator[Check]:
        """Whoever asks for a schema that is not exposed is told those that are."""
        url = f"{self._settings.supabase_url}/rest/v1/users"
        headers = as_key(self._service_key) | {"Accept-Profile": "no_such_schema"}
        answer = (await self._http.get(url, headers=headers)).json()
        told = f"{answer.get('message')}\n{answer.get('hint')}"
        listed = re.search(r"(?:following|exposed): ([\w, ]+)", told)
        exposed = listed[1].strip().split(", ") if listed else []
        others = [name for name in exposed if name != "public"]
        yield checked(
            "exposed schemas",
            exposed == ["public"],
            "public alone",
            f"Settings, Data API: take {', '.join(others)} out" if others else "public is not",
        )

    async def _as_service(self, path: str, **headers: str) -> Any:
        url = f"{self._settings.supabase_url}/rest/v1{path}"
        answer = await self._http.get(url, headers=as_key(self._service_key) | headers)
        return answer.raise_for_status().json()

    @property
    def _service_key(self) -> str:
        return self._settings.supabase_service_key.get_secret_value()

    # ------------------------------------------------------------------ the house

    async def health(self) -> AsyncIterator[Check]:
        """The first to ask by the secret key; what is missing is told kind by kind."""
        found = await self._steward.ask("get_health")
        house = HouseHealth.model_validate(found)
        yield Check("secret key", DONE, "known to the project")
        for what, begins in KINDS.items():
            missing = [name for name in house.missing if name.startswith(begins)]
            if "missing" in found:
                yield checked(
                    what, not missing, "all there", f"`mend` puts back: {and_so(missing)}"
                )
            else:
                yield Check(what, UNSEEN, "this house is too old to say; push the migrations")
        others = [name for name in house.missing if not name.startswith(tuple(KINDS.values()))]
        if others or (house.status == "broken" and not house.missing):
            yield Check("house", LACKING, and_so(others) or "broken, and does not say why")
        yield checked(
            "Dawns",
            house.verdict != "late",
            "on time",
            f"one is {house.dawn_late_seconds} seconds late: look at `jobs` and `runs --failed`",
        )

    async def jobs(self) -> AsyncIterator[Check]:
        jobs = (await self._steward.ask("get_jobs"))["jobs"]
        still = [job["name"] for job in jobs if not job["active"]]
        late = [job["name"] for job in jobs if job["late_seconds"] > JOB_LATE_SECONDS]
        failed = [job["name"] for job in jobs if job["last_status"] == "failed"]
        trouble = still or late or failed
        how = "switched off" if still else "late" if late else "failed when last run"
        yield checked(
            "jobs on time",
            jobs and not trouble,
            f"{len(jobs)} run",
            f"{and_so(trouble)} {how}" if trouble else "no job is scheduled",
        )

    # ------------------------------------------------------------------ Auth

    async def signing_keys(self) -> AsyncIterator[Check]:
        url = f"{self._settings.supabase_url}/auth/v1/.well-known/jwks.json"
        keys = usable((await self._http.get(url)).raise_for_status().json()["keys"])
        kinds = sorted({key.algorithm_name for _, key in keys})
        yield checked(
            "signing keys",
            keys or self._settings.supabase_jwt_secret,
            f"published: {', '.join(kinds)}" if keys else "by the legacy secret, given here",
            "none published and no SUPABASE_JWT_SECRET: nobody's token can be verified",
        )

    async def auth(self) -> AsyncIterator[Check]:
        key = self._settings.supabase_anon_key.get_secret_value()
        url = f"{self._settings.supabase_url}/auth/v1/settings"
        told = (await self._http.get(url, headers=as_key(key))).raise_for_status().json()
        external = told["external"]
        ways = sorted(name for name, on in external.items() if on and name != "anonymous_users")
        yield checked("ways to sign in", ways, ", ".join(ways), "none: enable Google, for example")
        yield checked(
            "anonymous sign-ins",
            not external.get("anonymous_users"),
            "off",
            "on: turn them off, CHAS lets nobody without an account in",
        )
        yield checked(
            "addresses",
            not told["mailer_autoconfirm"],
            "confirmed before they count",
            '"Confirm email" is off: an invite for one address opens to whoever claims it',
        )
        yield checked(
            "sign-ups",
            not told["disable_signup"],
            "open",
            "closed: nobody new can redeem an invite",
        )

    # ------------------------------------------------------------------ the edge

    async def browsers(self) -> AsyncIterator[Check]:
        allowed = self._settings.allowed_origins
        wanted = self._origin
        yield checked(
            "browsers",
            "*" in allowed or (wanted in allowed if wanted else allowed),
            f"may call from {wanted or ', '.join(allowed)}",
            f"ALLOWED_ORIGINS names {', '.join(allowed) or 'nobody'}"
            + (f", not {wanted}" if wanted else ""),
        )

    async def edge(self) -> AsyncIterator[Check]:
        if self._edge is None:
            yield Check("edge", UNSEEN, "give --edge, its address, to have it asked")
            return
        ready = await self._http.get(f"{self._edge}/health/ready")
        told = ready.json()
        yield checked(
            "edge",
            ready.status_code == 200,
            f"ready, version {told.get('version')}",
            f"not ready: status {ready.status_code}, {told.get('status') or told.get('code')}",
        )
        if self._origin:
            asked = {"Origin": self._origin, "Access-Control-Request-Method": "DELETE"}
            answer = await self._http.options(f"{self._edge}/account", headers=asked)
            yield checked(
                "edge, from a browser",
                answer.headers.get("Access-Control-Allow-Origin") in (self._origin, "*"),
                f"answers {self._origin}",
                f"does not answer {self._origin}: its ALLOWED_ORIGINS are others",
            )


def as_key(key: str) -> dict[str, str]:
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def code_of(answer: httpx.Response) -> Any:
    """PostgREST's word; a gateway that turns one away says it in other ways."""
    try:
        return answer.json().get("code")
    except (ValueError, AttributeError):
        return None


def and_so(names: list[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
