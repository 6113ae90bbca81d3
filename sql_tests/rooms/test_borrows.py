"""Asking, lending, repaying, forgiving (RULES 7)."""

import itertools
import random
import uuid
from functools import partial

import pytest
from doors import assert_shape
from people import Refusal, purse, refused, together

NEXT_NOON = "2026-03-03 12:00+00:00"


# ------------------------------------------------------------------------------ asking


def test_asking_tells_the_chamber_and_the_lender(rain, asha, bram):
    answer = bram.request_borrow(
        community_id=rain, lender_id=asha.id, amount=20, reason="A second umbrella"
    )
    request, message = answer["borrow_request"], answer["message"]

    assert_shape("borrow_request", request)
    assert request["borrower"]["id"] == bram.id
    assert request["lender"]["id"] == asha.id
    assert request["amount"] == 20
    assert request["reason"] == "A second umbrella"
    assert request["status"] == "pending"
    assert message["type"] == "borrow_request"
    assert message["borrow_request"] == request
    assert asha.list_messages(community_id=rain)["messages"][-1] == message
    (told,) = asha.list_notifications()["notifications"]
    assert (told["type"], told["ref_id"]) == ("borrow_request", request["id"])


def test_one_asks_one_member_once_at_a_time(asha, bram, chloe, ask):
    request = ask(bram, asha, 10)
    with refused("CONFLICT", borrow_request_id=request["id"]):
        ask(bram, asha, 5)
    ask(bram, chloe, 5)
    ask(asha, bram, 5)


def test_asking_many_times_at_once_asks_once(asha, bram, ask):
    answers = together(*[partial(ask, bram, asha, 10)] * 8)
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    (made,) = [answer for answer in answers if not isinstance(answer, Refusal)]
    assert [refusal.code for refusal in refusals] == ["CONFLICT"] * 7
    assert all(refusal.facts == {"borrow_request_id": made["id"]} for refusal in refusals)


def test_one_request_id_asks_once(asha, bram, ask):
    request_id = str(uuid.uuid4())
    answers = together(*[partial(ask, bram, asha, 10, request_id=request_id)] * 8)
    assert answers == [answers[0]] * 8


def test_nobody_asks_themselves_or_somebody_outside(asha, bram, stranger, ask):
    with refused("INVALID_INPUT", field="lender_id"):
        ask(bram, bram, 10)
    with refused("NOT_FOUND"):
        ask(bram, stranger, 10)


@pytest.mark.parametrize(
    "wrong", [{"amount": 0}, {"amount": -1}, {"reason": " "}, {"reason": "x" * 281}]
)
def test_a_request_that_makes_no_sense_is_refused(rain, asha, bram, wrong):
    request = {"community_id": rain, "lender_id": asha.id, "amount": 10, "reason": "For joy"}
    with refused("INVALID_INPUT", field=next(iter(wrong))):
        bram.request_borrow(**(request | wrong))


def test_debts_stay_within_one_daily_budget(asha, bram, chloe, ask, lend):
    lend(asha, bram, 70)
    with refused("DEBT_LIMIT", short_by=10, largest_possible=30):
        ask(bram, chloe, 40)
    ask(bram, chloe, 30)


def test_the_borrower_may_take_a_request_back(asha, bram, ask):
    request = ask(bram, asha, 10)
    with refused("FORBIDDEN"):
        asha.cancel_borrow(borrow_request_id=request["id"])

    cancelled = bram.cancel_borrow(borrow_request_id=request["id"])["borrow_request"]
    assert cancelled == request | {"status": "cancelled"}
    with refused("CONFLICT"):
        asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    with refused("CONFLICT"):
        bram.cancel_borrow(borrow_request_id=request["id"])


# ------------------------------------------------------------------------------ lending


