"""Elections: a fixed roll, sealed ballots, the close (RULES 9)."""

import json
import uuid
from contextlib import ExitStack
from functools import partial

import pytest
from doors import assert_shape
from people import Refusal, meanwhile, notices, refused, roles, together

END = "2026-03-03T12:00:00+00:00"


@pytest.fixture
def council(rain, asha, bram, chloe):
    """Asha moderates; Bram and Chloe are called to the council."""
    for member in (bram, chloe):
        asha.set_council(community_id=rain, user_id=member.id, granted=True)
    return [asha, bram, chloe]


@pytest.fixture
def open_election(rain, asha):
    def open_one(**more):
        terms = {"community_id": rain, "title": "Who keeps the rain?", "ends_at": END}
        return asha.create_election(**(terms | more))["election"]

    return open_one


@pytest.fixture
def election(council, open_election):
    return open_election()


@pytest.fixture
def close_due(house):
    """The job, at the moment of the test; how many communities it served."""

    def run():
        query = "select private.election_close(%(now)s) as served"
        (row,) = house.owner.sql(query, now=house.clock.now)
        return row["served"]

    return run


@pytest.fixture
def everybody_votes(house, rain, asha, clock):
    """From the next Dawn all members are the electorate."""
    asha.update_community(community_id=rain, patch={"electorate": "members"})
    clock.at("2026-03-03 08:00+00:00")


def vote(voter, election, candidate):
    return voter.vote_election(election_id=election["id"], candidate_id=candidate.id)["election"]


def seen(member, election):
    return member.get_election(election_id=election["id"])["election"]


def votes(election):
    return {one["user"]["display_name"]: one["votes"] for one in election["candidates"]}


def winner(election):
    return election["winner"] and election["winner"]["display_name"]


def events(member, rain):
    messages = member.list_messages(community_id=rain)["messages"]
    return [message for message in messages if message["event"]]


# ------------------------------------------------------------------------------ opening


def test_an_election_is_opened_with_its_candidates_and_its_roll(rain, council, open_election):
    asha, bram, chloe = council
    election = open_election()

    assert_shape("election", election)
    assert election["community_id"] == rain
    assert election["title"] == "Who keeps the rain?"
    assert election["status"] == "active"
    assert election["seat_rule"] == "add"
    assert election["created_at"] == "2026-03-02T12:00:00+00:00"
    assert election["ends_at"] == END
    assert (election["electors"], election["turnout"]) == (3, 0)
    assert (election["my_vote"], election["winner"]) == (None, None)
    assert [(c["user"]["id"], c["roles"], c["votes"]) for c in election["candidates"]] == [
        (asha.id, ["member", "moderator"], None),
        (bram.id, ["member", "council"], None),
        (chloe.id, ["member", "council"], None),
    ]
    assert bram.get_active_election(community_id=rain)["election"] == election


def test_an_opening_is_told_in_the_chamber_to_the_roll_and_to_the_audit_log(
    rain, asha, bram, election
):
    card = asha.list_messages(community_id=rain)["messages"][-1]
    assert (card["type"], card["user"]["id"], card["election"]) == ("election", asha.id, election)
    (call,) = notices(bram, "election")
    assert (call["ref_kind"], call["ref_id"]) == ("election", election["id"])
    assert notices(asha, "election") == []
    assert asha.list_audit(community_id=rain)["entries"][0]["action"] == "election_opened"
    assert bram.list_my_communities()["communities"][0]["awaiting_my_vote"] == 1


def test_a_call_to_vote_comes_through_a_mute(rain, council, open_election):
    _, bram, _ = council
    bram.mute_notifications(community_id=rain, type="election", muted=True)
    open_election()
    assert len(notices(bram, "election")) == 1


def test_only_moderators_open_elections(rain, council, open_election):
    _, bram, _ = council
    with refused("FORBIDDEN"):
        bram.create_election(community_id=rain, title="Mine", ends_at=END)


