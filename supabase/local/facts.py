"""What events, refusals, broadcasts and choices carry, described once.

The house keeps the lists themselves: private.events(), private.refusal_codes(),
private.notice_kinds(), private.entry_kinds(). What each of their lines carries stands here, and
`make docs` stops where one list has what the other has not (docs.py). From here come the facts in
supabase/types; real ones are held against them by the tests.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

Uuid = TypeAliasType("Uuid", Annotated[str, Field(json_schema_extra={"format": "uuid"})])
Moment = TypeAliasType(
    "Moment",
    Annotated[
        str,
        Field(
            description="A time, as ISO 8601 with its zone.",
            json_schema_extra={"format": "date-time"},
        ),
    ],
)
Day = TypeAliasType(
    "Day",
    Annotated[
        str,
        Field(
            description="A local date, such as 2026-03-02.", json_schema_extra={"format": "date"}
        ),
    ],
)
Json = Annotated[Any, Field(json_schema_extra={"tsType": "Json"})]

# ------------------------------------------------------------------------------ choices

Electorate = TypeAliasType("Electorate", Literal["council", "members"])
SeatRule = TypeAliasType("SeatRule", Literal["add", "renew"])
Choice = TypeAliasType("Choice", Literal["accept", "decline"])
BorrowAnswer = TypeAliasType("BorrowAnswer", Literal["approved", "declined"])
LoanSide = TypeAliasType("LoanSide", Literal["lent", "owed", "both"])
Theme = TypeAliasType("Theme", Literal["dawn", "sunset", "mint", "ink"])
ProposalStatus = TypeAliasType(
    "ProposalStatus",
    Literal["active", "completed", "declined", "expired", "withdrawn", "void"],
)
SettingName = TypeAliasType(
    "SettingName", Literal["name", "description", "daily_cc_budget", "timezone", "electorate"]
)
EntryType = TypeAliasType(
    "EntryType",
    Literal[
        "daily_reset",
        "declaration",
        "borrow_given",
        "borrow_received",
        "debt_repaid",
        "debt_collected",
        "tip_to_tip",
        "stake_refund",
        "stake_forfeit",
        "expired",
        "correction",
    ],
)
NoticeType = TypeAliasType(
    "NoticeType",
    Literal[
        "witnessed",
        "borrow_request",
        "borrow_approved",
        "borrow_declined",
        "tip_to_tip",
        "jashn_e_chas",
        "election",
        "last_light",
        "unwitnessed",
        "system",
    ],
)
MutableNoticeType = TypeAliasType(
    "MutableNoticeType",
    Literal[
        "witnessed",
        "borrow_approved",
        "borrow_declined",
        "tip_to_tip",
        "jashn_e_chas",
        "election",
        "last_light",
        "unwitnessed",
        "system",
    ],
)
JobName = TypeAliasType(
    "JobName",
    Literal[
        "daily_sunset",
        "daily_reset",
        "tip_to_tip_expiry",
        "election_close",
        "weekly_jashn",
        "last_light",
        "housekeeping",
    ],
)
RefusalCode = TypeAliasType(
    "RefusalCode",
    Annotated[
        Literal[
            "UNAUTHORIZED",
            "INVITE_REQUIRED",
            "FORBIDDEN",
            "NOT_ELECTOR",
            "CANNOT_WITNESS_OWN",
            "INVITE_EMAIL_MISMATCH",
            "EMAIL_UNCONFIRMED",
            "NOT_FOUND",
            "CONFLICT",
            "ALREADY_VOTED",
            "ELECTION_CLOSED",
            "PROPOSAL_EXPIRED",
            "ACTIVE_TIP_TO_TIP_EXISTS",
            "NO_ELECTORS",
            "LAST_MODERATOR",
            "INVITE_UNAVAILABLE",
            "REQUEST_LAPSED",
            "EDIT_WINDOW_PASSED",
            "DAY_CLOSED",
            "DEBT_LIMIT",
            "INVALID_INPUT",
            "RATE_LIMITED",
            "READ_REPLICA",
            "INSUFFICIENT_CC",
        ],
        Field(description="`error.code` of a refusal; RefusalFacts tells the facts of each."),
    ],
)


class Patch(TypedDict):
    """What update_community takes: only what shall change."""

    name: NotRequired[str]
    description: NotRequired[str]
    daily_cc_budget: NotRequired[int]
    timezone: NotRequired[str]
    electorate: NotRequired[Electorate]


class Amendment(TypedDict):
    """What all may will: it takes force at the next Dawn."""

    daily_cc_budget: NotRequired[int]
    timezone: NotRequired[str]
    electorate: NotRequired[Electorate]


class Choices(TypedDict):
    """Arguments of which few values are taken, by their name."""

    action: BorrowAnswer
    amendment: Amendment
    entry_type: EntryType
    job: JobName
    patch: Patch
    seat_rule: SeatRule
    side: LoanSide
    status: ProposalStatus
    theme: Theme
    type: MutableNoticeType
    vote: Choice


# ------------------------------------------------------------------------------ events


class NoFacts(TypedDict):
    pass


class OfUser(TypedDict):
    user_id: Uuid


class OfUserBy(OfUser):
    by_id: Uuid


class OfRemoval(OfUserBy):
    ban: bool


class OfAmount(TypedDict):
    amount: int


class WithReason(TypedDict):
    """`reason` is null once the words are struck, or their author erased."""

    reason_id: NotRequired[int | None]
    reason: NotRequired[str | None]


class OfNaming(WithReason):
    user_id: Uuid


class OfSettings(TypedDict):
    changed: list[SettingName]
    pending: Patch


class OfSettingsBy(OfSettings):
    user_id: Uuid
    next_dawn_at: Moment


class OfWill(TypedDict):
    proposal_id: Uuid
    pending: Amendment


class OfWillAndDawn(OfWill):
    next_dawn_at: Moment


class OfRequest(TypedDict):
    borrow_request_id: Uuid
    lender_id: Uuid
    borrower_id: Uuid


class OfLending(OfRequest):
    loan_id: Uuid
    amount: int


class OfForgiveness(TypedDict):
    loan_id: Uuid
    lender_id: Uuid
    borrower_id: Uuid
    amount: int


class OfOutcome(TypedDict):
    proposal_id: Uuid
    proposer_id: Uuid
    outcome: ProposalStatus
    stake_amount: int


class OfClose(TypedDict):
    """`released` are those whose seats a `renew` ended."""

    election_id: Uuid
    title_id: int
    title: str | None
    winner_id: Uuid | None
    seat_rule: SeatRule
    released: list[Uuid]


class OfCancellation(WithReason):
    election_id: Uuid
    title_id: int
    title: str | None
    user_id: Uuid


class OfJashn(TypedDict):
    jashn_id: Uuid
    user_id: Uuid
    week_start: Day
    total_declarations: int
    total_cc_spent: int


class OfWeek(TypedDict):
    week_start: Day


class OfCorrection(WithReason):
    user_id: Uuid
    amount: int


class OfOwnCorrection(WithReason):
    amount: int


class OfLastLight(TypedDict):
    total: int
    day: Day
    sunset_at: Moment


class OfEnd(TypedDict):
    outcome: ProposalStatus


class LineFacts(TypedDict):
    """What the house says in the Chamber, by event. Every id is of somebody in `people`."""

    community_founded: OfUser
    member_joined: OfUser
    member_returned: OfUser
    member_left: OfUser
    member_removed: OfRemoval
    council_appointed: OfUserBy
    council_released: OfUserBy
    moderator_appointed: OfUserBy
    moderator_stepped_down: OfUser
    moderator_seated: OfUser
    moderator_named: OfNaming
    settings_changed: OfSettingsBy
    settings_willed: OfWillAndDawn
    borrow_approved: OfLending
    borrow_declined: OfRequest
    loan_forgiven: OfForgiveness
    tip_to_tip_completed: OfOutcome
    tip_to_tip_declined: OfOutcome
    tip_to_tip_expired: OfOutcome
    tip_to_tip_withdrawn: OfOutcome
    tip_to_tip_void: OfOutcome
    election_closed: OfClose
    election_cancelled: OfCancellation
    jashn_held: OfJashn
    balance_corrected: OfCorrection


class NoticeFacts(TypedDict):
    """What a notice tells, by event; whom it is about stands in its `people`."""

    joy_witnessed: NoFacts
    borrow_requested: OfAmount
    borrow_approved: OfAmount
    borrow_declined: NoFacts
    loan_repaid: OfAmount
    council_appointed: NoFacts
    council_released: NoFacts
    moderator_appointed: NoFacts
    moderator_seated: NoFacts
    moderator_named: WithReason
    member_removed: WithReason
    balance_corrected: OfOwnCorrection
    vote_asked: NoFacts
    vote_reminded: NoFacts
    proposal_ended: OfEnd
    election_opened: NoFacts
    election_closed: OfClose
    election_cancelled: OfCancellation
    jashn_honours_you: OfWeek
    jashn_celebrated: NoFacts
    last_light: OfLastLight
    joy_unwitnessed: NoFacts


class OfJoinCode(TypedDict):
    rotated: bool
    open: NotRequired[bool]
    expires_at: NotRequired[Moment]


class OfBan(WithReason):
    ban: bool


class OfStrike(WithReason):
    message_id: int
    type: Literal["message", "declaration", "borrow_request", "tip_to_tip", "election", "system"]


class OfOpening(TypedDict):
    election_id: Uuid
    title_id: int
    title: str | None
    seat_rule: SeatRule
    ends_at: Moment


class OfSettling(TypedDict):
    rows: int
    failed: int


class OfStewardsCorrection(WithReason):
    amount: int
    correction_id: Uuid


class AuditFacts(TypedDict):
    """What the audit log of a community tells, by action."""

    community_founded: NoFacts
    settings_changed: OfSettings
    settings_willed: OfWill
    join_code_changed: OfJoinCode
    council_appointed: NoFacts
    council_released: NoFacts
    moderator_appointed: NoFacts
    moderator_stepped_down: NoFacts
    moderator_seated: NoFacts
    member_left: NoFacts
    member_removed: OfBan
    member_banned: WithReason
    ban_lifted: NoFacts
    message_struck: OfStrike
    election_opened: OfOpening
    election_closed: OfClose
    election_cancelled: OfCancellation
    steward_inspected: NoFacts
    steward_settled: OfSettling
    steward_corrected: OfStewardsCorrection
    steward_named_moderator: WithReason


# Acts on the whole Bureau, which list_steward_acts tells, not the log of a community.
OF_THE_BUREAU = {"steward_admitted", "steward_suspended", "steward_restored"}

# ------------------------------------------------------------------------------ refusals


class ShortOfCoins(TypedDict):
    short_by: int
    largest_possible: int
    possible_at: Moment | None


class OverDebtLimit(ShortOfCoins):
    debt: int
    limit: int


class Forbidden(TypedDict):
    closed_at: NotRequired[Moment]
    honored_user: NotRequired[Uuid | None]


# A key that Python keeps for itself.
DaysAway = TypedDict("DaysAway", {"from": Day, "to": Day}, total=False)


class Conflict(DaysAway):
    """Which of them there are, the reference of the RPC says."""

    field: NotRequired[str]
    status: NotRequired[str]
    request_id: NotRequired[Uuid]
    borrow_request_id: NotRequired[Uuid]
    most: NotRequired[int]
    election_id: NotRequired[Uuid]
    ends_at: NotRequired[Moment]
    electors: NotRequired[int]
    turnout: NotRequired[int]
    awaiting: NotRequired[int]
    possible_at: NotRequired[Moment | None]
    away: NotRequired[bool | None]
    present: NotRequired[bool]
    banned: NotRequired[bool]


class OfField(TypedDict):
    field: NotRequired[str]


class NotFound(TypedDict):
    """`moved_to`: the number of the database a community of one's own has moved to."""

    field: NotRequired[str]
    moved_to: NotRequired[int]