def test_what_is_answered_of_a_loan_is_what_is_read_of_it(rain, asha, bram, ask, lend):
    """Answers are made of what an act has in hand."""
    declined = asha.respond_borrow(
        borrow_request_id=ask(bram, asha, 5)["id"], action="declined", amount=None
    )
    *_, asked, said = asha.list_messages(community_id=rain)["messages"]
    assert declined["borrow_request"] == asked["borrow_request"]
    assert declined["system_message"] == said
    assert declined["balance"] == asha.get_balance(community_id=rain)["balance"]

    cancelled = bram.cancel_borrow(borrow_request_id=ask(bram, asha, 5)["id"])
    newest = bram.list_messages(community_id=rain)["messages"][-1]
    assert cancelled["borrow_request"] == newest["borrow_request"]

    loan = lend(asha, bram, 20)
    repaid = bram.repay_loan(loan_id=loan["id"], amount=4)
    assert repaid["loan"] == bram.list_loans(community_id=rain)["loans"][0]
    assert repaid["balance"] == bram.get_balance(community_id=rain)["balance"]
    forgiven = asha.forgive_loan(loan_id=loan["id"])
    assert forgiven["loan"] == bram.list_loans(community_id=rain)["loans"][0]
    assert forgiven["system_message"] == asha.list_messages(community_id=rain)["messages"][-1]


def test_approving_moves_coins_from_purse_to_purse_and_opens_a_loan(rain, asha, bram, ask, books):
    request = ask(bram, asha, 20)
    answer = asha.respond_borrow(borrow_request_id=request["id"], action="approved")

    assert answer["borrow_request"]["status"] == "approved"
    assert answer["balance"] == asha.get_balance(community_id=rain)["balance"]
    assert answer["balance"]["remaining"] == 80
    assert answer["system_message"]["type"] == "system"
    *_, asked, said = asha.list_messages(community_id=rain)["messages"]
    assert answer["system_message"] == said
    assert answer["borrow_request"] == asked["borrow_request"]
    balance = bram.get_balance(community_id=rain)["balance"]
    assert (balance["remaining"], balance["debt"], balance["spent_today"]) == (120, 20, 0)
    (loan,) = bram.list_loans(community_id=rain)["loans"]
    assert_shape("loan", loan)
    assert (loan["amount"], loan["outstanding"], loan["status"]) == (20, 20, "open")
    assert asha.list_loans(community_id=rain, side="lent")["loans"] == [loan]
    assert asha.list_loans(community_id=rain, side="owed")["loans"] == []
    (told,) = bram.list_notifications()["notifications"]
    assert told["type"] == "borrow_approved"
    assert books(rain)["purses"] == 200


def test_a_lender_may_lend_less_but_never_more(rain, asha, bram, ask):
    request = ask(bram, asha, 20)
    with refused("INVALID_INPUT", field="amount"):
        asha.respond_borrow(borrow_request_id=request["id"], action="approved", amount=21)

    asha.respond_borrow(borrow_request_id=request["id"], action="approved", amount=5)
    assert purse(bram, rain) == 105


def test_declining_moves_nothing_and_is_told(rain, asha, bram, ask, books):
    request = ask(bram, asha, 20)
    answer = asha.respond_borrow(borrow_request_id=request["id"], action="declined")

    assert answer["borrow_request"]["status"] == "declined"
    assert purse(bram, rain) == 100
    assert bram.list_loans(community_id=rain) == {"loans": []}
    (told,) = bram.list_notifications()["notifications"]
    assert told["type"] == "borrow_declined"
    books(rain)


def test_declining_asks_for_no_amount(asha, bram, ask):
    request = ask(bram, asha, 20)
    declined = {"borrow_request_id": request["id"], "action": "declined", "amount": 21}
    answer = asha.respond_borrow(**declined)
    assert (answer["borrow_request"]["status"], answer["borrow_request"]["amount"]) == (
        "declined",
        20,
    )