def test_one_election_is_open_at_a_time(rain, asha, election, open_election):
    with refused("CONFLICT", election_id=election["id"], ends_at=END):
        open_election()
    asha.cancel_election(election_id=election["id"], reason="Too soon")
    open_election()


def test_of_two_openings_at_once_one_is_an_election(rain, asha, council):
    opening = partial(asha.create_election, community_id=rain, title="Who?", ends_at=END)
    answers = together(opening, opening)

    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code == "CONFLICT"
    assert len(asha.list_elections(community_id=rain)["elections"]) == 1


def test_an_election_needs_two_voters(rain, asha, bram, open_election):
    with refused("NO_ELECTORS", electors=1, least=2, electorate="council"):
        open_election()
    assert asha.get_active_election(community_id=rain) == {"election": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"title": " "},
        {"title": None},
        {"title": "x" * 121},
        {"ends_at": "2026-03-02 12:59:59+00:00"},
        {"ends_at": "2026-03-16 12:00:01+00:00"},
        {"ends_at": "infinity"},
        {"ends_at": None},
        {"seat_rule": "crown"},
        {"seat_rule": None},
    ],
    ids=str,
)
def test_an_election_that_makes_no_sense_is_not_opened(council, open_election, wrong):
    with refused("INVALID_INPUT", field=next(iter(wrong))):
        open_election(**wrong)


@pytest.mark.parametrize("ends_at", ["2026-03-02 13:00+00:00", "2026-03-16 12:00+00:00"])
def test_an_election_lasts_an_hour_to_14_days(council, open_election, ends_at):
    assert open_election(ends_at=ends_at)["status"] == "active"


def test_all_members_vote_where_the_electorate_says_so(
    everybody_votes, rain, asha, bram, chloe, open_election
):
    election = open_election()
    assert election["electors"] == 3
    assert list(votes(election)) == ["Asha"]
    assert vote(bram, election, asha)["turnout"] == 1


def test_the_electorate_is_the_one_in_force_though_no_dawn_was_settled(
    rain, asha, bram, clock, open_election
):
    asha.update_community(community_id=rain, patch={"electorate": "members"})
    with refused("NO_ELECTORS"):
        open_election()
    clock.at("2026-03-03 00:00+00:00")
    assert open_election()["electors"] == 2


def test_who_is_called_to_the_council_later_neither_votes_nor_stands(
    rain, council, join_rain, election
):
    asha, _, _ = council
    dora = join_rain("dora@chas.test", "Dora")
    asha.set_council(community_id=rain, user_id=dora.id, granted=True)

    assert seen(dora, election)["can_vote"] is False
    with refused("NOT_ELECTOR"):
        vote(dora, election, asha)
    with refused("NOT_FOUND", field="candidate_id"):
        vote(asha, election, dora)


def test_who_is_released_from_the_council_still_votes_and_stands(rain, council, election):
    asha, bram, _ = council
    asha.set_council(community_id=rain, user_id=bram.id, granted=False)
    assert vote(bram, election, bram)["my_vote"] == bram.id


# ------------------------------------------------------------------------------ voting


def test_a_ballot_is_cast_and_changed_until_the_close(council, election):
    asha, bram, chloe = council
    assert seen(bram, election)["can_vote"] is True
    answer = vote(bram, election, chloe)
    assert (answer["my_vote"], answer["turnout"]) == (chloe.id, 1)
    answer = vote(bram, election, asha)
    assert (answer["my_vote"], answer["turnout"]) == (asha.id, 1)
    assert seen(asha, election)["my_vote"] is None
    assert bram.list_my_communities()["communities"][0]["awaiting_my_vote"] == 0


def test_only_the_roll_votes(rain, council, election, join_rain):
    asha, _, _ = council
    dora = join_rain("dora@chas.test", "Dora")
    with refused("NOT_ELECTOR"):
        vote(dora, election, asha)


@pytest.mark.parametrize("candidate", ["00000000-0000-4000-8000-000000000000", None])
def test_nobody_votes_for_nobody(asha, election, candidate):
    with refused("NOT_FOUND", field="candidate_id"):
        asha.vote_election(election_id=election["id"], candidate_id=candidate)


