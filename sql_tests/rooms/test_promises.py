"""Moments the house names, limits, and what becomes possible when (RULES 3.2, 5.5, 6.2, 8.2)."""

from functools import partial

import pytest
from people import Caller, Refusal, lines, meanwhile, purse, refused, together

DAWN = "2026-03-03T00:00:00+00:00"


def balance(member, community):
    return member.get_balance(community_id=community)["balance"]


def declare(member, community, amount):
    return member.declare_joy(community_id=community, title="Joy", cc_spent=amount)


@pytest.fixture
def expire(house):
    def run():
        house.owner.sql("select private.tip_to_tip_expiry(%(now)s)", now=house.clock.now)

    return run


@pytest.fixture
def in_auth(house):
    """Auth bans somebody, or lets them go."""

    def do(person, until):
        auth = Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")
        query = "update auth.users set banned_until = %(until)s where id = %(id)s"
        auth.sql(query, until=until, id=person.id)

    return do


# ------------------------------------------------------------------------------ coins


def test_a_dawn_that_repays_everything_is_not_promised(rain, asha, bram, lend, clock):
    """Bram owes a whole budget: the next Dawn leaves him nothing."""
    lend(asha, bram, 100)
    declare(bram, rain, 200)
    with refused("INSUFFICIENT_CC", short_by=50, possible_at=None):
        declare(bram, rain, 50)
    assert bram.preview_dawn(community_id=rain)["wake_with"] == 0
    clock.at(DAWN)
    assert purse(bram, rain) == 0
    with refused("INSUFFICIENT_CC", possible_at="2026-03-04T00:00:00+00:00"):
        declare(bram, rain, 50)
    clock.at("2026-03-04 00:00+00:00")
    declare(bram, rain, 50)


def test_what_comes_back_at_dawn_is_counted(rain, asha, bram, lend, clock):
    lend(asha, bram, 100)
    with refused("INSUFFICIENT_CC", short_by=150, possible_at=DAWN):
        declare(asha, rain, 150)
    clock.at(DAWN)
    assert declare(asha, rain, 150)["balance"]["remaining"] == 50


def test_a_stake_that_comes_back_at_dawn_is_counted(service, rain, asha, bram, propose, clock):
    clock.at("2026-03-02 22:00+00:00")
    proposal = propose(asha, 40)
    clock.at("2026-03-02 23:59:30+00:00")
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    minus = {"community_id": rain, "user_id": asha.id, "reason": "Because"}
    with refused("INSUFFICIENT_CC", possible_at=DAWN):
        service.post_correction(amount=-140, **minus)
    with refused("INSUFFICIENT_CC", possible_at=None):
        service.post_correction(amount=-141, **minus)


def test_a_budget_that_pends_is_what_the_dawn_grants(rain, asha, bram, clock):
    asha.update_community(community_id=rain, patch={"daily_cc_budget": 40})
    with refused("INSUFFICIENT_CC", possible_at=None):
        declare(bram, rain, 101)
    asha.update_community(community_id=rain, patch={"daily_cc_budget": 150})
    with refused("INSUFFICIENT_CC", possible_at=DAWN):
        declare(bram, rain, 101)
    clock.at(DAWN)
    declare(bram, rain, 101)


def test_an_answer_is_promised_no_dawn_at_which_the_request_has_lapsed(
    rain, asha, bram, chloe, ask, lend
):
    request = ask(bram, asha, 60)
    lend(chloe, bram, 60)
    with refused("DEBT_LIMIT", short_by=20, possible_at=None):
        asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    declare(asha, rain, 80)
    with refused("INSUFFICIENT_CC", short_by=10, possible_at=None):
        asha.respond_borrow(borrow_request_id=request["id"], action="approved", amount=30)


def test_a_debt_is_promised_the_dawn_that_makes_room_for_it(asha, bram, chloe, ask, lend, clock):
    lend(asha, bram, 70)
    with refused("DEBT_LIMIT", possible_at=DAWN):
        ask(bram, chloe, 100)
    clock.at(DAWN)
    ask(bram, chloe, 100)


