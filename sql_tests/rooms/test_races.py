"""Two hands on one thing: real connections, at the same moment (RULES 2, 5 to 8).

Whoever comes second is told so by a refusal; a deadlock, or any other word of the database, fails
a test by itself.
"""

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from flaws import assert_flawless
from people import Caller, House, Member, Refusal, Row, purse, refused, together
from storm import Storm

ROUNDS = 4


@dataclass(frozen=True)
class Deed:
    """One call, to be made by its member: in a transaction of its own, or within an open one."""

    who: Member
    door: str
    said: Row

    def __call__(self, within: Caller | None = None) -> Any:
        try:
            return getattr(within or self.who, self.door)(**self.said)
        except Refusal as refusal:
            return refusal


@pytest.fixture(params=["one first", "other first", "both at once"])
def race(request, house):
    """Two calls; either the second begins when the first is done but not yet committed."""

    def run(one: Deed, other: Deed) -> list[Any]:
        if request.param == "both at once":
            return together(one, other)
        if request.param == "one first":
            return overtake(house, one, other)
        return overtake(house, other, one)[::-1]

    return run


def overtake(house: House, first: Deed, second: Deed) -> list[Any]:
    with ThreadPoolExecutor(1) as thread:
        with first.who.transaction() as within:
            answer = first(within)
            begun = thread.submit(second)
            until_waiting(house, begun)
        return [answer, begun.result(timeout=30)]


def until_waiting(house: House, begun: Future[Any]) -> None:
    """Until the call has to wait for somebody's lock, or has not had to wait at all."""
    waiting = """
      select pid from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    """
    while not begun.done() and not house.owner.sql(waiting):
        time.sleep(0.002)


@pytest.fixture
def members(asha, join_rain):
    """Asha and five more."""
    return [asha, *(join_rain(f"member{n}@chas.test", f"Member {n}") for n in range(5))]


@pytest.fixture
def days(clock):
    """The noons of some days, one after the other."""

    def go():
        for _ in range(ROUNDS):
            clock.forward(days=1)
            yield clock.now

    return go


@pytest.fixture
def code(asha, rain):
    return asha.get_community(community_id=rain)["community"]["invite_code"]


def code_of(answer):
    return answer.code if isinstance(answer, Refusal) else "done"


def codes(answers):
    return sorted(map(code_of, answers))


def status_of(member, proposal):
    return member.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]["status"]


def proposing(member, rain, stake=10):
    said = {"community_id": rain, "title": "All of us", "stake_amount": stake}
    return Deed(member, "propose_tip_to_tip", said)


def voting(member, proposal, vote="accept"):
    return Deed(member, "vote_tip_to_tip", {"proposal_id": proposal["id"], "vote": vote})


def asking(borrower, lender, rain, amount=10):
    said = {"community_id": rain, "lender_id": lender.id, "amount": amount, "reason": "Because"}
    return Deed(borrower, "request_borrow", said)


def approving(lender, request):
    said = {"borrow_request_id": request["borrow_request"]["id"], "action": "approved"}
    return Deed(lender, "respond_borrow", said)


def leaving(member, rain):
    return Deed(member, "leave_community", {"community_id": rain})


def removing(moderator, member, rain):
    said = {"community_id": rain, "user_id": member.id, "reason": "A race"}
    return Deed(moderator, "remove_member", said)


# ------------------------------------------------------------------------------ proposing, voting


def test_of_two_proposals_at_once_one_is_made(race, rain, asha, bram, books):
    answers = race(proposing(asha, rain), proposing(asha, rain))

    assert codes(answers) == ["ACTIVE_TIP_TO_TIP_EXISTS", "done"]
    assert purse(asha, rain) == 90
    assert books(rain)["escrow"] == 10


def test_proposing_anew_while_the_last_vote_falls_is_one_after_the_other(
    race, rain, asha, bram, days, books
):
    for _ in days():
        first = proposing(asha, rain)()["proposal"]
        anew, voted = race(proposing(asha, rain), voting(bram, first))
        assert code_of(anew) in ("done", "ACTIVE_TIP_TO_TIP_EXISTS")
        assert voted["outcome"] == "completed"
    books(rain)


def test_one_declines_and_one_accepts_at_once_and_the_stake_is_settled_once(
    race, rain, asha, bram, chloe, days, books
):
    for _ in days():
        proposal = proposing(asha, rain)()["proposal"]
        accepted, declined = race(voting(bram, proposal), voting(chloe, proposal, "decline"))
        assert code_of(accepted) in ("done", "PROPOSAL_EXPIRED")
        assert declined["outcome"] == "declined"
        assert purse(asha, rain) == 90
    assert books(rain)["forfeited"] == 10 * ROUNDS


