"""One call of every member RPC, as somebody might make it: what `instructions.py` counts.

A call is made in a town: a community of five with twenty joys of its own, which nobody else enters,
so that calls do not meet. What it needs is made before, through the doors. Reads go where there is
much to read: to the busy community of data.sql, or to the elders', who have lived two weeks.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any

from people import House, Member

MEMBERS = 5
HISTORY = 20
BUSY = 5_000
ELDERS = 20
TRAVELS = 9

Asked = tuple[Member, dict[str, Any]]


def bench_id(name: str, number: int) -> str:
    """As bench.person and bench.community of data.sql make them."""
    return str(uuid.UUID(md5(f"{name}{number}".encode(), usedforsecurity=False).hexdigest()))


@dataclass
class Town:
    house: House
    number: int  # of its community in data.sql; 0 is the busy one

    @property
    def here(self) -> dict[str, Any]:
        return {"community_id": bench_id("community", self.number)}

    def person(self, n: int) -> Member:
        """The moderator is 0."""
        i = n + 1 if self.number == 0 else 51 + (self.number - 1) * MEMBERS + n
        user = {"id": bench_id("person", i), "email": f"person{i}@example.org"}
        return Member.of(self.house, user, {})

    @property
    def code(self) -> str:
        return str(self.person(0).get_community(**self.here)["community"]["invite_code"])


@dataclass
class Elders:
    """A community that lived day by day: it has editions, Sunset lists, Jashns and an audit."""

    here: dict[str, Any]
    people: list[Member]
    jashn_id: str
    guests: list[Member]  # who may celebrate it


@dataclass
class Ground:
    """What a call may use: a town for itself alone, and what all calls read."""

    town: Town
    round: int
    busy: Town
    elders: Elders
    traveller: Member

    @property
    def here(self) -> dict[str, Any]:
        return self.town.here

    @property
    def moderator(self) -> Member:
        return self.town.person(0)

    @property
    def one(self) -> Member:
        return self.town.person(1)

    @property
    def other(self) -> Member:
        return self.town.person(2)

    def reading(self, **more: Any) -> Asked:
        """Of the busy community, by one of its fifty."""
        return self.busy.person(7), self.busy.here | more

    def of_the_elders(self) -> Asked:
        return self.elders.people[0], self.elders.here

    # What has happened in the town before.

    def after(self, _: object) -> dict[str, Any]:
        return self.here

    def line(self) -> dict[str, Any]:
        said = self.one.send_message(content="What a day this will be", **self.here)
        return {"message_id": said["message"]["id"]}

    def joy(self) -> dict[str, Any]:
        return {"declaration_id": self.one.declare_joy(**JOY, **self.here)["declaration"]["id"]}

    def need(self) -> dict[str, Any]:
        return {"lender_id": self.other.id, "amount": 5} | WHY

    def request(self) -> dict[str, Any]:
        asked = self.one.request_borrow(**self.need(), **self.here)
        return {"borrow_request_id": asked["borrow_request"]["id"]}

    def loan(self) -> dict[str, Any]:
        self.other.respond_borrow(action="approved", **self.request())
        (loan,) = self.one.list_loans(**self.here)["loans"]
        return {"loan_id": loan["id"]}

    def proposal(self, *voters: int) -> dict[str, Any]:
        made = self.one.propose_tip_to_tip(**TIP, **self.here)
        proposal = {"proposal_id": made["proposal"]["id"]}
        for n in voters:
            self.town.person(n).vote_tip_to_tip(**proposal, **YES)
        return proposal

    def seat(self, n: int) -> Any:
        seated = self.town.person(n).id
        return self.moderator.set_council(user_id=seated, granted=True, **self.here)

    def election(self, *voters: int) -> dict[str, Any]:
        for n in (1, 2):
            self.seat(n)
        made = self.moderator.create_election(**a_seat(), **self.here)
        election = {"election_id": made["election"]["id"]}
        for n in voters:
            self.town.person(n).vote_election(candidate_id=self.other.id, **election)
        return election

    def gone(self, ban: bool) -> dict[str, Any]:
        self.moderator.remove_member(user_id=self.one.id, ban=ban, **WHY, **self.here)
        return {"user_id": self.one.id}

    def notice(self) -> dict[str, Any]:
        self.other.witness_declaration(**self.joy())
        notice = self.one.list_notifications(unread_only=True)["notifications"][0]
        return {"notification_id": notice["id"]}


# What is said where nothing hangs on it.
WHY = {"reason": "A reason"}
WORDS = {"content": "What a day this has been"}
JOY = {"title": "A joy", "cc_spent": 1}
TIP = {"title": "A tip", "stake_amount": 5}
YES = {"vote": "accept"}
MUTE = {"type": "witnessed", "muted": True}


def a_request() -> dict[str, Any]:
    return {"request_id": str(uuid.uuid4())}


def a_seat() -> dict[str, Any]:
    return {"title": "A seat", "ends_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}


def some_days() -> dict[str, Any]:
    today = datetime.now(UTC).date()
    return {
        "from_day": (today + timedelta(days=3)).isoformat(),
        "to_day": (today + timedelta(days=5)).isoformat(),
    }


CALLS: dict[str, Callable[[Ground], Asked]] = {
    # access and oneself
    "get_access": lambda g: (g.one, {}),
    "get_me": lambda g: (g.one, {}),
    "update_me": lambda g: (g.one, {"display_name": "A new name"}),
    "export_my_data": lambda g: (g.busy.person(7), {}),
    # communities and members
    "create_community": lambda g: (g.one, {"name": "Another place"}),
    "join_community": lambda g: (g.busy.person(20 + g.round), {"invite_code": g.town.code}),
    "list_my_communities": lambda g: (g.traveller, {}),
    "get_community": Ground.reading,
    "get_rules": Ground.reading,
    "update_community": lambda g: (g.moderator, g.here | {"patch": {"daily_cc_budget": 120}}),
    "set_join_code": lambda g: (g.moderator, g.here | {"rotate": True}),
    "leave_community": lambda g: (g.one, g.here),
    "remove_member": lambda g: (g.moderator, g.here | {"user_id": g.one.id} | WHY),
    "ban_member": lambda g: (g.moderator, g.here | g.gone(ban=False) | WHY),
    "lift_ban": lambda g: (g.moderator, g.here | g.gone(ban=True)),
    "list_bans": lambda g: (g.moderator, g.after(g.gone(ban=True))),
    "declare_absence": lambda g: (g.one, g.here | some_days()),
    "end_absence": lambda g: (g.one, g.after(g.one.declare_absence(**some_days(), **g.here))),
    "set_council": lambda g: (g.moderator, g.here | {"user_id": g.one.id, "granted": True}),
    "step_down": lambda g: (g.moderator, g.here | {"successor_id": g.one.id}),
    "list_members": Ground.reading,
    "get_member_profile": lambda g: g.reading(user_id=g.busy.person(9).id),
    "list_audit": Ground.of_the_elders,
    # Chamber and Gazette
    "list_messages": Ground.reading,
    "get_message": lambda g: (g.other, g.line()),
    "send_message": lambda g: (g.one, g.here | WORDS | a_request()),
    "edit_message": lambda g: (g.one, g.line() | WORDS),
    "delete_message": lambda g: (g.one, g.line()),
    "strike_message": lambda g: (g.moderator, g.line() | WHY),
    "mark_chamber_read": lambda g: (g.other, g.here | g.line()),
    "declare_joy": lambda g: (g.one, g.here | JOY | a_request()),
    "list_gazette": Ground.reading,
    "get_declaration": lambda g: (g.other, g.joy()),
    "witness_declaration": lambda g: (g.other, g.joy()),
    # money
    "get_balance": Ground.reading,
    "list_ledger": Ground.reading,
    "audit_ledger": Ground.of_the_elders,
    "preview_dawn": lambda g: (g.one, g.after(g.loan())),
    "request_borrow": lambda g: (g.one, g.here | g.need() | a_request()),
    "respond_borrow": lambda g: (g.other, g.request() | {"action": "approved"}),
    "cancel_borrow": lambda g: (g.one, g.request()),
    "list_loans": lambda g: (g.one, g.after(g.loan())),
    "repay_loan": lambda g: (g.one, g.loan() | {"amount": 2} | a_request()),
    "forgive_loan": lambda g: (g.other, g.loan() | {"amount": 2}),
    "propose_tip_to_tip": lambda g: (g.one, g.here | TIP | a_request()),
    "vote_tip_to_tip": lambda g: (g.other, g.proposal() | YES),
    "vote_tip_to_tip, the last": lambda g: (g.other, g.proposal(0, 3, 4) | YES),
    "get_tip_to_tip": lambda g: (g.other, g.proposal()),
    "list_tip_to_tips": lambda g: (g.other, g.after(g.proposal())),
    "get_sunset": Ground.reading,
    # elections, honours
    "create_election": lambda g: (g.moderator, g.after(g.seat(1)) | a_seat()),
    "get_active_election": lambda g: (g.one, g.after(g.election())),
    "get_election": lambda g: (g.one, g.election()),
    "list_elections": lambda g: (g.one, g.after(g.election())),
    "vote_election": lambda g: (g.one, g.election() | {"candidate_id": g.other.id}),
    "close_election": lambda g: (g.moderator, g.election(0, 1, 2)),
    "cancel_election": lambda g: (g.moderator, g.election() | WHY),
    "get_leaderboard": Ground.reading,
    "get_jashn": Ground.of_the_elders,
    "celebrate_jashn": lambda g: (
        g.elders.guests[g.round],
        {"jashn_id": g.elders.jashn_id, "message": "Well lived"},
    ),
    "get_last_light": Ground.reading,
    "list_honours": Ground.of_the_elders,
    # the Gazette's editions
    "get_edition": Ground.of_the_elders,
    "list_editions": Ground.of_the_elders,
    "verify_gazette": Ground.of_the_elders,
    # notifications
    "list_notifications": lambda g: (g.busy.person(7), {}),
    "mark_notification_read": lambda g: (g.one, g.notice()),
    "mark_all_notifications_read": lambda g: (g.one, g.notice() and {}),
    "mute_notifications": lambda g: (g.one, g.here | MUTE),
    "list_mutes": lambda g: (g.one, g.after(g.one.mute_notifications(**MUTE, **g.here))),
}


def door(name: str) -> str:
    """Of one that is called in two ways, what stands before the comma."""
    return name.partition(",")[0]


# ------------------------------------------------------------------------------ what they stand on


def found_elders(house: House) -> Elders:
    """Two weeks, day by day, each person's joy witnessed by the next."""
    today = datetime.now(UTC).replace(hour=0, minute=30, second=0, microsecond=0)
    house.clock.at(today - timedelta(days=15))
    community, people = house.gather("Elder", ELDERS)
    here = {"community_id": community}
    for _ in range(14):
        house.clock.forward(days=1)
        house.owner.sql("select private.weekly_jashn(%(now)s)", now=house.clock.now)
        for person, other in zip(people, people[1:] + people[:1], strict=True):
            joy = person.declare_joy(title="A joy", cc_spent=5, **here)["declaration"]
            other.witness_declaration(declaration_id=joy["id"])
    house.clock.at(today)
    people[0].update_community(patch={"daily_cc_budget": 900}, **here)
    jashn = people[0].get_jashn(**here)["jashn"]
    *guests, last = [person for person in people if person.id != jashn["honored_user"]["id"]]
    last.celebrate_jashn(jashn_id=jashn["id"], message="Well lived")
    return Elders(here, people, jashn["id"], guests)


def ask_all(house: House, rounds: int) -> dict[str, list[Asked]]:
    """Makes all that the calls need in a house of data.sql with `towns(rounds)` communities, and
    answers who asks what of each door, as often as there are rounds."""
    elders = found_elders(house)
    house.clock.at(datetime.now(UTC))
    house.owner.sql(
        "select private.make_join_code(c.id) from private.communities as c"
        " where not exists (select from private.join_codes as j where j.community_id = c.id)"
    )
    numbers = iter(range(1, towns(rounds) + 1))
    traveller = Town(house, next(numbers)).person(1)
    for _ in range(TRAVELS):
        traveller.join_community(invite_code=Town(house, next(numbers)).code)
    busy = Town(house, 0)
    return {
        name: [
            make(Ground(Town(house, next(numbers)), n, busy, elders, traveller))
            for n in range(rounds)
        ]
        for name, make in CALLS.items()
    }


def towns(rounds: int) -> int:
    return 1 + TRAVELS + rounds * len(CALLS)
