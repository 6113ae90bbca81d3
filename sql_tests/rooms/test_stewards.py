"""What stewards do: people, a community's day, corrections, jobs; all told in the audit log."""

import uuid
from functools import partial

import pytest
from people import Caller, Refusal, Row, paged, refused, together

DAWN = "2026-03-03 00:00+00:00"


@pytest.fixture
def stella(sign_up, admit):
    """A steward by name."""
    return admit(sign_up("stella@chas.test", "Stella", steward=True))


def acts(service):
    return service.list_steward_acts()["acts"]


def told(service):
    return [act["action"] for act in acts(service)]


def audit(community, moderator):
    """What moderators see of it."""
    entries = moderator.list_audit(community_id=community)["entries"]
    return [entry["action"] for entry in entries if entry["action"].startswith("steward_")]


# ------------------------------------------------------------------------------ whose doors

DOORS: dict[str, Row] = {
    "find_people": {},
    "admit_person": {"user_id": str(uuid.UUID(int=1))},
    "suspend_person": {"user_id": str(uuid.UUID(int=1)), "reason": "Because"},
    "restore_person": {"user_id": str(uuid.UUID(int=1))},
    "inspect_community": {"community_id": str(uuid.UUID(int=1))},
    "settle_community": {"community_id": str(uuid.UUID(int=1))},
    "post_correction": {
        "community_id": str(uuid.UUID(int=1)),
        "user_id": str(uuid.UUID(int=1)),
        "amount": 1,
        "reason": "Because",
    },
    "seat_moderator": {
        "community_id": str(uuid.UUID(int=1)),
        "user_id": str(uuid.UUID(int=1)),
        "reason": "Because",
    },
    "list_job_runs": {},
    "get_jobs": {},
    "list_steward_acts": {},
}


@pytest.mark.parametrize("door", DOORS)
def test_nobody_but_the_service_may_knock(stella, door):
    """Not even a steward: their word goes through the edge or the command line."""
    with pytest.raises(Exception, match="permission denied"):
        getattr(stella, door)(**DOORS[door])


@pytest.mark.parametrize(
    "door",
    [
        *("admit_person", "suspend_person", "restore_person"),
        *("inspect_community", "settle_community", "post_correction", "seat_moderator"),
    ],
)
def test_what_is_unknown_is_not_found(service, door):
    with refused("NOT_FOUND"):
        getattr(service, door)(**DOORS[door])


def test_only_a_steward_acts_as_a_steward(service, stella, asha, bram, rain):
    service.admit_person(user_id=bram.id, steward_id=stella.id)
    acting: dict[str, Row] = {
        "admit_person": {"user_id": bram.id},
        "suspend_person": {"user_id": bram.id, "reason": "Because"},
        "restore_person": {"user_id": bram.id},
        "inspect_community": {"community_id": rain},
        "settle_community": {"community_id": rain},
        "post_correction": {
            "community_id": rain,
            "user_id": bram.id,
            "amount": 1,
            "reason": "Because",
        },
    }
    for door, arguments in acting.items():
        with refused("FORBIDDEN"):
            getattr(service, door)(**arguments, steward_id=asha.id)
    assert acts(service) == []


def test_acts_come_page_by_page(service, asha, rain):
    for _ in range(3):
        service.inspect_community(community_id=rain)
    ids = [act["id"] for act in paged(service.list_steward_acts, "acts", page_size=2)]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) == 3


# ------------------------------------------------------------------------------ people


def test_a_steward_lets_a_person_in_without_an_invite(service, stella, unadmitted):
    answer = service.admit_person(user_id=unadmitted.id, steward_id=stella.id)
    assert answer["person"]["standing"] == "admitted"
    assert unadmitted.get_me()["display_name"] == "Uma"

    service.admit_person(user_id=unadmitted.id)
    (act,) = acts(service)
    assert (act["action"], act["community_id"]) == ("steward_admitted", None)
    assert act["subject"]["id"] == unadmitted.id
    assert act["actor"]["id"] == stella.id


def test_which_steward_acted_is_in_nobodys_export_but_their_own(service, stella, rain, asha, bram):
    """As in the audit log: what was done and why is the member's affair, not by whom."""
    service.suspend_person(user_id=bram.id, reason="Asked to pause", steward_id=stella.id)
    service.restore_person(user_id=bram.id, steward_id=stella.id)
    service.post_correction(
        community_id=rain, user_id=bram.id, amount=-5, reason="Miscounted", steward_id=stella.id
    )
    mine = bram.export_my_data()
    (here,) = [one for one in mine["communities"] if one["community"]["id"] == rain]
    corrected = [one for one in here["audit"] if one["action"] == "steward_corrected"]
    assert [one["action"] for one in mine["audit"]] == ["steward_suspended", "steward_restored"]
    assert [one["actor_id"] for one in mine["audit"] + corrected] == [None] * 3
    assert stella.id not in str(mine)
    assert [one["actor_id"] for one in stella.export_my_data()["audit"]] == [stella.id] * 2


