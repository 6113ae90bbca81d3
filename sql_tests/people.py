"""The people of the tests, and the house they meet in.

Everybody acts as PostgREST would act for them: one call is one transaction, opened by the login
`authenticator`, in the role and with the claims of the caller, read only where the function is
stable. A refusal is raised as `Refusal`; whatever else the database says is a bug and is raised
as it came.
"""

import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

STATUS_OF = {
    "UNAUTHORIZED": 401,
    "INVITE_REQUIRED": 403,
    "FORBIDDEN": 403,
    "NOT_ELECTOR": 403,
    "CANNOT_WITNESS_OWN": 403,
    "INVITE_EMAIL_MISMATCH": 403,
    "EMAIL_UNCONFIRMED": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "ALREADY_VOTED": 409,
    "ELECTION_CLOSED": 409,
    "PROPOSAL_EXPIRED": 409,
    "ACTIVE_TIP_TO_TIP_EXISTS": 409,
    "NO_ELECTORS": 409,
    "LAST_MODERATOR": 409,
    "INVITE_UNAVAILABLE": 409,
    "REQUEST_LAPSED": 409,
    "EDIT_WINDOW_PASSED": 409,
    "DAY_CLOSED": 409,
    "DEBT_LIMIT": 409,
    "INVALID_INPUT": 422,
    "RATE_LIMITED": 429,
    "READ_REPLICA": 503,
    "INSUFFICIENT_CC": 400,
}


# ------------------------------------------------------------------------------ refusals


class Refusal(Exception):
    """What PostgREST answers as {code, message, details, hint}, with a status of its own."""

    def __init__(self, error: psycopg.Error) -> None:
        answer = json.loads(error.diag.message_primary or "")
        envelope = json.loads(error.diag.message_detail or "")
        details = answer["details"]
        assert isinstance(details, str), f"PostgREST takes only a string as details: {answer}"
        assert "headers" in envelope, f"PostgREST asks for headers: {envelope}"

        self.code: str = answer["code"]
        self.message: str = answer["message"]
        self.facts: Row = json.loads(details)
        self.status: int = envelope["status"]
        super().__init__(f"{self.code}: {self.message} {details}")


@dataclass
class Refused:
    """A refusal that is expected; what it says is here once the block has ended."""

    message: str = ""
    facts: Row = field(default_factory=dict)


@contextmanager
def refused(code: str, **facts: Any) -> Iterator[Refused]:
    """The block must end in this refusal, with its own status and at least these facts."""
    expected = Refused()
    try:
        yield expected
    except Refusal as refusal:
        assert refusal.code == code, f"expected {code}, got {refusal}"
        assert refusal.status == STATUS_OF[code], f"{code} came with status {refusal.status}"
        assert refusal.message.strip(), f"{code} came without words"
        assert isinstance(refusal.facts, dict), f"{code} came with {refusal.facts} for facts"
        assert refusal.facts | facts == refusal.facts, f"expected {facts}, got {refusal}"
        expected.message, expected.facts = refusal.message, refusal.facts
    else:
        raise AssertionError(f"expected {code}, but nothing was refused")


# ------------------------------------------------------------------------------ the house


class Clock:
    """What `private.clock()` shows to everybody of one test; it stands still until moved."""

    def __init__(self, moment: str) -> None:
        self.at(moment)

    def at(self, moment: datetime | str) -> None:
        self.now = as_moment(moment)

    def forward(self, **amount: float) -> None:
        """`clock.forward(hours=4)`"""
        self.now += timedelta(**amount)


