"""What the doors answer, described once.

From here comes the JSON Schema in supabase/types/answers.json, against which tests hold real
answers; from that schema come the TypeScript types in database.ts and the shapes in the reference
(`make docs` writes all three). A door or a shape may get more keys, never fewer; what it has is
written here, and an answer with any other key fails a test.
"""

from typing import Annotated, Any, Literal, NotRequired

from facts import (
    Choice,
    Day,
    Electorate,
    EntryType,
    Json,
    Moment,
    MutableNoticeType,
    NoticeType,
    ProposalStatus,
    RefusalCode,
    SeatRule,
    Theme,
    Uuid,
    Vocabulary,
)
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeAliasType, TypedDict

# ------------------------------------------------------------------------------ shapes


class Person(TypedDict):
    id: Uuid
    display_name: str
    avatar_url: str | None


class Balance(TypedDict):
    community_id: Uuid
    user_id: Uuid
    daily_budget: int
    remaining: int
    spent_today: int
    debt: int
    last_reset: Moment | None
    day: Day
    day_open: bool
    next_sunset_at: Moment
    next_dawn_at: Moment


class Community(TypedDict):
    id: Uuid
    name: str
    description: str
    timezone: str
    daily_cc_budget: int
    electorate: Electorate
    created_at: Moment
    member_count: int
    invite_code: NotRequired[str]


Role = TypeAliasType("Role", Literal["member", "moderator", "council"])


# The keys of a span of days; `from` is a word of Python's own.
Away = TypedDict("Away", {"from": Day, "to": Day})


class Member(TypedDict):
    user: Person
    community_id: Uuid
    roles: list[Role]
    joined_at: Moment
    able: bool
    away: Away | None


class Declaration(TypedDict):
    id: Uuid
    community_id: Uuid
    user: Person
    title: str
    description: str
    cc_spent: int
    image_url: str | None
    witnessed_count: int
    has_witnessed: bool
    created_at: Moment


class BorrowRequest(TypedDict):
    id: Uuid
    community_id: Uuid
    borrower: Person
    lender: Person
    amount: int
    reason: str
    status: Literal["pending", "approved", "declined", "cancelled", "lapsed"]
    created_at: Moment


class Loan(TypedDict):
    id: Uuid
    community_id: Uuid
    borrower: Person
    lender: Person
    amount: int
    outstanding: int
    status: Literal["open", "repaid", "forgiven", "released", "asleep"]
    created_at: Moment


class Vote(TypedDict):
    user: Person
    vote: Choice
    created_at: Moment


class Amendment(TypedDict):
    daily_cc_budget: NotRequired[int]
    timezone: NotRequired[str]
    electorate: NotRequired[Literal["council", "members"]]


class Proposal(TypedDict):
    id: Uuid
    community_id: Uuid
    proposer: Person
    title: str
    description: str
    stake_amount: int
    amendment: Amendment | None
    deadline: Moment
    status: ProposalStatus
    votes: list[Vote]
    electors: int
    awaiting: int
    can_vote: bool
    created_at: Moment


class Candidate(TypedDict):
    user: Person
    roles: list[Role]
    votes: int | None


class Election(TypedDict):
    id: Uuid
    community_id: Uuid
    title: str
    status: Literal["active", "completed", "cancelled"]
    seat_rule: SeatRule
    candidates: list[Candidate]
    electors: int
    turnout: int
    my_vote: Uuid | None
    can_vote: bool
    winner: Person | None
    created_at: Moment
    ends_at: Moment
    closed_at: Moment | None


class Line(TypedDict):
    id: int
    community_id: Uuid
    content: str
    people: list[Person]
    created_at: Moment
    edited_at: Moment | None
    struck_reason: str | None


class PlainMessage(Line):
    """What somebody said."""

    type: Literal["message"]
    user: Person
    event: None
    facts: None
    declaration: None
    borrow_request: None
    tip_to_tip: None
    election: None
    deleted: bool