def test_a_suspension_bites_on_the_next_call_and_can_be_lifted(service, asha, rain):
    answer = service.suspend_person(user_id=asha.id, reason="Asked to pause")
    assert answer["person"]["standing"] == "suspended"
    with refused("INVITE_REQUIRED") as refusal:
        asha.get_balance(community_id=rain)
    assert "suspended" in refusal.message
    assert asha.get_access()["whitelisted"] is False
    assert asha.read("communities") == []
    with refused("CONFLICT"):
        service.admit_person(user_id=asha.id)

    assert service.restore_person(user_id=asha.id)["person"]["standing"] == "admitted"
    assert asha.get_balance(community_id=rain)["balance"]["remaining"] == 100
    assert told(service) == ["steward_restored", "steward_suspended"]
    assert acts(service)[1]["facts"] == {"reason": "Asked to pause"}
    assert acts(service)[1]["community_id"] is None


def test_a_suspension_holds_where_nobody_needs_an_invite(house, service, unadmitted):
    house.owner.sql("update private.settings set enforce_invites = false where true")
    assert unadmitted.get_me()["display_name"] == "Uma"

    service.suspend_person(user_id=unadmitted.id, reason="Because")
    with refused("INVITE_REQUIRED"):
        unadmitted.get_me()

    service.restore_person(user_id=unadmitted.id)
    assert unadmitted.get_me()["display_name"] == "Uma"
    house.owner.sql("update private.settings set enforce_invites = true where true")
    with refused("INVITE_REQUIRED"):
        unadmitted.get_me()


def test_suspending_or_restoring_twice_changes_nothing_more(service, asha):
    for reason in ("First", "Second"):
        service.suspend_person(user_id=asha.id, reason=reason)
    for _ in range(2):
        service.restore_person(user_id=asha.id)
    assert told(service) == ["steward_restored", "steward_suspended"]
    assert acts(service)[1]["facts"] == {"reason": "First"}


@pytest.fixture
def sign_up_again(house, service, sign_up):
    """They erase the account, Auth deletes the sign-in, and somebody signs up."""

    def do(person, email):
        service.erase_user(user_id=person.id)
        auth = Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")
        auth.sql("delete from auth.users where id = %(id)s", id=person.id)
        return sign_up(email, "Nobody new")

    return do


@pytest.mark.parametrize("address", ["bram@chas.test", " Bram@CHAS.test "])
def test_a_suspension_outlives_the_account(service, bram, sign_up_again, address):
    service.suspend_person(user_id=bram.id, reason="Abuse")
    again = sign_up_again(bram, address)

    with refused("INVITE_REQUIRED") as refusal:
        again.list_my_communities()
    assert "suspended" in refusal.message
    (invite,) = service.mint_invites(max_uses=5)["invites"]
    answer = service.redeem_invite(user_id=again.id, code=invite["code"])
    assert answer["refused"]["code"] == "FORBIDDEN"
    with refused("CONFLICT"):
        service.admit_person(user_id=again.id)
    (found,) = service.find_people(query=again.id)["people"]
    assert found["standing"] == "suspended"


def test_a_steward_lifts_a_suspension_that_outlived_the_account_for_good(
    house, service, bram, sign_up_again
):
    service.suspend_person(user_id=bram.id, reason="Abuse")
    again = sign_up_again(bram, bram.email)
    service.restore_person(user_id=again.id)
    (invite,) = service.mint_invites()["invites"]
    assert service.redeem_invite(user_id=again.id, code=invite["code"])["whitelisted"] is True
    assert again.list_my_communities() == {"communities": []}

    third = sign_up_again(again, bram.email)
    assert service.find_people(query=third.id)["people"][0]["standing"] == "waiting"
    assert house.owner.read("suspended_addresses") == []


