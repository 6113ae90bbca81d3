"""Health says what is missing; mend puts it back, and nothing else (RULES 14.1)."""

import houses
import psycopg
import pytest
from losses import LOSSES, SPOILT, One, database_of, superuser
from people import refused

WELL = {"status": "ok", "dawn_late_seconds": 0, "missing": []}


@pytest.fixture
def admin(house):
    return superuser(house)


def tables(house):
    """Every row of the house."""
    names = house.owner.sql("""
        select relname from pg_class
        where relnamespace = 'private'::regnamespace and relkind = 'r' order by 1
    """)
    return {one["relname"]: sorted(map(str, house.owner.read(one["relname"]))) for one in names}


def unwatched(admin, act):
    """Something happens in Auth while the triggers are off."""
    admin.sql("alter table auth.users disable trigger user")
    done = act()
    admin.sql("alter table auth.users enable trigger user")
    return done


def test_a_new_house_lacks_nothing(service):
    assert service.get_health() == WELL
    assert service.mend() == {"mended": [], "missing": []}


@pytest.mark.parametrize(
    ("need", "loss"), [*LOSSES.items(), *SPOILT.items()], ids=lambda words: words[:60]
)
def test_what_is_lost_is_named_and_put_back(service, admin, need, loss):
    admin.sql(loss)
    assert service.get_health() == WELL | {"status": "broken", "missing": [need]}
    assert service.mend() == {"mended": [need], "missing": []}
    assert service.get_health() == WELL
    assert service.mend() == {"mended": [], "missing": []}


def test_a_house_that_lost_everything_is_whole_after_one_call(
    server, house, service, admin, rain, asha, bram
):
    asha.declare_joy(community_id=rain, title="First rain", cc_spent=5)
    here = One(server.cluster, database_of(house))
    before, rows = houses.inventory(here), tables(house)
    for loss in LOSSES.values():
        admin.sql(loss)
    lost = list(houses.differences(before, houses.inventory(here)))
    assert len(lost) > len(LOSSES)

    assert service.get_health()["missing"] == list(LOSSES)
    assert service.mend() == {"mended": list(LOSSES), "missing": []}
    assert list(houses.differences(before, houses.inventory(here))) == []
    assert tables(house) == rows
    assert service.mend() == {"mended": [], "missing": []}


def test_profiles_auth_has_and_the_house_lacks_are_named_and_made(house, service, admin):
    people = unwatched(
        admin, lambda: [house.sign_up(f"p{n}@chas.test", f"Pim {n}") for n in range(23)]
    )
    ids = sorted(person.id for person in people)
    named = [*(f"profile {one}" for one in ids[:20]), "and 3 more"]
    assert service.get_health() == WELL | {"status": "broken", "missing": named}
    assert service.mend() == {"mended": named, "missing": []}
    assert service.get_health() == WELL
    names = {row["display_name"] for row in house.owner.read("users")}
    assert names == {f"Pim {n}" for n in range(23)}
    assert service.mend() == {"mended": [], "missing": []}


def test_people_auth_has_not_any_more_are_named_and_erased(house, service, admin, rain, asha, bram):
    bram.send_message(community_id=rain, content="Bram was here")
    unwatched(admin, lambda: admin.sql("delete from auth.users where id = %(id)s", id=bram.id))
    named = [f"erasure {bram.id}"]
    assert service.get_health()["missing"] == named
    assert service.mend() == {"mended": named, "missing": []}
    assert service.get_health() == WELL
    assert service.mend() == {"mended": [], "missing": []}
    told = str(asha.list_messages(community_id=rain))
    assert "Bram" not in told


def test_who_was_deleted_softly_meanwhile_is_erased_and_not_healed(house, service, admin, bram):
    unwatched(
        admin,
        lambda: admin.sql("update auth.users set deleted_at = now() where id = %(id)s", id=bram.id),
    )
    assert service.get_health()["missing"] == [f"erasure {bram.id}"]
    assert service.mend()["missing"] == []
    (row,) = house.owner.read("users", id=bram.id)
    assert row["erased_at"]


def test_what_is_missing_weighs_more_than_what_is_late(service, admin, rain, clock):
    clock.forward(days=3)
    assert service.get_health()["status"] == "late"
    admin.sql(LOSSES["job daily_reset"])
    told = service.get_health()
    assert (told["status"], told["dawn_late_seconds"] > 0) == ("broken", True)


def test_without_pg_cron_health_says_so_and_mend_does_the_rest(service, admin):
    admin.sql("drop extension pg_cron")
    admin.sql(LOSSES["trigger on_auth_user_created on auth.users"])
    gone = ["extension pg_cron", *(need for need in LOSSES if need.startswith("job "))]
    assert service.get_health() == WELL | {
        "status": "broken",
        "missing": [*gone, "trigger on_auth_user_created on auth.users"],
    }
    # Here only the superuser may make it, and in one database alone.
    assert service.mend() == {
        "mended": ["trigger on_auth_user_created on auth.users"],
        "missing": gone,
    }


def test_health_and_mend_are_the_services_alone(house, asha):
    for caller in (house.anon, asha):
        for door in ("get_health", "mend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                getattr(caller, door)()


def test_somebody_unhealed_is_nobody_until_they_may_write(house, admin):
    """The refusal is gone with the first call that may write."""
    late = unwatched(admin, lambda: house.sign_up("late@chas.test", "Late"))
    with refused("UNAUTHORIZED"):
        late.getting().get_me()
    late.get_access()
    (row,) = house.owner.read("users", id=late.id)
    assert row["display_name"] == "Late"
