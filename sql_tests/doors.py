"""The contract with the frontend: the doors, their arguments and defaults, the shapes of answers.

Other programs are written against these names. A door or a shape may have more, never less; what it
has is written here.
"""

from shapes import Shapes, read

# Arguments with their defaults as SQL; without one an argument is required.
FOR_PEOPLE = {
    # access and oneself
    "get_access": "",
    "get_me": "",
    "update_me": "display_name = null, avatar_url = null",
    "export_my_data": "",
    # communities and members
    "create_community": (
        "name, description = '', timezone = 'UTC', daily_cc_budget = 100, request_id = null"
    ),
    "join_community": "invite_code, request_id = null",
    "list_my_communities": "",
    "get_community": "community_id",
    "get_rules": "community_id",
    "update_community": "community_id, patch",
    "set_join_code": "community_id, rotate = false, open = null, expires_at = null",
    "leave_community": "community_id, successor_id = null",
    "remove_member": "community_id, user_id, reason, ban = false",
    "set_council": "community_id, user_id, granted",
    "step_down": "community_id, successor_id = null",
    "list_members": "community_id",
    "get_member_profile": "community_id, user_id",
    "list_audit": "community_id, page_size = 50, before_id = null",
    # Chamber and Gazette
    "list_messages": "community_id, page_size = 50, before_id = null, after_id = null",
    "get_message": "message_id",
    "send_message": "community_id, content, request_id = null",
    "edit_message": "message_id, content",
    "delete_message": "message_id",
    "strike_message": "message_id, reason",
    "mark_chamber_read": "community_id, message_id",
    "declare_joy": (
        "community_id, title, cc_spent, description = '', image_url = null, request_id = null"
    ),
    "list_gazette": "community_id, page_size = 50, before_id = null, author_id = null",
    "get_declaration": "declaration_id",
    "witness_declaration": "declaration_id",
    # money
    "get_balance": "community_id",
    "list_ledger": "community_id, page_size = 50, before_id = null, entry_type = null",
    "audit_ledger": "community_id",
    "preview_dawn": "community_id",
    "request_borrow": "community_id, lender_id, amount, reason, request_id = null",
    "respond_borrow": "borrow_request_id, action, amount = null",
    "cancel_borrow": "borrow_request_id",
    "list_loans": "community_id, side = 'both'",
    "repay_loan": "loan_id, amount, request_id = null",
    "forgive_loan": "loan_id, amount = null",
    "propose_tip_to_tip": "community_id, title, stake_amount, description = '', request_id = null",
    "vote_tip_to_tip": "proposal_id, vote",
    "get_tip_to_tip": "proposal_id",
    "list_tip_to_tips": "community_id, status = null, page_size = 50, before_id = null",
    "get_sunset": "community_id, day = null",
    # elections, honours
    "create_election": "community_id, title, ends_at, seat_rule = 'add'",
    "get_active_election": "community_id",
    "get_election": "election_id",
    "list_elections": "community_id, page_size = 50, before_id = null",
    "vote_election": "election_id, candidate_id",
    "close_election": "election_id",
    "cancel_election": "election_id, reason",
    "get_leaderboard": "community_id, week_start = null",
    "get_jashn": "community_id, week_start = null",
    "celebrate_jashn": "jashn_id, message",
    # notifications
    "list_notifications": "unread_only = false, page_size = 50, before_id = null",
    "mark_notification_read": "notification_id",
    "mark_all_notifications_read": "",
    "mute_notifications": "community_id, type, muted",
}

