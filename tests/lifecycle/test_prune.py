"""Which jobs are deleted, in which steps, and what never is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync import Oban, config
from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle import rescue
from oban_sync.lifecycle.prune import Pruner, sweeps
from oban_sync.store import filters
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def ended(db: psycopg.Connection) -> Callable[..., None]:
    """Insert jobs that ended so many seconds ago."""

    def insert(state: str, age: float, *, queue: str = "default", count: int = 1, step: float = 1e-6) -> None:
        db.execute(
            f"INSERT INTO oban_jobs (worker, queue, state, {state}_at) SELECT 'w', %s, %s::oban_job_state,"
            " timezone('UTC', clock_timestamp()) - make_interval(secs => %s + n * %s) FROM generate_series(1, %s) n",
            (queue, state, age, step, count),
        )

    return insert


@pytest.fixture
def pruned(link: Link, statements: Statements) -> Callable[..., int]:
    """Prune until nothing is left to do, and give the number of statements."""

    def run(pruner: Pruner | None = None, **given: Any) -> int:
        pruner = pruner or policy(**given)
        steps = 0
        while pruner.step(link, statements):
            steps += 1
        return steps

    return run


def policy(**given: Any) -> Pruner:
    retention = config.config(pruner=given).retention
    assert retention is not None
    return Pruner(retention)


def left(db: psycopg.Connection) -> list[tuple[Any, ...]]:
    return db.execute("SELECT queue, state::text, count(*) FROM oban_jobs GROUP BY 1, 2 ORDER BY 1, 2").fetchall()


def test_jobs_that_ended_a_day_ago_are_deleted_and_no_other(
    ended: Callable[..., None], pruned: Callable[..., int], db: psycopg.Connection
) -> None:
    for state in ("completed", "cancelled", "discarded"):
        ended(state, DAY + 1)
        ended(state, DAY - 60)
    db.execute(
        "INSERT INTO oban_jobs (worker, state, inserted_at, scheduled_at, completed_at)"
        " SELECT 'w', state, '2000-01-01', '2000-01-01', '2000-01-01' FROM unnest(enum_range(NULL::oban_job_state))"
        " AS state WHERE state NOT IN ('completed', 'cancelled', 'discarded')"
    )
    pruned()
    states = ("available", "cancelled", "completed", "discarded", "executing", "retryable", "scheduled", "suspended")
    assert sorted(left(db)) == [("default", state, 1) for state in states]


def test_states_and_queues_have_ages_of_their_own(
    ended: Callable[..., None], pruned: Callable[..., int], db: psycopg.Connection
) -> None:
    for queue in ("default", "mail", "audit"):
        for state in ("completed", "discarded"):
            for age in (2 * HOUR, 2 * DAY):
                ended(state, age, queue=queue)
    pruned(max_age={"completed": HOUR}, queues={"mail": 3 * DAY, "audit": {"completed": "infinity", "discarded": 60}})
    assert left(db) == [
        ("audit", "completed", 2),
        ("default", "discarded", 1),
        ("mail", "completed", 2),
        ("mail", "discarded", 2),
    ]


def test_a_batch_is_bounded_and_the_next_goes_on_behind_what_is_kept(
    ended: Callable[..., None], pruned: Callable[..., int], db: psycopg.Connection
) -> None:
    ended("completed", 2 * DAY, queue="kept", count=50)
    ended("completed", 2 * DAY - 60, count=50)
    assert pruned(limit=10, queues={"kept": "infinity"}) >= 10
    assert left(db) == [("kept", "completed", 50)]


def test_jobs_that_ended_in_one_instant_and_are_kept_hide_no_other(
    ended: Callable[..., None], pruned: Callable[..., int], db: psycopg.Connection
) -> None:
    ended("completed", 2 * DAY, queue="kept", count=100, step=0)
    db.execute(
        "INSERT INTO oban_jobs (worker, state, completed_at) SELECT 'w', 'completed', min(completed_at) FROM oban_jobs"
    )
    ended("completed", 2 * DAY - 60)
    pruned(limit=8, queues={"kept": "infinity"})
    assert left(db) == [("kept", "completed", 100)]


def test_a_row_that_somebody_holds_is_passed_over(
    ended: Callable[..., None], pruned: Callable[..., int], db: psycopg.Connection, dsn: str
) -> None:
    ended("completed", 2 * DAY, count=3)
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM oban_jobs WHERE id = 2 FOR UPDATE")
        pruned()
        assert db.execute("SELECT id FROM oban_jobs").fetchall() == [(2,)]


def test_a_batch_that_is_refused_keeps_no_other_state_from_being_pruned(
    ended: Callable[..., None], pruned: Callable[..., int], db: psycopg.Connection
) -> None:
    for state in ("completed", "cancelled", "discarded"):
        ended(state, 2 * DAY, count=3)
    db.execute("CREATE TABLE receipts (job bigint REFERENCES oban_jobs (id))")
    try:
        db.execute("INSERT INTO receipts SELECT id FROM oban_jobs WHERE state = 'completed' LIMIT 1")
        pruner = policy()
        with pytest.raises(DatabaseRefused, match="receipts"):
            pruned(pruner)
        pruned(pruner)
        assert left(db) == [("default", "completed", 3)]
        with pytest.raises(DatabaseRefused, match="receipts"):
            pruned(pruner)
        db.execute("DELETE FROM receipts")
        for _ in range(2):
            pruned(pruner)
        assert left(db) == []
    finally:
        db.execute("DROP TABLE receipts")


def test_a_batch_uses_the_index_of_its_state(
    ended: Callable[..., None], link: Link, statements: Statements, db: psycopg.Connection
) -> None:
    for state in ("completed", "cancelled", "discarded"):
        ended(state, HOUR, count=5000)
    db.execute("ANALYZE oban_jobs")
    for sweep in sweeps(config.config().retention):
        params = {"since": "-infinity", "age": DAY, "queues": [], "only": False, "limit": 1000}
        explain = f"EXPLAIN {filters.ended(statements, 'prune_jobs', sweep.state)}"
        plan = "\n".join(row[0] for row in link.execute(explain, params))
        assert f"Index Scan using oban_jobs_{sweep.state}_at_index" in plan, plan


def test_the_leader_prunes_and_pruner_false_keeps_all(
    dsn: str, ended: Callable[..., None], db: psycopg.Connection, eventually: Any
) -> None:
    ended("completed", 2 * DAY, count=2500)
    with Oban(dsn=dsn, name="keeper", queues={"default": 1}, pruner=False) as keeper:
        eventually(lambda: keeper.is_leader)
        with Oban(dsn=dsn, queues={"default": 1}, pruner={"interval": 3600}):
            eventually(lambda: left(db) == [])


def test_a_pruned_job_that_was_retried_meanwhile_stays(
    ended: Callable[..., None], pruned: Callable[..., int], db: psycopg.Connection
) -> None:
    ended("completed", 2 * DAY)
    db.execute("UPDATE oban_jobs SET state = 'available'")
    pruned()
    assert left(db) == [("default", "available", 1)]


def test_silent_queues_of_other_libraries_are_forgotten_once_they_hold_no_job(
    link: Link, statements: Statements, db: psycopg.Connection, executing: Callable[..., list[int]]
) -> None:
    holder, silent, fresh, ours = (f"{n}1111111-2222-4333-8444-555555555555" for n in range(4))
    for uuid, age, meta in (
        (holder, 100, "{}"),
        (silent, 100, "{}"),
        (fresh, 5, "{}"),
        (ours, 100, '{"oban_sync": 0}'),
    ):
        db.execute(
            "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at)"
            " VALUES (%s, 'n', 'q', %s, timezone('UTC', clock_timestamp()) - make_interval(secs => %s))",
            (uuid, meta, age),
        )
    executing(holder)
    rescue.forget_lost(link, statements, max_age=60)
    assert {str(uuid) for (uuid,) in db.execute("SELECT uuid FROM oban_producers")} == {holder, fresh, ours}
