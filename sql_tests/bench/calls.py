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
    size: int = MEMBERS

    @property
    def here(self) -> dict[str, Any]:
        return {"community_id": bench_id("community", self.number)}

    def person(self, n: int) -> Member:
        """The moderator is 0."""
        i = n + 1 if self.number == 0 else 51 + (self.number - 1) * MEMBERS + n
        user = {"id": bench_id("person", i), "email": f"person{i}@example.org"}
        return Member.of(self.house, user, {})

    @property
    def moderator(self) -> Member:
        return self.person(0)


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

    def reading(self, **more: Any) -> Asked:
        """Of the busy community, by one of its fifty."""
        return self.busy.person(7), self.busy.here | more

    def of_the_elders(self, **more: Any) -> Asked:
        return self.elders.people[0], self.elders.here | more

    # What has happened in the town before.

    def lines(self) -> dict[str, Any]:
        said = self.town.person(1).send_message(content="What a day this has been", **self.here)
        return {"message_id": said["message"]["id"]}

    def joy(self) -> dict[str, Any]:
        joy = self.town.person(1).declare_joy(title="A joy", cc_spent=1, **self.here)
        return {"declaration_id": joy["declaration"]["id"]}

    def request(self) -> dict[str, Any]:
        need = {"lender_id": self.town.person(2).id, "amount": 5, "reason": "A need"}
        asked = self.town.person(1).request_borrow(**need, **self.here)
        return {"borrow_request_id": asked["borrow_request"]["id"]}

    def loan(self) -> dict[str, Any]:
        self.town.person(2).respond_borrow(action="approved", **self.request())
        (loan,) = self.town.person(1).list_loans(**self.here)["loans"]
        return {"loan_id": loan["id"]}

    def proposal(self) -> dict[str, Any]:
        made = self.town.person(1).propose_tip_to_tip(title="A tip", stake_amount=5, **self.here)
        return {"proposal_id": made["proposal"]["id"]}

    def election(self) -> dict[str, Any]:
        for n in (1, 2):
            self.seat(n)
        ends = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        made = self.town.moderator.create_election(title="A seat", ends_at=ends, **self.here)
        return {"election_id": made["election"]["id"]}

    def votes(self, *voters: int) -> dict[str, Any]:
        election = self.election()
        for n in voters:
            self.town.person(n).vote_election(candidate_id=self.town.person(2).id, **election)
        return election

    def seat(self, n: int) -> None:
        self.town.moderator.set_council(user_id=self.town.person(n).id, granted=True, **self.here)

    def gone(self, ban: bool) -> dict[str, Any]:
        gone = {"user_id": self.town.person(1).id}
        self.town.moderator.remove_member(reason="A reason", ban=ban, **gone, **self.here)
        return gone


CALLS: dict[str, Callable[[Ground], Asked]] = {}


def call(make: Callable[[Ground], Asked]) -> Callable[[Ground], Asked]:
    """Of the door it is named after; of one that has two, which it is stands behind `__`."""
    door, _, which = make.__name__.partition("__")
    CALLS[f"{door}, {which.replace('_', ' ')}" if which else door] = make
    return make


def door(name: str) -> str:
    return name.partition(",")[0]