def test_one_elector_voting_many_times_at_once_has_one_ballot(council, election):
    asha, bram, chloe = council
    votings = [partial(vote, bram, election, (asha, chloe)[n % 2]) for n in range(6)]
    assert not [answer for answer in together(*votings) if isinstance(answer, Refusal)]
    assert seen(asha, election)["turnout"] == 1


# ------------------------------------------------------------------------------ the seal


def test_while_it_is_open_nobody_sees_more_than_the_turnout_and_their_own(council, election):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    vote(chloe, election, chloe)

    for member, own in ((asha, None), (bram, chloe.id), (chloe, chloe.id)):
        shown = seen(member, election)
        assert (shown["turnout"], shown["my_vote"], shown["winner"]) == (2, own, None)
        assert votes(shown) == {"Asha": None, "Bram": None, "Chloe": None}


def test_a_vote_leaves_no_trace_in_anything_a_member_may_read(house, rain, council, election):
    """Every readable row with its versions and locks (xmin, xmax), before and after."""
    asha, bram, chloe = council
    readable = house.owner.sql("""
      select format('%I.%I', schemaname, tablename) as name from pg_tables
      where
        schemaname in ('public', 'private', 'realtime')
        and has_table_privilege('authenticated', format('%I.%I', schemaname, tablename), 'select')
      order by 1
    """)

    def everything():
        return {
            one["name"]: sorted(
                json.dumps(row, default=str, sort_keys=True)
                for row in house.owner.sql(
                    f"select t.xmin::text as born, t.xmax::text as held, t.* from {one['name']} t"
                )
            )
            for one in readable
        }

    before = everything()
    assert "private.elections" in before
    vote(bram, election, chloe)
    vote(bram, election, asha)
    assert everything() == before


def test_no_role_of_the_api_reads_the_box(house):
    assert not house.owner.sql("""
      select t.name, r.role
      from unnest(
        array['ballots', 'ballot_boxes', 'election_electors', 'election_candidates']
      ) as t (name)
      cross join unnest(array['anon', 'authenticated', 'service_role']) as r (role)
      where has_table_privilege(r.role, 'private.' || t.name, 'select, insert, update, delete')
        or has_any_column_privilege(r.role, 'private.' || t.name, 'select')
    """)
    assert not house.owner.sql("""
      select p.proname from pg_proc as p
      where has_function_privilege('authenticated', p.oid, 'execute') and p.proname in (
        'tally', 'count_box', 'result_of', 'show_poll', 'show_election', 'decide_election',
        'elections_awaiting', 'export_ballots'
      )
    """)
    assert not house.owner.sql("""
      select true where has_table_privilege('authenticated', 'private.shown_elections', 'select')
    """)


def test_a_candidates_leaving_does_not_tell_how_many_votes_they_had(rain, council, election):
    asha, bram, chloe = council
    vote(asha, election, chloe)
    vote(bram, election, chloe)
    chloe.leave_community(community_id=rain)

    shown = seen(asha, election)
    assert (shown["turnout"], shown["electors"]) == (2, 2)
    assert list(votes(shown)) == ["Asha", "Bram"]
    assert (shown["my_vote"], shown["can_vote"]) == (None, True)
    assert asha.list_my_communities()["communities"][0]["awaiting_my_vote"] == 1


def test_calling_an_election_off_opens_no_box(council, election):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    answer = asha.cancel_election(election_id=election["id"], reason="Peeping")["election"]
    assert answer["status"] == "cancelled"
    assert votes(answer) == {"Asha": None, "Bram": None, "Chloe": None}
    assert answer["winner"] is None


# ------------------------------------------------------------------------------ the close