def test_repaying_by_hand_is_promised_nothing_the_dawn_has_repaid(rain, asha, bram, lend):
    loan = lend(asha, bram, 50)
    declare(bram, rain, 140)
    with refused("INSUFFICIENT_CC", short_by=40, possible_at=None):
        bram.repay_loan(loan_id=loan["id"], amount=50)


def test_whoever_is_just_erased_pays_nothing_back_any_more(
    service, house, rain, asha, bram, lend, clock
):
    lend(asha, bram, 50)
    service.erase_user(user_id=bram.id)
    assert asha.preview_dawn(community_id=rain)["wake_with"] == 100
    with refused("INSUFFICIENT_CC", possible_at=None):
        declare(asha, rain, 101)
    # Dawn comes before housekeeping does.
    clock.at(DAWN)
    assert purse(asha, rain) == 100
    while house.owner.sql("select private.housekeeping(%(now)s) as n", now=clock.now)[0]["n"]:
        pass
    assert house.books(rain)["balanced"]


# ------------------------------------------------------------------------------ another zone


def test_a_zone_in_the_west_moves_the_dawn_it_pends_for(house, asha, clock):
    """Auckland to Honolulu, which is 23 hours behind."""
    clock.at("2026-01-14 12:00+00:00")
    rain = asha.create_community(name="Rain", timezone="Pacific/Auckland")["community"]["id"]
    before = balance(asha, rain)
    assert before["day"] == "2026-01-15"
    patch = {"timezone": "Pacific/Honolulu", "daily_cc_budget": 40, "electorate": "members"}
    asha.update_community(community_id=rain, patch=patch)
    (told,) = lines(asha, rain, "settings_changed")
    assert told["facts"]["next_dawn_at"] == "2026-01-16T10:00:00+00:00"
    seen = balance(asha, rain)
    assert seen["next_sunset_at"] == before["next_sunset_at"] == "2026-01-15T10:59:00+00:00"
    assert seen["next_dawn_at"] == "2026-01-16T10:00:00+00:00"

    # The old midnight has passed, and no Dawn came: nothing is in force.
    clock.at("2026-01-15 12:00+00:00")
    assert house.owner.sql("select private.daily_reset(%(now)s) as n", now=clock.now)[0]["n"] == 0
    rules = asha.get_rules(community_id=rain)
    assert rules["in_force"]["timezone"] == "Pacific/Auckland"
    assert (rules["in_force"]["daily_cc_budget"], rules["pending"]) == (100, patch)
    with refused("DAY_CLOSED", possible_at="2026-01-16T10:00:00+00:00"):
        declare(asha, rain, 1)
    assert balance(asha, rain)["next_sunset_at"] == "2026-01-17T09:59:00+00:00"

    clock.at("2026-01-16 10:00+00:00")
    assert declare(asha, rain, 1)["balance"]["remaining"] == 39
    seen = balance(asha, rain)
    assert (seen["day"], seen["next_sunset_at"]) == ("2026-01-16", "2026-01-17T09:59:00+00:00")
    assert asha.get_rules(community_id=rain)["pending"] == {}


def test_by_night_a_zone_in_the_east_moves_the_next_sunset(rain, asha, clock):
    clock.at("2026-03-02 23:59:30+00:00")
    asha.update_community(community_id=rain, patch={"timezone": "Pacific/Kiritimati"})
    seen = balance(asha, rain)
    assert seen["next_dawn_at"] == DAWN
    assert seen["next_sunset_at"] == "2026-03-03T09:59:00+00:00"
    clock.at("2026-03-03 09:59+00:00")
    assert balance(asha, rain)["day_open"] is False