class InvalidInput(TypedDict):
    """`field` is the argument; the others what it might have been."""

    field: NotRequired[str]
    shortest: NotRequired[int]
    longest: NotRequired[int]
    least: NotRequired[int]
    most: NotRequired[int]
    largest_possible: NotRequired[int]
    choices: NotRequired[list[str]]
    possible: NotRequired[str | None]
    region: NotRequired[str]
    earliest: NotRequired[Moment]
    latest: NotRequired[Moment]


class ElectionClosed(TypedDict):
    status: Literal["completed", "cancelled"]
    closed_at: Moment


class ProposalOver(TypedDict):
    status: ProposalStatus
    deadline: Moment


class ActiveProposal(TypedDict):
    proposal_id: NotRequired[Uuid]
    possible_at: NotRequired[Moment | None]


class NoElectors(TypedDict):
    electors: int
    needed: NotRequired[int]
    least: NotRequired[int]
    electorate: NotRequired[Electorate]


class LastModerator(TypedDict):
    needs: Literal["successor_id"]


class InviteUnavailable(TypedDict):
    state: NotRequired[Literal["spent", "expired", "revoked"]]


class Lapsed(TypedDict):
    lapsed_at: Moment


class WindowPassed(TypedDict):
    passed_at: Moment


class DayClosed(TypedDict):
    possible_at: Moment | None