def test_it_closes_by_itself_and_the_most_votes_win(rain, council, election, clock, close_due):
    asha, bram, chloe = council
    vote(asha, election, asha)
    vote(bram, election, chloe)
    vote(chloe, election, chloe)

    clock.at("2026-03-03 11:59:59+00:00")
    assert close_due() == 0
    clock.at(END)
    assert close_due() == 1
    assert close_due() == 0

    closed = seen(bram, election)
    assert closed["status"] == "completed"
    assert winner(closed) == "Chloe"
    assert votes(closed) == {"Chloe": 2, "Asha": 1, "Bram": 0}
    assert closed["closed_at"] == END
    assert closed["my_vote"] == chloe.id
    assert roles(asha, rain) == {
        "Asha": ["member", "moderator"],
        "Bram": ["member", "council"],
        "Chloe": ["member", "moderator", "council"],
    }
    assert asha.get_active_election(community_id=rain) == {"election": None}


def test_a_close_is_told_to_everyone_once(rain, council, join_rain, election, clock, close_due):
    asha, bram, chloe = council
    dora = join_rain("dora@chas.test", "Dora")
    vote(bram, election, bram)
    clock.at(END)
    assert sum(together(close_due, close_due, close_due)) >= 1

    for member in (asha, bram, chloe, dora):
        assert notices(member, "election")[0]["facts"]["winner_id"] == bram.id
    lines = [line for line in events(dora, rain) if line["event"] == "election_closed"]
    (line,) = lines
    assert line["user"] is None
    assert line["facts"] == {
        "election_id": election["id"],
        "title_id": line["facts"]["title_id"],
        "title": "Who keeps the rain?",
        "winner_id": bram.id,
        "seat_rule": "add",
        "released": [],
    }
    assert "“Bram”" in line["content"]
    assert "“Who keeps the rain?”" in line["content"]
    assert [person["id"] for person in line["people"]] == [bram.id]
    closings = [
        entry
        for entry in asha.list_audit(community_id=rain)["entries"]
        if entry["action"] == "election_closed"
    ]
    assert [entry["subject"]["id"] for entry in closings] == [bram.id]


def test_the_clock_closes_it_though_the_job_is_late(rain, council, election, clock, close_due):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    before = seen(bram, election)
    clock.at(END)

    shown = seen(asha, election)
    assert (shown["status"], winner(shown), shown["closed_at"]) == ("completed", "Chloe", END)
    assert votes(shown) == {"Chloe": 1, "Asha": 0, "Bram": 0}
    assert asha.get_active_election(community_id=rain) == {"election": None}
    assert asha.list_elections(community_id=rain)["elections"] == [shown]
    with refused("ELECTION_CLOSED", status="completed", closed_at=END):
        vote(bram, election, bram)
    with refused("ELECTION_CLOSED"):
        asha.close_election(election_id=election["id"])
    with refused("ELECTION_CLOSED"):
        asha.cancel_election(election_id=election["id"], reason="Never mind")

    clock.forward(hours=5)
    close_due()
    assert seen(asha, election) == shown
    assert before["status"] == "active"


def test_an_opening_closes_what_is_over_before_the_job_does(rain, council, election, clock):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    clock.at(END)
    chloe_opens = {"title": "And now?", "ends_at": "2026-03-04 12:00+00:00"}
    chloe.create_election(community_id=rain, **chloe_opens)
    assert roles(asha, rain)["Chloe"] == ["member", "moderator", "council"]


def test_moderators_close_early_once_all_have_voted(rain, council, election):
    asha, bram, chloe = council
    vote(asha, election, bram)
    vote(bram, election, bram)
    with refused("CONFLICT", awaiting=1, electors=3, turnout=2, possible_at=END):
        asha.close_election(election_id=election["id"])
    vote(chloe, election, chloe)
    with refused("FORBIDDEN"):
        bram.close_election(election_id=election["id"])

    closed = asha.close_election(election_id=election["id"])["election"]
    assert (closed["status"], winner(closed)) == ("completed", "Bram")
    assert closed["closed_at"] == "2026-03-02T12:00:00+00:00"
    with refused("ELECTION_CLOSED", status="completed", closed_at=closed["closed_at"]):
        vote(chloe, election, bram)
    assert asha.list_audit(community_id=rain)["entries"][0]["actor"]["id"] == asha.id