def test_a_zone_called_off_in_the_night_it_made_longer_lets_the_dawn_come(
    house, rain, asha, clock, books
):
    asha.update_community(community_id=rain, patch={"timezone": "Pacific/Pago_Pago"})
    clock.at("2026-03-03 05:00+00:00")
    assert balance(asha, rain)["day"] == "2026-03-02"
    answer = asha.update_community(community_id=rain, patch={"timezone": "UTC"})
    assert answer["pending"] == {}
    assert lines(asha, rain, "settings_changed")[-1]["facts"]["next_dawn_at"] == (
        "2026-03-03T05:00:00+00:00"
    )
    assert house.owner.sql("select private.daily_reset(%(now)s) as n", now=clock.now)[0]["n"] == 1
    seen = balance(asha, rain)
    assert (seen["day"], seen["day_open"], seen["remaining"]) == ("2026-03-03", True, 100)
    books(rain)


def test_two_moderators_who_move_the_zone_at_once_never_deadlock(
    rain, asha, bram, chloe, house, clock
):
    house.owner.sql(
        "update private.community_members set roles = '{member,moderator}' where user_id = %(id)s",
        id=bram.id,
    )
    for zone, other in (("Asia/Tokyo", "Pacific/Honolulu"), ("UTC", "Asia/Kolkata")) * 4:
        answers = together(
            partial(asha.update_community, community_id=rain, patch={"timezone": zone}),
            partial(bram.update_community, community_id=rain, patch={"timezone": other}),
            partial(declare, chloe, rain, 1),
            partial(declare, bram, rain, 1),
        )
        assert not [answer for answer in answers if isinstance(answer, Refusal)]
    dawn = balance(asha, rain)["next_dawn_at"]
    clock.at(dawn)
    assert balance(asha, rain)["day_open"] is True


# ------------------------------------------------------------------------------ days lived


def test_a_date_nobody_lived_breaks_no_streak(house, asha, clock):
    """The zone moves a day ahead: 2026-03-03 is on nobody's calendar here."""
    clock.at("2026-03-02 12:00+00:00")
    rain = asha.create_community(name="Rain", timezone="Pacific/Pago_Pago")["community"]["id"]
    declare(asha, rain, 1)
    asha.update_community(community_id=rain, patch={"timezone": "Pacific/Kiritimati"})
    clock.at("2026-03-03 11:00+00:00")
    assert declare(asha, rain, 1)["balance"]["day"] == "2026-03-04"

    profile = asha.get_member_profile(community_id=rain, user_id=asha.id)
    assert (profile["current_streak"], profile["longest_streak"]) == (2, 2)
    clock.at("2026-03-04 10:00+00:00")
    declare(asha, rain, 1)
    clock.at("2026-03-06 10:00+00:00")
    # The 6th was never opened by anybody: the 5th is the last day lived.
    profile = asha.get_member_profile(community_id=rain, user_id=asha.id)
    assert profile["longest_streak"] == 3


def test_what_a_leaver_loses_is_not_called_a_sunset(house, rain, asha, bram, clock):
    clock.at("2026-03-02 13:00+00:00")
    bram.leave_community(community_id=rain)
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    bram.join_community(invite_code=code)
    (entry, *_) = bram.list_ledger(community_id=rain)["entries"]
    assert (entry["type"], entry["amount"]) == ("expired", -100)
    assert "Sunset" not in entry["description"]


def test_what_lapsed_by_leaving_says_when(rain, asha, bram, chloe, ask, clock):
    """Chloe leaves, returns the same day and would approve."""
    request = ask(bram, chloe, 10)
    clock.at("2026-03-02 13:00+00:00")
    chloe.leave_community(community_id=rain)
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    chloe.join_community(invite_code=code)
    clock.at("2026-03-02 14:00+00:00")
    with refused("REQUEST_LAPSED", lapsed_at="2026-03-02T13:00:00+00:00") as said:
        chloe.respond_borrow(borrow_request_id=request["id"], action="approved")
    assert "Sunset" not in said.message
    with refused("CONFLICT", status="lapsed"):
        bram.cancel_borrow(borrow_request_id=request["id"])


# ------------------------------------------------------------------------------ enough is enough


