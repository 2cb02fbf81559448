"""Ends of runs are written in groups, only by who holds the job, and a bad one costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle.ack import ack, ack_free
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

OWNER, OTHER = "0ba5c0de-0000-8000-8000-000000000001", "0ba5c0de-0000-8000-8000-000000000002"
ENDS = [
    Outcome(0, 1, "completed"),
    Outcome(0, 1, "completed", meta=b'{"recorded":true}'),
    Outcome(0, 1, "retryable", delay=5.5, error="no"),
    Outcome(0, 1, "discarded", error="no"),
    Outcome(0, 1, "cancelled", error="no"),
    Outcome(0, 1, "scheduled", attempt_change=-1, delay=5.0, meta=b'{"snoozed":1}'),
]


@pytest.mark.parametrize("end", ENDS, ids=[f"{end.state}-{bool(end.meta)}" for end in ENDS])
def test_every_end_is_written_once(
    link: Link, statements: Statements, executing: Callable[..., list[int]], rows: Callable[..., Any], end: Outcome
) -> None:
    (id,) = executing(OWNER)
    for lost in (0, 1):  # an answer that was lost is asked for again
        assert ack(link, [end._replace(id=id)], statements, OWNER) == (lost, [])
    state, attempt, errors, stamped = rows(
        "state::text, attempt, errors, (completed_at IS NOT NULL)::int + (cancelled_at IS NOT NULL)::int * 2"
        " + (discarded_at IS NOT NULL)::int * 4"
    )[0]
    assert (state, attempt) == (end.state, 1 + end.attempt_change)
    assert [(error["attempt"], error["error"]) for error in errors] == ([(1, end.error)] if end.error else [])
    assert stamped == {"completed": 1, "cancelled": 2, "discarded": 4}.get(end.state, 0)


@pytest.mark.parametrize("end", ENDS, ids=[f"{end.state}-{bool(end.meta)}" for end in ENDS])
@pytest.mark.parametrize("change", ["another owner", "another attempt", "ended"])
def test_a_lost_job_is_left_alone(
    link: Link,
    statements: Statements,
    executing: Callable[..., list[int]],
    rows: Callable[..., Any],
    db: psycopg.Connection,
    end: Outcome,
    change: str,
) -> None:
    (id,) = executing(OTHER if change == "another owner" else OWNER)
    if change == "another attempt":
        db.execute("UPDATE oban_jobs SET attempt = 2")
    if change == "ended":
        db.execute("UPDATE oban_jobs SET state = 'available'")
    before = rows("*")
    assert ack(link, [end._replace(id=id)], statements, OWNER) == (1, [])
    assert rows("*") == before


def test_a_group_is_written_although_one_of_it_cannot_be_stored(
    link: Link, statements: Statements, executing: Callable[..., list[int]], rows: Callable[..., Any]
) -> None:
    ids = executing(OWNER, 100)
    outcomes = [Outcome(id, 1, "completed", meta=b'{"n":1}') for id in ids]
    outcomes[57] = outcomes[57]._replace(meta=b'{"n":"\\u0000"}')
    assert ack(link, outcomes, statements, OWNER) == (0, [])
    states = dict(rows("id, state::text"))
    assert [id for id in ids if states[id] != "completed"] == [ids[57]]
    state, errors = rows("state::text, errors", ids[57])[0]
    assert state == "retryable"
    assert "could not be stored" in errors[0]["error"]


def test_a_row_that_another_session_holds_costs_only_its_own_job(
    dsn: str, statements: Statements, executing: Callable[..., list[int]], rows: Callable[..., Any]
) -> None:
    ids = executing(OWNER, 5)
    outcomes = [Outcome(id, 1, "completed") for id in ids]
    link = Link(dsn, name="oban_sync:test", lock_timeout="50ms")
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (ids[2],))
        assert ack(link, outcomes, statements, OWNER) == (0, [outcomes[2]])
        assert ack_free(link, [outcomes[2]], statements, OWNER) == (0, [outcomes[2]])
        assert rows("state::text") == [("completed",)] * 2 + [("executing",)] + [("completed",)] * 2
        other.rollback()
        other.execute("LOCK TABLE oban_jobs IN SHARE MODE")
        with pytest.raises(DatabaseRefused, match="lock timeout"):
            ack_free(link, [outcomes[2]], statements, OWNER)
    assert ack_free(link, [outcomes[2]], statements, OWNER) == (0, [])
    assert rows("state::text", ids[2]) == [("completed",)]
    link.close()


def test_a_job_of_which_nothing_can_be_stored_is_kept(
    link: Link, statements: Statements, executing: Callable[..., list[int]], rows: Callable[..., Any], db: Any
) -> None:
    ids = executing(OWNER, 5)
    db.execute(f"ALTER TABLE oban_jobs ADD CONSTRAINT bad CHECK (id <> {ids[1]} OR state = 'executing')")
    try:
        written = ack(link, [Outcome(id, 1, "completed") for id in ids], statements, OWNER)
        assert written == (0, [Outcome(ids[1], 1, "completed")])
        assert [state for (state,) in rows("state::text")].count("completed") == 4
    finally:
        db.execute("ALTER TABLE oban_jobs DROP CONSTRAINT bad")


def test_a_refusal_that_is_not_in_the_values_is_raised(
    link: Link, statements: Statements, executing: Callable[..., list[int]], db: psycopg.Connection
) -> None:
    db.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END $$"
    )
    db.execute("CREATE TRIGGER full_disk BEFORE UPDATE ON oban_jobs EXECUTE FUNCTION full_disk()")
    try:
        with pytest.raises(DatabaseRefused, match="full"):
            ack(link, [Outcome(id, 1, "completed") for id in executing(OWNER, 2)], statements, OWNER)
    finally:
        db.execute("DROP TRIGGER full_disk ON oban_jobs")
        db.execute("DROP FUNCTION full_disk()")


def test_a_group_of_nothing_asks_nothing(link: Link, statements: Statements) -> None:
    assert ack(link, [], statements, OWNER) == (0, [])
    assert not link.connected
