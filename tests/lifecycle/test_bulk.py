"""Jobs that COPY stores are the rows that an INSERT makes, all of them or none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban
from oban_sync.errors import ArgsError, SchemaMissing
from oban_sync.lifecycle import bulk, enqueue
from oban_sync.store import handles
from oban_sync.store.statements import Statements

ODD = "tab\tline\nreturn\rback\\slash 'single' \"double\" {brace} \\N \\. , é 💡"
COLUMNS = (
    "worker, queue, args, meta, errors::text, tags, priority, max_attempts, attempt, state::text, attempted_by, "
    "scheduled_at > inserted_at AS later"
)


def odd_jobs() -> list[Job]:
    at = datetime(2040, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
    return [
        Job("w", args={"plain": 1}),
        Job(ODD[:100], queue=ODD[:60], args={ODD: [ODD, {"deep": ODD}]}, meta={"note": ODD}, tags=[ODD, "a,b", ""]),
        Job("w", priority=9, max_attempts=1, scheduled_at=at),
        Job("w", scheduled_in=3600.5, tags=["b", "a"]),
        Job("w", state="suspended"),
        Job("w", inserted_at=at, attempt=3),
        Job("w", scheduled_at=datetime(1999, 1, 1, tzinfo=UTC)),
    ]


def filled(jobs: list[Job]) -> list[Job]:
    return [*jobs, *(Job("w", args={"n": n}) for n in range(bulk.FEWEST))]


@pytest.fixture
def connection(dsn: str) -> Any:
    with psycopg.connect(dsn) as connection:
        yield connection


def test_copied_rows_are_inserted_rows(
    connection: psycopg.Connection[Any], statements: Statements, rows: Callable[..., Any]
) -> None:
    handle = handles.adapt(connection)
    copied = bulk.copy(odd_jobs(), handle, statements, max_bytes=10**6)
    inserted = enqueue.insert(enqueue.encode(odd_jobs(), max_bytes=10**6, quiet=False), handle, statements)
    connection.commit()
    assert rows(COLUMNS, *[job.id for job in copied]) == rows(COLUMNS, *[job.id for job in inserted])


def test_rows_of_jobs_that_come_alone_are_those_of_jobs_together(
    connection: psycopg.Connection[Any], statements: Statements, rows: Callable[..., Any]
) -> None:
    def jobs() -> list[Job]:
        return [
            *odd_jobs(),
            Job(ODD[:100], queue=ODD[:60], args={ODD: [ODD]}, meta={ODD: 1}, priority=9, max_attempts=3),
        ]

    handle = handles.adapt(connection)
    together = enqueue.enqueue(jobs(), handle, statements, max_bytes=10**6)
    alone = [made for job in jobs() for made in enqueue.enqueue([job], handle, statements, max_bytes=10**6)]
    connection.commit()
    columns = f"{COLUMNS}, scheduled_at = inserted_at AS ready"
    assert rows(columns, *[job.id for job in alone]) == rows(columns, *[job.id for job in together])


def test_jobs_show_what_their_rows_say(oban: Oban, rows: Callable[..., Any]) -> None:
    jobs = oban.enqueue_many(filled(odd_jobs()))
    shown = [
        (job.id, str(job.state), job.inserted_at.replace(tzinfo=None), job.scheduled_at.replace(tzinfo=None))
        for job in jobs
        if job.inserted_at is not None and job.scheduled_at is not None
    ]
    assert shown == rows("id, state::text, inserted_at, scheduled_at")


def test_a_bad_job_among_many_stores_none(oban: Oban, db: psycopg.Connection[Any]) -> None:
    jobs = [*filled([]), Job("w", args={"x": float("nan")})]
    with pytest.raises(ArgsError, match=r"expected args\.x to be a finite number, got nan; nothing was written"):
        oban.enqueue_many(jobs)
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
    assert {job.id for job in jobs} == {None}
    assert len(oban.enqueue_many(jobs[:-1])) == bulk.FEWEST


def test_a_bad_job_among_many_leaves_the_callers_transaction_alive(
    oban: Oban, connection: psycopg.Connection[Any], db: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TEMPORARY TABLE notes (note text)")
    with pytest.raises(ArgsError):
        oban.enqueue_many(filled([Job("w", args={"x": "\0"})]), conn=connection)
    oban.enqueue_many(filled([]), conn=connection)
    connection.commit()
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (bulk.FEWEST,)


def test_a_rolled_back_bulk_leaves_nothing(
    oban: Oban, connection: psycopg.Connection[Any], db: psycopg.Connection[Any]
) -> None:
    oban.enqueue_many(filled([]), conn=connection)
    connection.rollback()
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)


def test_schedulers_hear_of_what_is_due_soon(oban: Oban, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute(f'LISTEN "{Statements().due_channel}"')
        listener.execute(f'LISTEN "{Statements().insert_channel}"')
        soon = datetime.now(UTC) + timedelta(seconds=5)
        oban.enqueue_many(filled([Job("w", scheduled_in=3600), Job("w", scheduled_at=soon, queue="later")]))
        heard = {notify.channel: notify.payload for notify in listener.notifies(timeout=10, stop_after=2)}
    assert float(heard[Statements().due_channel]) == pytest.approx(soon.timestamp(), abs=0.001)
    assert heard[Statements().insert_channel] == '{"queue" : "default"}'


def test_missing_tables_are_told(empty_dsn: str) -> None:
    client = Oban(dsn=empty_dsn)
    with pytest.raises(SchemaMissing, match="oban-sync install"):
        client.enqueue_many(filled([]))
    client.stop()


class Urgency(int, Enum):
    HIGH = 1


@pytest.mark.parametrize("count", [1, 2, bulk.FEWEST])
def test_an_enum_that_is_a_number_is_stored_as_one(oban: Oban, count: int, db: psycopg.Connection[Any]) -> None:
    oban.enqueue_many(Job("w", priority=Urgency.HIGH, max_attempts=Urgency.HIGH) for _ in range(count))
    oban.enqueue_many(Job("w", priority=1, max_attempts=1) for _ in range(count))
    found = db.execute("SELECT priority, max_attempts, count(*) FROM oban_jobs GROUP BY 1, 2").fetchall()
    assert found == [(1, 1, 2 * count)]