class JoyMessage(Line):
    """The card of a declaration."""

    type: Literal["declaration"]
    user: Person
    event: None
    facts: None
    declaration: Declaration
    borrow_request: None
    tip_to_tip: None
    election: None
    deleted: bool


class BorrowMessage(Line):
    """The card of a request to borrow."""

    type: Literal["borrow_request"]
    user: Person
    event: None
    facts: None
    declaration: None
    borrow_request: BorrowRequest
    tip_to_tip: None
    election: None
    deleted: bool


class ProposalMessage(Line):
    """The card of a tip-to-tip."""

    type: Literal["tip_to_tip"]
    user: Person
    event: None
    facts: None
    declaration: None
    borrow_request: None
    tip_to_tip: Proposal
    election: None
    deleted: bool


class ElectionMessage(Line):
    """The card of an election."""

    type: Literal["election"]
    user: Person
    event: None
    facts: None
    declaration: None
    borrow_request: None
    tip_to_tip: None
    election: Election
    deleted: bool


class SystemLine(Line):
    """What the house says; SystemMessage tells the facts of each event."""

    type: Literal["system"]
    user: None
    event: str
    facts: Json
    declaration: None
    borrow_request: None
    tip_to_tip: None
    election: None
    deleted: bool


SystemMessage = TypeAliasType("SystemMessage", SystemLine)


Message = TypeAliasType(
    "Message",
    PlainMessage | JoyMessage | BorrowMessage | ProposalMessage | ElectionMessage | SystemMessage,
)


Place = TypeAliasType(
    "Place", Literal["minted", "purse", "escrow", "spent", "forfeited", "expired"]
)


class LedgerEntry(TypedDict):
    id: int
    type: EntryType
    amount: int
    balance_after: int
    description: str
    reference_id: Uuid | None
    day: Day
    created_at: Moment
    moved: int
    source: Place
    destination: Place
    counterparty_id: Uuid | None


class Notice(TypedDict):
    """A notice; Notification tells the facts of each event."""

    id: int
    community_id: Uuid
    type: NoticeType
    event: str
    title: str
    body: str
    facts: Json
    people: list[Person]
    read: bool
    count: int
    ref_kind: str
    ref_id: Uuid
    created_at: Moment
    updated_at: Moment


Notification = TypeAliasType("Notification", Notice)


class Rules(TypedDict):
    name: str
    description: str
    daily_cc_budget: int
    timezone: str
    electorate: Electorate


class PendingRules(TypedDict):
    name: NotRequired[str]
    description: NotRequired[str]
    daily_cc_budget: NotRequired[int]
    timezone: NotRequired[str]
    electorate: NotRequired[Electorate]


class Books(TypedDict):
    minted: int
    spent: int
    forfeited: int
    expired: int
    purses: int
    escrow: int
    balanced: bool


class Reckoned(TypedDict):
    user: Person
    eligible: bool
    total_cc_spent: int
    total_declarations: int
    witnessed_received: int
    joined_at: Moment


class Celebration(TypedDict):
    user: Person
    message: str
    created_at: Moment
    edited_at: Moment | None


class Reckoning(TypedDict):
    entries: list[Reckoned]
    decided_by: str | None


class Jashn(TypedDict):
    id: Uuid
    community_id: Uuid
    week_start: Day
    week_end: Day
    honored_user: Person | None
    total_declarations: int
    total_cc_spent: int
    reckoning: Reckoning
    celebrations: list[Celebration]
    held_at: Moment


class Honour(TypedDict):
    id: Uuid
    week_start: Day
    week_end: Day
    honored_user: Person | None
    total_cc_spent: int
    celebrations: int


class EditionTotals(TypedDict):
    joys: int
    cc_spent: int
    expired: int


class EditionItem(TypedDict):
    position: int
    kind: Literal[
        "joined",
        "declaration",
        "loan",
        "forgiveness",
        "proposal",
        "election",
        "left",
        "jashn",
        "sunset",
    ]
    digest: str
    salt: str | None
    content: Annotated[
        str | None, Field(description="The very JSON text the digest covers; null if taken out.")
    ]