def test_two_early_closes_at_once_are_one(rain, council, election):
    asha, bram, chloe = council
    for voter in council:
        vote(voter, election, bram)
    answers = together(*[partial(asha.close_election, election_id=election["id"])] * 3)

    codes = [answer.code for answer in answers if isinstance(answer, Refusal)]
    assert codes == ["ELECTION_CLOSED"] * 2
    assert [line["event"] for line in events(chloe, rain)].count("election_closed") == 1


def test_a_vote_at_the_very_close_is_counted_or_refused(council, election, clock, close_due):
    asha, bram, chloe = council
    vote(asha, election, asha)
    before_the_end = bram.at("2026-03-03 11:59:59.999+00:00")
    clock.at(END)
    answer, _ = together(partial(vote, before_the_end, election, chloe), close_due)
    close_due()

    counted = {"Asha": 1, "Chloe": 0 if isinstance(answer, Refusal) else 1, "Bram": 0}
    assert votes(seen(asha, election)) == counted


def test_a_close_waits_for_the_vote_that_is_being_cast(house, council, election, clock, close_due):
    _, bram, chloe = council
    clock.at(END)
    with ExitStack() as voting:
        late = voting.enter_context(bram.at("2026-03-03 11:59:59+00:00").transaction())
        vote(late, election, chloe)
        with meanwhile(close_due) as closing:
            while not somebody_waits(house):
                assert not closing.done()
            voting.close()
    assert votes(seen(bram, election)) == {"Chloe": 1, "Asha": 0, "Bram": 0}


def somebody_waits(house):
    return house.owner.sql("""
      select pid from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    """)


def test_without_ballots_nobody_wins(rain, council, open_election, clock, close_due):
    asha, *_ = council
    election = open_election(seat_rule="renew")
    before = roles(asha, rain)
    clock.at(END)
    close_due()

    assert winner(seen(asha, election)) is None
    assert roles(asha, rain) == before
    line = events(asha, rain)[-1]
    assert (line["event"], line["facts"]["winner_id"]) == ("election_closed", None)
    assert "“Who keeps the rain?”" in line["content"]


def test_renew_makes_the_winner_the_only_moderator(rain, council, open_election, clock, close_due):
    asha, bram, chloe = council
    election = open_election(seat_rule="renew")
    vote(bram, election, chloe)
    clock.at(END)
    close_due()

    assert roles(bram, rain) == {
        "Asha": ["member"],
        "Bram": ["member", "council"],
        "Chloe": ["member", "moderator", "council"],
    }
    line = events(bram, rain)[-1]
    assert (line["facts"]["winner_id"], line["facts"]["seat_rule"]) == (chloe.id, "renew")
    assert line["facts"]["released"] == [asha.id]


def test_renew_keeps_a_moderator_who_wins(rain, council, open_election):
    asha, bram, _ = council
    election = open_election(seat_rule="renew")
    for voter in council:
        vote(voter, election, asha)
    asha.close_election(election_id=election["id"])
    assert roles(bram, rain)["Asha"] == ["member", "moderator"]


# ------------------------------------------------------------------------------ ties


def test_a_tie_goes_to_the_candidate_whose_earliest_ballot_is_oldest(
    council, election, clock, close_due
):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    clock.forward(minutes=1)
    vote(chloe, election, bram)
    clock.at(END)
    close_due()
    assert winner(seen(asha, election)) == "Chloe"


def test_a_changed_ballot_stands_only_from_its_change(council, election, clock, close_due):
    asha, bram, chloe = council
    vote(bram, election, asha)
    clock.forward(minutes=1)
    vote(chloe, election, bram)
    clock.forward(minutes=1)
    vote(bram, election, chloe)
    clock.at(END)
    close_due()
    assert winner(seen(asha, election)) == "Bram"


def test_the_same_choice_again_keeps_its_age(council, election, clock, close_due):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    clock.forward(minutes=1)
    vote(chloe, election, bram)
    clock.forward(minutes=1)
    vote(bram, election, chloe)
    clock.at(END)
    close_due()
    assert winner(seen(asha, election)) == "Chloe"