def test_it_outlives_the_account_at_every_address_it_had_and_at_no_other(
    house, service, bram, sign_up_again, sign_up
):
    auth = Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")
    new = {"id": bram.id, "email": "bram.new@chas.test"}
    auth.sql("update auth.users set email = %(email)s where id = %(id)s", **new)
    service.suspend_person(user_id=bram.id, reason="Abuse")
    standings = [
        service.find_people(query=person.id)["people"][0]["standing"]
        for person in (
            sign_up_again(bram, "bram@chas.test"),
            sign_up("bram.new@chas.test", "Bram"),
            sign_up("abram@chas.test", "Abram"),
        )
    ]
    assert standings == ["suspended", "suspended", "waiting"]
    kept = house.owner.read("suspended_addresses")
    assert len(kept) == 2
    assert all(len(row["address_hash"]) == 32 for row in kept)


def test_a_missing_profile_heals_into_its_suspension(house, service, bram, sign_up_again):
    service.suspend_person(user_id=bram.id, reason="Abuse")
    superuser = Caller(house=house, role="supabase_admin", login="supabase_admin")
    superuser.sql("alter table auth.users disable trigger user")
    again = sign_up_again(bram, bram.email)
    (invite,) = service.mint_invites()["invites"]
    answer = service.redeem_invite(user_id=again.id, code=invite["code"])
    assert answer["refused"]["code"] == "FORBIDDEN"


def test_who_is_in_stays_in_whatever_address_they_take_over(house, service, asha, bram):
    """Bram's old address may come to belong to somebody else."""
    service.suspend_person(user_id=bram.id, reason="Abuse")
    service.erase_user(user_id=bram.id)
    auth = Caller(house=house, role="supabase_auth_admin", login="supabase_auth_admin")
    auth.sql("delete from auth.users where id = %(id)s", id=bram.id)
    auth.sql("update auth.users set email = 'bram@chas.test' where id = %(id)s", id=asha.id)
    assert asha.get_me()["email"] == "bram@chas.test"


def test_two_codes_at_once_let_nobody_in_who_is_suspended_still(service, bram, sign_up_again):
    service.suspend_person(user_id=bram.id, reason="Abuse")
    again = sign_up_again(bram, bram.email)
    invites = service.mint_invites(count=2)["invites"]
    answers = together(
        *(
            partial(service.redeem_invite, user_id=again.id, code=invite["code"])
            for invite in invites
        )
    )
    assert [answer["refused"]["code"] for answer in answers] == ["FORBIDDEN"] * 2
    assert [one["uses"] for one in service.list_invites()["invites"]][:2] == [0, 0]


def test_a_suspension_needs_a_reason(service, asha):
    for reason in (" ", "x" * 281, None):
        with refused("INVALID_INPUT", field="reason"):
            service.suspend_person(user_id=asha.id, reason=reason)


def test_what_stewards_did_to_me_is_in_my_export(service, asha):
    service.suspend_person(user_id=asha.id, reason="Asked to pause")
    service.restore_person(user_id=asha.id)
    actions = [entry["action"] for entry in asha.export_my_data()["audit"]]
    assert actions == ["steward_suspended", "steward_restored"]


def test_people_are_found_by_name_id_or_whole_address(service, asha, bram, rain):
    def found(query):
        return [person["id"] for person in service.find_people(query=query)["people"]]

    assert found("ASH") == [asha.id]
    assert found(bram.id) == [bram.id]
    assert found("Bram@chas.test") == [bram.id]
    assert found("bram@chas") == found("%") == found("nobody") == []

    (person,) = service.find_people(query="asha")["people"]
    assert "chas.test" not in str(person), "nobody but its owner sees an e-mail address"
    assert person["communities"] == [
        {"id": rain, "name": "Rain", "roles": ["member", "moderator"]},
    ]


def test_everybody_is_found_once_page_by_page(service, sign_up):
    everybody = {sign_up(f"p{n}@chas.test").id for n in range(5)}
    people = paged(service.find_people, "people", page_size=2)
    assert len(people) == len(everybody)
    assert {person["id"] for person in people} == everybody
    with refused("NOT_FOUND"):
        service.find_people(before_id=str(uuid.uuid4()))
    with refused("INVALID_INPUT"):
        service.find_people(page_size=0)


def test_the_erased_are_not_found(service, asha):
    service.erase_user(user_id=asha.id)
    assert service.find_people()["people"] == []
    with refused("NOT_FOUND"):
        service.admit_person(user_id=asha.id)


# ------------------------------------------------------------------------------ a community's day