class Edition(TypedDict):
    number: int
    day: Day
    sealed_at: Moment
    digest: str
    previous_digest: str | None
    totals: EditionTotals
    items: list[EditionItem]
    people: list[Person]


class EditionInList(TypedDict):
    number: int
    day: Day
    digest: str
    joys: int
    cc_spent: int


class ChainBreak(TypedDict):
    number: int
    position: int | None
    why: Literal[
        "edition_missing", "edition_changed", "item_missing", "item_changed", "item_taken_out"
    ]


class Act(TypedDict):
    id: int
    community_id: Uuid | None
    action: str
    actor: Person | None
    subject: Person | None
    facts: Json
    created_at: Moment


InviteState = TypeAliasType("InviteState", Literal["open", "spent", "expired", "revoked"])


class Invite(TypedDict):
    id: Uuid
    state: InviteState
    uses: int
    max_uses: int
    email: str | None
    expires_at: Moment | None
    theme: Theme
    welcome_title: str | None
    welcome_message: str | None
    note: str | None
    created_at: Moment


class Home(TypedDict):
    id: Uuid
    name: str
    roles: list[Role]


class Account(TypedDict):
    id: Uuid
    display_name: str
    avatar_url: str | None
    standing: Literal["admitted", "waiting", "suspended", "banned", "anonymous", "unknown"]
    is_steward: bool
    admitted_at: Moment | None
    suspended_at: Moment | None
    created_at: Moment
    communities: list[Home]


class Calendar(TypedDict):
    day: Day
    day_open: bool
    next_sunset_at: Moment
    next_dawn_at: Moment
    last_closed_day: Day | None
    late_seconds: int


class Run(TypedDict):
    id: int
    job: str
    community_id: Uuid
    day: Day | None
    started_at: Moment
    finished_at: Moment
    rows: int | None
    error: str | None


# ------------------------------------------------------------------------------ the answers


class GetAccess(TypedDict):
    whitelisted: bool
    whitelist_required: bool
    is_steward: bool


class Me(Person):
    email: str | None
    created_at: Moment