# ------------------------------------------------------------------------------ lending


def test_a_request_approved_twice_at_once_is_lent_once(race, rain, asha, bram, books):
    request = asking(bram, asha, rain)()
    answers = race(approving(asha, request), approving(asha, request))

    assert codes(answers) == ["CONFLICT", "done"]
    assert purse(bram, rain) == 110
    assert len(bram.list_loans(community_id=rain)["loans"]) == 1
    books(rain)


def test_two_members_lending_to_each_other_at_once_both_lend(race, rain, asha, bram, days, books):
    for _ in days():
        one, other = asking(asha, bram, rain)(), asking(bram, asha, rain)()
        assert codes(race(approving(bram, one), approving(asha, other))) == ["done", "done"]
        assert (purse(asha, rain), purse(bram, rain)) == (100, 100)
    books(rain)


def test_cancelling_while_it_is_approved_is_one_or_the_other(race, rain, asha, bram, days, books):
    for _ in days():
        request = asking(bram, asha, rain)()
        cancel = Deed(bram, "cancel_borrow", {"borrow_request_id": request["borrow_request"]["id"]})
        lent, cancelled = race(approving(asha, request), cancel)
        assert codes([lent, cancelled]) == ["CONFLICT", "done"]
        loans = bram.list_loans(community_id=rain)["loans"]
        open_loans = [loan for loan in loans if loan["status"] == "open"]
        assert len(open_loans) == (code_of(lent) == "done")
    books(rain)


def test_repaying_while_it_is_forgiven_moves_only_what_is_owed(race, rain, asha, bram, days, books):
    for _ in days():
        approving(asha, asking(bram, asha, rain)())()
        (loan,) = bram.list_loans(community_id=rain, side="owed")["loans"][:1]
        repaid, forgiven = race(
            Deed(bram, "repay_loan", {"loan_id": loan["id"], "amount": 10}),
            Deed(asha, "forgive_loan", {"loan_id": loan["id"]}),
        )
        assert codes([repaid, forgiven]) == ["CONFLICT", "done"]
        assert purse(bram, rain) == (100 if code_of(repaid) == "done" else 110)
    books(rain)


# ------------------------------------------------------------------------------ leaving


def test_leaving_while_voting_decides_a_proposal_once(
    race, rain, code, asha, bram, chloe, days, books
):
    for _ in days():
        proposal = proposing(asha, rain)()["proposal"]
        assert codes(race(voting(bram, proposal), leaving(chloe, rain))) == ["done", "done"]
        assert status_of(asha, proposal) == "completed"
        assert purse(asha, rain) == 100
        chloe.join_community(invite_code=code)
    books(rain)


def test_a_leavers_own_last_vote_counts_or_is_not_needed(race, rain, code, asha, bram, days, books):
    for _ in days():
        proposal = proposing(asha, rain)()["proposal"]
        voted, left = race(voting(bram, proposal), leaving(bram, rain))
        assert code_of(voted) in ("done", "NOT_FOUND", "NOT_ELECTOR", "PROPOSAL_EXPIRED")
        assert code_of(left) == "done"
        assert status_of(asha, proposal) == "completed"
        assert purse(asha, rain) == 100
        bram.join_community(invite_code=code)
    books(rain)


def test_a_removal_never_makes_a_vote_unanimous(race, rain, code, asha, bram, chloe, days, books):
    for _ in days():
        proposal = proposing(bram, rain)()["proposal"]
        voting(asha, proposal)()
        voted, removed = race(voting(chloe, proposal), removing(asha, chloe, rain))
        assert code_of(removed) == "done"
        assert status_of(asha, proposal) == ("completed" if code_of(voted) == "done" else "void")
        assert purse(bram, rain) == 100
        chloe.join_community(invite_code=code)
    books(rain)


def test_two_members_leaving_at_once_leave_nobody_waited_for(
    race, rain, code, asha, bram, chloe, days, books
):
    for _ in days():
        proposal = proposing(asha, rain)()["proposal"]
        assert codes(race(leaving(bram, rain), leaving(chloe, rain))) == ["done", "done"]
        assert status_of(asha, proposal) == "completed"
        for member in (bram, chloe):
            member.join_community(invite_code=code)
    books(rain)