FOR_THE_SERVICE = {
    "redeem_invite": "user_id, code",
    "preview_invite": "code",
    "mint_invites": (
        "count = 1, email = null, max_uses = 1, expires_at = null, theme = 'dawn',"
        " welcome_title = null, welcome_message = null, note = null"
    ),
    "list_invites": "page_size = 50, before_id = null",
    "revoke_invite": "invite_id",
    "erase_user": "user_id",
    "get_account": "user_id",
    "get_health": "",
    "initialize_settings": "enforce_invites",
    # stewards
    "find_people": "query = null, page_size = 50, before_id = null",
    "admit_person": "user_id, steward_id = null",
    "suspend_person": "user_id, reason, steward_id = null",
    "restore_person": "user_id, steward_id = null",
    "inspect_community": "community_id, prove_books = true, steward_id = null",
    "settle_community": "community_id, steward_id = null",
    "post_correction": (
        "community_id, user_id, amount, reason, request_id = null, steward_id = null"
    ),
    "list_job_runs": "job = null, failed_only = false, page_size = 50, before_id = null",
    "get_jobs": "",
    "list_steward_acts": "page_size = 50, before_id = null",
}

# What answers are made of, as TypeScript types: docs.py writes them into
# supabase/types/database.ts, and shapes.py holds real answers against them.
SHAPES = {
    "Person": "{ id: Uuid, display_name: string, avatar_url: string | null }",
    "Balance": """{
      community_id: Uuid, user_id: Uuid, daily_budget: number, remaining: number,
      spent_today: number, debt: number, last_reset: Moment | null, day: Day, day_open: boolean,
      next_sunset_at: Moment, next_dawn_at: Moment
    }""",
    "Community": """{
      id: Uuid, name: string, description: string, timezone: string, daily_cc_budget: number,
      electorate: 'council' | 'members', created_at: Moment, member_count: number,
      invite_code?: string
    }""",
    "Role": "'member' | 'moderator' | 'council'",
    "Member": "{ user: Person, community_id: Uuid, roles: Role[], joined_at: Moment }",
    "Declaration": """{
      id: Uuid, community_id: Uuid, user: Person, title: string, description: string,
      cc_spent: number, image_url: string | null, witnessed_count: number, has_witnessed: boolean,
      created_at: Moment
    }""",
    "BorrowRequest": """{
      id: Uuid, community_id: Uuid, borrower: Person, lender: Person, amount: number,
      reason: string, status: 'pending' | 'approved' | 'declined' | 'cancelled' | 'lapsed',
      created_at: Moment
    }""",
    "Loan": """{
      id: Uuid, community_id: Uuid, borrower: Person, lender: Person, amount: number,
      outstanding: number, status: 'open' | 'repaid' | 'forgiven' | 'released' | 'asleep',
      created_at: Moment
    }""",
    "Proposal": """{
      id: Uuid, community_id: Uuid, proposer: Person, title: string, description: string,
      stake_amount: number, deadline: Moment,
      status: 'active' | 'completed' | 'declined' | 'expired' | 'withdrawn' | 'void',
      votes: { user: Person, vote: 'accept' | 'decline', created_at: Moment }[],
      electors: number, awaiting: number, can_vote: boolean, created_at: Moment
    }""",
    "Election": """{
      id: Uuid, community_id: Uuid, title: string, status: 'active' | 'completed' | 'cancelled',
      seat_rule: 'add' | 'renew',
      candidates: { user: Person, roles: Role[], votes: number | null }[],
      electors: number, turnout: number, my_vote: Uuid | null, can_vote: boolean,
      winner: Person | null, created_at: Moment, ends_at: Moment, closed_at: Moment | null
    }""",
    "Message": """{
      id: number, community_id: Uuid,
      type: 'message' | 'declaration' | 'borrow_request' | 'tip_to_tip' | 'election' | 'system',
      user: Person | null, content: string, event: string | null, facts: Json,
      declaration: Declaration | null, borrow_request: BorrowRequest | null,
      tip_to_tip: Proposal | null, election: Election | null, created_at: Moment,
      edited_at: Moment | null, deleted: boolean, struck_reason: string | null
    }""",
    "EntryType": """'daily_reset' | 'declaration' | 'borrow_given' | 'borrow_received'
      | 'debt_repaid' | 'debt_collected' | 'tip_to_tip' | 'stake_refund' | 'stake_forfeit'
      | 'expired' | 'correction'""",
    "Place": "'minted' | 'purse' | 'escrow' | 'spent' | 'forfeited' | 'expired'",
    "LedgerEntry": """{
      id: number, type: EntryType, amount: number, balance_after: number, description: string,
      reference_id: Uuid | null, day: Day, created_at: Moment, moved: number, source: Place,
      destination: Place, counterparty_id: Uuid | null
    }""",
    "NoticeType": """'witnessed' | 'borrow_request' | 'borrow_approved' | 'borrow_declined'
      | 'tip_to_tip' | 'jashn_e_chas' | 'election' | 'system'""",
    "Notification": """{
      id: number, community_id: Uuid, type: NoticeType, title: string, body: string,
      read: boolean, count: number, ref_kind: string, ref_id: Uuid, created_at: Moment
    }""",
    "Rules": """{
      name: string, description: string, daily_cc_budget: number, timezone: string,
      electorate: 'council' | 'members'
    }""",
    "PendingRules": """{
      name?: string, description?: string, daily_cc_budget?: number, timezone?: string,
      electorate?: 'council' | 'members'
    }""",
    "Books": """{
      minted: number, spent: number, forfeited: number, expired: number, purses: number,
      escrow: number, balanced: boolean
    }""",
    "Jashn": """{
      id: Uuid, community_id: Uuid, week_start: Day, week_end: Day, honored_user: Person | null,
      total_declarations: number, total_cc_spent: number,
      reckoning: { entries: Reckoned[], decided_by: string | null },
      celebrations: Celebration[], held_at: Moment
    }""",
    "Reckoned": """{
      user: Person, eligible: boolean, total_cc_spent: number, total_declarations: number,
      witnessed_received: number, joined_at: Moment
    }""",
    "Celebration": """{
      user: Person, message: string, created_at: Moment, edited_at: Moment | null
    }""",
    "Act": """{
      id: number, community_id: Uuid | null, action: string, actor: Person | null,
      subject: Person | null, facts: Json, created_at: Moment
    }""",
    # for the service role
    "Theme": "'dawn' | 'sunset' | 'mint' | 'ink'",
    "InviteState": "'open' | 'spent' | 'expired' | 'revoked'",
    "Invite": """{
      id: Uuid, state: InviteState, uses: number, max_uses: number, email: string | null,
      expires_at: Moment | null, theme: Theme, welcome_title: string | null,
      welcome_message: string | null, note: string | null, created_at: Moment
    }""",
    "Account": """{
      id: Uuid, display_name: string, avatar_url: string | null,
      standing: 'admitted' | 'waiting' | 'suspended' | 'banned' | 'anonymous' | 'unknown',
      is_steward: boolean, admitted_at: Moment | null, suspended_at: Moment | null,
      created_at: Moment, communities: { id: Uuid, name: string, roles: Role[] }[]
    }""",
    "Calendar": """{
      day: Day, day_open: boolean, next_sunset_at: Moment, next_dawn_at: Moment,
      last_closed_day: Day | null, late_seconds: number
    }""",
    "Run": """{
      id: number, job: string, community_id: Uuid, day: Day | null, started_at: Moment,
      finished_at: Moment, rows: number | null, error: string | null
    }""",
}

