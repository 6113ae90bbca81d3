"""Every moment the house names is kept, whatever happened before it (RULES 5.5)."""

import os

import pytest
from promises import Promises

ACTS = 4000


@pytest.fixture
def seed():
    """The same at every run: red means a change. `make soak` plays new ones, CHAS_SEED another."""
    return int(os.environ.get("CHAS_SEED") or 2026)


def test_every_promise_of_time_is_kept(house, seed, record_property):
    promises = Promises(house, seed)
    promises.play(int(os.environ.get("CHAS_ACTS") or ACTS))
    print(promises.summary())
    record_property("promises of time held to", promises.checked.total())

    # A history in which little was promised would prove little.
    assert promises.checked.total() >= 2000, promises.summary()
    for kind in ("next_dawn_at", "next_sunset_at", "wake_with", "INSUFFICIENT_CC never"):
        assert promises.checked[kind] > 5, promises.summary()
    assert promises.checked["INSUFFICIENT_CC declare_joy"] > 5, promises.summary()
    assert promises.checked["DEBT_LIMIT request_borrow"] > 5, promises.summary()