def test_only_who_was_asked_answers(asha, bram, chloe, ask):
    request = ask(bram, asha, 20)
    for other in (bram, chloe):
        with refused("FORBIDDEN"):
            other.respond_borrow(borrow_request_id=request["id"], action="approved")
    with refused("INVALID_INPUT", field="action"):
        asha.respond_borrow(borrow_request_id=request["id"], action="maybe")


def test_a_lender_short_of_coins_is_refused_and_the_request_stays_open(rain, asha, bram, ask):
    request = ask(bram, asha, 20)
    asha.declare_joy(community_id=rain, title="Almost all", cc_spent=85)

    with refused("INSUFFICIENT_CC", short_by=5, largest_possible=15):
        asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    answer = asha.respond_borrow(borrow_request_id=request["id"], action="approved", amount=15)
    assert answer["balance"]["remaining"] == 0


def test_a_request_is_answered_once(rain, asha, bram, ask, books):
    request = ask(bram, asha, 20)
    approve = partial(asha.respond_borrow, borrow_request_id=request["id"], action="approved")
    decline = partial(asha.respond_borrow, borrow_request_id=request["id"], action="declined")
    answers = together(approve, approve, decline, decline)

    assert [a.code for a in answers if isinstance(a, Refusal)] == ["CONFLICT"] * 3
    assert purse(bram, rain) in (100, 120)
    books(rain)


def test_approving_while_the_lender_spends_never_overdraws(rain, asha, bram, ask, books):
    request = ask(bram, asha, 60)
    lent, spent = together(
        partial(asha.respond_borrow, borrow_request_id=request["id"], action="approved"),
        partial(asha.declare_joy, community_id=rain, title="Meanwhile", cc_spent=60),
    )
    assert isinstance(lent, Refusal) != isinstance(spent, Refusal)
    assert purse(asha, rain) == 40
    books(rain)


def test_two_lenders_at_once_cannot_lend_past_the_limit(rain, asha, bram, chloe, ask, books):
    requests = [ask(bram, lender, 60) for lender in (asha, chloe)]
    answers = together(
        *[
            partial(lender.respond_borrow, borrow_request_id=request["id"], action="approved")
            for lender, request in zip((asha, chloe), requests, strict=True)
        ]
    )
    assert [a.code for a in answers if isinstance(a, Refusal)] == ["DEBT_LIMIT"]
    assert bram.get_balance(community_id=rain)["balance"]["debt"] == 60
    books(rain)


def test_members_lending_to_each_other_at_once_never_deadlock(rain, asha, bram, chloe, ask, books):
    members = [asha, bram, chloe]
    dice = random.Random(3)
    for _ in range(5):
        pairs = list(itertools.permutations(members, 2))
        dice.shuffle(pairs)
        requests = [(lender, ask(borrower, lender, 3)) for borrower, lender in pairs]
        answers = together(
            *[
                partial(lender.respond_borrow, borrow_request_id=request["id"], action="approved")
                for lender, request in requests
            ]
        )
        assert not [answer for answer in answers if isinstance(answer, Refusal)]
    assert books(rain)["purses"] == 300


# ------------------------------------------------------------------------------ the closed day


def test_who_asked_a_moment_before_a_sunset_settled_since_lends_nothing(
    rain, asha, bram, ask, clock, service
):
    request = ask(bram, asha, 20)
    clock.at("2026-03-02 23:59:30+00:00")
    service.post_correction(community_id=rain, user_id=asha.id, amount=50, reason="By night")
    before = asha.at("2026-03-02 23:58:59+00:00")
    with refused("DAY_CLOSED"):
        before.respond_borrow(borrow_request_id=request["id"], action="approved")
    assert purse(asha, rain) == 50