def ask_and_cancel(ask, borrower, lender, amount=1):
    borrower.cancel_borrow(borrow_request_id=ask(borrower, lender, amount)["id"])


def test_five_requests_a_day_to_the_same_member_are_enough(rain, asha, bram, chloe, ask, clock):
    for _ in range(5):
        ask_and_cancel(ask, bram, asha)
        clock.forward(hours=1)
    promised = "2026-03-03T12:00:00+00:00"
    with refused("RATE_LIMITED", most=5, possible_at=promised, retry_after=19 * 3600):
        ask(bram, asha, 1)
    ask(bram, chloe, 1)
    ask(chloe, asha, 1)
    clock.at("2026-03-03 11:59:59+00:00")
    with refused("RATE_LIMITED", retry_after=1):
        ask(bram, asha, 1)
    clock.at(promised)
    ask(bram, asha, 1)


def test_a_limit_promises_no_moment_at_which_something_else_is_in_the_way(
    rain, asha, bram, ask, clock
):
    """By then the budget is too small for what is asked."""
    for _ in range(5):
        ask_and_cancel(ask, bram, asha, 50)
    asha.update_community(community_id=rain, patch={"daily_cc_budget": 40})
    with refused("RATE_LIMITED", most=5, possible_at=None, retry_after=None):
        ask(bram, asha, 50)
    with refused("RATE_LIMITED", possible_at="2026-03-03T12:00:00+00:00"):
        ask(bram, asha, 40)


def test_of_many_requests_at_once_no_more_than_five_are_made(house, rain, asha, bram, ask):
    for _ in range(3):
        ask_and_cancel(ask, bram, asha)

    def ask_once():
        try:
            ask_and_cancel(ask, bram, asha)
        except Refusal as refusal:
            assert refusal.code in ("RATE_LIMITED", "CONFLICT"), refusal

    together(*[ask_once] * 8)
    assert len(house.owner.read("borrow_requests", borrower_id=bram.id)) <= 5


def test_a_stranger_learns_nothing_of_limits(rain, asha, bram, stranger, ask):
    for _ in range(5):
        ask_and_cancel(ask, bram, asha)
    with refused("NOT_FOUND"):
        ask(stranger, asha, 1)


def test_twenty_proposals_a_day_are_enough(rain, asha, bram, propose, clock):
    for _ in range(20):
        proposal = propose(asha, 1)
        bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
        clock.forward(minutes=1)
    with refused("RATE_LIMITED", most=20, possible_at="2026-03-03T12:00:00+00:00"):
        propose(asha, 100)
    with refused("RATE_LIMITED", most=20, possible_at=None):
        propose(asha, 101)
    propose(bram, 1)
    clock.at("2026-03-03 12:00+00:00")
    propose(asha, 100)


def test_of_proposals_at_once_the_twentieth_is_the_last(house, rain, asha, bram, propose):
    for _ in range(19):
        proposal = propose(asha, 1)
        bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    answers = together(*[partial(propose, asha, 1)] * 4)
    assert sum(not isinstance(answer, Refusal) for answer in answers) == 1
    assert len(house.owner.read("tip_to_tip_proposals", proposer_id=asha.id)) == 20


def test_forty_declarations_of_one_member_at_once_meet_no_limit(rain, asha, bram, books):
    answers = together(*[partial(declare, bram, rain, 4)] * 40)
    refusals = [answer.code for answer in answers if isinstance(answer, Refusal)]
    assert refusals == ["INSUFFICIENT_CC"] * 15
    assert purse(bram, rain) == 0
    books(rain)


def test_thirty_answers_a_minute_are_promised_nothing_after_sunset(
    house, rain, asha, bram, chloe, ask, clock
):
    clock.at("2026-03-02 23:58:30+00:00")
    first = ask(bram, asha, 1)
    house.owner.sql(
        """
        insert into private.chat_messages
          (community_id, type, content, event, facts, maker_id, created_at)
        select %(rain)s, 'system', '', 'loan_forgiven', '{}', %(asha)s, %(now)s
        from generate_series(1, 30)
        """,
        rain=rain,
        asha=asha.id,
        now=clock.now,
    )
    with refused("RATE_LIMITED", most=30, possible_at=None):
        asha.respond_borrow(borrow_request_id=first["id"], action="declined")
    with refused("RATE_LIMITED", most=30, possible_at=DAWN, retry_after=90):
        ask(asha, chloe, 1)