class RateLimited(TypedDict):
    """`retry_after` in seconds; both null where no moment is known at which the same would do."""

    most: NotRequired[int]
    possible_at: Moment | None
    retry_after: int | None


class RefusalFacts(TypedDict):
    """The facts of a refusal, by its code; refusal(error) reads them."""

    UNAUTHORIZED: NoFacts
    INVITE_REQUIRED: NoFacts
    FORBIDDEN: Forbidden
    NOT_ELECTOR: NoFacts
    CANNOT_WITNESS_OWN: NoFacts
    INVITE_EMAIL_MISMATCH: NoFacts
    EMAIL_UNCONFIRMED: NoFacts
    NOT_FOUND: NotFound
    CONFLICT: Conflict
    ALREADY_VOTED: NoFacts
    ELECTION_CLOSED: ElectionClosed
    PROPOSAL_EXPIRED: ProposalOver
    ACTIVE_TIP_TO_TIP_EXISTS: ActiveProposal
    NO_ELECTORS: NoElectors
    LAST_MODERATOR: LastModerator
    INVITE_UNAVAILABLE: InviteUnavailable
    REQUEST_LAPSED: Lapsed
    EDIT_WINDOW_PASSED: WindowPassed
    DAY_CLOSED: DayClosed
    DEBT_LIMIT: OverDebtLimit
    INVALID_INPUT: InvalidInput
    RATE_LIMITED: RateLimited
    READ_REPLICA: OfField
    INSUFFICIENT_CC: ShortOfCoins


