"""A stand-in for Supabase Auth: for development and tests only, never part of a deployment.

Passwords, sign-ups confirmed by a link in this log, sessions whose refresh tokens rotate, the
admin's calls, errors in the real shape. Not here: providers, one-time passwords to sign in with,
PKCE, several factors, anonymous people, captchas and limits of rate. Signing in with Google is
what `make token WHO=… NEW=yes` stands in for.
"""

import os
import re
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlparse

import jwt
import psycopg
import uvicorn
from keys import Keys
from litestar import Litestar, Request, Response, Router, delete, get, post, put
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException
from psycopg.rows import dict_row

from standins import accounts
from standins.accounts import Database, Refused, Row

# The first version of the API in which `code` is a word.
VERSION = "2024-01-01"
LIFETIME = 3600

Asked = Request[Any, Any, Any]


class Auth:
    """What the routes share: the keys, the addresses, the database."""

    def __init__(self, keys: Keys, url: str, site: str, database_url: str) -> None:
        self.keys = keys
        self.url = url
        self.site = site
        self._database_url = database_url

    def database(self) -> Database:
        """One a request, committed at its end; nothing to look after between them."""
        return Database.connect(self._database_url, row_factory=dict_row)

    def session(self, db: Database, user: Row, session: Row) -> Row:
        methods = accounts.methods(db, session["id"])
        user = accounts.the(db, user["id"])
        token = self.keys.user_token(user, self.url, LIFETIME, session["id"], methods)
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": LIFETIME,
            "expires_at": int(time.time()) + LIFETIME,
            "refresh_token": session["refresh_token"],
            "user": shown(db, user),
        }

    def sign_in(self, db: Database, user: Row, method: str) -> Row:
        return self.session(db, user, accounts.open_session(db, user, method))

    def send(self, db: Database, request: Asked, user: Row, kind: str, email: str) -> None:
        """The local postman: the letter is a line of the log."""
        code, token = accounts.write_letter(db, user, kind, email)
        back = self.way_back(request.query_params.get("redirect_to"))
        query = urlencode({"token": token, "type": kind, "redirect_to": back})
        print(
            f"Letter to {email} ({kind}), code {code}: {self.url}/auth/v1/verify?{query}",
            flush=True,
        )

    def way_back(self, wanted: str | None) -> str:
        """To this machine alone, else to the site."""
        host = urlparse(wanted or "").hostname
        return wanted if wanted and host in ("127.0.0.1", "localhost") else self.site


def shown(db: Database, user: Row) -> Row:
    """The shape of a person, as clients know it."""
    always = {
        "id": str(user["id"]),
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
        "identities": [
            {
                "identity_id": str(identity["id"]),
                "id": identity["provider_id"],
                "user_id": str(identity["user_id"]),
                "identity_data": identity["identity_data"],
                "provider": identity["provider"],
                "last_sign_in_at": moment(identity["last_sign_in_at"]),
                "created_at": moment(identity["created_at"]),
                "updated_at": moment(identity["updated_at"]),
                "email": identity["email"],
            }
            for identity in accounts.identities(db, user)
        ],
        "created_at": moment(user["created_at"]),
        "updated_at": moment(user["updated_at"]),
        "is_anonymous": user["is_anonymous"],
    }
    now_and_then = (
        *("email_confirmed_at", "confirmed_at", "confirmation_sent_at", "recovery_sent_at"),
        *("last_sign_in_at", "banned_until", "deleted_at"),
    )
    return (
        always
        | {name: moment(user[name]) for name in now_and_then if user[name]}
        | ({"new_email": user["email_change"]} if user["email_change"] else {})
    )


def moment(value: Any) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


# ------------------------------------------------------------------------------ who asks