# ------------------------------------------------------------------------------ who cannot vote


@pytest.fixture
def suspend(service):
    return lambda person: service.suspend_person(user_id=person.id, reason="Because")


def test_a_proposal_that_only_the_unable_kept_silent_on_is_void(
    service, house, rain, asha, bram, chloe, propose, clock, expire, suspend, in_auth, books
):
    proposal = propose(asha, 30)
    suspend(bram)
    in_auth(chloe, "infinity")
    clock.forward(hours=4)
    seen = asha.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]
    assert (seen["status"], seen["electors"], seen["awaiting"]) == ("void", 3, 2)
    assert asha.list_tip_to_tips(community_id=rain, status="void")["proposals"] == [seen]
    expire()
    assert balance(asha, rain)["remaining"] == 100
    assert balance(asha, rain)["spent_today"] == 0
    assert len(lines(asha, rain, "tip_to_tip_void")) == 1
    assert asha.get_tip_to_tip(proposal_id=proposal["id"])["proposal"] == seen
    assert books(rain)["escrow"] == 0


def test_one_who_could_have_voted_lets_it_expire(
    rain, asha, bram, chloe, propose, clock, expire, suspend
):
    proposal = propose(asha, 30)
    suspend(bram)
    clock.forward(hours=4)
    expire()
    assert asha.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]["status"] == "expired"
    assert purse(asha, rain) == 70


def test_whoever_can_vote_again_by_then_counts(
    service, rain, asha, bram, propose, clock, expire, suspend
):
    proposal = propose(asha, 30)
    suspend(bram)
    with refused("INVITE_REQUIRED"):
        bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    service.restore_person(user_id=bram.id)
    clock.forward(hours=4)
    expire()
    assert purse(asha, rain) == 70


def test_who_cannot_act_is_on_no_roll(rain, asha, bram, chloe, propose, suspend):
    suspend(bram)
    assert propose(asha, 30)["electors"] == 2
    suspend(chloe)
    with refused("ACTIVE_TIP_TO_TIP_EXISTS"):
        propose(asha, 30)


def test_where_nobody_else_can_act_nobody_can_be_asked(rain, asha, bram, propose, suspend):
    suspend(bram)
    with refused("NO_ELECTORS", electors=1, needed=2):
        propose(asha, 30)


def test_a_void_stake_is_lost_by_nobody_who_leaves_or_proposes_before_the_job(
    rain, asha, bram, chloe, propose, clock, suspend, books
):
    propose(bram, 30)
    suspend(chloe)
    suspend(asha)
    clock.forward(hours=4)
    gone = bram.leave_community(community_id=rain)
    assert (gone["expired"], gone["forfeited"]) == (100, 0)


def test_the_deadline_and_the_leaving_of_the_last_silent_one_at_once_settle_once(
    house, rain, asha, bram, chloe, propose, clock, expire, suspend, books
):
    propose(asha, 30)
    suspend(bram)
    clock.forward(hours=4)
    together(expire, partial(chloe.leave_community, community_id=rain), expire)
    audit = books(rain)
    assert (audit["escrow"], audit["forfeited"]) in ((0, 0), (0, 30))


# ------------------------------------------------------------------------------ a purse's ceiling

CEILING = 1_000_000_000


@pytest.fixture
def fill(house, service):
    """A purse as full as it gets, by an entry no steward could make at once."""

    def do(person, community, amount=CEILING):
        house.owner.sql(
            "select private.post_entry(%(c)s, %(u)s, 'correction', %(n)s)",
            c=community,
            u=person.id,
            n=amount - purse(person, community),
        )

    return do


