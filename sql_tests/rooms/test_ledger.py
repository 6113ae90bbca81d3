"""Purses and the ledger: what is shown, what nobody can change, what always adds up (RULES 5)."""

import random
from functools import partial

import psycopg
import pytest
from doors import assert_shape
from people import Refusal, paged, refused, together

# ------------------------------------------------------------------------------ one's own


def test_a_balance_tells_the_purse_and_the_day(rain, asha):
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=30)
    balance = asha.get_balance(community_id=rain)["balance"]

    assert_shape("balance", balance)
    assert balance["community_id"] == rain
    assert balance["user_id"] == asha.id
    assert balance["daily_budget"] == 100
    assert balance["remaining"] == 70
    assert balance["spent_today"] == 30
    assert balance["debt"] == 0
    assert balance["day"] == "2026-03-02"
    assert balance["day_open"] is True
    assert balance["last_reset"] == "2026-03-02T12:00:00+00:00"
    assert balance["next_sunset_at"] == "2026-03-02T23:59:00+00:00"
    assert balance["next_dawn_at"] == "2026-03-03T00:00:00+00:00"


def test_the_ledger_tells_every_movement_newest_first(rain, asha):
    joy = asha.declare_joy(community_id=rain, title="First rain", cc_spent=30)["declaration"]
    ledger = asha.list_ledger(community_id=rain)
    spent, granted = ledger["entries"]

    for entry in (spent, granted):
        assert_shape("ledger_entry", entry)
        assert entry["day"] == "2026-03-02"
        assert entry["description"]
    assert (spent["type"], spent["amount"], spent["balance_after"]) == ("declaration", -30, 70)
    assert spent["reference_id"] == joy["id"]
    assert (granted["type"], granted["amount"], granted["balance_after"]) == (
        "daily_reset",
        100,
        100,
    )
    assert ledger["has_more"] is False
    assert ledger["summary"] == {
        "total_spent_all_time": 30,
        "remaining_today": 70,
        "spent_today": 30,
    }


def test_the_ledger_is_read_page_by_page_and_by_type(rain, asha):
    for n in range(1, 8):
        asha.declare_joy(community_id=rain, title=f"Joy {n}", cc_spent=n)

    only = {"community_id": rain, "entry_type": "declaration"}
    read = paged(asha.list_ledger, "entries", page_size=3, **only)
    assert [entry["amount"] for entry in read] == [-7, -6, -5, -4, -3, -2, -1]


@pytest.mark.parametrize("wrong", [{"page_size": 0}, {"page_size": 201}, {"entry_type": "gift"}])
def test_a_ledger_page_that_makes_no_sense_is_refused(rain, asha, wrong):
    with refused("INVALID_INPUT", field=next(iter(wrong))):
        asha.list_ledger(community_id=rain, **wrong)


def test_members_see_their_own_entries_and_purse_alone(rain, asha, bram):
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=30)

    (granted,) = bram.list_ledger(community_id=rain)["entries"]
    assert granted["type"] == "daily_reset"
    for table in ("ledger_entries", "purses"):
        assert {str(row["user_id"]) for row in bram.read(table)} == {bram.id}


def test_reading_by_get_answers_what_is_stored(rain, asha, clock):
    clock.at("2026-03-04 12:00+00:00")
    stored = asha.getting().get_balance(community_id=rain)["balance"]
    assert stored["day"] == "2026-03-02"
    assert asha.getting().list_ledger(community_id=rain)["summary"]["remaining_today"] == 100

    settled = asha.get_balance(community_id=rain)["balance"]
    assert settled["day"] == "2026-03-04"
    assert asha.getting().get_balance(community_id=rain)["balance"] == settled


# ------------------------------------------------------------------------------ the books


def test_the_audit_shows_totals_to_any_member(rain, asha, bram, books):
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=30)

    assert bram.audit_ledger(community_id=rain) == {
        "minted": 200,
        "spent": 30,
        "forfeited": 0,
        "expired": 0,
        "purses": 170,
        "escrow": 0,
        "balanced": True,
    }
    books(rain)


OF_A_PURSE = ["remaining", "spent_total", "joys_today", "debt", "streak", "last_lived"]
COPIES = [*(f"purses.{figure}" for figure in OF_A_PURSE), "community_days.daily_budget"]