def test_a_request_lapses_at_sunset(rain, asha, bram, ask, clock):
    request = ask(bram, asha, 20)
    clock.at("2026-03-02 23:59:30+00:00")
    with refused("DAY_CLOSED"):
        asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    with refused("DAY_CLOSED"):
        ask(bram, asha, 20)

    clock.at(NEXT_NOON)
    with refused("REQUEST_LAPSED"):
        asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    card = asha.list_messages(community_id=rain)["messages"][-1]["borrow_request"]
    assert card["status"] == "lapsed"
    ask(bram, asha, 20)


# ------------------------------------------------------------------------------ repaying


def test_dawn_repays_the_oldest_first_up_to_the_whole_grant(
    rain, asha, bram, chloe, lend, clock, books
):
    lend(asha, bram, 70)
    lend(chloe, bram, 30)
    bram.declare_joy(community_id=rain, title="All of it", cc_spent=200)
    preview = bram.preview_dawn(community_id=rain)
    assert preview["wake_with"] == 0
    assert sorted(line["amount"] for line in preview["repayments"]) == [30, 70]
    assert asha.preview_dawn(community_id=rain)["wake_with"] == 170

    clock.at(NEXT_NOON)
    assert [purse(member, rain) for member in (bram, asha, chloe)] == [0, 170, 130]
    assert {loan["status"] for loan in bram.list_loans(community_id=rain)["loans"]} == {"repaid"}
    types = [entry["type"] for entry in bram.list_ledger(community_id=rain)["entries"]]
    assert types[:3] == ["debt_repaid", "debt_repaid", "daily_reset"]
    assert asha.list_ledger(community_id=rain)["entries"][0]["type"] == "debt_collected"
    books(rain)


def test_what_a_smaller_grant_leaves_is_owed_the_next_dawn(rain, asha, bram, lend, clock, books):
    lend(asha, bram, 100)
    asha.update_community(community_id=rain, patch={"daily_cc_budget": 30})

    owed = []
    for day in range(3, 8):
        clock.at(f"2026-03-{day:02} 12:00+00:00")
        owed.append(bram.get_balance(community_id=rain)["balance"]["debt"])
    assert owed == [70, 40, 10, 0, 0]
    books(rain)


def test_a_ring_of_debts_repays_itself_whatever_the_order(
    rain, asha, bram, chloe, lend, clock, books
):
    for lender, borrower in ((asha, bram), (bram, chloe), (chloe, asha)):
        lend(lender, borrower, 100)

    clock.at(NEXT_NOON)
    assert [purse(member, rain) for member in (asha, bram, chloe)] == [100, 100, 100]
    assert all(
        member.get_balance(community_id=rain)["balance"]["debt"] == 0
        for member in (asha, bram, chloe)
    )
    books(rain)


def test_a_debtor_may_repay_early(rain, asha, bram, lend, books):
    loan = lend(asha, bram, 20)
    answer = bram.repay_loan(loan_id=loan["id"], amount=15)

    assert (answer["loan"]["outstanding"], answer["loan"]["status"]) == (5, "open")
    assert (answer["balance"]["remaining"], answer["balance"]["debt"]) == (105, 5)
    with refused("INVALID_INPUT", field="amount", largest_possible=5):
        bram.repay_loan(loan_id=loan["id"], amount=6)
    assert bram.repay_loan(loan_id=loan["id"], amount=5)["loan"]["status"] == "repaid"
    with refused("CONFLICT"):
        bram.repay_loan(loan_id=loan["id"], amount=1)
    assert purse(asha, rain) == 100
    books(rain)


def test_one_request_id_repays_once(rain, asha, bram, lend, books):
    loan = lend(asha, bram, 20)
    repay = partial(bram.repay_loan, loan_id=loan["id"], amount=5, request_id=str(uuid.uuid4()))
    answers = together(*[repay] * 8)

    assert answers == [answers[0]] * 8
    assert bram.get_balance(community_id=rain)["balance"]["debt"] == 15
    books(rain)


