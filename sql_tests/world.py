"""A community in which everything has happened, with one of everybody who might be in it."""

from dataclasses import dataclass, field
from typing import Any

from people import House, Member

FOUNDED = "2026-03-02 12:00+00:00"  # a Monday
FIRST_JOY = "2026-03-09 12:00+00:00"
JASHN = "2026-03-15 00:05+00:00"
NOW = "2026-03-15 06:00+00:00"


@dataclass
class World:
    """`things` has an id of everything there is, by the name doors have for it."""

    house: House
    name: str
    things: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.house.clock.at(FOUNDED)
        self.moderator = self._somebody("Mina")
        founded = self.moderator.create_community(name=self.name)["community"]
        self.community: str = founded["id"]
        self.code: str = founded["invite_code"]
        self.member = self._join("Bram")
        self.council = self._join("Chloe")
        self.banned = self._join("Dara")
        self.members = (self.moderator, self.member, self.council)
        self._live()

    def _somebody(self, name: str) -> Member:
        address = f"{name}@{self.name}.chas.test".lower()
        return self.house.admit(self.house.sign_up(address, f"{name} of {self.name}"))

    def _join(self, name: str) -> Member:
        person = self._somebody(name)
        person.join_community(invite_code=self.code)
        return person

    def _live(self) -> None:
        here = {"community_id": self.community}
        appointed = self.council.id
        self.moderator.set_council(user_id=appointed, granted=True, **here)

        self.house.clock.at(FIRST_JOY)
        joy = self.moderator.declare_joy(title="Secret joy", cc_spent=5, **here)
        shame = self.banned.declare_joy(title="Secret shame", cc_spent=1, **here)
        self.moderator.witness_declaration(declaration_id=shame["declaration"]["id"])

        self.house.clock.at(JASHN)
        self.house.owner.sql("select private.weekly_jashn(%(now)s)", now=self.house.clock.now)
        jashn = self.moderator.get_jashn(**here)["jashn"]
        for guest in (self.council, self.moderator):
            guest.celebrate_jashn(jashn_id=jashn["id"], message="Secret praise")

        self.house.clock.at(NOW)
        gone = self.banned.id
        self.moderator.remove_member(user_id=gone, reason="Secret reason", ban=True, **here)
        self.council.witness_declaration(declaration_id=joy["declaration"]["id"])
        loan = self._lend(self.moderator, self.member)
        self._lend(self.moderator, self.council)
        self._lend(self.member, self.council)
        asked = self._ask(self.council, self.member)
        self.own_request: str = self._ask(self.member, self.moderator)["id"]
        tips = [
            person.propose_tip_to_tip(title="Secret plan", stake_amount=5, **here)["proposal"]
            for person in self.members
        ]
        ends = {"title": "Secret seat", "ends_at": "2026-03-16 12:00+00:00"}
        election = self.moderator.create_election(**ends, **here)["election"]
        for elector in (self.council, self.moderator):
            elector.vote_election(election_id=election["id"], candidate_id=self.council.id)
        words = self.member.send_message(content="Secret words", **here)["message"]
        for person in self.members:
            person.mark_chamber_read(message_id=words["id"], **here)
            person.mute_notifications(type="system", muted=True, **here)
        for person in (self.moderator, self.council):
            person.declare_absence(from_day="2026-03-20", to_day="2026-03-21", **here)
        self.things |= {
            **here,
            "declaration_id": joy["declaration"]["id"],
            "message_id": words["id"],
            "borrow_request_id": asked["id"],
            "loan_id": loan["id"],
            "proposal_id": tips[-1]["id"],
            "election_id": election["id"],
            "jashn_id": jashn["id"],
            "notification_id": self.member.list_notifications()["notifications"][0]["id"],
        }

    def _ask(self, borrower: Member, lender: Member) -> dict[str, Any]:
        need = {"community_id": self.community, "amount": 5, "reason": "Secret need"}
        asked: dict[str, Any] = borrower.request_borrow(lender_id=lender.id, **need)
        return dict(asked["borrow_request"])

    def _lend(self, lender: Member, borrower: Member) -> dict[str, Any]:
        asked = self._ask(borrower, lender)
        lender.respond_borrow(borrow_request_id=asked["id"], action="approved")
        newest: dict[str, Any] = borrower.list_loans(community_id=self.community)["loans"][0]
        return newest


# What doors ask for besides ids, so that nothing but the caller is wrong with a call.
IN_ORDER = {
    "action": "approved",
    "amount": 1,
    "cc_spent": 1,
    "content": "Hello",
    "ends_at": "2026-03-17 12:00+00:00",
    "from_day": "2026-03-20",
    "to_day": "2026-03-21",
    "granted": True,
    "message": "Well done",
    "muted": True,
    "name": "Another",
    "patch": {"name": "Ours now"},
    "reason": "Because",
    "stake_amount": 1,
    "title": "A title",
    "type": "witnessed",
    "vote": "accept",
}