@pytest.mark.parametrize("copy", COPIES)
def test_the_audit_notices_a_figure_that_was_tampered_with(house, rain, asha, bram, books, copy):
    table, figure = copy.split(".")
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=30)
    asked = bram.request_borrow(community_id=rain, lender_id=asha.id, amount=5, reason="Tea")
    asha.respond_borrow(borrow_request_id=asked["borrow_request"]["id"], action="approved")
    books(rain)
    house.owner.sql(f"update private.{table} set {figure} = {figure} + 1 where true")
    assert asha.audit_ledger(community_id=rain)["balanced"] is False


@pytest.mark.parametrize(
    ("amount", "moved", "counterparty"),
    [(10, 10, True), (10, 20, False), (-10, 10, False)],
    ids=["a counterparty it has not", "more moved than it says", "the sign of another type"],
)
def test_the_audit_notices_an_entry_of_no_known_kind(
    house, rain, asha, bram, books, amount, moved, counterparty
):
    books(rain)
    house.owner.sql(
        """
        insert into private.ledger_entries (
          community_id, user_id, type, amount, moved, balance_after, counterparty_id, day,
          created_at
        )
        values (
          %(rain)s, %(who)s, 'daily_reset', %(amount)s, %(moved)s, 110, %(other)s, '2026-03-02',
          now()
        )
        """,
        rain=rain,
        who=asha.id,
        amount=amount,
        moved=moved,
        other=bram.id if counterparty else None,
    )
    house.owner.sql(
        "update private.purses set remaining = remaining + %(amount)s where user_id = %(who)s",
        who=asha.id,
        amount=amount,
    )
    assert asha.audit_ledger(community_id=rain)["balanced"] is False


def test_every_type_of_entry_is_one_kind_or_two_by_its_sign(house):
    kinds = house.owner.sql("select type, sign, words from private.entry_kinds()")
    assert len({(row["type"], row["sign"]) for row in kinds}) == len(kinds)
    assert all(row["words"] for row in kinds)


def test_books_balance_after_everybody_spent_at_once(rain, asha, bram, chloe, books):
    dice = random.Random(7)
    acts = [
        partial(
            dice.choice([asha, bram, chloe]).declare_joy,
            community_id=rain,
            title="At once",
            cc_spent=dice.randint(1, 40),
        )
        for _ in range(48)
    ]
    answers = together(*acts)

    spent = sum(a["declaration"]["cc_spent"] for a in answers if not isinstance(a, Refusal))
    audit = books(rain)
    assert audit["spent"] == spent
    assert audit["purses"] == 300 - spent
    assert {a.code for a in answers if isinstance(a, Refusal)} <= {"INSUFFICIENT_CC"}


# ------------------------------------------------------------------------------ nobody rewrites


DEEDS = [
    "update private.ledger_entries set amount = amount where true",
    "delete from private.ledger_entries where true",
    "truncate private.ledger_entries",
]


@pytest.mark.parametrize("deed", DEEDS)
def test_the_ledger_is_append_only_even_for_its_owner(house, rain, asha, deed):
    before = house.owner.read("ledger_entries")
    with pytest.raises(psycopg.errors.RestrictViolation):
        house.owner.sql(deed)
    assert house.owner.read("ledger_entries") == before


@pytest.mark.parametrize(
    "deed",
    [
        *DEEDS,
        "insert into private.ledger_entries default values",
        "update private.purses set remaining = 1000 where true",
        "delete from private.purses where true",
        "truncate private.purses",
    ],
)
def test_nobody_in_the_api_writes_purse_or_ledger(house, rain, asha, deed):
    for caller in (house.anon, asha, house.service):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            caller.sql(deed)


def test_nobody_calls_the_kernel_of_money(house, asha):
    kernel = house.owner.sql("""
      select oid::regprocedure::text as name from pg_proc
      where
        pronamespace = 'private'::regnamespace
        and proname ~ '^(post|change|lock|open|empty|begin)_.*(entr|grant|expiry|balance|purse)'
        and (
          has_function_privilege('authenticated', oid, 'execute')
          or has_function_privilege('service_role', oid, 'execute')
        )
    """)
    assert kernel == []


def test_no_purse_is_ever_below_zero(house, rain, asha):
    with pytest.raises(psycopg.errors.CheckViolation):
        house.owner.sql("update private.purses set remaining = -1 where true")


# ------------------------------------------------------------------------------ strangers


@pytest.mark.parametrize("door", ["get_balance", "list_ledger", "audit_ledger"])
def test_a_stranger_learns_nothing_about_money(rain, stranger, door):
    with refused("NOT_FOUND"):
        getattr(stranger, door)(community_id=rain)


def test_a_stranger_reads_no_purse_and_no_entry(rain, stranger):
    assert stranger.read("purses") == []
    assert stranger.read("ledger_entries") == []