def test_ballots_of_one_instant_tie_by_order_of_casting(council, election, clock, close_due):
    asha, bram, chloe = council
    vote(chloe, election, chloe)
    vote(bram, election, bram)
    vote(chloe, election, asha)
    vote(chloe, election, chloe)
    clock.at(END)
    close_due()
    assert winner(seen(asha, election)) == "Bram"


# ------------------------------------------------------------------------------ leaving


def test_the_ballot_of_who_leaves_does_not_count(rain, council, election, clock, close_due):
    asha, bram, chloe = council
    vote(chloe, election, bram)
    vote(asha, election, asha)
    chloe.leave_community(community_id=rain)
    assert (seen(asha, election)["electors"], seen(asha, election)["turnout"]) == (2, 1)
    clock.at(END)
    close_due()

    assert votes(seen(asha, election)) == {"Asha": 1, "Bram": 0}


def test_ballots_for_who_was_removed_do_not_count(rain, council, election, clock, close_due):
    asha, bram, chloe = council
    vote(asha, election, chloe)
    vote(bram, election, chloe)
    asha.remove_member(community_id=rain, user_id=chloe.id, reason="Umbrellas")
    with refused("NOT_FOUND", field="candidate_id"):
        vote(asha, election, chloe)
    vote(bram, election, bram)
    clock.at(END)
    close_due()

    assert votes(seen(asha, election)) == {"Bram": 1, "Asha": 0}
    assert winner(seen(asha, election)) == "Bram"


def test_an_election_whose_only_candidate_left_has_no_winner(
    everybody_votes, rain, asha, bram, chloe, open_election, clock, close_due
):
    election = open_election()
    vote(bram, election, asha)
    vote(chloe, election, asha)
    asha.leave_community(community_id=rain, successor_id=bram.id)
    clock.at(END)
    close_due()

    closed = seen(chloe, election)
    assert (closed["candidates"], closed["winner"], closed["status"]) == ([], None, "completed")
    assert roles(chloe, rain) == {"Bram": ["member", "moderator"], "Chloe": ["member"]}


def test_who_comes_back_is_on_no_roll(rain, council, election):
    asha, _, chloe = council
    code = asha.get_community(community_id=rain)["community"]["invite_code"]
    chloe.leave_community(community_id=rain)
    chloe.join_community(invite_code=code)
    with refused("NOT_ELECTOR"):
        vote(chloe, election, asha)


def test_leaving_after_the_end_changes_no_tally(rain, council, election, clock):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    vote(chloe, election, chloe)
    clock.at(END)
    chloe.leave_community(community_id=rain)

    assert winner(seen(asha, election)) == "Chloe"
    assert votes(seen(asha, election)) == {"Chloe": 2, "Asha": 0, "Bram": 0}
    assert "Chloe" not in roles(asha, rain)


def test_the_last_others_leaving_lets_a_moderator_close(rain, council, election):
    asha, bram, chloe = council
    vote(asha, election, bram)
    vote(bram, election, bram)
    with refused("CONFLICT", awaiting=1):
        asha.close_election(election_id=election["id"])
    chloe.leave_community(community_id=rain)
    assert winner(asha.close_election(election_id=election["id"])["election"]) == "Bram"


def test_leaving_and_voting_at_once_leave_no_ballot_behind(house, rain, council, election):
    asha, _, chloe = council
    _, left = together(
        partial(vote, chloe, election, asha), partial(chloe.leave_community, community_id=rain)
    )
    assert left["left"] is True
    assert (seen(asha, election)["electors"], seen(asha, election)["turnout"]) == (2, 0)


# ------------------------------------------------------------------------------ calling off


