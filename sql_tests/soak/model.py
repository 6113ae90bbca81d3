"""The economy of one community as RULES 2 and 5 to 8 tell it, in plain Python.

It knows no SQL and shares no line with the house. Each act is a method named as its RPC, plays as
one transaction, and returns what the answer must at least say, or raises `Denied`. Time is `now`,
set by whoever plays; a day begins and ends by the standard library's own reading of the zones.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

Facts = dict[str, Any]


class InAnyOrder(list[Facts]):
    """A list whose order nobody promised."""


LARGEST = 1_000_000_000
DAY = timedelta(days=1)

# Whoever cannot act is answered so, whatever they ask for.
SUSPENDED, BANNED_BY_AUTH, ERASED = "INVITE_REQUIRED", "FORBIDDEN", "UNAUTHORIZED"


class Denied(Exception):
    """A refusal: its code, and the facts it must at least carry."""

    def __init__(self, code: str, **facts: Any) -> None:
        super().__init__(f"{code} {facts}")
        self.code = code
        self.facts = facts


@dataclass(frozen=True)
class Purse:
    day: date
    remaining: int = 0
    spent_today: int = 0
    spent_total: int = 0


@dataclass(frozen=True)
class Entry:
    user: str
    type: str
    amount: int
    moved: int
    balance_after: int
    day: date
    counterparty: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Request:
    borrower: str
    lender: str
    amount: int
    asked_at: datetime
    lapses_at: datetime
    status: str = "pending"

    def seen(self, now: datetime) -> str:
        return "lapsed" if self.status == "pending" and self.lapses_at <= now else self.status


@dataclass(frozen=True)
class Loan:
    borrower: str
    lender: str
    amount: int
    outstanding: int
    status: str = "open"


@dataclass(frozen=True)
class Tip:
    proposer: str
    stake: int
    deadline: datetime
    staked_on: date
    roll: frozenset[str]
    voted: frozenset[str]
    status: str = "active"
    escrow: str = "held"
    is_reminded: bool = False
    amendment: Facts | None = None

    @property
    def awaiting(self) -> int:
        return len(self.roll - self.voted)

    def is_overdue(self, now: datetime) -> bool:
        return self.status == "active" and self.deadline <= now


@cache
def dawn_of(zone: str, day: date) -> datetime:
    """The first instant whose local date is `day`; if the zone skips that date, a later one."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    around = (midnight + timedelta(hours=hours) for hours in range(-27, 28))
    # No clock that is ever at most so far ahead shows the date before this.
    earliest = midnight - max(ahead_of_utc(moment, zone) for moment in around)
    minutes = (earliest + timedelta(minutes=minutes) for minutes in range(54 * 60))
    return next(moment for moment in minutes if local_date(moment, zone) >= day)


def ahead_of_utc(moment: datetime, zone: str) -> timedelta:
    return moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