def test_a_purse_has_a_ceiling_and_says_so(service, rain, asha, bram, ask, fill, books):
    fill(bram, rain)
    plus = {"community_id": rain, "user_id": bram.id, "reason": "Because"}
    with refused("CONFLICT", most=CEILING):
        service.post_correction(amount=1, **plus)
    with refused("CONFLICT", most=CEILING):
        service.post_correction(amount=1_000_000, **plus)
    request = ask(bram, asha, 10)
    with refused("CONFLICT", most=CEILING) as said:
        asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    assert said.facts == {"most": CEILING}
    assert purse(asha, rain) == 100
    declare(bram, rain, 10)
    asha.respond_borrow(borrow_request_id=request["id"], action="approved")
    books(rain)


def test_repaying_into_a_full_purse_is_refused_and_a_dawn_is_not(
    rain, asha, bram, lend, fill, clock, books
):
    loan = lend(asha, bram, 50)
    fill(asha, rain)
    with refused("CONFLICT", most=CEILING):
        bram.repay_loan(loan_id=loan["id"], amount=50)
    assert purse(bram, rain) == 150
    clock.at(DAWN)
    assert (purse(asha, rain), purse(bram, rain)) == (150, 50)
    books(rain)


def test_a_stake_always_finds_its_way_home(rain, asha, bram, propose, fill, clock, books):
    fill(asha, rain)
    proposal = propose(asha, CEILING)
    fill(asha, rain)
    bram.vote_tip_to_tip(proposal_id=proposal["id"], vote="accept")
    assert purse(asha, rain) == 2 * CEILING
    for _ in range(2):
        declare(asha, rain, CEILING)
    fill(asha, rain)
    declare(asha, rain, CEILING)
    assert balance(asha, rain)["spent_today"] == 3 * CEILING
    books(rain)


# ------------------------------------------------------------------------------ by GET


def test_the_reading_doors_answer_by_get_what_is_stored(
    rain, asha, bram, lend, propose, ask, clock
):
    lend(asha, bram, 20)
    proposal = propose(asha, 10)
    ask(bram, asha, 5)
    here = {"community_id": rain}
    before = balance(asha, rain)
    clock.at("2026-03-04 12:00+00:00")  # days overdue, and nobody has come
    reader = asha.getting()
    assert reader.get_balance(**here)["balance"] == before
    assert reader.list_ledger(**here)["summary"]["remaining_today"] == 70
    assert reader.audit_ledger(**here)["balanced"] is True
    assert reader.preview_dawn(**here)["wake_with"] == 120
    assert len(reader.list_loans(**here)["loans"]) == 1
    assert reader.get_sunset(**here)["date"] is None
    assert len(reader.list_tip_to_tips(**here)["proposals"]) == 1
    read = reader.get_tip_to_tip(proposal_id=proposal["id"])["proposal"]
    assert read["status"] == "expired"
    assert reader.get_rules(**here)["in_force"]["daily_cc_budget"] == 100
    assert len(reader.list_my_communities()["communities"]) == 1
    assert balance(asha, rain)["day"] == "2026-03-04"


def test_a_stranger_reads_nothing_by_get_either(rain, asha, propose, bram, stranger):
    proposal = propose(asha, 10)
    for door in ("get_balance", "list_ledger", "audit_ledger", "preview_dawn", "list_loans"):
        with refused("NOT_FOUND"):
            getattr(stranger.getting(), door)(community_id=rain)
    with refused("NOT_FOUND"):
        stranger.getting().get_tip_to_tip(proposal_id=proposal["id"])


def test_a_reader_by_get_waits_for_nobody(house, rain, asha, bram):
    """Somebody holds the day alone, as leaving does."""
    with bram.transaction() as leaving:
        leaving.leave_community(community_id=rain)
        with meanwhile(partial(asha.getting().get_balance, community_id=rain)) as read:
            assert read.result(timeout=10)["balance"]["remaining"] == 100