def test_a_moderator_calls_an_election_off_and_says_why(
    house, rain, council, election, clock, close_due
):
    asha, bram, _ = council
    answer = asha.cancel_election(election_id=election["id"], reason="We all agree already")
    assert answer["election"]["status"] == "cancelled"

    line = events(bram, rain)[-1]
    assert (line["event"], line["facts"]["user_id"]) == ("election_cancelled", asha.id)
    assert "“We all agree already”" in line["content"]
    assert line["facts"]["reason"] == "We all agree already"
    (stored,) = house.owner.read("chat_messages", id=line["id"])
    assert set(stored["facts"]) == {"election_id", "title_id", "user_id", "reason_id"}
    assert notices(bram, "election")[0]["facts"] == line["facts"]
    with refused("ELECTION_CLOSED", status="cancelled"):
        vote(bram, election, asha)
    with refused("ELECTION_CLOSED", status="cancelled"):
        asha.cancel_election(election_id=election["id"], reason="Again")
    clock.at(END)
    assert close_due() == 0
    assert seen(bram, election)["status"] == "cancelled"


def test_calling_off_is_for_moderators_with_a_reason(council, election):
    asha, bram, _ = council
    with refused("FORBIDDEN"):
        bram.cancel_election(election_id=election["id"], reason="No")
    for reason in ("", " ", None, "x" * 281):
        with refused("INVALID_INPUT", field="reason"):
            asha.cancel_election(election_id=election["id"], reason=reason)
    assert seen(bram, election)["status"] == "active"


# ------------------------------------------------------------------------------ reading


def test_elections_are_listed_newest_first_page_by_page(rain, asha, council, open_election):
    opened = []
    for n in range(5):
        opened.append(open_election(title=f"Election {n}")["id"])
        asha.cancel_election(election_id=opened[-1], reason="Next")

    listed, before, more = [], None, True
    while more:
        page = asha.list_elections(community_id=rain, page_size=2, before_id=before)
        listed += [one["id"] for one in page["elections"]]
        before, more = listed[-1], page["has_more"]
    assert listed == opened[::-1]


def test_without_elections_the_list_is_empty(rain, asha):
    assert asha.list_elections(community_id=rain) == {"elections": [], "has_more": False}
    assert asha.get_active_election(community_id=rain) == {"election": None}


def test_a_page_follows_an_election_of_the_same_community(rain, asha):
    with refused("NOT_FOUND"):
        asha.list_elections(community_id=rain, before_id=str(uuid.uuid4()))
    with refused("INVALID_INPUT", field="page_size"):
        asha.list_elections(community_id=rain, page_size=0)


def test_a_struck_card_loses_its_title_and_the_election_goes_on(
    rain, council, election, clock, close_due
):
    asha, bram, _ = council
    card = asha.list_messages(community_id=rain)["messages"][-1]
    asha.strike_message(message_id=card["id"], reason="Rude")
    assert seen(bram, election)["title"] == ""
    assert vote(bram, election, asha)["turnout"] == 1

    clock.at(END)
    close_due()
    told = events(bram, rain)[-1]
    assert told["event"] == "election_closed"
    assert "Who keeps the rain?" not in str([told, notices(bram, "election")])


def test_a_title_is_one_line(rain, asha, council):
    for title in ("Who?\nNobody", "Who?\u2028Nobody", "Who?\tNobody"):
        with refused("INVALID_INPUT", field="title"):
            asha.create_election(community_id=rain, title=title, ends_at=END)


def test_titles_and_reasons_of_who_is_erased_are_shown_to_nobody(service, rain, council, election):
    asha, bram, chloe = council
    asha.cancel_election(election_id=election["id"], reason="Seasons change")

    def shown():
        lines = bram.list_messages(community_id=rain)
        return str([seen(bram, election), lines, notices(chloe, "election")])

    assert "Who keeps the rain?" in shown()
    assert "Seasons change" in shown()
    service.erase_user(user_id=asha.id)
    assert "Who keeps the rain?" not in shown()
    assert "Seasons change" not in shown()


def test_what_was_counted_at_the_close_stays(service, rain, council, election, clock, close_due):
    asha, bram, chloe = council
    vote(bram, election, chloe)
    vote(chloe, election, chloe)
    clock.at(END)
    close_due()
    counted = votes(seen(asha, election))

    bram.leave_community(community_id=rain)
    service.suspend_person(user_id=chloe.id, reason="Asked to pause")
    assert votes(seen(asha, election)) == counted == {"Chloe": 2, "Asha": 0, "Bram": 0}


