"""What an operator asks: every question has an answer, for the role of the hosted SQL editor."""

import psycopg
import pytest
from cluster import ROOT
from people import meanwhile
from pglast import parse_sql

QUESTIONS = {path.stem: path for path in (ROOT / "supabase" / "inspect").glob("*.sql")}


@pytest.fixture
def ask(house):
    def ask(name):
        """Its rows, asked as `postgres`, which is no superuser."""
        return house.owner.sql(QUESTIONS[name].read_text())

    return ask


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_every_question_is_one_statement_with_an_answer_and_says_what_it_asks(ask, name, rain):
    text = QUESTIONS[name].read_text()
    assert text.startswith("-- ")
    assert "?" in text.partition("\n")[0]
    assert len(parse_sql(text)) == 1, "the SQL editor shows the answer of the last statement only"
    ask(name)


def test_questions_are_numbered_without_a_gap():
    numbers = [name.partition("_")[0] for name in sorted(QUESTIONS)]
    assert numbers == [f"{n:02}" for n in range(1, len(numbers) + 1)]


def test_slow_rpcs_are_told_by_their_names(house, ask):
    house.service.sql('select "public"."get_health"() as pgrst_scalar')
    assert "get_health" in {row["rpc"] for row in ask("01_slowest_rpcs")}


def test_a_late_dawn_is_told(ask, rain):
    """The days of the tests are long past, so everything is late."""
    (late,) = ask("02_late_dawns")
    assert (str(late["id"]), late["due"]) == (rain, "Sunset")


def test_a_failed_job_is_told(house, ask, rain):
    house.owner.sql(
        "alter table private.ledger_entries add constraint broken check (id < 0) not valid"
    )
    house.owner.sql("select private.daily_reset(now())")
    (failed,) = ask("03_failed_jobs")
    assert (failed["job"], failed["times"], failed["communities"]) == ("daily_reset", 1, 1)
    assert "broken" in failed["error"]
    assert failed["retry_at"] is not None


def test_who_waits_for_whom_is_told(house, ask, rain):
    change = "update private.communities set name = name where id = %s"
    url = house.address("postgres")
    with psycopg.connect(url) as holder, psycopg.connect(url) as waiter:
        holder.execute(change, [rain])
        with meanwhile(lambda: waiter.execute(change, [rain])):
            while not (rows := ask("05_lock_waits")):
                pass
            holder.rollback()
        (row,) = rows
        assert row["waiting"] == waiter.info.backend_pid
        assert row["blocked_by"] == holder.info.backend_pid
    assert row["who_is"] == "idle in transaction"