ANSWERS = {
    # access and oneself
    "get_access": "{ whitelisted: boolean, whitelist_required: boolean, is_steward: boolean }",
    "get_me": "Person & { email: string | null, created_at: Moment }",
    "update_me": "Person & { email: string | null, created_at: Moment }",
    "export_my_data": """{
      exported_at: Moment, profile: Json, communities: Json[], [more: string]: Json
    }""",
    # communities and members
    "create_community": "{ community: Community, member: Member, balance: Balance }",
    "join_community": "{ community: Community, member: Member, balance: Balance }",
    "list_my_communities": """{ communities: (Community & {
      balance: Balance, roles: Role[], unread: number, last_activity: Moment | null,
      awaiting_my_vote: number
    })[] }""",
    "get_community": "{ community: Community, members: Member[] }",
    "get_rules": "{ in_force: Rules, pending: PendingRules }",
    "update_community": "{ community: Community, pending: PendingRules }",
    "set_join_code": "{ invite_code: string, open: boolean, expires_at: Moment | null }",
    "leave_community": "{ left: true, expired: number, forfeited: number }",
    "remove_member": "{ removed: true }",
    "set_council": "{ member: Member }",
    "step_down": "{ member: Member }",
    "list_members": "{ members: Member[] }",
    "get_member_profile": """{
      user: Person, communities_shared: number, total_declarations: number,
      total_cc_spent: number, avg_cc_per_declaration: number,
      most_expensive_declaration: Declaration | null, current_streak: number,
      longest_streak: number, witnessed_given: number, witnessed_received: number,
      joined_at: Moment, left_at: Moment | null
    }""",
    "list_audit": "{ entries: Act[], has_more: boolean }",
    # Chamber and Gazette
    "list_messages": "{ messages: Message[], has_more: boolean }",
    "get_message": "{ message: Message }",
    "send_message": "{ message: Message }",
    "edit_message": "{ message: Message }",
    "delete_message": "{ message: Message }",
    "strike_message": "{ message: Message }",
    "mark_chamber_read": "{ unread: number }",
    "declare_joy": "{ declaration: Declaration, message: Message, balance: Balance }",
    "list_gazette": "{ declarations: Declaration[], has_more: boolean }",
    "get_declaration": "{ declaration: Declaration, witnesses: Person[] }",
    "witness_declaration": "{ witnessed: true, witnessed_count: number }",
    # money
    "get_balance": "{ balance: Balance }",
    "list_ledger": """{
      entries: LedgerEntry[], has_more: boolean,
      summary: { total_spent_all_time: number, remaining_today: number, spent_today: number }
    }""",
    "audit_ledger": "Books",
    "preview_dawn": """{
      grant: number, repayments: { lender: Person, amount: number }[],
      collections: { borrower: Person, amount: number }[], refunds: number, wake_with: number
    }""",
    "request_borrow": "{ borrow_request: BorrowRequest, message: Message }",
    "respond_borrow": """{
      borrow_request: BorrowRequest, system_message: Message, balance: Balance
    }""",
    "cancel_borrow": "{ borrow_request: BorrowRequest }",
    "list_loans": "{ loans: Loan[] }",
    "repay_loan": "{ loan: Loan, balance: Balance }",
    "forgive_loan": "{ loan: Loan, system_message: Message }",
    "propose_tip_to_tip": "{ proposal: Proposal, message: Message, balance: Balance }",
    "vote_tip_to_tip": """{
      proposal: Proposal, resolved: boolean, outcome: 'completed' | 'declined' | null
    }""",
    "get_tip_to_tip": "{ proposal: Proposal }",
    "list_tip_to_tips": "{ proposals: Proposal[], has_more: boolean }",
    "get_sunset": """{
      date: Day | null, entries: { user: Person, unspent_cc: number }[], total_expired: number
    }""",
    # elections, honours
    "create_election": "{ election: Election }",
    "get_active_election": "{ election: Election | null }",
    "get_election": "{ election: Election }",
    "list_elections": "{ elections: Election[], has_more: boolean }",
    "vote_election": "{ election: Election }",
    "close_election": "{ election: Election }",
    "cancel_election": "{ election: Election }",
    "get_leaderboard": """{
      week_start: Day, week_end: Day, most_restrained: Person | null, entries: {
        rank: number, user: Person, total_declarations: number, total_cc_spent: number,
        avg_cc_per_declaration: number, witnessed_received: number, streak_days: number,
        active_days: number
      }[]
    }""",
    "get_jashn": "{ jashn: Jashn | null }",
    "celebrate_jashn": "{ celebration: Celebration }",
    # notifications
    "list_notifications": "{ notifications: Notification[], has_more: boolean, unread: number }",
    "mark_notification_read": "{ notification: Notification }",
    "mark_all_notifications_read": "{ count: number }",
    "mute_notifications": "{ muted: NoticeType[] }",
    # for the service role
    "redeem_invite": """{
      whitelisted: boolean, already_whitelisted: boolean, invite_code: string, theme: Theme,
      welcome_title: string | null, welcome_message: string | null
    } | { refused: { code: RefusalCode, message: string, details: Json } }""",
    "preview_invite": """{
      state: InviteState, theme: Theme, welcome_title: string | null,
      welcome_message: string | null
    }""",
    "mint_invites": "{ invites: (Invite & { code: string })[] }",
    "list_invites": "{ invites: Invite[], has_more: boolean }",
    "revoke_invite": "{ invite: Invite }",
    "erase_user": "{ erased: true }",
    "get_account": """Person & {
      email: string | null, email_confirmed: boolean, is_steward: boolean, banned: boolean,
      whitelisted: boolean, whitelist_required: boolean, created_at: Moment
    }""",
    "get_health": "{ status: 'ok', dawn_late_seconds: number }",
    "initialize_settings": "{ enforce_invites: boolean }",
    # stewards
    "find_people": "{ people: Account[], has_more: boolean }",
    "admit_person": "{ person: Account }",
    "suspend_person": "{ person: Account }",
    "restore_person": "{ person: Account }",
    "inspect_community": """{
      community: Community, pending: PendingRules, calendar: Calendar, members: Member[],
      open: { tip_to_tips: number, elections: number, loans: number }, books: Books | null,
      runs: Run[], troubles: { job: string, tries: number, retry_at: Moment }[]
    }""",
    "settle_community": "{ calendar: Calendar, runs: Run[] }",
    "post_correction": "{ correction_id: Uuid, amount: number, balance: Balance }",
    "list_job_runs": "{ runs: Run[], has_more: boolean }",
    "get_jobs": """{ jobs: {
      name: string, schedule: string, active: boolean, next_due_at: Moment | null,
      late_seconds: number, last_started_at: Moment | null, last_status: string | null,
      last_message: string | null, failed_in_a_day: number, communities_in_trouble: number
    }[] }""",
    "list_steward_acts": "{ acts: Act[], has_more: boolean }",
}