def test_a_community_is_shown_as_it_is_and_not_settled(service, clock, asha, bram, rain):
    clock.at("2026-03-03 00:10+00:00")
    shown = service.inspect_community(community_id=rain)

    assert shown["calendar"]["day"] == "2026-03-02"
    assert shown["calendar"]["late_seconds"] == 660, "since Sunset"
    assert {member["user"]["id"] for member in shown["members"]} == {asha.id, bram.id}
    assert "invite_code" not in shown["community"]
    assert shown["books"]["balanced"]
    assert shown["books"]["purses"] == 200
    assert shown["runs"] == shown["troubles"] == []
    assert audit(rain, asha) == ["steward_inspected"]
    assert service.inspect_community(community_id=rain, prove_books=False)["books"] is None


def test_a_steward_does_what_is_overdue_once(service, clock, asha, bram, rain, books):
    clock.at(DAWN)
    answers = [service.settle_community(community_id=rain) for _ in range(2)]

    assert [answer["calendar"]["day"] for answer in answers] == ["2026-03-03"] * 2
    assert [sum(run["rows"] for run in answer["runs"]) for answer in answers] == [4, 0]
    assert audit(rain, asha) == ["steward_settled"] * 2
    assert books(rain)["expired"] == 200


def test_time_is_never_moved(service, rain):
    before = service.inspect_community(community_id=rain)["calendar"]
    assert service.settle_community(community_id=rain)["calendar"] == before


def test_what_fails_is_told_and_tried_again_at_once_when_it_is_mended(
    house, service, clock, asha, rain
):
    house.owner.sql(
        "alter table private.ledger_entries add constraint broken check (id < 0) not valid"
    )
    clock.at(DAWN)
    failed = {
        run["job"]
        for run in service.settle_community(community_id=rain)["runs"]
        if "broken" in (run["error"] or "")
    }
    assert failed >= {"daily_sunset", "daily_reset"}
    assert {
        trouble["job"] for trouble in service.inspect_community(community_id=rain)["troubles"]
    } == failed
    assert {run["job"] for run in service.list_job_runs(failed_only=True)["runs"]} == failed

    house.owner.sql("alter table private.ledger_entries drop constraint broken")
    assert service.settle_community(community_id=rain)["calendar"]["day"] == "2026-03-03"
    assert service.inspect_community(community_id=rain)["troubles"] == []


# ------------------------------------------------------------------------------ corrections


def correct(service, rain, person, amount, **more):
    return service.post_correction(
        community_id=rain, user_id=person.id, amount=amount, reason="A bug took it", **more
    )


@pytest.mark.parametrize(
    ("amount", "minted", "forfeited"), [(25, 225, 0), (-25, 200, 25), (-100, 200, 100)]
)
def test_a_correction_is_a_new_entry(service, asha, bram, rain, books, amount, minted, forfeited):
    answer = correct(service, rain, bram, amount)

    assert answer["balance"]["remaining"] == 100 + amount
    assert answer["balance"]["spent_today"] == 0
    entry, first = bram.list_ledger(community_id=rain)["entries"]
    assert (entry["type"], entry["amount"], entry["balance_after"]) == (
        "correction",
        amount,
        100 + amount,
    )
    assert entry["reference_id"] == answer["correction_id"]
    assert first["type"] == "daily_reset"
    totals = books(rain)
    assert (totals["minted"], totals["forfeited"]) == (minted, forfeited)


def test_a_correction_is_told_to_the_member_the_chamber_and_the_audit_log(
    service, stella, asha, bram, rain
):
    correct(service, rain, bram, 5, steward_id=stella.id)

    line = asha.list_messages(community_id=rain)["messages"][-1]
    assert (line["event"], line["user"]) == ("balance_corrected", None)
    assert "“Bram”" in line["content"]
    assert "“A bug took it”" in line["content"]
    assert line["facts"] == {
        "user_id": bram.id,
        "amount": 5,
        "reason_id": line["facts"]["reason_id"],
        "reason": "A bug took it",
    }
    (notice,) = bram.list_notifications()["notifications"]
    assert (notice["facts"]["amount"], notice["body"]) == (5, "“A bug took it”")
    entry = asha.list_audit(community_id=rain)["entries"][0]
    assert (entry["action"], entry["subject"]["id"]) == ("steward_corrected", bram.id)
    assert (entry["facts"]["amount"], entry["facts"]["reason_id"]) == (
        5,
        line["facts"]["reason_id"],
    )
    assert acts(service)[0]["facts"]["reason"] == "A bug took it"
    assert entry["actor"] is None  # which steward it was is the Bureau's affair
    assert acts(service)[0]["actor"]["id"] == stella.id