def days_from_now(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


# --------------------------------------------------------------------------- access and oneself


@call
def get_access(ground: Ground) -> Asked:
    return ground.town.person(1), {}


@call
def get_me(ground: Ground) -> Asked:
    return ground.town.person(1), {}


@call
def update_me(ground: Ground) -> Asked:
    return ground.town.person(1), {"display_name": "A new name"}


@call
def export_my_data(ground: Ground) -> Asked:
    return ground.busy.person(7), {}


# ----------------------------------------------------------------------- communities and members


@call
def create_community(ground: Ground) -> Asked:
    return ground.town.person(1), {"name": "Another place"}


@call
def join_community(ground: Ground) -> Asked:
    code = ground.town.moderator.get_community(**ground.here)["community"]["invite_code"]
    return ground.busy.person(20 + ground.round), {"invite_code": code}


@call
def list_my_communities(ground: Ground) -> Asked:
    return ground.traveller, {}


@call
def get_community(ground: Ground) -> Asked:
    return ground.reading()


@call
def get_rules(ground: Ground) -> Asked:
    return ground.reading()


@call
def update_community(ground: Ground) -> Asked:
    return ground.town.moderator, ground.here | {"patch": {"daily_cc_budget": 120}}


@call
def set_join_code(ground: Ground) -> Asked:
    return ground.town.moderator, ground.here | {"rotate": True}


@call
def leave_community(ground: Ground) -> Asked:
    return ground.town.person(1), ground.here


@call
def remove_member(ground: Ground) -> Asked:
    gone = {"user_id": ground.town.person(1).id, "reason": "A reason"}
    return ground.town.moderator, ground.here | gone


@call
def ban_member(ground: Ground) -> Asked:
    return ground.town.moderator, ground.here | ground.gone(ban=False) | {"reason": "A reason"}


@call
def lift_ban(ground: Ground) -> Asked:
    return ground.town.moderator, ground.here | ground.gone(ban=True)


@call
def list_bans(ground: Ground) -> Asked:
    ground.gone(ban=True)
    return ground.town.moderator, ground.here


@call
def declare_absence(ground: Ground) -> Asked:
    away = {"from_day": days_from_now(3), "to_day": days_from_now(5)}
    return ground.town.person(1), ground.here | away


@call
def end_absence(ground: Ground) -> Asked:
    person, away = declare_absence(ground)
    person.declare_absence(**away)
    return person, ground.here


@call
def set_council(ground: Ground) -> Asked:
    seat = {"user_id": ground.town.person(1).id, "granted": True}
    return ground.town.moderator, ground.here | seat


@call
def step_down(ground: Ground) -> Asked:
    return ground.town.moderator, ground.here | {"successor_id": ground.town.person(1).id}


@call
def list_members(ground: Ground) -> Asked:
    return ground.reading()


@call
def get_member_profile(ground: Ground) -> Asked:
    return ground.reading(user_id=ground.busy.person(9).id)


@call
def list_audit(ground: Ground) -> Asked:
    return ground.of_the_elders()


# --------------------------------------------------------------------------- Chamber and Gazette


@call
def list_messages(ground: Ground) -> Asked:
    return ground.reading()


@call
def get_message(ground: Ground) -> Asked:
    return ground.town.person(2), ground.lines()


@call
def send_message(ground: Ground) -> Asked:
    words = {"content": "What a day this has been", "request_id": str(uuid.uuid4())}
    return ground.town.person(1), ground.here | words


@call
def edit_message(ground: Ground) -> Asked:
    return ground.town.person(1), ground.lines() | {"content": "What a day this was"}


@call
def delete_message(ground: Ground) -> Asked:
    return ground.town.person(1), ground.lines()


@call
def strike_message(ground: Ground) -> Asked:
    return ground.town.moderator, ground.lines() | {"reason": "A reason"}


@call
def mark_chamber_read(ground: Ground) -> Asked:
    return ground.town.person(2), ground.here | ground.lines()


@call
def declare_joy(ground: Ground) -> Asked:
    joy = {"title": "A joy", "cc_spent": 1, "request_id": str(uuid.uuid4())}
    return ground.town.person(1), ground.here | joy


@call
def list_gazette(ground: Ground) -> Asked:
    return ground.reading()


@call
def get_declaration(ground: Ground) -> Asked:
    return ground.town.person(2), ground.joy()


@call
def witness_declaration(ground: Ground) -> Asked:
    return ground.town.person(2), ground.joy()


# ----------------------------------------------------------------------------------------- money


@call
def get_balance(ground: Ground) -> Asked:
    return ground.reading()


@call
def list_ledger(ground: Ground) -> Asked:
    return ground.reading()


@call
def audit_ledger(ground: Ground) -> Asked:
    return ground.of_the_elders()


@call
def preview_dawn(ground: Ground) -> Asked:
    ground.loan()
    return ground.town.person(1), ground.here


@call
def request_borrow(ground: Ground) -> Asked:
    need = {"lender_id": ground.town.person(2).id, "amount": 5, "reason": "A need"}
    return ground.town.person(1), ground.here | need | {"request_id": str(uuid.uuid4())}


@call
def respond_borrow(ground: Ground) -> Asked:
    return ground.town.person(2), ground.request() | {"action": "approved"}


@call
def cancel_borrow(ground: Ground) -> Asked:
    return ground.town.person(1), ground.request()


@call
def list_loans(ground: Ground) -> Asked:
    ground.loan()
    return ground.town.person(1), ground.here


@call
def repay_loan(ground: Ground) -> Asked:
    some = {"amount": 2, "request_id": str(uuid.uuid4())}
    return ground.town.person(1), ground.loan() | some


@call
def forgive_loan(ground: Ground) -> Asked:
    return ground.town.person(2), ground.loan() | {"amount": 2}


@call
def propose_tip_to_tip(ground: Ground) -> Asked:
    tip = {"title": "A tip", "stake_amount": 5, "request_id": str(uuid.uuid4())}
    return ground.town.person(1), ground.here | tip


@call
def vote_tip_to_tip(ground: Ground) -> Asked:
    return ground.town.person(2), ground.proposal() | {"vote": "accept"}


@call
def vote_tip_to_tip__the_last(ground: Ground) -> Asked:
    proposal = ground.proposal()
    for n in (0, 2, 3):
        ground.town.person(n).vote_tip_to_tip(vote="accept", **proposal)
    return ground.town.person(4), proposal | {"vote": "accept"}


@call
def get_tip_to_tip(ground: Ground) -> Asked:
    return ground.town.person(2), ground.proposal()


@call
def list_tip_to_tips(ground: Ground) -> Asked:
    ground.proposal()
    return ground.town.person(2), ground.here


@call
def get_sunset(ground: Ground) -> Asked:
    return ground.reading()


# ---------------------------------------------------------------------------- elections, honours


@call
def create_election(ground: Ground) -> Asked:
    ground.seat(1)
    ends = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    return ground.town.moderator, ground.here | {"title": "A seat", "ends_at": ends}


@call
def get_active_election(ground: Ground) -> Asked:
    ground.election()
    return ground.town.person(1), ground.here


@call
def get_election(ground: Ground) -> Asked:
    return ground.town.person(1), ground.election()


@call
def list_elections(ground: Ground) -> Asked:
    ground.election()
    return ground.town.person(1), ground.here


@call
def vote_election(ground: Ground) -> Asked:
    return ground.town.person(1), ground.election() | {"candidate_id": ground.town.person(2).id}


@call
def close_election(ground: Ground) -> Asked:
    return ground.town.moderator, ground.votes(0, 1, 2)


@call
def cancel_election(ground: Ground) -> Asked:
    return ground.town.moderator, ground.election() | {"reason": "A reason"}


@call
def get_leaderboard(ground: Ground) -> Asked:
    return ground.reading()


@call
def get_jashn(ground: Ground) -> Asked:
    return ground.of_the_elders()


@call
def celebrate_jashn(ground: Ground) -> Asked:
    guest = ground.elders.guests[ground.round]
    return guest, {"jashn_id": ground.elders.jashn_id, "message": "Well lived"}


@call
def get_last_light(ground: Ground) -> Asked:
    return ground.reading()


@call
def list_honours(ground: Ground) -> Asked:
    return ground.of_the_elders()


# ------------------------------------------------------------------------ the Gazette's editions


@call
def get_edition(ground: Ground) -> Asked:
    return ground.of_the_elders()


@call
def list_editions(ground: Ground) -> Asked:
    return ground.of_the_elders()


@call
def verify_gazette(ground: Ground) -> Asked:
    return ground.of_the_elders()


# --------------------------------------------------------------------------------- notifications


@call
def list_notifications(ground: Ground) -> Asked:
    return ground.busy.person(7), {}


@call
def mark_notification_read(ground: Ground) -> Asked:
    ground.town.person(2).witness_declaration(**ground.joy())
    notice = ground.town.person(1).list_notifications(unread_only=True)["notifications"][0]
    return ground.town.person(1), {"notification_id": notice["id"]}


@call
def mark_all_notifications_read(ground: Ground) -> Asked:
    ground.town.person(2).witness_declaration(**ground.joy())
    return ground.town.person(1), {}


@call
def mute_notifications(ground: Ground) -> Asked:
    return ground.town.person(1), ground.here | {"type": "witnessed", "muted": True}


@call
def list_mutes(ground: Ground) -> Asked:
    ground.town.person(1).mute_notifications(type="witnessed", muted=True, **ground.here)
    return ground.town.person(1), ground.here


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
        town = Town(house, next(numbers))
        code = town.moderator.get_community(**town.here)["community"]["invite_code"]
        traveller.join_community(invite_code=code)
    busy = Town(house, 0, 50)
    return {
        name: [
            make(Ground(Town(house, next(numbers)), n, busy, elders, traveller))
            for n in range(rounds)
        ]
        for name, make in CALLS.items()
    }


def towns(rounds: int) -> int:
    return 1 + TRAVELS + rounds * len(CALLS)