def as_moment(moment: datetime | str) -> datetime:
    """A moment names its zone, so that no test depends on the zone of a machine."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    assert moment.tzinfo, f"{moment} names no zone"
    return moment.astimezone(UTC)


class House:
    """One database, the clock of everybody in it, and a pool of connections as PostgREST's."""

    def __init__(self, address: Callable[[str], str], read_only_doors: frozenset[str]) -> None:
        self.address = address
        self.read_only_doors = read_only_doors
        self.clock = Clock("2026-03-02 12:00+00:00")  # a Monday
        self._opened: list[Connection] = []
        self._idle: dict[str, list[Connection]] = defaultdict(list)

    def close(self) -> None:
        """Everybody hangs up; whoever calls again is connected anew."""
        for connection in self._opened:
            connection.close()
        self._idle.clear()

    @contextmanager
    def connection(self, login: str) -> Iterator[Connection]:
        """A connection that is nobody else's for the time being."""
        idle = self._idle[login]
        try:
            connection = idle.pop()
        except IndexError:
            connection = psycopg.connect(self.address(login), autocommit=True, row_factory=dict_row)
            self._opened.append(connection)
        pass_the_gate()
        try:
            yield connection
        finally:
            if not connection.closed:
                idle.append(connection)

    @property
    def anon(self) -> "Caller":
        return Caller(house=self, role="anon", claims={"role": "anon"})

    @property
    def service(self) -> "Caller":
        return Caller(house=self, role="service_role", claims={"role": "service_role"})

    @property
    def owner(self) -> "Caller":
        """The role of the migrations, who sees and may do more than anybody in the API."""
        return Caller(house=self, role="postgres", login="postgres")

    def sign_up(
        self,
        email: str | None,
        full_name: str | None = None,
        avatar_url: str | None = None,
        *,
        confirmed: bool = True,
        steward: bool = False,
    ) -> "Member":
        """A new person as Supabase Auth stores one; without an address an anonymous sign-in."""
        app_metadata: Row = {"provider": "google", "providers": ["google"]}
        if steward:
            app_metadata["chas_role"] = "steward"
        user_metadata = {"full_name": full_name, "avatar_url": avatar_url}
        user = {
            "id": uuid.uuid4(),
            "aud": "authenticated",
            "role": "authenticated",
            "email": email,
            "email_confirmed_at": self.clock.now if email and confirmed else None,
            "raw_app_meta_data": Jsonb(app_metadata),
            "raw_user_meta_data": Jsonb({k: v for k, v in user_metadata.items() if v is not None}),
            "is_anonymous": email is None,
            "created_at": self.clock.now,
            "updated_at": self.clock.now,
        }
        insert = sql.SQL("insert into auth.users ({}) values ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, user)),
            sql.SQL(", ").join(map(sql.Placeholder, user)),
        )
        auth = Caller(house=self, role="supabase_auth_admin", login="supabase_auth_admin")
        auth.sql(insert, **user)
        return Member.of(self, user, app_metadata)

    def admit(self, person: "Member") -> "Member":
        """By an invite of their own, redeemed as the edge does it."""
        (invite,) = self.service.mint_invites()["invites"]
        self.service.redeem_invite(user_id=person.id, code=invite["code"])
        return person

    def gather(self, name: str, size: int) -> tuple[str, list["Member"]]:
        """A community of so many with purses of 1,000, and its people, the founder first."""
        people = [
            self.admit(self.sign_up(f"{name.lower()}{n}@chas.test", f"{name} {n}"))
            for n in range(size)
        ]
        founded = people[0].create_community(name=name, daily_cc_budget=1000)["community"]
        for person in people[1:]:
            person.join_community(invite_code=founded["invite_code"])
        return founded["id"], people

    def books(self, community: str) -> Row:
        """Tables and audit agree that the books of a community balance; the audit's answer."""
        astray = self.owner.sql(
            """
            select b.user_id, b.remaining, sum(e.amount) as entered
            from private.purses as b
            left join private.ledger_entries as e using (community_id, user_id)
            where b.community_id = %(community)s
            group by b.user_id, b.remaining
            having b.remaining <> coalesce(sum(e.amount), 0) or b.remaining < 0
            """,
            community=community,
        )
        assert not astray, f"purses that are not the sum of their entries: {astray}"

        broken = self.owner.sql(
            """
            select * from (
              select
                e.*,
                sum(e.amount) over (partition by e.user_id order by e.id) as running
              from private.ledger_entries as e
              where e.community_id = %(community)s
            ) as chain
            where chain.running <> chain.balance_after
            """,
            community=community,
        )
        assert not broken, f"entries whose running balance is wrong: {broken}"

        audit: Row = self._anybody_in(community).audit_ledger(community_id=community)
        assert audit["balanced"], f"the audit says {audit}"
        return audit

    def _anybody_in(self, community: str) -> "Member":
        anybody, *_ = self.owner.sql(
            """
            select user_id from private.community_members
            where community_id = %(community)s and left_at is null and private.is_able(user_id)
            """,
            community=community,
        )
        return Member.of(self, {"id": anybody["user_id"], "email": "anybody@chas.test"}, {})


# ------------------------------------------------------------------------------ callers