def test_no_correction_takes_what_is_not_there(service, bram, rain, books):
    with refused("INSUFFICIENT_CC", short_by=1, largest_possible=100):
        correct(service, rain, bram, -101)
    assert len(bram.list_ledger(community_id=rain)["entries"]) == 1
    assert acts(service) == []
    books(rain)


def test_a_correction_needs_an_amount_a_reason_and_a_member(service, stranger, bram, rain):
    for amount in (0, None, 1_000_001, -1_000_001):
        with refused("INVALID_INPUT", field="amount"):
            correct(service, rain, bram, amount)
    for reason in ("", "\u00a0", "x" * 281, None):
        with refused("INVALID_INPUT", field="reason"):
            service.post_correction(community_id=rain, user_id=bram.id, amount=1, reason=reason)
    with refused("NOT_FOUND"):
        correct(service, rain, stranger, 1)
    bram.leave_community(community_id=rain)
    with refused("NOT_FOUND"):
        correct(service, rain, bram, 1)


def test_a_correction_in_the_night_expires_before_the_next_grant(service, clock, bram, rain, books):
    clock.at("2026-03-02 23:59:30+00:00")
    assert correct(service, rain, bram, 7)["balance"]["remaining"] == 7
    clock.at(DAWN)
    assert bram.get_balance(community_id=rain)["balance"]["remaining"] == 100
    assert books(rain)["expired"] == 207


def test_the_same_request_is_one_correction(service, asha, bram, rain, books):
    request = str(uuid.uuid4())
    first = correct(service, rain, bram, 5, request_id=request)
    assert correct(service, rain, bram, 5, request_id=request) == first
    with refused("CONFLICT"):
        correct(service, rain, bram, 6, request_id=request)
    assert books(rain)["minted"] == 205


def test_of_two_corrections_at_once_the_second_finds_the_purse_empty(service, bram, rain, books):
    outcomes = together(*[lambda: correct(service, rain, bram, -60)] * 2)
    (failure,) = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert failure.code == "INSUFFICIENT_CC"
    assert books(rain)["forfeited"] == 60


def test_one_request_sent_twice_at_once_is_one_correction(service, bram, rain, books):
    request = str(uuid.uuid4())
    first, second = together(*[lambda: correct(service, rain, bram, 5, request_id=request)] * 2)
    assert first == second
    assert books(rain)["minted"] == 105 + 100


def test_an_erased_member_is_named_in_no_correction(service, asha, bram, rain):
    correct(service, rain, bram, 5)
    service.erase_user(user_id=bram.id)
    (content,) = [
        line["content"]
        for line in asha.list_messages(community_id=rain)["messages"]
        if line["event"] == "balance_corrected"
    ]
    assert "a former member" in content
    assert "“A bug took it”" in content
    assert "Bram" not in content


# ------------------------------------------------------------------------------ jobs


def test_jobs_tell_how_late_they_are(house, service, clock, rain):
    def jobs():
        return {job["name"]: job for job in service.get_jobs()["jobs"]}

    assert set(jobs()) == {
        *("daily_reset", "daily_sunset", "weekly_jashn"),
        *("tip_to_tip_expiry", "election_close", "last_light", "housekeeping"),
    }
    assert all(job["late_seconds"] == 0 and job["active"] for job in jobs().values())

    clock.at("2026-03-03 00:10+00:00")
    assert jobs()["daily_reset"]["late_seconds"] == 600
    assert jobs()["daily_sunset"]["late_seconds"] == 660
    service.settle_community(community_id=rain)
    assert jobs()["daily_reset"]["late_seconds"] == 0


def test_jobs_tell_what_failed(house, service, clock, rain):
    house.owner.sql(
        "alter table private.ledger_entries add constraint broken check (id < 0) not valid"
    )
    clock.at(DAWN)
    house.owner.sql("select private.daily_reset(%(now)s)", now=clock.now)

    (run,) = service.list_job_runs(job="daily_reset", failed_only=True)["runs"]
    assert (run["community_id"], run["rows"]) == (rain, None)
    assert "broken" in run["error"]
    assert service.list_job_runs(job="daily_sunset")["runs"] == []
    (reset,) = [job for job in service.get_jobs()["jobs"] if job["name"] == "daily_reset"]
    assert reset["communities_in_trouble"] == 1


def test_runs_come_page_by_page(service, rain):
    for _ in range(2):
        service.settle_community(community_id=rain)
    runs = paged(service.list_job_runs, "runs", page_size=3)
    assert len({run["id"] for run in runs}) == len(runs) == 12