class ExportMyData(TypedDict):
    """And a key for everything else there is about a person."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # so pydantic wants it

    exported_at: Moment
    profile: Json
    communities: list[Json]


class Joined(TypedDict):
    community: Community
    member: Member
    balance: Balance


class MyCommunity(Community):
    balance: Balance
    roles: list[Role]
    unread: int
    last_activity: Moment | None
    awaiting_my_vote: int


class ListMyCommunities(TypedDict):
    communities: list[MyCommunity]


class GetCommunity(TypedDict):
    community: Community
    members: list[Member]


class GetRules(TypedDict):
    in_force: Rules
    pending: PendingRules
    willed: Annotated[
        list[str], Field(description="What of it all have willed: no moderator sets it till Dawn.")
    ]


class UpdateCommunity(TypedDict):
    community: Community
    pending: PendingRules


class SetJoinCode(TypedDict):
    invite_code: str
    open: bool
    expires_at: Moment | None


class LeaveCommunity(TypedDict):
    left: Literal[True]
    expired: int
    forfeited: int


class RemoveMember(TypedDict):
    removed: Literal[True]


class OneMember(TypedDict):
    member: Member


class ListMembers(TypedDict):
    members: list[Member]


class GetMemberProfile(TypedDict):
    user: Person
    communities_shared: int
    total_declarations: int
    total_cc_spent: int
    avg_cc_per_declaration: float
    most_expensive_declaration: Declaration | None
    current_streak: int
    longest_streak: int
    witnessed_given: int
    witnessed_received: int
    joined_at: Moment
    left_at: Moment | None


class Audited(Act):
    """An entry of the audit log; AuditEntry tells the facts of each action."""

    people: list[Person]
    sentence: str


AuditEntry = TypeAliasType("AuditEntry", Audited)


class BanMember(TypedDict):
    banned: Literal[True]


class LiftBan(TypedDict):
    banned: Literal[False]


class Ban(TypedDict):
    id: int
    user: Person
    reason: str | None
    banned_by: Person
    created_at: Moment


class ListBans(TypedDict):
    bans: list[Ban]
    has_more: bool


class ListAudit(TypedDict):
    entries: list[AuditEntry]
    has_more: bool


class ListMessages(TypedDict):
    messages: list[Message]
    has_more: bool


class OneMessage(TypedDict):
    message: Message


class OwnMessage(TypedDict):
    message: PlainMessage


class MarkChamberRead(TypedDict):
    unread: int


class DeclareJoy(TypedDict):
    declaration: Declaration
    message: JoyMessage
    balance: Balance


class ListGazette(TypedDict):
    declarations: list[Declaration]
    has_more: bool


class GetDeclaration(TypedDict):
    declaration: Declaration
    witnesses: list[Person]


class WitnessDeclaration(TypedDict):
    witnessed: Literal[True]
    witnessed_count: int


class GetBalance(TypedDict):
    balance: Balance


class LedgerSummary(TypedDict):
    total_spent_all_time: int
    remaining_today: int
    spent_today: int


class ListLedger(TypedDict):
    entries: list[LedgerEntry]
    has_more: bool
    summary: LedgerSummary


class Repayment(TypedDict):
    lender: Person
    amount: int


class Collection(TypedDict):
    borrower: Person
    amount: int


class PreviewDawn(TypedDict):
    grant: int
    repayments: list[Repayment]
    collections: list[Collection]
    refunds: int
    wake_with: int


class RequestBorrow(TypedDict):
    borrow_request: BorrowRequest
    message: BorrowMessage


class RespondBorrow(TypedDict):
    borrow_request: BorrowRequest
    system_message: SystemMessage
    balance: Balance


class OneBorrowRequest(TypedDict):
    borrow_request: BorrowRequest


class ListLoans(TypedDict):
    loans: list[Loan]


class RepayLoan(TypedDict):
    loan: Loan
    balance: Balance


class ForgiveLoan(TypedDict):
    loan: Loan
    system_message: SystemMessage


class ProposeTipToTip(TypedDict):
    proposal: Proposal
    message: ProposalMessage
    balance: Balance


class VoteTipToTip(TypedDict):
    proposal: Proposal
    resolved: bool
    outcome: Literal["completed", "declined"] | None


class OneProposal(TypedDict):
    proposal: Proposal


class ListTipToTips(TypedDict):
    proposals: list[Proposal]
    has_more: bool


class Lost(TypedDict):
    user: Person
    unspent_cc: int


class GetSunset(TypedDict):
    date: Day | None
    entries: list[Lost]
    total_expired: int


class OneElection(TypedDict):
    election: Election


class GetActiveElection(TypedDict):
    election: Election | None


class ListElections(TypedDict):
    elections: list[Election]
    has_more: bool


class Standing(TypedDict):
    rank: int
    user: Person
    total_declarations: int
    total_cc_spent: int
    avg_cc_per_declaration: float
    witnessed_received: int
    streak_days: int
    active_days: int


class GetLeaderboard(TypedDict):
    week_start: Day
    week_end: Day
    most_restrained: Person | None
    entries: list[Standing]


class GetJashn(TypedDict):
    jashn: Jashn | None


class CelebrateJashn(TypedDict):
    celebration: Celebration


class LastLight(TypedDict):
    total: int
    sunset_at: Moment
    seconds_left: int
    unwitnessed: list[Declaration]


class GetLastLight(TypedDict):
    last_light: LastLight | None


class ListHonours(TypedDict):
    honours: list[Honour]
    has_more: bool


class GetEdition(TypedDict):
    edition: Edition | None


class ListEditions(TypedDict):
    editions: list[EditionInList]
    has_more: bool


class VerifyGazette(TypedDict):
    holds: bool
    editions: int
    items: int
    taken_out: int
    head: str | None
    first_break: ChainBreak | None
    next_number: int | None


class ListNotifications(TypedDict):
    notifications: list[Notification]
    has_more: bool
    unread: int


class MarkNotificationRead(TypedDict):
    notification: Notification


class MarkAllNotificationsRead(TypedDict):
    count: int


class MuteNotifications(TypedDict):
    muted: list[MutableNoticeType]


class Redeemed(TypedDict):
    whitelisted: bool
    already_whitelisted: bool
    invite_code: str
    theme: Theme
    welcome_title: str | None
    welcome_message: str | None


class InviteRefusal(TypedDict):
    code: RefusalCode
    message: str
    details: Json


class RefusedInvite(TypedDict):
    refused: InviteRefusal


class PreviewInvite(TypedDict):
    state: InviteState
    theme: Theme
    welcome_title: str | None
    welcome_message: str | None


class MintedInvite(Invite):
    code: str


class MintInvites(TypedDict):
    invites: list[MintedInvite]


class ListInvites(TypedDict):
    invites: list[Invite]
    has_more: bool


class RevokeInvite(TypedDict):
    invite: Invite


class Erased(TypedDict):
    erased: Literal[True]


class GetAccount(Person):
    email: str | None
    email_confirmed: bool
    is_steward: bool
    banned: bool
    whitelisted: bool
    whitelist_required: bool
    created_at: Moment


class GetHealth(TypedDict):
    status: Literal["ok", "late", "broken"]
    dawn_late_seconds: int
    missing: list[str]


class Mended(TypedDict):
    mended: list[str]
    missing: list[str]


class InitializeSettings(TypedDict):
    enforce_invites: bool


class FindPeople(TypedDict):
    people: list[Account]
    has_more: bool


class OneAccount(TypedDict):
    person: Account


class OpenThings(TypedDict):
    tip_to_tips: int
    elections: int
    loans: int


class JobTrouble(TypedDict):
    job: str
    tries: int
    retry_at: Moment


class InspectCommunity(TypedDict):
    community: Community
    pending: PendingRules
    calendar: Calendar
    members: list[Member]
    open: OpenThings
    books: Books | None
    runs: list[Run]
    troubles: list[JobTrouble]


class SettleCommunity(TypedDict):
    calendar: Calendar
    runs: list[Run]


class PostCorrection(TypedDict):
    correction_id: Uuid
    amount: int
    balance: Balance


class ListJobRuns(TypedDict):
    runs: list[Run]
    has_more: bool


class Job(TypedDict):
    name: str
    schedule: str
    active: bool
    next_due_at: Moment | None
    late_seconds: int
    last_started_at: Moment | None
    last_status: str | None
    last_message: str | None
    failed_in_a_day: int
    communities_in_trouble: int


class GetJobs(TypedDict):
    jobs: list[Job]


class ListStewardActs(TypedDict):
    acts: list[Act]
    has_more: bool


class Answers(TypedDict):
    """What each RPC answers."""

    get_access: GetAccess
    get_me: Me
    update_me: Me
    export_my_data: ExportMyData
    create_community: Joined
    join_community: Joined
    list_my_communities: ListMyCommunities
    get_community: GetCommunity
    get_rules: GetRules
    update_community: UpdateCommunity
    set_join_code: SetJoinCode
    leave_community: LeaveCommunity
    remove_member: RemoveMember
    ban_member: BanMember
    lift_ban: LiftBan
    list_bans: ListBans
    declare_absence: OneMember
    end_absence: OneMember
    set_council: OneMember
    step_down: OneMember
    list_members: ListMembers
    get_member_profile: GetMemberProfile
    list_audit: ListAudit
    list_messages: ListMessages
    get_message: OneMessage
    send_message: OwnMessage
    edit_message: OwnMessage
    delete_message: OwnMessage
    strike_message: OneMessage
    mark_chamber_read: MarkChamberRead
    declare_joy: DeclareJoy
    list_gazette: ListGazette
    get_declaration: GetDeclaration
    witness_declaration: WitnessDeclaration
    get_balance: GetBalance
    list_ledger: ListLedger
    audit_ledger: Books
    preview_dawn: PreviewDawn
    request_borrow: RequestBorrow
    respond_borrow: RespondBorrow
    cancel_borrow: OneBorrowRequest
    list_loans: ListLoans
    repay_loan: RepayLoan
    forgive_loan: ForgiveLoan
    propose_tip_to_tip: ProposeTipToTip
    vote_tip_to_tip: VoteTipToTip
    get_tip_to_tip: OneProposal
    list_tip_to_tips: ListTipToTips
    get_sunset: GetSunset
    create_election: OneElection
    get_active_election: GetActiveElection
    get_election: OneElection
    list_elections: ListElections
    vote_election: OneElection
    close_election: OneElection
    cancel_election: OneElection
    get_leaderboard: GetLeaderboard
    get_jashn: GetJashn
    celebrate_jashn: CelebrateJashn
    get_last_light: GetLastLight
    list_honours: ListHonours
    get_edition: GetEdition
    list_editions: ListEditions
    verify_gazette: VerifyGazette
    list_notifications: ListNotifications
    mark_notification_read: MarkNotificationRead
    mark_all_notifications_read: MarkAllNotificationsRead
    mute_notifications: MuteNotifications
    list_mutes: MuteNotifications
    redeem_invite: Redeemed | RefusedInvite
    preview_invite: PreviewInvite
    mint_invites: MintInvites
    list_invites: ListInvites
    revoke_invite: RevokeInvite
    erase_user: Erased
    get_account: GetAccount
    get_health: GetHealth
    mend: Mended
    initialize_settings: InitializeSettings
    find_people: FindPeople
    admit_person: OneAccount
    suspend_person: OneAccount
    restore_person: OneAccount
    seat_moderator: OneMember
    inspect_community: InspectCommunity
    settle_community: SettleCommunity
    post_correction: PostCorrection
    list_job_runs: ListJobRuns
    get_jobs: GetJobs
    list_steward_acts: ListStewardActs


# ------------------------------------------------------------------------------ as JSON Schema


class Closed(GenerateJsonSchema):
    """No object has a key that is not named; no field a title, which would make a type of it."""

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        return {"additionalProperties": False} | super().typed_dict_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """Each answer as a property, and under $defs what they are made of, and what facts carry."""
    made = TypeAdapter(Answers).json_schema(schema_generator=Closed)
    made["$defs"] |= TypeAdapter(Vocabulary).json_schema(schema_generator=Closed)["$defs"]
    for name, (shape, key, facts) in TOLD.items():
        # pydantic puts the shape in the place of the name that says no more than it.
        made["$defs"][shape] = made["$defs"].pop(name) | {"title": shape}
        made["$defs"][name] = {"$ref": f"#/$defs/{shape}", "anyOf": told(made, key, facts)}
    made["$defs"] = dict(sorted(made["$defs"].items()))
    return made


# Shapes that tell something by its name, and the facts each name carries.
TOLD = {
    "SystemMessage": ("SystemLine", "event", "LineFacts"),
    "Notification": ("Notice", "event", "NoticeFacts"),
    "AuditEntry": ("Audited", "action", "AuditFacts"),
}


def told(made: dict[str, Any], key: str, facts: str) -> list[dict[str, Any]]:
    ways = [
        {"properties": {key: {"const": name}, "facts": of}}
        for name, of in made["$defs"][facts]["properties"].items()
    ]
    if facts == "LineFacts":
        # A line that was struck says nothing any more.
        ways.append({"properties": {"deleted": {"const": True}, "facts": {"maxProperties": 0}}})
    return ways