@dataclass(frozen=True, kw_only=True)
class Caller:
    """`caller.some_rpc(argument=…)` is one call of `public.some_rpc`; its answer comes decoded."""

    house: House
    role: str
    login: str = "authenticator"
    claims: Row | None = None
    moment: datetime | None = None
    by_get: bool = False
    inside: Connection | None = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._call, name)

    def at(self, moment: datetime | str) -> Self:
        """The same caller, at a moment of their own instead of the test's."""
        return replace(self, moment=as_moment(moment))

    def getting(self) -> Self:
        """The same caller by the method GET, which PostgREST serves in a read-only transaction."""
        return replace(self, by_get=True)

    def read(self, table: str, **wanted: Any) -> list[Row]:
        """The rows of a table this caller can see."""
        names = table.split(".") if "." in table else ["private", table]
        query = sql.SQL("select * from {} where true").format(sql.Identifier(*names))
        for column in wanted:
            match = sql.SQL(" and {} is not distinct from {}")
            query += match.format(sql.Identifier(column), sql.Placeholder(column))
        return self.sql(query, **wanted)

    def sql(self, query: LiteralString | sql.Composed, /, **parameters: Any) -> list[Row]:
        """Any statement, in a transaction of its own, as this caller."""
        with self.transaction() as caller:
            assert caller.inside
            cursor = caller.inside.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def transaction(self, read_only: bool = False) -> Iterator[Self]:
        """Holds one transaction open: what the caller given does inside is committed at the end."""
        if self.inside:
            yield self
            return
        with self.house.connection(self.login) as connection:
            connection.read_only = read_only or self.by_get
            with connection.transaction():
                connection.execute(
                    """
                    select
                      set_config('role', %(role)s, true),
                      set_config('request.jwt.claims', %(claims)s, true),
                      set_config('chas.now', %(now)s, true)
                    """,
                    {
                        "role": self.role,
                        "claims": json.dumps(self.claims) if self.claims else "",
                        "now": (self.moment or self.house.clock.now).isoformat(),
                    },
                )
                yield replace(self, inside=connection)

    def _call(self, name: str, /, **arguments: Any) -> Any:
        given = [
            sql.SQL("{} => {}").format(sql.Identifier(k), sql.Placeholder(k)) for k in arguments
        ]
        call = sql.SQL("select public.{}({}) as answer").format(
            sql.Identifier(name), sql.SQL(", ").join(given)
        )
        arguments = {k: Jsonb(v) if isinstance(v, dict) else v for k, v in arguments.items()}
        try:
            with self.transaction(read_only=name in self.house.read_only_doors) as caller:
                return caller.sql(call, **arguments)[0]["answer"]
        except psycopg.Error as error:
            if error.sqlstate != "PGRST":
                raise
            raise Refusal(error) from None


@dataclass(frozen=True, kw_only=True)
class Member(Caller):
    """A signed-in person."""

    id: str
    email: str | None

    @classmethod
    def of(cls, house: House, user: Row, app_metadata: Row) -> "Member":
        person, email, now = str(user["id"]), user["email"], int(time.time())
        claims = {
            "iss": "http://127.0.0.1:54321/auth/v1",
            "sub": person,
            "aud": "authenticated",
            "role": "authenticated",
            "email": email or "",
            "phone": "",
            "iat": now,
            "exp": now + 3600,
            "aal": "aal1",
            "amr": [{"method": "oauth", "timestamp": now}],
            "session_id": str(uuid.uuid4()),
            "is_anonymous": email is None,
            "app_metadata": app_metadata,
            "user_metadata": {},
        }
        return cls(house=house, role="authenticated", claims=claims, id=person, email=email)


def paged(door: Callable[..., Row], rows: str, **arguments: Any) -> list[Row]:
    """All a listing door has to tell, the newest first, read page by page to the end."""
    read: list[Row] = []
    more, before = True, None
    while more:
        page = door(before_id=before, **arguments)
        read += page[rows]
        more, before = page["has_more"], read[-1]["id"]
    return read


# ------------------------------------------------------------------------------ what they see


def purse(member: Member, community: str) -> int:
    """What is left in a purse."""
    balance: Row = member.get_balance(community_id=community)["balance"]
    return int(balance["remaining"])


def roles(member: Member, community: str) -> dict[str, list[str]]:
    """Everybody's, by their names."""
    members = member.list_members(community_id=community)["members"]
    return {one["user"]["display_name"]: one["roles"] for one in members}


def lines(member: Member, community: str, event: str) -> list[Row]:
    """The system lines about an event, oldest first."""
    messages = member.list_messages(community_id=community, page_size=200)["messages"]
    return [message for message in messages if message["event"] == event]


def notices(member: Member, kind: str) -> list[Row]:
    """Of one kind, newest first."""
    listed = member.list_notifications()["notifications"]
    return [notice for notice in listed if notice["type"] == kind]


# ------------------------------------------------------------------------------ at the same time

_thread = threading.local()


def pass_the_gate() -> None:
    """Waits, connection in hand, for the others of `together`."""
    gate, _thread.gate = getattr(_thread, "gate", None), None
    if gate:
        gate.wait(timeout=30)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Makes all calls at the same moment; their answers or refusals, in order."""
    gate = threading.Barrier(len(calls))

    def make(call: Callable[[], Any]) -> Any:
        _thread.gate = gate
        try:
            return call()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


@contextmanager
def meanwhile(call: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Begins a call that may have to wait for what the block does; waits for it after the block."""
    with ThreadPoolExecutor(1) as thread:
        begun = thread.submit(call)
        yield begun
