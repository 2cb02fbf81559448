"""Row to job and job to row: the one place that knows the columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from oban_sync import codec, schedule
from oban_sync.job import STATES, Job, JobState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def insertable(job: Job, *, max_bytes: int, quiet: bool) -> dict[str, Any]:
    """Give the fields of a job that its INSERT needs, leaving out what the columns' defaults say.

    Raises:
        ArgsError: Its args or meta cannot be stored.
    """
    row: dict[str, Any] = {
        "worker": job.worker,
        "queue": job.queue,
        "args": orjson.Fragment(codec.encode(job.args, max_bytes=max_bytes)),
    }
    if job.meta:
        row["meta"] = orjson.Fragment(codec.encode(job.meta, what="meta", max_bytes=max_bytes))
    row.update(_times(job))
    for name, value, default in (
        ("tags", job.tags, []),
        ("priority", job.priority, 0),
        ("attempt", job.attempt, 0),
        ("max_attempts", job.max_attempts, 20),
    ):
        if value != default:
            row[name] = value
    if job.state != JobState.AVAILABLE:
        row["state"] = str(job.state)
    elif job.scheduled_at is not None:
        row["state"] = "scheduled"
    if quiet:
        row["quiet"] = True
    return row


def _times(job: Job) -> dict[str, Any]:
    times: dict[str, Any] = {}
    if job.delay is not None:
        times["delay"] = job.delay
    elif job.scheduled_at is not None:
        times["scheduled_at"] = schedule.instant(job.scheduled_at).replace(tzinfo=None).isoformat()
    if job.inserted_at is not None:
        times["inserted_at"] = schedule.instant(job.inserted_at, name="inserted_at").replace(tzinfo=None).isoformat()
    return times


def mark_inserted(job: Job, row: tuple[Any, ...]) -> Job:
    """Write into a job what the database decided: id, state, and times."""
    job.id, state, inserted, scheduled = row
    job.state = STATES[state]
    job.inserted_at = _instant(inserted)
    job.scheduled_at = _instant(scheduled)
    return job


@lru_cache(maxsize=8)
def _instant(microseconds: int) -> datetime:
    """Give the instant so long after 1970; rows of one INSERT mostly share theirs."""
    return _EPOCH + timedelta(microseconds=microseconds)


def fetched(row: tuple[Any, ...], *, queue: str, node: str, owner: str) -> Job:
    """Decode a row of fetch_jobs, whose JSON and timestamps are still text.

    Raises:
        ValueError: A column holds what Python cannot: JSON too deep, a date outside the years 1 to 9999.
    """
    job = Job(
        row[1],
        id=row[0],
        state=JobState.EXECUTING,
        queue=queue,
        attempt=row[2],
        max_attempts=row[3],
        priority=row[4],
        args=codec.decode(row[5]),
        meta={} if row[6] == "{}" else codec.decode(row[6]),
        tags=row[7],
        attempted_by=[node, owner],
        inserted_at=_utc(row[8]),
        scheduled_at=_utc(row[9]),
        attempted_at=_utc(row[10]),
        errors=[] if row[11] is None else codec.decode(row[11]),
        _validate=False,
    )
    if type(job.args) is not dict or type(job.meta) is not dict:
        raise ValueError(f"expected args and meta to be JSON objects, got {row[5][:100]} and {row[6][:100]}")
    return job


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")
