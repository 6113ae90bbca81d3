"""The contract with the frontend: the doors, their arguments and defaults, and what they answer.

Other programs are written against these names. A door may have more, never less; what it has is
written here, and what it answers in supabase/local/answers.py.
"""

from datetime import datetime
from typing import Any

from answers import schema
from jsonschema import Draft202012Validator, FormatChecker

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
    "ban_member": "community_id, user_id, reason",
    "lift_ban": "community_id, user_id",
    "list_bans": "community_id, page_size = 50, before_id = null",
    "declare_absence": "community_id, from_day, to_day",
    "end_absence": "community_id",
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
    "propose_tip_to_tip": (
        "community_id, title, stake_amount, description = '', request_id = null, amendment = null"
    ),
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
    "get_last_light": "community_id",
    "list_honours": "community_id, page_size = 50, before_id = null",
    # the Gazette's editions
    "get_edition": "community_id, number = null",
    "list_editions": "community_id, page_size = 50, before_id = null",
    "verify_gazette": "community_id, from_number = 1, to_number = null",
    # notifications
    "list_notifications": "unread_only = false, page_size = 50, before_id = null",
    "mark_notification_read": "notification_id",
    "mark_all_notifications_read": "",
    "mute_notifications": "community_id, type, muted",
    "list_mutes": "community_id",
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
    "mend": "",
    "initialize_settings": "enforce_invites",
    # stewards
    "find_people": "query = null, page_size = 50, before_id = null",
    "admit_person": "user_id, steward_id = null",
    "suspend_person": "user_id, reason, steward_id = null",
    "restore_person": "user_id, steward_id = null",
    "seat_moderator": "community_id, user_id, reason, steward_id = null",
    "inspect_community": "community_id, prove_books = true, steward_id = null",
    "settle_community": "community_id, steward_id = null",
    "post_correction": (
        "community_id, user_id, amount, reason, request_id = null, steward_id = null"
    ),
    "list_job_runs": "job = null, failed_only = false, page_size = 50, before_id = null",
    "get_jobs": "",
    "list_steward_acts": "page_size = 50, before_id = null",
}

SCHEMA = schema()
ANSWERS: dict[str, Any] = SCHEMA["properties"]
REFUSALS: list[str] = SCHEMA["$defs"]["RefusalCode"]["enum"]

FORMATS = FormatChecker(["uuid", "date"])


@FORMATS.checks("date-time", raises=(TypeError, ValueError))
def is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def defaults(arguments: str) -> dict[str, str | None]:
    """`"name, size = 50"` as {"name": None, "size": "50"}."""
    pairs = (argument.partition(" = ") for argument in arguments.split(", ") if argument)
    return {name: default or None for name, _, default in pairs}


def errors(kind: dict[str, Any], value: object, at: str) -> list[str]:
    """Where and why a value is not as a schema says, with the shapes at hand."""
    validator = Draft202012Validator({**kind, "$defs": SCHEMA["$defs"]}, format_checker=FORMATS)
    return [f"{at}{one.json_path[1:]}: {one.message}" for one in validator.iter_errors(value)]


def assert_shape(shape: str, value: dict[str, object]) -> None:
    """`shape` as the page of the contract calls it: borrow_request for BorrowRequest. A door may
    answer a shape + more; test_answers.py knows how much more."""
    kind = SCHEMA["$defs"][shape.title().replace("_", "")] | {"additionalProperties": True}
    wrong = errors(kind, value, shape)
    assert not wrong, wrong


def misfits(door: str, answer: object) -> list[str]:
    return errors(SCHEMA["properties"][door], answer, door)