def test_a_debtor_without_coins_cannot_repay(rain, asha, bram, lend):
    loan = lend(asha, bram, 20)
    bram.declare_joy(community_id=rain, title="Nearly all", cc_spent=110)

    with refused("INSUFFICIENT_CC", short_by=10, largest_possible=10):
        bram.repay_loan(loan_id=loan["id"], amount=20)


def test_only_the_borrower_repays_and_only_the_lender_forgives(asha, bram, chloe, stranger, lend):
    loan = lend(asha, bram, 20)
    with refused("FORBIDDEN"):
        asha.repay_loan(loan_id=loan["id"], amount=1)
    with refused("FORBIDDEN"):
        bram.forgive_loan(loan_id=loan["id"])
    for other in (chloe, stranger):
        with refused("NOT_FOUND"):
            other.repay_loan(loan_id=loan["id"], amount=1)
        with refused("NOT_FOUND"):
            other.forgive_loan(loan_id=loan["id"])


# ------------------------------------------------------------------------------ forgiving


def test_a_lender_forgives_part_of_a_loan_or_all_of_it(rain, asha, bram, lend, books):
    loan = lend(asha, bram, 20)
    answer = asha.forgive_loan(loan_id=loan["id"], amount=5)
    assert (answer["loan"]["outstanding"], answer["loan"]["status"]) == (15, "open")
    assert answer["system_message"]["event"]

    assert asha.forgive_loan(loan_id=loan["id"])["loan"]["status"] == "forgiven"
    with refused("CONFLICT"):
        asha.forgive_loan(loan_id=loan["id"])
    assert (purse(asha, rain), purse(bram, rain)) == (80, 120)
    books(rain)


def test_debts_follow_a_borrower_who_leaves_and_returns_and_a_lender_who_leaves(
    rain, asha, bram, chloe, lend, books
):
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    lent = lend(asha, bram, 20)
    lend(chloe, bram, 10)

    def debt():
        return bram.get_balance(community_id=rain)["balance"]["debt"]

    assert debt() == 30
    bram.leave_community(community_id=rain)
    asha.forgive_loan(loan_id=lent["id"], amount=5)
    books(rain)
    bram.join_community(invite_code=code)
    assert debt() == 25
    chloe.leave_community(community_id=rain)
    assert debt() == 15
    books(rain)


def test_forgiving_and_repaying_at_once_never_takes_a_loan_below_nothing(
    rain, asha, bram, lend, books
):
    loan = lend(asha, bram, 20)
    together(
        partial(asha.forgive_loan, loan_id=loan["id"]),
        partial(bram.repay_loan, loan_id=loan["id"], amount=20),
    )
    (settled,) = bram.list_loans(community_id=rain)["loans"]
    assert settled["outstanding"] == 0
    assert settled["status"] in ("forgiven", "repaid")
    books(rain)


# ------------------------------------------------------------------------------ strangers


def test_a_stranger_asks_answers_and_sees_nothing(rain, asha, bram, stranger, ask, lend):
    request = ask(bram, asha, 10)
    lend(bram, asha, 10)

    with refused("NOT_FOUND"):
        ask(stranger, asha, 10)
    for answer in (
        partial(stranger.respond_borrow, action="approved"),
        stranger.cancel_borrow,
    ):
        with refused("NOT_FOUND") as real:
            answer(borrow_request_id=request["id"])
        with refused("NOT_FOUND") as imagined:
            answer(borrow_request_id=str(uuid.uuid4()))
        assert real == imagined
    with refused("NOT_FOUND"):
        stranger.list_loans(community_id=rain)
    with refused("NOT_FOUND"):
        stranger.preview_dawn(community_id=rain)
    for table in ("borrow_requests", "loans"):
        assert asha.read(table) != []
        assert stranger.read(table) == []


def test_a_loan_is_the_affair_of_its_two_parties(asha, bram, chloe, lend):
    lend(asha, bram, 10)
    assert len(bram.read("loans")) == 1
    assert chloe.read("loans") == []
