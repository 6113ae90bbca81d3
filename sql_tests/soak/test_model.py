"""Random histories: the house and the model beside it agree in everything (RULES 5 to 8)."""

import os

import pytest
from driver import Driver

ACTS = 1500


@pytest.fixture
def seed():
    """The same at every run: red means a change. `make soak` plays new ones, CHAS_SEED another."""
    return int(os.environ.get("CHAS_SEED") or 2026)


def test_the_house_agrees_with_the_model_whatever_happens(house, seed):
    driver = Driver(house, seed, others=9, minutes_an_act=3, start="2026-03-27 09:00+00:00")
    driver.play(ACTS)
    print(driver.summary())

    # A history in which little happened would prove little.
    assert len(driver.days) >= 5
    for deed in ("declare_joy", "respond_borrow", "repay_loan", "forgive_loan", "answered again"):
        assert driver.done[deed] > 0, driver.summary()
    for fate in ("suspended", "banned by Auth", "restored", "erased", "join_community"):
        assert driver.done[fate] > 0, driver.summary()
    for deed in ("declare_absence", "end_absence"):
        assert driver.done[deed] > 0, driver.summary()
    assert driver.moves()["amendments willed"] > 0, driver.summary()
    for code in ("INSUFFICIENT_CC", "DEBT_LIMIT", "DAY_CLOSED", "INVALID_INPUT"):
        assert driver.denied[code] > 0, driver.summary()