def bearer(request: Asked, auth: Auth) -> Row:
    """The claims of the token that came along; asked before anything else."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        return auth.keys.read(token)
    except jwt.PyJWTError as error:
        message = f"invalid JWT: unable to parse or verify signature, {error}"
        raise Refused(403, "bad_jwt", message) from None


def person(db: Database, claims: Row) -> Row:
    if "sub" not in claims:
        raise Refused(403, "bad_jwt", "invalid claim: missing sub claim")
    user = accounts.find(db, claims["sub"])
    if user is None:
        raise Refused(403, "user_not_found", "User from sub claim in JWT does not exist")
    if not accounts.is_open(db, claims.get("session_id")):
        message = "Session from session_id claim in JWT does not exist"
        raise Refused(403, "session_not_found", message)
    if accounts.is_banned(user):
        raise Refused(403, "user_banned", "User is banned")
    return user


def admin(claims: Row) -> None:
    if claims.get("role") not in ("service_role", "supabase_admin"):
        raise Refused(403, "not_admin", "User not allowed")


# ------------------------------------------------------------------------------ signing in


@post("/token", status_code=200, sync_to_thread=True)
def token(grant_type: str, data: Row, auth: Auth) -> Row:
    with auth.database() as db:
        if grant_type == "password":
            return auth.sign_in(db, by_password(db, data), "password")
        if grant_type != "refresh_token":
            raise Refused(400, "validation_failed", "unsupported_grant_type")
        user, session = accounts.refresh(db, str(data.get("refresh_token")))
        if session["refresh_token"]:
            return auth.session(db, user, session)
    raise accounts.invalid("Already Used", "refresh_token_already_used")


def by_password(db: Database, data: Row) -> Row:
    user = accounts.find_by_email(db, str(data.get("email", "")))
    wrong = Refused(400, "invalid_credentials", "Invalid login credentials")
    if user is None or not user["encrypted_password"]:
        raise wrong
    if accounts.is_banned(user):
        raise Refused(400, "user_banned", "User is banned")
    if not accounts.knows(db, user, str(data.get("password", ""))):
        raise wrong
    if user["email_confirmed_at"] is None:
        raise Refused(400, "email_not_confirmed", "Email not confirmed")
    return user


@post("/signup", status_code=200, sync_to_thread=True)
def signup(request: Asked, data: Row, auth: Auth) -> Row:
    """Confirmations are on: the answer is the person, and signing in waits for the letter."""
    if not data.get("email"):
        raise Refused(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
    email = accounts.checked_email(data["email"])
    chosen = accounts.checked_password(data.get("password"))
    with auth.database() as db:
        user = accounts.find_by_email(db, email)
        if user and user["email_confirmed_at"]:
            return made_up(email, data.get("data") or {})
        if user is None:
            user = accounts.sign_up(db, email, chosen, data.get("data"))
        auth.send(db, request, user, "signup", email)
        return shown(db, accounts.the(db, user["id"]))


def made_up(email: str, data: Row) -> Row:
    """Nobody learns from a sign-up who has an account here."""
    now = moment(datetime.now(UTC))
    return {
        "id": str(uuid.uuid4()),
        "aud": "authenticated",
        "role": "",
        "email": email,
        "phone": "",
        "confirmation_sent_at": now,
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": data,
        "identities": [],
        "created_at": now,
        "updated_at": now,
        "is_anonymous": False,
    }


# Not in a thread: where two handlers share a path, Litestar 2.25 forgets to await the one that
# answers a Response.
@get("/verify", status_code=303, sync_to_thread=False)
def verify_link(request: Asked, auth: Auth) -> Response[str]:
    """What the link in a letter opens: signed in, and back to the page, as the fragment tells."""
    asked = request.query_params
    back = auth.way_back(asked.get("redirect_to"))
    try:
        with auth.database() as db:
            user = accounts.open_letter(db, asked.get("type", ""), asked.get("token", ""))
            session = auth.sign_in(db, user, "otp")
    except Refused as refused:
        told = {
            "error": "access_denied",
            "error_code": refused.code,
            "error_description": refused.message,
        }
    else:
        told = {name: str(value) for name, value in session.items() if name != "user"}
        told["type"] = asked["type"]
    return Response("", status_code=303, headers={"location": f"{back}#{urlencode(told)}"})


@post("/verify", status_code=200, sync_to_thread=True)
def verify(data: Row, auth: Auth) -> Row:
    """By the hash of the link, or by the address and the code."""
    kind = {"email": "signup"}.get(data.get("type", ""), str(data.get("type")))
    hash_ = data.get("token_hash")
    if not hash_:
        hash_ = accounts.letter_hash(str(data.get("email")), str(data.get("token")))
    with auth.database() as db:
        return auth.sign_in(db, accounts.open_letter(db, kind, str(hash_)), "otp")


@post("/resend", status_code=200, sync_to_thread=True)
def resend(request: Asked, data: Row, auth: Auth) -> Row:
    with auth.database() as db:
        user = accounts.find_by_email(db, accounts.checked_email(data.get("email")))
        if user and not user["email_confirmed_at"]:
            auth.send(db, request, user, "signup", user["email"])
    return {}


@post("/recover", status_code=200, sync_to_thread=True)
def recover(request: Asked, data: Row, auth: Auth) -> Row:
    with auth.database() as db:
        if user := accounts.find_by_email(db, accounts.checked_email(data.get("email"))):
            auth.send(db, request, user, "recovery", user["email"])
    return {}


@post("/otp", status_code=200)
async def otp() -> None:
    raise Refused(422, "email_provider_disabled", "Email logins are disabled")


@get("/authorize")
async def authorize(provider: str = "") -> None:
    message = f"Unsupported provider: provider {quote(provider)} is not enabled"
    raise Refused(400, "validation_failed", message)


# ------------------------------------------------------------------------------ oneself


@get("/user", sync_to_thread=True)
def get_user(claims: Row, auth: Auth) -> Row:
    with auth.database() as db:
        return shown(db, person(db, claims))


@put("/user", sync_to_thread=True)
def put_user(request: Asked, claims: Row, data: Row, auth: Auth) -> Row:
    with auth.database() as db:
        user = person(db, claims)
        if data.get("password") is not None:
            chosen = accounts.checked_password(data["password"])
            if user["encrypted_password"] and accounts.knows(db, user, chosen):
                message = "New password should be different from the old password."
                raise Refused(422, "same_password", message)
            accounts.set_password(db, user, chosen)
            accounts.close_sessions(db, user["id"], claims["session_id"], "others")
        if data.get("data") is not None:
            accounts.merge(db, user, "raw_user_meta_data", data["data"])
        if data.get("email") and data["email"].lower() != user["email"]:
            ask_for_new_email(auth, db, request, user, data["email"])
        return shown(db, accounts.the(db, user["id"]))


def ask_for_new_email(auth: Auth, db: Database, request: Asked, user: Row, email: str) -> None:
    """One letter, to the new address; the old one is in force until it is opened."""
    email = accounts.checked_email(email)
    if accounts.find_by_email(db, email):
        message = "A user with this email address has already been registered"
        raise Refused(422, "email_exists", message)
    db.execute("update auth.users set email_change = %s where id = %s", (email, user["id"]))
    auth.send(db, request, user, "email_change", email)


@post("/logout", status_code=204, sync_to_thread=True)
def logout(request: Asked, claims: Row, auth: Auth) -> None:
    scope = request.query_params.get("scope") or "global"
    if scope not in ("global", "local", "others"):
        raise Refused(400, "validation_failed", f"Unsupported logout scope {scope!r}")
    with auth.database() as db:
        user = person(db, claims)
        accounts.close_sessions(db, user["id"], claims["session_id"], scope)


# ------------------------------------------------------------------------------ the admin


@get("/users", sync_to_thread=False)
def list_users(request: Asked, claims: Row, auth: Auth) -> Response[Row]:
    admin(claims)
    page = int(request.query_params.get("page") or 1)
    size = int(request.query_params.get("per_page") or 50)
    with auth.database() as db:
        query = "select count(*) as n from auth.users where instance_id = %s"
        total = int((db.execute(query, (accounts.INSTANCE,)).fetchone() or {})["n"])
        rows = db.execute(
            """
            select * from auth.users where instance_id = %s
            order by created_at desc, id limit %s offset %s
            """,
            (accounts.INSTANCE, size, (page - 1) * size),
        ).fetchall()
        users = [shown(db, user) for user in rows]
    last = max(1, -(-total // size))
    pages = [("next", page + 1)] if page < last else []
    link = ", ".join(
        f'</admin/users?page={number}&per_page={size}>; rel="{name}"'
        for name, number in [*pages, ("last", last)]
    )
    headers = {"x-total-count": str(total), "link": link}
    return Response({"users": users, "aud": "authenticated"}, headers=headers)


@post("/users", status_code=200, sync_to_thread=True)
def create_user(claims: Row, data: Row, auth: Auth) -> Row:
    admin(claims)
    with auth.database() as db:
        email = accounts.checked_email(data.get("email"))
        if accounts.find_by_email(db, email):
            message = "A user with this email address has already been registered"
            raise Refused(422, "email_exists", message)
        user = accounts.sign_up(
            *(db, email, data.get("password"), data.get("user_metadata")),
            app_data=data.get("app_metadata"),
        )
        if data.get("email_confirm"):
            accounts.confirm(db, user["id"])
        return shown(db, accounts.the(db, user["id"]))


@get("/users/{user_id:str}", sync_to_thread=True)
def admin_get(user_id: str, claims: Row, auth: Auth) -> Row:
    admin(claims)
    with auth.database() as db:
        return shown(db, accounts.the(db, user_id))


@put("/users/{user_id:str}", sync_to_thread=True)
def admin_put(user_id: str, claims: Row, data: Row, auth: Auth) -> Row:
    admin(claims)
    with auth.database() as db:
        user = accounts.the(db, user_id)
        if data.get("password"):
            accounts.set_password(db, user, data["password"])
        if data.get("email"):
            accounts.set_email(db, user, data["email"])
        if data.get("email_confirm"):
            accounts.confirm(db, user["id"])
        for name in ("user_metadata", "app_metadata"):
            if data.get(name):
                column = f"raw_{name.replace('metadata', 'meta_data')}"
                accounts.merge(db, accounts.the(db, user_id), column, data[name])
        if data.get("ban_duration"):
            ban(db, user, data["ban_duration"])
        return shown(db, accounts.the(db, user_id))


def ban(db: Database, user: Row, duration: str) -> None:
    """`none`, or hours, minutes and seconds as in 1h30m."""
    if duration != "none" and not re.fullmatch(r"(\d+(\.\d+)?(h|m|s))+", duration):
        message = f"invalid format for ban duration: {duration!r}"
        raise Refused(400, "validation_failed", message)
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"([\d.]+)([hms])", duration)
    seconds = sum(float(number) * units[unit] for number, unit in parts)
    db.execute(
        """
        update auth.users
        set banned_until = case when %s then null else now() + make_interval(secs => %s) end
        where id = %s
        """,
        (duration == "none", seconds, user["id"]),
    )


@delete("/users/{user_id:str}", status_code=200, sync_to_thread=True)
def admin_delete(user_id: str, claims: Row, auth: Auth, data: Row | None = None) -> Row:
    admin(claims)
    with auth.database() as db:
        softly = (data or {}).get("should_soft_delete") is True
        accounts.delete(db, accounts.the(db, user_id), softly)
    return {}


# ------------------------------------------------------------------------------ the server


@get("/.well-known/jwks.json", sync_to_thread=False)
def jwks(auth: Auth) -> Row:
    return auth.keys.published


@get("/health", sync_to_thread=True)
def health(auth: Auth) -> Row:
    with auth.database() as db:
        db.execute("select")
    return {"version": "stand-in", "name": "GoTrue", "description": "A stand-in of CHAS's."}


@get("/settings", sync_to_thread=False)
def settings() -> Row:
    return {
        "external": {"email": True, "google": False, "anonymous_users": False, "phone": False},
        "disable_signup": False,
        "mailer_autoconfirm": False,
        "phone_autoconfirm": False,
        "sms_provider": "",
        "saml_enabled": False,
    }


def as_refused(request: Asked, refused: Refused) -> Response[Row]:
    """Two shapes, by the version the client asks for."""
    headers = {"x-sb-error-code": refused.code}
    if request.headers.get("x-supabase-api-version", "") >= VERSION:
        headers["x-supabase-api-version"] = VERSION
        said: Row = {"code": refused.code, "message": refused.message}
    else:
        said = {"code": refused.status, "error_code": refused.code, "msg": refused.message}
    return Response(said | refused.more, status_code=refused.status, headers=headers)


def as_http(request: Asked, error: HTTPException) -> Response[Row]:
    code = "validation_failed" if error.status_code == 400 else "unexpected_failure"
    return as_refused(request, Refused(error.status_code, code, error.detail))


def as_failure(request: Asked, error: Exception) -> Response[Row]:
    """Such as a trigger of the house that raises."""
    print(f"{request.method} {request.url.path}: {type(error).__name__}: {error}", flush=True)
    message = "Database error" if isinstance(error, psycopg.Error) else "Unexpected failure"
    return as_refused(request, Refused(500, "unexpected_failure", message))


def create_app(auth: Auth) -> Litestar:
    people = Router(
        "/admin", route_handlers=[list_users, create_user, admin_get, admin_put, admin_delete]
    )
    return Litestar(
        [
            *(token, signup, verify_link, verify, resend, recover, otp, authorize),
            *(get_user, put_user, logout, people, jwks, health, settings),
        ],
        path="/auth/v1",
        dependencies={
            "auth": Provide(lambda: auth, sync_to_thread=False),
            "claims": Provide(bearer, sync_to_thread=False),
        },
        exception_handlers={
            Refused: as_refused,
            HTTPException: as_http,
            Exception: as_failure,
        },
        cors_config=CORSConfig(
            allow_origins=["*"],
            allow_headers=[
                *("authorization", "apikey", "content-type"),
                *("x-client-info", "x-supabase-api-version"),
            ],
            expose_headers=["X-Total-Count", "Link", "X-Supabase-Api-Version"],
        ),
        openapi_config=None,
        logging_config=None,
    )


def main() -> None:
    given = os.environ
    auth = Auth(
        Keys.kept_in(Path(given["KEYS"])), given["URL"], given["SITE"], given["DATABASE_URL"]
    )
    uvicorn.run(create_app(auth), host="127.0.0.1", port=int(given["PORT"]), log_level="warning")


if __name__ == "__main__":
    main()