def test_nobody_who_left_is_waited_for(house, race, rain, code, asha, bram, chloe, days, books):
    for _ in days():
        proposed, left = race(proposing(asha, rain), leaving(chloe, rain))
        assert codes([proposed, left]) == ["done", "done"]
        (row,) = house.owner.sql(
            """
            select t.awaiting, array(
              select r.user_id::text from private.tip_to_tip_rolls as r
              where r.proposal_id = t.id and not exists (
                select from private.tip_to_tip_votes as v
                where v.proposal_id = r.proposal_id and v.user_id = r.user_id
              )
            ) as waiting
            from private.tip_to_tip_proposals as t where t.id = %(id)s
            """,
            id=proposed["proposal"]["id"],
        )
        assert row == {"awaiting": 1, "waiting": [bram.id]}
        chloe.join_community(invite_code=code)
    books(rain)


def test_nobody_lends_to_somebody_who_left(house, race, rain, code, asha, bram, days, books):
    for _ in days():
        request = asking(bram, asha, rain)()
        lent, left = race(approving(asha, request), leaving(bram, rain))
        assert code_of(lent) in ("done", "CONFLICT", "NOT_FOUND")
        was_lent = code_of(lent) == "done"
        assert left["expired"] == (110 if was_lent else 100)
        loans = [loan for loan in house.owner.read("loans") if loan["outstanding"]]
        assert [loan["status"] for loan in loans] == ["asleep"] * was_lent
        for loan in loans:
            asha.forgive_loan(loan_id=loan["id"])
        bram.join_community(invite_code=code)
        assert purse(bram, rain) == 0
    books(rain)


def test_nobody_who_left_has_a_notice_unread(house, race, rain, code, asha, bram, days):
    """What is under way while they leave tells them first, or not at all (RULES 11.1)."""
    for _ in days():
        joy = bram.declare_joy(community_id=rain, title="A joy", cc_spent=1)["declaration"]
        race(
            Deed(asha, "witness_declaration", {"declaration_id": joy["id"]}),
            leaving(bram, rain),
        )
        unread = house.owner.sql(
            "select event from private.notifications where user_id = %(id)s and read_at is null",
            id=bram.id,
        )
        assert not unread
        bram.join_community(invite_code=code)


def test_what_a_lender_who_leaves_has_lent_is_released(
    house, race, rain, code, asha, bram, days, books
):
    for _ in days():
        request = asking(asha, bram, rain)()
        lent, left = race(approving(bram, request), leaving(bram, rain))
        assert code_of(lent) in ("done", "REQUEST_LAPSED", "NOT_FOUND")
        assert left["expired"] == (90 if code_of(lent) == "done" else 100)
        assert [loan for loan in house.owner.read("loans") if loan["outstanding"]] == []
        bram.join_community(invite_code=code)
    books(rain)


def test_nobody_asks_somebody_who_left(house, race, rain, code, asha, bram, days):
    for _ in days():
        asked, left = race(asking(asha, bram, rain), leaving(bram, rain))
        assert code_of(asked) in ("done", "NOT_FOUND")
        assert code_of(left) == "done"
        assert house.owner.read("borrow_requests", status="pending") == []
        bram.join_community(invite_code=code)


def test_a_leavers_last_joy_is_paid_from_the_purse_before_it_expires(
    race, rain, code, asha, bram, days, books
):
    for _ in days():
        said = {"community_id": rain, "title": "Farewell", "cc_spent": 60}
        declared, left = race(Deed(bram, "declare_joy", said), leaving(bram, rain))
        assert code_of(declared) in ("done", "NOT_FOUND", "INSUFFICIENT_CC")
        assert left["expired"] == (40 if code_of(declared) == "done" else 100)
        bram.join_community(invite_code=code)
    books(rain)


def test_a_removal_that_refunds_many_meets_lenders_without_a_deadlock(
    rain, asha, members, join_rain, clock, books
):
    """A removal touches many purses, lending two: whoever waits, waits in one order."""
    for n in range(ROUNDS):
        victim = join_rain(f"victim{n}@chas.test", f"Victim {n}")
        clock.forward(days=1)
        requests = [(b, asking(a, b, rain)()) for a in members for b in members if a is not b]
        for member in members:
            proposing(member, rain)()
        answers = together(
            removing(asha, victim, rain), *[approving(lender, asked) for lender, asked in requests]
        )
        assert codes(answers) == ["done"] * len(answers)
        assert books(rain)["escrow"] == 0


# ------------------------------------------------------------------------------ the turn of the day


def test_leaving_at_dawn_leaves_no_grant_behind(house, rain, code, asha, bram, clock, books):
    for day in range(3, 3 + ROUNDS):
        clock.at(f"2026-03-{day:02} 00:00+00:00")
        job = partial(house.owner.sql, f"select private.daily_reset('{clock.now}')")
        together(job, leaving(bram, rain), job)
        (row,) = house.owner.read("purses", user_id=bram.id)
        assert row["remaining"] == 0
        bram.join_community(invite_code=code)
    books(rain)


