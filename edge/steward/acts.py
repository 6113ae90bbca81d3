"""The commands: each is one RPC of the house, asked with the service key."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from edge.errors import Refusal
from edge.gateway import Gateway
from edge.health import HouseHealth
from edge.settings import Settings
from edge.shapes import Answer

Row = dict[str, Any]

# tip_to_tip_expiry comes every 15 minutes; ten more are late for any job.
JOB_LATE_SECONDS = 1500

MISSING = "The house lacks something it needs: `mend` puts it back."


class Unwell(Exception):
    """An answer that is shown, and a failure all the same."""

    def __init__(self, answer: Row, sentence: str) -> None:
        super().__init__(sentence)
        self.answer = answer
        self.sentence = sentence


class Steward:
    """Asks the house, in somebody's name if one was given."""

    def __init__(self, settings: Settings, gateway: Gateway, name: str | None) -> None:
        self.settings = settings
        self.gateway = gateway
        self._name = name

    async def ask(self, rpc: str, **arguments: Any) -> Row:
        given = {name: value for name, value in arguments.items() if value is not None}
        return (await self.gateway.call(rpc, Answer, **given)).model_dump()

    async def act(self, rpc: str, **arguments: Any) -> Row:
        """An act goes into the audit log, with the name."""
        steward = await self.find(self._name) if self._name else None
        return await self.ask(rpc, steward_id=steward, **arguments)

    async def find(self, who: str) -> str:
        if is_uuid(who):
            return who
        found = (await self.ask("find_people", query=who, page_size=2))["people"]
        if len(found) == 1:
            return str(found[0]["id"])
        if found:
            raise Refusal("CONFLICT", f"More than one person is called {who}: give an id.")
        raise Refusal("NOT_FOUND", f"Nobody here is {who}.")


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------ the commands


async def mint(steward: Steward, asked: argparse.Namespace) -> Row:
    days = asked.days and (datetime.now(UTC) + timedelta(days=asked.days)).isoformat()
    return await steward.ask(
        "mint_invites",
        count=asked.count,
        email=asked.email,
        max_uses=asked.max_uses,
        expires_at=days,
        theme=asked.theme,
        welcome_title=asked.title,
        welcome_message=asked.message,
        note=asked.note,
    )


async def invites(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask("list_invites", page_size=asked.most, before_id=asked.before)


async def revoke(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask("revoke_invite", invite_id=asked.invite)


async def people(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask(
        "find_people", query=asked.query, page_size=asked.most, before_id=asked.before
    )


async def admit(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act("admit_person", user_id=await steward.find(asked.who))


async def suspend(steward: Steward, asked: argparse.Namespace) -> Row:
    person = await steward.find(asked.who)
    return await steward.act("suspend_person", user_id=person, reason=asked.reason)


async def restore(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act("restore_person", user_id=await steward.find(asked.who))


async def erase(steward: Steward, asked: argparse.Namespace) -> Row:
    """As the door of the edge does it; an id goes on where an earlier try stopped."""
    person = await steward.find(asked.who)
    if not asked.yes:
        raise Refusal("CONFLICT", f"This cannot be undone: to erase {person}, add --yes.")
    erased = await steward.ask("erase_user", user_id=person)
    await steward.gateway.delete_auth_user(person)
    return erased


async def community(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act(
        "inspect_community", community_id=asked.community, prove_books=not asked.quick
    )


async def settle(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act("settle_community", community_id=asked.community)


async def correct(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act(
        "post_correction",
        community_id=asked.community,
        user_id=await steward.find(asked.who),
        amount=asked.amount,
        reason=asked.reason,
        request_id=asked.request_id or str(uuid4()),
    )


async def seat(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.act(
        "seat_moderator",
        community_id=asked.community,
        user_id=await steward.find(asked.who),
        reason=asked.reason,
    )


async def jobs(steward: Steward, _: argparse.Namespace) -> Row:
    """Of what is missing, a job that is not scheduled shows in no list of those that are."""
    missing = HouseHealth.model_validate(await steward.ask("get_health")).missing
    found = await steward.ask("get_jobs") | {"missing": missing}
    if missing:
        raise Unwell(found, MISSING)
    still = [job["name"] for job in found["jobs"] if not job["active"]]
    if still:
        raise Unwell(found, f"Switched off: {', '.join(still)}.")
    late = [job["name"] for job in found["jobs"] if job["late_seconds"] > JOB_LATE_SECONDS]
    if late:
        raise Unwell(found, f"Late: {', '.join(late)}. Look at `runs --failed`.")
    return found


async def runs(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask(
        "list_job_runs",
        job=asked.job,
        failed_only=asked.failed,
        page_size=asked.most,
        before_id=asked.before,
    )


async def acts(steward: Steward, asked: argparse.Namespace) -> Row:
    return await steward.ask("list_steward_acts", page_size=asked.most, before_id=asked.before)


async def health(steward: Steward, _: argparse.Namespace) -> Row:
    found = await steward.ask("get_health")
    house = HouseHealth.model_validate(found)
    if house.status == "broken":
        raise Unwell(found, MISSING)
    if house.verdict == "late":
        raise Unwell(found, "A Dawn is late: look at `jobs` and `runs --failed`.")
    return found


async def mend(steward: Steward, _: argparse.Namespace) -> Row:
    found = await steward.ask("mend")
    if found["missing"]:
        raise Unwell(found, "Not everything could be put back.")
    return found