def local_date(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


class Economy:
    """One community, from its founding on; `member` names are the ids the house gave."""

    def __init__(self, founder: str, now: datetime, zone: str, budget: int) -> None:
        self.now = now
        self.zone = zone
        self.budget = budget
        self.pending: dict[str, Any] = {}
        self.willed: dict[str, None] = {}  # of what pends, what all have willed
        self.absences: dict[str, tuple[date, date]] = {}
        self.day = local_date(now, zone)
        self.dawn_at = dawn_of(zone, self.day + timedelta(days=1))
        self.open = now < self.sunset_at
        self.last_closed: date | None = None
        self.refunded_at_dawn = 0

        self.members: dict[str, datetime] = {}  # since when
        self.moderators: dict[str, None] = {founder: None}
        self.banned: dict[str, None] = {}
        self.unable: dict[str, str] = {}  # who cannot act, and what they are answered
        self.purses: dict[str, Purse] = {}
        self.ledger: list[Entry] = []
        self.requests: dict[str, Request] = {}
        self.loans: dict[str, Loan] = {}  # oldest first
        self.tips: dict[str, Tip] = {}
        self.sunsets: dict[date, dict[str, int]] = {}
        self.memory: dict[tuple[str, str, str], tuple[Facts, datetime]] = {}
        self._come(founder)

    # -------------------------------------------------------------------------- playing

    def play(self, who: str, rpc: str, identity: str, **arguments: Any) -> Facts:
        """One call; what it makes gets the identity. A refusal undoes all, the settling too."""
        before = {name: copy(value) for name, value in vars(self).items()}
        self.identity = identity
        try:
            if who in self.unable:
                raise Denied(self.unable[who])
            answer: Facts = getattr(self, rpc)(who, **arguments)
        except Denied:
            vars(self).update(before)
            raise
        return answer

    def run_job(self, job: str) -> None:
        """What a scheduled job finds to do at `now`."""
        if job == "daily_reset" and self.dawn_at <= self.now:
            self.settle()
        elif job == "daily_sunset":
            # Written down: somebody whose clock is slow does not find them pending again.
            for identity, request in self.requests.items():
                self.requests[identity] = replace(request, status=request.seen(self.now))
            if self.open and self.sunset_at <= self.now:
                self._close()
        elif job == "tip_to_tip_expiry" and any(self._is_due(tip) for tip in self.tips.values()):
            self.settle()
            for identity, tip in self.tips.items():
                if tip.is_overdue(self.now):
                    self._end(identity, self.tip_status(identity))
                elif self._is_due(tip):
                    self.tips[identity] = replace(tip, is_reminded=True)

    def _is_due(self, tip: Tip) -> bool:
        """Due for its end, or for its one reminder an hour before."""
        ahead = timedelta(hours=0 if tip.is_reminded else 1)
        return tip.status == "active" and tip.deadline - ahead <= self.now

    @contextmanager
    def _remembering(
        self, who: str, rpc: str, request_id: str | None, **said: Any
    ) -> Iterator[bool]:
        """Yields whether this very call was answered before; remembers it if it succeeds."""
        key = (who, rpc, request_id or "")
        told, at = self.memory.get(key, ({}, self.now))
        is_known = bool(request_id and told and self.now < at + timedelta(days=7))
        if is_known and told != said:
            raise Denied("CONFLICT", request_id=request_id)
        yield is_known
        if request_id and not is_known:
            self.memory[key] = (said, self.now)

    def forget_requests(self) -> None:
        """What housekeeping takes away is gone also for somebody whose clock is slow."""
        week = timedelta(days=7)
        self.memory = {key: kept for key, kept in self.memory.items() if self.now < kept[1] + week}

    # -------------------------------------------------------------------------- the day

    @property
    def sunset_at(self) -> datetime:
        """Of the day lived, in the zone it is lived in, wherever the next one will be."""
        return dawn_of(self.zone, self.day + DAY) - timedelta(minutes=1)

    @property
    def next_zone(self) -> str:
        return str(self.pending.get("timezone", self.zone))

    @property
    def next_sunset_at(self) -> datetime:
        """By night that of the day which the next Dawn opens, in the zone it will be lived in."""
        if self.open:
            return self.sunset_at
        return dawn_of(self.next_zone, self.next_day + DAY) - timedelta(minutes=1)

    def _await_dawn(self) -> None:
        """The old date must be over where it was lived, the new one begun where it will be."""
        begun = max(dawn_of(zone, self.day + DAY) for zone in (self.zone, self.next_zone))
        self.dawn_at = max(begun, self.now)

    def settle(self) -> None:
        """The last open day is closed, then today begins; what was missed is not replayed."""
        if self.open and self.sunset_at <= self.now:
            self._close()
        if self.dawn_at <= self.now:
            self._open()
            if self.open and self.sunset_at <= self.now:
                self._close()

    def _close(self) -> None:
        self.sunsets[self.day] = self._expire_all()
        self.last_closed = self.day
        self.open = False

    def _open(self) -> None:
        self.zone = self.pending.get("timezone", self.zone)
        self.budget = self.pending.get("daily_cc_budget", self.budget)
        self.pending, self.willed = {}, {}
        self.day = max(local_date(self.now, self.zone), self.day + DAY)
        self.dawn_at = dawn_of(self.zone, self.day + DAY)
        self.open = True
        self._expire_all()
        for member in self.members:
            self.purses[member] = replace(self.purses[member], day=self.day, spent_today=0)
            if not self.is_away(member, self.day):
                self._post(member, "daily_reset", self.budget)
        for identity, tip in self.tips.items():
            if tip.escrow == "due":
                self._pay(identity)
                self.refunded_at_dawn += 1
        self._collect_debts()
        self._fill_seat()

    def _collect_debts(self) -> None:
        due = self.repayments_due(self.budget, self.day)
        for identity, amount in due.items():
            loan = self.loans[identity]
            self._post(loan.borrower, "debt_repaid", -amount, loan.lender, identity)
        for identity, amount in due.items():
            loan = self.loans[identity]
            self._post(loan.lender, "debt_collected", amount, loan.borrower, identity)
            self._reduce(identity, amount, "repaid")

    @property
    def next_budget(self) -> int:
        return int(self.pending.get("daily_cc_budget", self.budget))

    @property
    def next_day(self) -> date:
        return max(local_date(self.dawn_at, self.next_zone), self.day + DAY)

    def is_away(self, who: str, day: date) -> bool:
        first, last = self.absences.get(who, (date.max, date.min))
        return first <= day <= last

    def repayments_due(self, budget: int, day: date) -> dict[str, int]:
        """Each debtor's open loans, oldest first, up to the whole budget; the absent wait."""
        left: Counter[str] = Counter()
        due = {}
        for identity, loan in self.loans.items():
            if self.is_away(loan.borrower, day) or self.is_away(loan.lender, day):
                continue
            amount = min(loan.outstanding, budget - left[loan.borrower])
            if loan.status == "open" and amount > 0:
                due[identity] = amount
                left[loan.borrower] += amount
        return due

    def _expire_all(self) -> dict[str, int]:
        lost = {user: purse.remaining for user, purse in self.purses.items() if purse.remaining}
        for user, amount in lost.items():
            self._post(user, "expired", -amount)
        return lost

    def _require_open(self) -> None:
        self.settle()
        if not self.open:
            raise Denied("DAY_CLOSED", possible_at=self.dawn_at)

    # -------------------------------------------------------------------------- money

    def _post(
        self,
        user: str,
        kind: str,
        amount: int,
        counterparty: str | None = None,
        reference: str | None = None,
        moved: int | None = None,
    ) -> None:
        purse = self.purses[user]
        assert purse.remaining + amount >= 0, f"{user} has {purse.remaining}, not {-amount}"
        spent = -amount if kind in ("declaration", "tip_to_tip", "stake_refund") else 0
        is_old = kind == "stake_refund" and self.tips[reference or ""].staked_on != self.day
        after = purse.remaining + amount
        today = purse.spent_today + (0 if is_old else spent)
        self.purses[user] = Purse(purse.day, after, today, purse.spent_total + spent)
        moved = abs(amount) if moved is None else moved
        self.ledger.append(
            Entry(user, kind, amount, moved, after, purse.day, counterparty, reference)
        )

    def _require_coins(self, user: str, amount: int, possible_at: datetime | None) -> None:
        purse = self.purses[user]
        if purse.remaining < amount:
            raise Denied(
                "INSUFFICIENT_CC",
                short_by=amount - purse.remaining,
                largest_possible=purse.remaining,
                possible_at=possible_at,
            )

    def _when_affordable(self, user: str, amount: int) -> datetime | None:
        """The next Dawn, if the purse it leaves will do."""
        return self.dawn_at if amount <= self._wake_with(user) else None

    def _wake_with(self, user: str) -> int:
        woken = 0 if self.is_away(user, self.next_day) else self.next_budget
        for identity, amount in self.repayments_due(self.next_budget, self.next_day).items():
            loan = self.loans[identity]
            woken += amount * ((loan.lender == user) - (loan.borrower == user))
        mine = (tip for tip in self.tips.values() if tip.proposer == user)
        return woken + sum(tip.stake for tip in mine if tip.escrow == "due")

    def debt_of(self, user: str) -> int:
        mine = (loan for loan in self.loans.values() if loan.borrower == user)
        return sum(loan.outstanding for loan in mine if loan.status == "open")

    def books(self) -> Facts:
        """The audit, counted from the ledger alone, and what it must come to."""
        moved: Counter[str] = Counter()
        for entry in self.ledger:
            moved[entry.type] += entry.moved
        minted, spent = moved["daily_reset"], moved["declaration"]
        forfeited, expired = moved["stake_forfeit"], moved["expired"]
        escrow = moved["tip_to_tip"] - moved["stake_refund"] - forfeited
        purses = sum(purse.remaining for purse in self.purses.values())
        assert minted == spent + forfeited + expired + purses + escrow
        assert escrow == sum(t.stake for t in self.tips.values() if t.escrow in ("held", "due"))
        return {
            "minted": minted,
            "spent": spent,
            "forfeited": forfeited,
            "expired": expired,
            "purses": purses,
            "escrow": escrow,
            "balanced": True,
        }

    def balance(self, user: str) -> Facts:
        purse = self.purses[user]
        return {
            "user_id": user,
            "daily_budget": self.budget,
            "remaining": purse.remaining,
            "spent_today": purse.spent_today,
            "debt": self.debt_of(user),
            "day": self.day,
            "day_open": self.open,
            "next_dawn_at": self.dawn_at,
            "next_sunset_at": self.next_sunset_at,
        }

    # -------------------------------------------------------------------------- members

    def _require_member(self, who: str) -> None:
        if who not in self.members:
            raise Denied("NOT_FOUND")

    def _require_moderator(self, who: str) -> None:
        if who not in self.moderators:
            raise Denied("FORBIDDEN")

    def _come(self, who: str) -> None:
        is_first = who not in self.purses
        self.members[who] = self.now
        purse = self.purses.setdefault(who, Purse(self.day))
        if purse.day != self.day:
            self.purses[who] = replace(purse, day=self.day, spent_today=0)
        if is_first and self.open:
            self._post(who, "daily_reset", self.budget)
        for identity, loan in self.loans.items():
            if loan.borrower == who and loan.status == "asleep":
                self.loans[identity] = replace(loan, status="open")

    def _settled(self, who: str) -> Facts:
        """What a repeat answers: nothing of the first answer, but how things stand now."""
        self.settle()
        return {"balance": self.balance(who)}

    def join_community(self, who: str, invite_code: str, request_id: str | None = None) -> Facts:
        with self._remembering(who, "join_community", request_id, code=invite_code) as is_known:
            if is_known:
                self._require_member(who)
                return self._settled(who)
            self.settle()
            if who in self.members:
                raise Denied("CONFLICT")
            if who in self.banned:
                raise Denied("FORBIDDEN")
            self._come(who)
        return {"balance": self.balance(who)}

    def leave_community(self, who: str, successor_id: str | None = None) -> Facts:
        self._require_member(who)
        self.settle()
        if self._able_moderators() == [who] and self._heir(besides=who):
            if successor_id is None:
                raise Denied("LAST_MODERATOR")
            if successor_id == who:
                raise Denied("INVALID_INPUT")
            self._require_member(successor_id)
            if successor_id in self.unable:
                raise Denied("LAST_MODERATOR")
            self.moderators[successor_id] = None
        expired, forfeited = self._part(who, "withdrawn", "completed")
        return {"left": True, "expired": expired, "forfeited": forfeited}

    def remove_member(self, who: str, user_id: str, reason: str, ban: bool = False) -> Facts:
        self._require_member(who)
        self.settle()
        self._require_moderator(who)
        if who == user_id:
            is_last = self._able_moderators() == [who]
            raise Denied("LAST_MODERATOR" if is_last else "FORBIDDEN")
        self._require_member(user_id)
        self._part(user_id, "void", "void")
        if ban:
            self.banned[user_id] = None
        return {"removed": True}

    def ban_member(self, who: str, user_id: str, reason: str) -> Facts:
        self._require_member(who)
        self.settle()
        self._require_moderator(who)
        if user_id in self.members:
            raise Denied("CONFLICT", present=True)
        if user_id not in self.purses or self.unable.get(user_id) == ERASED:
            raise Denied("NOT_FOUND")
        if user_id in self.banned:
            raise Denied("CONFLICT", banned=True)
        self.banned[user_id] = None
        return {"banned": True}

    def lift_ban(self, who: str, user_id: str) -> Facts:
        self._require_member(who)
        self.settle()
        self._require_moderator(who)
        if user_id not in self.banned:
            raise Denied("NOT_FOUND")
        self.banned.pop(user_id)
        return {"banned": False}

    def suspend(self, who: str) -> None:
        """A steward does; where they were a moderator the seat passes at once."""
        self.unable[who] = SUSPENDED
        if who in self.moderators:
            self.settle()
            self._fill_seat()

    def ban_by_auth(self, who: str) -> None:
        """The house hears nothing of it: a seat passes at the next Dawn, or with whoever goes."""
        self.unable[who] = BANNED_BY_AUTH

    def restore(self, who: str) -> None:
        self.unable.pop(who)

    def erase(self, who: str) -> None:
        """And what follows within two minutes: they leave."""
        self.unable[who] = ERASED
        if who in self.members:
            self.settle()
            self._part(who, "withdrawn", "void")

    def _able_moderators(self) -> list[str]:
        return [who for who in self.moderators if who not in self.unable]

    def _heir(self, besides: str | None = None) -> str | None:
        """The able member of longest standing; nobody here is on the council."""
        able = (who for who in self.members if who not in (besides, *self.unable))
        return min(able, key=lambda who: (self.members[who], who), default=None)

    def _fill_seat(self) -> None:
        heir = self._heir()
        if heir and not self._able_moderators():
            self.moderators[heir] = None

    def _part(self, who: str, own_outcome: str, roll_outcome: str) -> tuple[int, int]:
        """What expired with the purse, and what was forfeited of a stake."""
        own, forfeited = self._active_tip(who), 0
        self.members.pop(who)
        self.moderators.pop(who, None)
        self._come_back(who)
        self._part_with_loans(who)
        if own:
            is_overdue = self.tips[own].is_overdue(self.now)
            outcome = self.tip_status(own) if is_overdue else own_outcome
            forfeited = 0 if outcome == "void" else self.tips[own].stake
            self._end(own, outcome, at_once=True)
        self._leave_rolls(who, roll_outcome)
        for identity, tip in self.tips.items():
            if tip.proposer == who and tip.escrow == "due":
                self._pay(identity)
        expired = self.purses[who].remaining
        if expired:
            self._post(who, "expired", -expired)
        self._fill_seat()
        return expired, forfeited

    def _part_with_loans(self, who: str) -> None:
        for identity, request in self.requests.items():
            is_party = who in (request.borrower, request.lender)
            if is_party and request.seen(self.now) == "pending":
                request = replace(request, lapses_at=self.now, status="lapsed")
                if who == request.borrower:
                    request = replace(self.requests[identity], status="cancelled")
                self.requests[identity] = request
        for identity, loan in self.loans.items():
            if loan.lender == who and loan.outstanding:
                self.loans[identity] = replace(loan, outstanding=0, status="released")
            elif loan.borrower == who and loan.outstanding:
                self.loans[identity] = replace(loan, status="asleep")

    def _leave_rolls(self, who: str, outcome: str) -> None:
        for identity, tip in self.tips.items():
            if tip.status == "active" and who in tip.roll - tip.voted:
                # One that is over ended while they were still on its roll.
                status = self.tip_status(identity)
                self.tips[identity] = left = replace(tip, roll=tip.roll - {who})
                if status != "active":
                    self._end(identity, status)
                elif outcome == "void" or not left.awaiting:
                    self._end(identity, outcome)

    def update_community(self, who: str, patch: Facts) -> Facts:
        self._require_member(who)
        self._require_moderator(who)
        if not 10 <= patch.get("daily_cc_budget", 10) <= 1000:
            raise Denied("INVALID_INPUT", field="daily_cc_budget")
        self.settle()
        for field in sorted(self.willed.keys() & patch.keys()):
            raise Denied("CONFLICT", field=field, possible_at=self.dawn_at)
        self._await_settings(patch)
        return {"pending": self.pending}

    @property
    def in_force(self) -> Facts:
        return {"timezone": self.zone, "daily_cc_budget": self.budget}

    def _await_settings(self, patch: Facts) -> None:
        wanted = self.pending | patch
        before = self.next_zone
        self.pending = {key: value for key, value in wanted.items() if self.in_force[key] != value}
        if self.next_zone != before:
            self._await_dawn()

    # -------------------------------------------------------------------------- absence

    def _absence_of(self, who: str) -> tuple[date, date] | None:
        """The one that is not over."""
        found = self.absences.get(who)
        return found if found and found[1] >= self.day else None

    def _come_back(self, who: str) -> None:
        """Today is the last day away; what has not begun is taken back."""
        first, last = self._absence_of(who) or (date.max, date.min)
        if first <= self.day < last:
            self.absences[who] = (first, self.day)
        elif self.day < first <= last:
            self.absences.pop(who)

    def _show_absence(self, who: str) -> Facts:
        found = self._absence_of(who)
        return {"member": {"away": found and {"from": found[0], "to": found[1]}}}

    def declare_absence(self, who: str, from_day: date, to_day: date) -> Facts:
        self._require_member(who)
        self.settle()
        if not self.day < from_day <= self.day + 60 * DAY:
            raise Denied("INVALID_INPUT", field="from_day")
        if not from_day <= to_day <= from_day + 13 * DAY:
            raise Denied("INVALID_INPUT", field="to_day")
        if self._absence_of(who):
            raise Denied("CONFLICT")
        self.absences[who] = (from_day, to_day)
        return self._show_absence(who)

    def end_absence(self, who: str) -> Facts:
        self._require_member(who)
        self.settle()
        if not self._absence_of(who):
            raise Denied("CONFLICT", away=None)
        self._come_back(who)
        return self._show_absence(who)

    # -------------------------------------------------------------------------- reading

    def get_balance(self, who: str) -> Facts:
        self._require_member(who)
        self.settle()
        return {"balance": self.balance(who)}

    def list_ledger(self, who: str) -> Facts:
        self._require_member(who)
        self.settle()
        mine = [entry for entry in self.ledger if entry.user == who][::-1]
        entries = [
            {
                "type": entry.type,
                "amount": entry.amount,
                "moved": entry.moved,
                "balance_after": entry.balance_after,
                "day": entry.day,
                "counterparty_id": entry.counterparty,
            }
            for entry in mine[:50]
        ]
        purse = self.purses[who]
        summary = {
            "total_spent_all_time": purse.spent_total,
            "remaining_today": purse.remaining,
            "spent_today": purse.spent_today,
        }
        return {"entries": entries, "has_more": len(mine) > 50, "summary": summary}

    def audit_ledger(self, who: str) -> Facts:
        self._require_member(who)
        self.settle()
        return self.books()

    def preview_dawn(self, who: str) -> Facts:
        self._require_member(who)
        self.settle()
        grant = 0 if self.is_away(who, self.next_day) else self.next_budget
        owed: Counter[str] = Counter()
        lent: Counter[str] = Counter()
        for identity, amount in self.repayments_due(self.next_budget, self.next_day).items():
            loan = self.loans[identity]
            if loan.borrower == who:
                owed[loan.lender] += amount
            elif loan.lender == who:
                lent[loan.borrower] += amount
        mine = (tip for tip in self.tips.values() if tip.proposer == who)
        refunds = sum(tip.stake for tip in mine if tip.escrow == "due")
        return {
            "grant": grant,
            "repayments": InAnyOrder({"lender": {"id": u}, "amount": owed[u]} for u in owed),
            "collections": InAnyOrder({"borrower": {"id": u}, "amount": lent[u]} for u in lent),
            "refunds": refunds,
            "wake_with": grant - owed.total() + lent.total() + refunds,
        }

    def get_sunset(self, who: str) -> Facts:
        self._require_member(who)
        self.settle()
        lost = self.sunsets.get(self.last_closed, {}) if self.last_closed else {}
        entries = InAnyOrder({"user": {"id": u}, "unspent_cc": n} for u, n in lost.items())
        return {
            "date": self.last_closed,
            "entries": entries,
            "total_expired": sum(lost.values()),
        }

    def list_loans(self, who: str, side: str = "both") -> Facts:
        self._require_member(who)
        self.settle()
        sides = {"lent": ["lender"], "owed": ["borrower"], "both": ["lender", "borrower"]}[side]
        loans = [
            {"id": identity, "outstanding": loan.outstanding, "status": loan.status}
            for identity, loan in self.loans.items()
            if who in [getattr(loan, one) for one in sides]
        ]
        return {"loans": loans[::-1]}

    # -------------------------------------------------------------------------- joys

    def declare_joy(
        self, who: str, title: str, cc_spent: int, request_id: str | None = None
    ) -> Facts:
        self._require_member(who)
        said = {"title": title, "cc_spent": cc_spent}
        with self._remembering(who, "declare_joy", request_id, **said) as is_known:
            if is_known:
                return self._settled(who)
            require_amount(cc_spent, "cc_spent")
            self._require_open()
            self._require_coins(who, cc_spent, self._when_affordable(who, cc_spent))
            self._post(who, "declaration", -cc_spent, reference=self.identity)
        return {"declaration": {"cc_spent": cc_spent}, "balance": self.balance(who)}

    # -------------------------------------------------------------------------- loans

    def request_borrow(
        self, who: str, lender_id: str, amount: int, reason: str, request_id: str | None = None
    ) -> Facts:
        self._require_member(who)
        said = {"lender_id": lender_id, "amount": amount, "reason": reason}
        with self._remembering(who, "request_borrow", request_id, **said) as is_known:
            if is_known:
                self.settle()
                return {}
            require_amount(amount, "amount")
            if lender_id == who:
                raise Denied("INVALID_INPUT", field="lender_id")
            self._require_open()
            self._require_member(lender_id)
            asked = [
                identity
                for identity, other in self.requests.items()
                if (other.borrower, other.lender) == (who, lender_id)
            ]
            if any(self.requests[i].seen(self.now) == "pending" for i in asked):
                raise Denied("CONFLICT")
            moments = sorted(self.requests[i].asked_at for i in asked)[-5:]
            if len(moments) == 5 and moments[0] > self.now - DAY:
                raise Denied("RATE_LIMITED", most=5)
            self._require_room_for_debt(who, amount, is_answer=False)
            for identity in asked:
                if self.requests[identity].status == "pending":
                    self.requests[identity] = replace(self.requests[identity], status="lapsed")
            self.requests[self.identity] = Request(who, lender_id, amount, self.now, self.sunset_at)
        return {"borrow_request": {"status": "pending", "amount": amount}}

    def _require_room_for_debt(self, borrower: str, amount: int, *, is_answer: bool) -> None:
        """By the next Dawn a request of today has lapsed: its answer is promised nothing."""
        debt = self.debt_of(borrower)
        due = self.repayments_due(self.next_budget, self.next_day)
        left = debt - sum(due[i] for i in due if self.loans[i].borrower == borrower)
        will_do = left + amount <= self.next_budget and not is_answer
        if debt + amount > self.budget:
            raise Denied(
                "DEBT_LIMIT",
                short_by=debt + amount - self.budget,
                largest_possible=max(self.budget - debt, 0),
                possible_at=self.dawn_at if will_do else None,
            )

    def respond_borrow(
        self, who: str, borrow_request_id: str, action: str, amount: int | None = None
    ) -> Facts:
        self._require_member(who)
        request = self._find(self.requests, borrow_request_id)
        if who != request.lender:
            raise Denied("FORBIDDEN")
        lent = request.amount if amount is None else amount
        if action == "approved" and not 1 <= lent <= request.amount:
            raise Denied("INVALID_INPUT", field="amount", most=request.amount)
        self.settle()
        if request.status not in ("pending", "lapsed"):
            raise Denied("CONFLICT", status=request.status)
        if action == "approved":
            self._require_open()
        if request.seen(self.now) == "lapsed":
            raise Denied("REQUEST_LAPSED", lapsed_at=request.lapses_at)
        request = replace(request, status=action)
        if action == "approved":
            request = replace(request, amount=lent)
            self._require_room_for_debt(request.borrower, lent, is_answer=True)
            self._require_coins(who, lent, None)
            # The house gives the loan an id of its own, which only list_loans tells.
            self.loans[self.identity] = Loan(request.borrower, who, lent, lent)
            self._post(who, "borrow_given", -lent, request.borrower, self.identity)
            self._post(request.borrower, "borrow_received", lent, who, self.identity)
        self.requests[borrow_request_id] = request
        return {
            "borrow_request": {"status": action, "amount": request.amount},
            "balance": self.balance(who),
        }

    def cancel_borrow(self, who: str, borrow_request_id: str) -> Facts:
        self._require_member(who)
        request = self._find(self.requests, borrow_request_id)
        if who != request.borrower:
            raise Denied("FORBIDDEN")
        self.settle()
        if request.seen(self.now) != "pending":
            raise Denied("CONFLICT", status=request.seen(self.now))
        self.requests[borrow_request_id] = replace(request, status="cancelled")
        return {"borrow_request": {"status": "cancelled"}}

    def repay_loan(
        self, who: str, loan_id: str, amount: int, request_id: str | None = None
    ) -> Facts:
        loan = self._find_own_loan(who, loan_id)
        said = {"loan_id": loan_id, "amount": amount}
        with self._remembering(who, "repay_loan", request_id, **said) as is_known:
            if is_known:
                now = self._settled(who)
                return {"loan": {"outstanding": self.loans[loan_id].outstanding}} | now
            if who != loan.borrower:
                raise Denied("FORBIDDEN")
            require_amount(amount, "amount")
            self._require_open()
            due = self.repayments_due(self.next_budget, self.next_day).get(loan_id, 0)
            will_do = self.loans[loan_id].outstanding - due >= amount
            possible_at = self._when_affordable(who, amount) if will_do else None
            self._reduce(loan_id, amount, "repaid")
            self._require_coins(who, amount, possible_at)
            self._post(who, "debt_repaid", -amount, loan.lender, loan_id)
            self._post(loan.lender, "debt_collected", amount, who, loan_id)
        return {
            "loan": {"outstanding": self.loans[loan_id].outstanding},
            "balance": self.balance(who),
        }

    def forgive_loan(self, who: str, loan_id: str, amount: int | None = None) -> Facts:
        loan = self._find_own_loan(who, loan_id)
        if who != loan.lender:
            raise Denied("FORBIDDEN")
        if amount is not None:
            require_amount(amount, "amount")
        self.settle()
        self._reduce(loan_id, amount or self.loans[loan_id].outstanding, "forgiven")
        loan = self.loans[loan_id]
        return {"loan": {"outstanding": loan.outstanding, "status": loan.status}}

    def _find_own_loan(self, who: str, loan_id: str) -> Loan:
        loan: Loan = self._find(self.loans, loan_id)
        if who not in self.members or who not in (loan.borrower, loan.lender):
            raise Denied("NOT_FOUND")
        return loan

    def _reduce(self, loan_id: str, amount: int, when_nothing_is_left: str) -> None:
        # Read again: settling the day may have repaid it.
        loan = self.loans[loan_id]
        if loan.outstanding == 0:
            raise Denied("CONFLICT", status=loan.status)
        if amount > loan.outstanding:
            raise Denied("INVALID_INPUT", field="amount", largest_possible=loan.outstanding)
        left = loan.outstanding - amount
        status = loan.status if left else when_nothing_is_left
        self.loans[loan_id] = replace(loan, outstanding=left, status=status)

    # -------------------------------------------------------------------------- tip-to-tip

    def propose_tip_to_tip(
        self,
        who: str,
        title: str,
        stake_amount: int,
        request_id: str | None = None,
        amendment: Facts | None = None,
    ) -> Facts:
        self._require_member(who)
        said = {"title": title, "stake_amount": stake_amount, "amendment": amendment}
        with self._remembering(who, "propose_tip_to_tip", request_id, **said) as is_known:
            if is_known:
                return self._settled(who)
            require_amount(stake_amount, "stake_amount")
            if amendment and not 10 <= amendment.get("daily_cc_budget", 10) <= 1000:
                raise Denied("INVALID_INPUT", field="daily_cc_budget")
            self._require_open()
            for field in sorted(amendment or {}):
                if amendment and self.in_force[field] == amendment[field]:
                    raise Denied("INVALID_INPUT", field=field)
            own = self._active_tip(who)
            if own and self.tip_status(own) == "active":
                raise Denied(
                    "ACTIVE_TIP_TO_TIP_EXISTS", proposal_id=own, possible_at=self.tips[own].deadline
                )
            if own:
                self._end(own, self.tip_status(own))
            if self.is_away(who, self.day):
                raise Denied("CONFLICT", away=True)
            able = frozenset(
                member
                for member in self.members
                if member not in self.unable and not self.is_away(member, self.day)
            )
            if len(able) < 2:
                raise Denied("NO_ELECTORS", electors=len(able), needed=2)
            mine = [tip.deadline for tip in self.tips.values() if tip.proposer == who]
            if len([at for at in mine if at - timedelta(hours=4) > self.now - DAY]) >= 20:
                raise Denied("RATE_LIMITED", most=20)
            self._require_coins(who, stake_amount, self._when_affordable(who, stake_amount))
            self._post(who, "tip_to_tip", -stake_amount, reference=self.identity)
            self.tips[self.identity] = tip = Tip(
                who,
                stake_amount,
                self.now + timedelta(hours=4),
                self.day,
                roll=able,
                voted=frozenset([who]),
                amendment=amendment,
            )
        proposal = {
            "amendment": amendment,
            "status": "active",
            "electors": len(tip.roll),
            "awaiting": tip.awaiting,
        }
        return {"proposal": proposal, "balance": self.balance(who)}

    def vote_tip_to_tip(self, who: str, proposal_id: str, vote: str) -> Facts:
        self._require_member(who)
        tip = self._find(self.tips, proposal_id)
        self.settle()
        if who not in tip.roll:
            raise Denied("NOT_ELECTOR")
        if self.tip_status(proposal_id) != "active":
            raise Denied("PROPOSAL_EXPIRED", status=self.tip_status(proposal_id))
        if who in tip.voted:
            raise Denied("ALREADY_VOTED")
        self.tips[proposal_id] = tip = replace(tip, voted=tip.voted | {who})
        outcome = "declined" if vote == "decline" else None if tip.awaiting else "completed"
        if outcome:
            self._end(proposal_id, outcome)
        proposal = {"status": outcome or "active", "awaiting": tip.awaiting}
        return {"proposal": proposal, "resolved": outcome is not None, "outcome": outcome}

    def get_tip_to_tip(self, who: str, proposal_id: str) -> Facts:
        self._require_member(who)
        tip = self._find(self.tips, proposal_id)
        self.settle()
        status = self.tip_status(proposal_id)
        can_vote = status == "active" and who in tip.roll - tip.voted
        return {"proposal": {"status": status, "awaiting": tip.awaiting, "can_vote": can_vote}}

    def tip_status(self, identity: str) -> str:
        """Past its deadline it is over: void if all who did not vote were unable to."""
        tip = self.tips[identity]
        if not tip.is_overdue(self.now):
            return tip.status
        return "void" if tip.roll - tip.voted <= self.unable.keys() else "expired"

    def _active_tip(self, who: str) -> str | None:
        mine = (i for i, t in self.tips.items() if t.proposer == who and t.status == "active")
        return next(mine, None)

    def _end(self, identity: str, outcome: str, at_once: bool = False) -> None:
        self.tips[identity] = tip = replace(self.tips[identity], status=outcome)
        if outcome not in ("completed", "void"):
            self.tips[identity] = replace(tip, escrow="forfeited")
            self._post(tip.proposer, "stake_forfeit", 0, reference=identity, moved=tip.stake)
        elif self.open or at_once:
            self._pay(identity)
        else:
            self.tips[identity] = replace(tip, escrow="due")
        if outcome == "completed" and tip.amendment:
            self.willed = self.willed | dict.fromkeys(tip.amendment)
            self._await_settings(tip.amendment)

    def _pay(self, identity: str) -> None:
        tip = self.tips[identity]
        self.tips[identity] = replace(tip, escrow="refunded")
        self._post(tip.proposer, "stake_refund", tip.stake, reference=identity)

    @staticmethod
    def _find(things: dict[str, Any], identity: str) -> Any:
        if identity not in things:
            raise Denied("NOT_FOUND")
        return things[identity]


def require_amount(amount: int, field: str) -> None:
    if not 1 <= amount <= LARGEST:
        raise Denied("INVALID_INPUT", field=field)
