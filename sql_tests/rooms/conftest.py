"""What members of rain do to each other in more than one room."""

import pytest


@pytest.fixture
def ask(rain):
    """One member asks another; the request."""

    def ask_for(borrower, lender, amount, **more):
        return borrower.request_borrow(
            community_id=rain, lender_id=lender.id, amount=amount, reason="For joy", **more
        )["borrow_request"]

    return ask_for


@pytest.fixture
def lend(ask):
    """One member lends to another, who has asked; the loan."""

    def lend_to(lender, borrower, amount):
        request = ask(borrower, lender, amount)
        lender.respond_borrow(borrow_request_id=request["id"], action="approved")
        return borrower.list_loans(community_id=request["community_id"])["loans"][0]

    return lend_to


@pytest.fixture
def propose(rain):
    """One member stakes coins on a unanimous vote; the proposal."""

    def propose_one(member, stake=30, **more):
        return member.propose_tip_to_tip(
            community_id=rain, title="A day at the sea", stake_amount=stake, **more
        )["proposal"]

    return propose_one