# ------------------------------------------------------------------------------ live


class OfMessage(TypedDict):
    message_id: int


class OfDeclaration(TypedDict):
    declaration_id: Uuid


class OfBorrowRequest(TypedDict):
    borrow_request_id: Uuid


class OfProposal(TypedDict):
    proposal_id: Uuid


class OfDay(TypedDict):
    day: Day


class OfCommunity(TypedDict):
    community_id: Uuid


class OfThing(TypedDict):
    ref_kind: str
    ref_id: Uuid


class OfEdition(OfDay):
    number: int


class CommunityBroadcasts(TypedDict):
    """What travels on `community:<id>`: the ids, by the event's name."""

    message: OfMessage
    message_changed: OfMessage
    witness: OfDeclaration
    borrow_request: OfBorrowRequest
    tip_to_tip: OfProposal
    sunset: OfDay
    dawn: OfDay
    last_light: OfDay
    absence: OfUser


class UserBroadcasts(TypedDict):
    """What travels on `user:<id>`: the ids, by the event's name."""

    balance: OfCommunity
    notification: OfThing


class Vocabulary(TypedDict):
    choices: Choices
    line_facts: LineFacts
    notice_facts: NoticeFacts
    audit_facts: AuditFacts
    refusal_code: RefusalCode
    refusal_facts: RefusalFacts
    community_broadcasts: CommunityBroadcasts
    user_broadcasts: UserBroadcasts