REFUSALS = (
    *("UNAUTHORIZED", "INVITE_REQUIRED", "FORBIDDEN", "NOT_ELECTOR", "CANNOT_WITNESS_OWN"),
    *("INVITE_EMAIL_MISMATCH", "EMAIL_UNCONFIRMED", "NOT_FOUND", "CONFLICT", "ALREADY_VOTED"),
    *("ELECTION_CLOSED", "PROPOSAL_EXPIRED", "ACTIVE_TIP_TO_TIP_EXISTS", "NO_ELECTORS"),
    *("LAST_MODERATOR", "INVITE_UNAVAILABLE", "REQUEST_LAPSED", "EDIT_WINDOW_PASSED"),
    *("DAY_CLOSED", "DEBT_LIMIT", "INVALID_INPUT", "RATE_LIMITED", "INSUFFICIENT_CC"),
)

TYPES = Shapes(SHAPES | {"RefusalCode": " | ".join(f"'{code}'" for code in REFUSALS)})


def defaults(arguments: str) -> dict[str, str | None]:
    """`"name, size = 50"` as {"name": None, "size": "50"}."""
    pairs = (argument.partition(" = ") for argument in arguments.split(", ") if argument)
    return {name: default or None for name, _, default in pairs}


def assert_shape(shape: str, value: dict[str, object]) -> None:
    """`shape` as the page of the contract calls it: borrow_request for BorrowRequest. A door may
    answer a shape + more; test_answers.py knows how much more."""
    kind = TYPES.object_of(read(shape.title().replace("_", "")))
    shaped = {name: fact for name, fact in value.items() if name in kind.fields}
    wrong = list(TYPES.misfits(kind, shaped, shape))
    assert not wrong, wrong


def misfits(door: str, answer: object) -> list[str]:
    return list(TYPES.misfits(read(ANSWERS[door]), answer, door))
