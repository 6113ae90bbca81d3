"""The rows Supabase Auth keeps, written as it writes them. For development and tests only.

Every function takes a connection of `supabase_auth_admin` and is part of its transaction.
"""

import hashlib
import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

Row = dict[str, Any]
Database = Connection[Row]

# The server finds only people of this instance.
INSTANCE = uuid.UUID(int=0)

SHORTEST_PASSWORD = 6
# What bcrypt reads of a password, in bytes.
LONGEST_PASSWORD = 72
# How long a refresh token that was just exchanged still earns a new one, for two tabs at once.
REUSE = timedelta(seconds=10)
LETTERS_ARE_GOOD = timedelta(hours=1)

# Where each kind of letter keeps the hash of its code.
LETTERS = {
    "signup": ("confirmation_token", "confirmation_sent_at"),
    "recovery": ("recovery_token", "recovery_sent_at"),
    "email_change": ("email_change_token_new", "email_change_sent_at"),
}


class Refused(Exception):
    """An answer of Auth that is no success."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.more = more


# ------------------------------------------------------------------------------ people


def find(db: Database, user_id: object) -> Row | None:
    return db.execute(
        "select * from auth.users where instance_id = %s and id::text = %s",
        (INSTANCE, str(user_id)),
    ).fetchone()


def find_by_email(db: Database, email: str) -> Row | None:
    return db.execute(
        "select * from auth.users where instance_id = %s and email = %s and not is_sso_user",
        (INSTANCE, email.lower()),
    ).fetchone()


def the(db: Database, user_id: object) -> Row:
    user = find(db, user_id)
    if user is None:
        raise Refused(404, "user_not_found", "User not found")
    return user


def identities(db: Database, user: Row) -> list[Row]:
    query = "select * from auth.identities where user_id = %s order by created_at"
    return db.execute(query, (user["id"],)).fetchall()


def sign_up(
    db: Database,
    email: str,
    password: str | None = None,
    data: Row | None = None,
    provider: str = "email",
    app_data: Row | None = None,
) -> Row:
    """Step by step as the server does: a trigger on insert sees no role and no confirmation."""
    email = checked_email(email)
    user_id = uuid.uuid4()
    known_by = str(user_id) if provider == "email" else secrets.token_hex(10)
    identity = {
        "sub": known_by,
        "email": email,
        "email_verified": provider != "email",
        "phone_verified": False,
        **(data or {}),
    }
    db.execute(
        """
        insert into auth.users (
          instance_id, id, aud, role, email, encrypted_password, raw_app_meta_data,
          raw_user_meta_data, created_at, updated_at, confirmation_token, recovery_token,
          email_change_token_new, email_change
        )
        values (%s, %s, 'authenticated', '', %s, %s, %s, %s, now(), now(), '', '', '', '')
        """,
        (
            *(INSTANCE, user_id, email, hashed(db, password) if password else ""),
            Jsonb({"provider": provider, "providers": [provider]} | (app_data or {})),
            Jsonb(data or {}),
        ),
    )
    db.execute("update auth.users set role = 'authenticated' where id = %s", (user_id,))
    db.execute(
        """
        insert into auth.identities (
          provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at
        )
        values (%s, %s, %s, %s, now(), now(), now())
        """,
        (known_by, user_id, Jsonb(identity), provider),
    )
    db.execute(
        "update auth.users set raw_user_meta_data = %s where id = %s", (Jsonb(identity), user_id)
    )
    if provider != "email":
        confirm(db, user_id)
    return the(db, user_id)


def confirm(db: Database, user_id: uuid.UUID) -> None:
    db.execute(
        """
        update auth.users
        set email_confirmed_at = coalesce(email_confirmed_at, now()), confirmation_token = '',
          raw_user_meta_data = raw_user_meta_data || '{"email_verified": true}', updated_at = now()
        where id = %s
        """,
        (user_id,),
    )
    db.execute(
        """
        update auth.identities
        set identity_data = identity_data || '{"email_verified": true}', updated_at = now()
        where user_id = %s and provider = 'email'
        """,
        (user_id,),
    )


def set_password(db: Database, user: Row, password: str) -> None:
    db.execute(
        "update auth.users set encrypted_password = %s, updated_at = now() where id = %s",
        (hashed(db, password), user["id"]),
    )


def set_email(db: Database, user: Row, email: str) -> None:
    email = checked_email(email)
    other = find_by_email(db, email)
    if other and other["id"] != user["id"]:
        message = "A user with this email address has already been registered"
        raise Refused(422, "email_exists", message)
    db.execute(
        """
        update auth.users
        set email = %s, email_change = '', email_change_token_new = '', updated_at = now()
        where id = %s
        """,
        (email, user["id"]),
    )
    db.execute(
        """
        update auth.identities
        set identity_data = identity_data || jsonb_build_object('email', %s::text)
        where user_id = %s and provider = 'email'
        """,
        (email, user["id"]),
    )


def merge(db: Database, user: Row, column: str, change: Row) -> None:
    """`column` is one of the two with JSON; null takes a key away."""
    merged = {k: v for k, v in ((user[column] or {}) | change).items() if v is not None}
    query = f"update auth.users set {column} = %s, updated_at = now() where id = %s"
    db.execute(query.encode(), (Jsonb(merged), user["id"]))


def is_banned(user: Row) -> bool:
    return user["banned_until"] is not None and user["banned_until"] > datetime.now(UTC)


def delete(db: Database, user: Row, softly: bool) -> None:
    """Softly: the row stays, and says nothing of the person any more."""
    if not softly:
        db.execute("delete from auth.users where id = %s", (user["id"],))
        return
    db.execute("delete from auth.sessions where user_id = %s", (user["id"],))
    db.execute(
        """
        update auth.users
        set email = encode(sha256(convert_to(id || coalesce(email, ''), 'UTF8')), 'hex'),
          phone = null, encrypted_password = '', raw_user_meta_data = '{}',
          raw_app_meta_data = '{}', confirmation_token = '', recovery_token = '',
          email_change = '', email_change_token_new = '', deleted_at = now(), updated_at = now()
        where id = %s
        """,
        (user["id"],),
    )
    db.execute(
        """
        update auth.identities
        set provider_id = encode(sha256(convert_to(id || provider_id, 'UTF8')), 'hex'),
          identity_data = '{}'
        where user_id = %s
        """,
        (user["id"],),
    )


# ------------------------------------------------------------------------------ passwords


def checked_email(email: object) -> str:
    if not isinstance(email, str) or not re.fullmatch(r"[^\s@]+@[^\s@]+\.[^\s@.]+", email):
        message = "Unable to validate email address: invalid format"
        raise Refused(400, "validation_failed", message)
    return email.lower()


def checked_password(password: object) -> str:
    if not isinstance(password, str) or not password:
        raise Refused(400, "validation_failed", "Signup requires a valid password")
    if len(password.encode()) > LONGEST_PASSWORD:
        message = f"Password cannot be longer than {LONGEST_PASSWORD} characters"
        raise Refused(400, "validation_failed", message)
    if len(password) < SHORTEST_PASSWORD:
        message = f"Password should be at least {SHORTEST_PASSWORD} characters."
        raise Refused(422, "weak_password", message, weak_password={"reasons": ["length"]})
    return password


def hashed(db: Database, password: str) -> str:
    query = "select extensions.crypt(%s, extensions.gen_salt('bf', 10)) as hash"
    return str((db.execute(query, (checked_password(password),)).fetchone() or {})["hash"])


def knows(db: Database, user: Row, password: str) -> bool:
    query = "select extensions.crypt(%s, %s) = %s as knows"
    known = user["encrypted_password"]
    return bool((db.execute(query, (password, known, known)).fetchone() or {})["knows"])


# ------------------------------------------------------------------------------ letters


def write_letter(db: Database, user: Row, kind: str, email: str) -> tuple[str, str]:
    """A code of six digits for the person, and the hash of it for the link."""
    code = f"{secrets.randbelow(1_000_000):06}"
    column, sent = LETTERS[kind]
    query = f"update auth.users set {column} = %s, {sent} = now() where id = %s"
    db.execute(query.encode(), (letter_hash(email, code), user["id"]))
    return code, letter_hash(email, code)


def letter_hash(email: str, code: str) -> str:
    return hashlib.sha224((email.lower() + code).encode()).hexdigest()


def open_letter(db: Database, kind: str, token: str) -> Row:
    """The person it was written to; a letter is good once, and for an hour."""
    gone = Refused(403, "otp_expired", "Email link is invalid or has expired")
    if kind not in LETTERS or not token:
        raise gone
    column, sent = LETTERS[kind]
    query = f"""
        update auth.users set {column} = '' where {column} = %s and {sent} > %s returning *
    """
    user = db.execute(query.encode(), (token, datetime.now(UTC) - LETTERS_ARE_GOOD)).fetchone()
    if user is None:
        raise gone
    if kind == "email_change":
        set_email(db, user, user["email_change"])
    confirm(db, user["id"])
    return the(db, user["id"])


# ------------------------------------------------------------------------------ sessions


def open_session(db: Database, user: Row, method: str) -> Row:
    """The session, with the first of its refresh tokens and how it was earned."""
    session: Row = {"id": uuid.uuid4()}
    db.execute(
        """
        insert into auth.sessions (id, user_id, created_at, updated_at, aal)
        values (%s, %s, now(), now(), 'aal1')
        """,
        (session["id"], user["id"]),
    )
    db.execute(
        """
        insert into auth.mfa_amr_claims
          (id, session_id, created_at, updated_at, authentication_method)
        values (%s, %s, now(), now(), %s)
        """,
        (uuid.uuid4(), session["id"], method),
    )
    db.execute("update auth.users set last_sign_in_at = now() where id = %s", (user["id"],))
    return session | {"refresh_token": new_token(db, session["id"], user["id"], None)}


def new_token(db: Database, session_id: object, user_id: object, parent: str | None) -> str:
    token = secrets.token_urlsafe(9)
    db.execute(
        """
        insert into auth.refresh_tokens
          (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
        values (%s, %s, %s, false, now(), now(), %s, %s)
        """,
        (INSTANCE, token, str(user_id), parent, session_id),
    )
    return token


def methods(db: Database, session_id: object) -> list[Row]:
    """The claim amr: how the session was earned."""
    rows = db.execute(
        "select * from auth.mfa_amr_claims where session_id = %s order by created_at desc",
        (session_id,),
    )
    return [
        {"method": row["authentication_method"], "timestamp": int(row["created_at"].timestamp())}
        for row in rows
    ]


def refresh(db: Database, token: str) -> tuple[Row, Row]:
    """The person and the session with the token that is good now.

    Used means revoked. The parent of the good one earns the good one again (an answer may have
    been lost); an older one a new one for ten seconds; after that it was stolen, and the session
    ends. That ending must be kept, so it is returned as a session without a token.
    """
    row = db.execute("select * from auth.refresh_tokens where token = %s", (token,)).fetchone()
    if row is None:
        raise invalid("Refresh Token Not Found", "refresh_token_not_found")
    session = db.execute(
        "select * from auth.sessions where id = %s for update", (row["session_id"],)
    ).fetchone()
    user = find(db, row["user_id"])
    if session is None or user is None:
        raise invalid("No Valid Session Found", "session_not_found")
    if is_banned(user):
        raise invalid("User Banned", "user_banned")
    # Read again: somebody may have exchanged it while we waited for the session.
    row = db.execute("select * from auth.refresh_tokens where token = %s", (token,)).fetchone()
    assert row is not None
    if row["revoked"]:
        query = """
            select * from auth.refresh_tokens where session_id = %s and not revoked
            order by id desc limit 1
        """
        good = db.execute(query, (session["id"],)).fetchone()
        if good and good["parent"] == token:
            return user, session | {"refresh_token": good["token"]}
        if row["updated_at"] + REUSE < datetime.now(UTC):
            revoke(db, "session_id", session["id"])
            return user, session | {"refresh_token": None}
    revoke(db, "token", token)
    db.execute(
        "update auth.sessions set refreshed_at = now(), updated_at = now() where id = %s",
        (session["id"],),
    )
    return user, session | {"refresh_token": new_token(db, session["id"], user["id"], token)}


def revoke(db: Database, column: str, value: object) -> None:
    query = f"""
        update auth.refresh_tokens set revoked = true, updated_at = now()
        where {column} = %s and not revoked
    """
    db.execute(query.encode(), (value,))


def invalid(what: str, code: str) -> Refused:
    return Refused(400, code, f"Invalid Refresh Token: {what}")


def close_sessions(db: Database, user_id: object, session_id: object, scope: str) -> None:
    which = {"global": "true", "local": "id::text = %(id)s", "others": "id::text <> %(id)s"}[scope]
    query = f"delete from auth.sessions where user_id::text = %(user)s and {which}"
    db.execute(query.encode(), {"user": str(user_id), "id": str(session_id)})


def is_open(db: Database, session_id: object) -> bool:
    query = "select from auth.sessions where id::text = %s"
    return db.execute(query, (str(session_id),)).fetchone() is not None