# ------------------------------------------------------------------------------ the job


def test_the_job_serves_twenty_communities_a_call(house, sign_up, admit, clock, close_due):
    voter = admit(sign_up("voter@chas.test", "Voter"))
    for n in range(3):
        founder = admit(sign_up(f"founder{n}@chas.test", f"Founder {n}"))
        for _ in range(7):
            clock.forward(minutes=4)
            community = founder.create_community(name="One of many")["community"]
            voter.join_community(invite_code=community["invite_code"])
            founder.set_council(community_id=community["id"], user_id=voter.id, granted=True)
            founder.create_election(community_id=community["id"], title="Who?", ends_at=END)
    clock.at(END)
    assert [close_due() for _ in range(3)] == [20, 1, 0]


def test_one_broken_election_does_not_stop_the_others(house, rain, council, asha, clock, close_due):
    _, bram, _ = council
    other = asha.create_community(name="Sun")["community"]
    bram.join_community(invite_code=other["invite_code"])
    asha.set_council(community_id=other["id"], user_id=bram.id, granted=True)
    elections = {
        community: asha.create_election(community_id=community, title="Who?", ends_at=END)
        for community in (rain, other["id"])
    }
    house.owner.sql(f"""
      create function public.break() returns trigger language plpgsql as $$
      begin raise exception 'broken'; end $$;
      create trigger broken before update on private.elections for each row
      when (old.community_id = '{rain}') execute function public.break();
    """)
    clock.at(END)
    close_due()

    stored = {str(row["community_id"]): row["status"] for row in house.owner.read("elections")}
    assert stored == {rain: "active", other["id"]: "completed"}
    assert seen(bram, elections[rain]["election"])["status"] == "completed"
    house.owner.sql("drop trigger broken on private.elections")
    clock.forward(hours=2)
    assert close_due() == 1


# ------------------------------------------------------------------------------ strangers


def test_a_stranger_sees_and_does_nothing(rain, council, election, stranger):
    asha, *_ = council
    for question in (
        partial(stranger.get_active_election, community_id=rain),
        partial(stranger.list_elections, community_id=rain),
        partial(stranger.create_election, community_id=rain, title="Mine", ends_at=END),
        partial(stranger.get_election, election_id=election["id"]),
        partial(vote, stranger, election, asha),
        partial(stranger.close_election, election_id=election["id"]),
        partial(stranger.cancel_election, election_id=election["id"], reason="No"),
    ):
        with refused("NOT_FOUND"):
            question()
    assert stranger.read("elections") == []


def test_a_stranger_cannot_tell_an_election_from_none(election, stranger):
    with refused("NOT_FOUND") as there:
        stranger.get_election(election_id=election["id"])
    with refused("NOT_FOUND") as nowhere:
        stranger.get_election(election_id=str(uuid.uuid4()))
    assert (there.message, there.facts) == (nowhere.message, nowhere.facts)


def test_who_left_sees_the_election_no_more(rain, council, election):
    _, _, chloe = council
    chloe.leave_community(community_id=rain)
    with refused("NOT_FOUND"):
        seen(chloe, election)
    assert chloe.read("elections") == []


def test_the_unadmitted_are_sent_for_an_invite(unadmitted, election):
    with refused("INVITE_REQUIRED"):
        unadmitted.get_election(election_id=election["id"])


def test_the_audit_log_tells_the_moment_of_the_job(house, rain, asha, bram):
    asha.set_council(community_id=rain, user_id=bram.id, granted=True)
    asha.create_election(community_id=rain, title="Who?", ends_at="2026-03-03 12:00+00")

    house.owner.sql("select private.election_close('2026-03-03 12:01+00')")

    (closed,) = [
        entry
        for entry in asha.list_audit(community_id=rain)["entries"]
        if entry["action"] == "election_closed"
    ]
    assert closed["created_at"] == "2026-03-03T12:01:00+00:00"