def test_spending_across_midnight_falls_into_one_day_or_the_other(
    house, rain, members, clock, books
):
    """Some hear the clock strike before others do, while two jobs of each kind turn the day."""
    for day in range(2, 2 + ROUNDS):
        sunset, dawn = f"2026-03-{day:02} 23:59+00:00", f"2026-03-{day + 1:02} 00:00+00:00"
        said = {"community_id": rain, "title": "Midnight", "cc_spent": 40}
        deeds = [
            Deed(member.at(moment), "declare_joy", said)
            for member in members
            for moment in (f"2026-03-{day:02} 23:58:59+00:00", sunset, dawn) * 2
        ]
        jobs = [
            partial(house.owner.sql, f"select private.{job}('{moment}')")
            for job, moment in [("daily_sunset", sunset), ("daily_reset", dawn)] * 2
        ]
        told = Counter(codes(together(*jobs, *deeds)[len(jobs) :]))
        assert set(told) <= {"done", "DAY_CLOSED", "INSUFFICIENT_CC"}
        # Two joys of 40 fit into every purse of the new day, whatever became of the old one's.
        assert told["done"] >= 2 * len(members)
    clock.at(f"2026-03-{2 + ROUNDS:02} 12:00+00:00")
    books(rain)

    lived = house.owner.sql(
        """
        select
          sum(e.amount) filter (where e.type = 'daily_reset') as granted,
          -coalesce(sum(e.amount) filter (where e.type = 'declaration'), 0) as spent,
          (
            select coalesce(sum(d.cc_spent), 0) from private.declarations as d
            where d.user_id = e.user_id and d.day = e.day
          ) as declared
        from private.ledger_entries as e
        group by e.user_id, e.day
        """
    )
    assert len(lived) == len(members) * (ROUNDS + 1)
    for row in lived:
        assert row["granted"] == 100
        assert row["spent"] == row["declared"] <= 100


def test_joining_at_dawn_grants_once(house, rain, code, clock, sign_up, admit, books):
    people = [admit(sign_up(f"new{n}@chas.test", f"New {n}")) for n in range(6)]
    clock.at("2026-03-03 00:00+00:00")
    job = partial(house.owner.sql, f"select private.daily_reset('{clock.now}')")
    together(job, *[partial(one.join_community, invite_code=code) for one in people], job)

    assert [purse(one, rain) for one in people] == [100] * 6
    assert books(rain)["minted"] == 100 + 7 * 100


# ------------------------------------------------------------------------------ all at once


def test_sixteen_members_lend_to_each_other_in_both_directions(house):
    """Four seconds here, thirty in `make soak`."""
    storm = Storm(house, members=16)
    storm.blow(seconds=4)

    assert storm.done["respond_borrow"] > 20, storm.summary()
    assert storm.done["repay_loan"] > 0, storm.summary()
    assert storm.done["vote_tip_to_tip"] > 0, storm.summary()
    house.books(storm.community)
    assert_flawless(house)


def test_half_an_act_would_be_noticed(house, rain, asha):
    joy = asha.declare_joy(community_id=rain, title="Whole", cc_spent=5)["declaration"]
    assert_flawless(house)

    house.owner.sql("delete from private.chat_messages where reference_id = %(id)s", id=joy["id"])
    with pytest.raises(AssertionError, match="a joy without its one entry and card"):
        assert_flawless(house)


@pytest.mark.parametrize(
    ("told", "orphan"),
    [
        (
            "something of somebody who was never in its community: .*notice",
            "update private.notifications set user_id = gen_random_uuid() where user_id <> %(id)s",
        ),
        (
            "something of a proposal or a Jashn that is not in its community: .*elector",
            "insert into private.tip_to_tip_rolls"
            " select community_id, gen_random_uuid(), user_id from private.community_members"
            " where user_id = %(id)s",
        ),
    ],
)
def test_a_row_without_its_parents_would_be_noticed(house, rain, asha, bram, told, orphan):
    proposing(asha, rain)()
    assert_flawless(house)
    house.owner.sql(orphan, id=asha.id)
    with pytest.raises(AssertionError, match=told):
        assert_flawless(house)


def test_a_refusal_of_a_race_comes_with_its_facts(race, rain, asha, bram):
    """The races above look at codes alone."""
    answers = race(proposing(asha, rain), proposing(asha, rain))
    (made,) = [answer for answer in answers if not isinstance(answer, Refusal)]
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    with refused("ACTIVE_TIP_TO_TIP_EXISTS", possible_at=made["proposal"]["deadline"]):
        raise refusal
