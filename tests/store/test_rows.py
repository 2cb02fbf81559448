"""Rows and jobs: what an INSERT is given, and what a fetched row becomes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from oban_sync import Job, JobState, Oban
from oban_sync.errors import ArgsError, JobError
from oban_sync.lifecycle import fetch
from oban_sync.lifecycle.run import Place
from oban_sync.store import rows
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

PLACE = Place("default", "node", "0ba5c0de-0000-8000-8000-000000000000")


@pytest.fixture
def link(dsn: str) -> Iterator[Link]:
    link = Link(dsn, name="oban_sync:test")
    yield link
    link.close()


def take(link: Link) -> tuple[Any, ...]:
    """Fetch one row as a queue does."""
    (row,) = link.execute(*fetch.call(PLACE, 1, 1, Statements()))
    return row


def fetched(row: tuple[Any, ...]) -> Job:
    return rows.fetched(row, queue=PLACE.queue, node=PLACE.node, owner=PLACE.owner)


def insertable(job: Job, **options: Any) -> dict[str, Any]:
    """Give what the INSERT reads."""
    made = rows.insertable(job, **{"max_bytes": 1000, "quiet": False, **options})
    return dict(orjson.loads(orjson.dumps(made)))


# To a row ------------------------------------------------------------------------------------------------------------


def test_what_the_columns_default_to_is_left_out() -> None:
    assert insertable(Job("w")) == {"worker": "w", "queue": "default", "args": {}}


def test_everything_else_is_in_the_row() -> None:
    job = Job(
        "w",
        queue="mail",
        args={"a": 1},
        meta={"m": [1]},
        tags=["x"],
        priority=3,
        attempt=2,
        max_attempts=5,
        state="suspended",
        inserted_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    )
    assert insertable(job, quiet=True) == {
        "worker": "w",
        "queue": "mail",
        "args": {"a": 1},
        "meta": {"m": [1]},
        "tags": ["x"],
        "priority": 3,
        "attempt": 2,
        "max_attempts": 5,
        "state": "suspended",
        "inserted_at": "2026-01-01T12:00:00",
        "quiet": True,
    }


def test_a_delay_travels_as_a_delay_and_an_instant_as_one() -> None:
    assert insertable(Job("w", scheduled_in=1.5)) == {
        "worker": "w",
        "queue": "default",
        "args": {},
        "delay": 1.5,
        "state": "scheduled",
    }
    at = insertable(Job("w", scheduled_at=datetime(2026, 1, 1, tzinfo=UTC)))
    assert (at["scheduled_at"], at["state"], "delay" in at) == ("2026-01-01T00:00:00", "scheduled", False)


def test_args_and_meta_have_their_limit_each() -> None:
    assert insertable(Job("w", args={"a": 1}, meta={"a": 1}), max_bytes=7)["meta"] == {"a": 1}
    with pytest.raises(ArgsError, match="expected args of at most 6 bytes"):
        insertable(Job("w", args={"a": 1}), max_bytes=6)
    with pytest.raises(ArgsError, match="expected meta of at most 6 bytes"):
        insertable(Job("w", meta={"a": 1}), max_bytes=6)


def test_a_naive_inserted_at_is_refused() -> None:
    with pytest.raises(JobError, match="expected inserted_at to be an aware datetime"):
        insertable(Job("w", inserted_at=datetime(2026, 1, 1)))


def test_what_an_insert_gives_back_is_exact_to_the_microsecond() -> None:
    at = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    job = rows.mark_inserted(Job("w"), (5, "scheduled", 1_000_001, micros))
    assert (job.id, job.state, job.scheduled_at) == (5, JobState.SCHEDULED, at)
    assert job.inserted_at == datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    before = rows.mark_inserted(Job("w"), (6, "available", -1, -1))
    assert before.inserted_at == datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


# From a row ----------------------------------------------------------------------------------------------------------


def test_a_fetched_row_is_the_job_that_was_enqueued(oban: Oban, link: Link) -> None:
    given = oban.enqueue(
        Job("w", args={"a": [1, None, "é"]}, meta={"m": 1}, tags=["x", "y"], priority=3, max_attempts=7)
    )
    job = fetched(take(link))
    assert (job.id, job.worker, job.queue, job.args, job.meta) == (
        given.id,
        "w",
        "default",
        {"a": [1, None, "é"]},
        {"m": 1},
    )
    assert (job.tags, job.priority, job.max_attempts) == (["x", "y"], 3, 7)
    assert (job.attempt, job.state, job.errors) == (1, JobState.EXECUTING, [])
    assert job.attempted_by == [PLACE.node, PLACE.owner]
    assert (job.inserted_at, job.scheduled_at) == (given.inserted_at, given.scheduled_at)
    assert job.attempted_at is not None
    assert job.attempted_at.tzinfo is UTC
    assert job.attempted_at >= given.inserted_at  # type: ignore[operator]


def test_the_errors_of_former_attempts_are_there(oban: Oban, link: Link, db: Any) -> None:
    oban.enqueue(Job("w"))
    errors = [{"attempt": 1, "at": "2026-01-01T00:00:00.000000Z", "error": "boom"}]
    db.execute("UPDATE oban_jobs SET attempt = 1, errors = %s", (orjson.dumps(errors).decode(),))
    assert fetched(take(link)).errors == errors


def test_a_null_in_json_is_an_empty_object(oban: Oban, link: Link, db: Any) -> None:
    oban.enqueue(Job("w"))
    db.execute("UPDATE oban_jobs SET args = 'null', meta = 'null'")
    job = fetched(take(link))
    assert (job.args, job.meta) == ({}, {})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("args", "[]"),
        ("args", '"text"'),
        ("args", "5"),
        ("meta", "[1]"),
        ("args", '{"a": ' + "[" * 2000 + "]" * 2000 + "}"),
        ("scheduled_at", "infinity"),
        ("scheduled_at", "-infinity"),
        ("inserted_at", "10000-01-01"),
        ("inserted_at", "0044-03-15 BC"),
    ],
)
def test_a_row_that_python_cannot_hold_is_a_value_error(
    column: str, value: str, oban: Oban, link: Link, db: Any
) -> None:
    oban.enqueue(Job("w"))
    db.execute(f"UPDATE oban_jobs SET {column} = %s", (value,))
    row = take(link)
    with pytest.raises(ValueError):  # noqa: PT011 - the words are of whoever reads the column
        fetched(row)


@pytest.mark.parametrize(
    ("value", "expected"), [("123456789012345678901234567890", 1.2345678901234568e29), ("1e400", None), ("-0.0", 0.0)]
)
def test_numbers_that_others_write_are_read_as_near_as_can_be(
    value: str, expected: float | None, oban: Oban, link: Link, db: Any
) -> None:
    oban.enqueue(Job("w"))
    db.execute("UPDATE oban_jobs SET args = %s", (f'{{"a": {value}}}',))
    row = take(link)
    if expected is None:
        with pytest.raises(ValueError):  # noqa: PT011 - orjson's words
            fetched(row)
    else:
        assert fetched(row).args == {"a": expected}


def test_timestamps_are_read_in_utc_whatever_the_database_s_own_zone_and_style(oban: Oban, dsn: str, db: Any) -> None:
    name = db.info.dbname
    given = oban.enqueue(Job("w"))
    db.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    db.execute(f"ALTER DATABASE {name} SET datestyle = 'German'")
    link = Link(dsn, name="oban_sync:test")
    try:
        job = fetched(take(link))
    finally:
        link.close()
        db.execute(f"ALTER DATABASE {name} RESET ALL")
    assert (job.inserted_at, job.scheduled_at) == (given.inserted_at, given.scheduled_at)
