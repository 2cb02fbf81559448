"""Step one: jobs become rows, in the caller's transaction or one of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

import orjson

from oban_sync.errors import JobError
from oban_sync.job import Job, JobState
from oban_sync.lifecycle import bulk
from oban_sync.store import rows
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements

STORABLE = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.SUSPENDED)
CHUNK_BYTES = 100_000_000
"""Most bytes of one INSERT's parameter; more go in several, in one transaction. PostgreSQL's end is 1 GB."""


class Batch(NamedTuple):
    """Jobs, and what inserts them: names of statements and their parameters."""

    jobs: list[Job]
    calls: list[tuple[str, tuple[str, ...]]]


def enqueue(
    jobs: Iterable[Job], handle: Handle, statements: Statements, *, max_bytes: int, chunk_bytes: int = CHUNK_BYTES
) -> list[Job]:
    """Check jobs and store them through one handle, as `store` does."""
    return store(checked(jobs), handle, statements, max_bytes=max_bytes, chunk_bytes=chunk_bytes)


def store(
    wanted: list[Job], handle: Handle, statements: Statements, *, max_bytes: int, chunk_bytes: int = CHUNK_BYTES
) -> list[Job]:
    """Store checked jobs through one handle: many by COPY where it can, others as `encode` and `insert` say."""
    if handle.copy is not None and len(wanted) >= bulk.FEWEST:
        return bulk.copy(wanted, handle, statements, max_bytes=max_bytes)
    batch = encode(wanted, max_bytes=max_bytes, quiet=handle.quiet, chunk_bytes=chunk_bytes)
    return insert(batch, handle, statements)


def checked(jobs: Iterable[Job]) -> list[Job]:
    """Check that each of these is a job that can be inserted, and is there once.

    Raises:
        JobError: One of them is not.
    """
    wanted = [_checked(job) for job in jobs]
    if len({id(job) for job in wanted}) < len(wanted):
        raise JobError(
            "expected each job once, got one of them several times; nothing was written; build each by new()"
        )
    return wanted


def encode(jobs: list[Job], *, max_bytes: int, quiet: bool, chunk_bytes: int = CHUNK_BYTES) -> Batch:
    """Make rows of checked jobs.

    Args:
        jobs: Jobs that were not inserted yet.
        max_bytes: Most bytes of one job's args, and of its meta.
        quiet: Whether their INSERT must not notify.
        chunk_bytes: Most bytes of one statement.

    Raises:
        ArgsError: One of them cannot be stored.
    """
    if len(jobs) == 1 and rows.is_ready(jobs[0]):
        return Batch(jobs, [("insert_ready_job", rows.ready(jobs[0], max_bytes=max_bytes, quiet=quiet))])
    encoded = [orjson.dumps(rows.insertable(job, max_bytes=max_bytes, quiet=quiet)) for job in jobs]
    if len(jobs) == 1:
        return Batch(jobs, [("insert_job", (encoded[0].decode(),))])
    return Batch(jobs, [("insert_jobs", (chunk,)) for chunk in _chunks(encoded, chunk_bytes)])


def insert(batch: Batch, handle: Handle, statements: Statements) -> list[Job]:
    """Insert a batch, all of it or nothing, and write id, state and times into its jobs.

    Args:
        batch: What `encode` made.
        handle: The transaction it goes into.
        statements: The tables it goes into.

    Returns:
        The jobs in the order given; their ids rise.

    Raises:
        SchemaMissing: The tables are not installed.
    """
    with handle.atomic() if len(batch.calls) > 1 else nullcontext():
        found = [row for name, params in batch.calls for row in handle.execute(statements[name], params)]
    for row, job in zip(found, batch.jobs, strict=True):
        rows.mark_inserted(job, row[:4])  # once all of them are in: jobs of a failed call can be enqueued again
    return batch.jobs


def _checked(job: Job) -> Job:
    if not isinstance(job, Job):
        raise JobError(f"expected a Job to enqueue, got {type(job).__name__} {job!r:.80}; nothing was written")
    if job.id is not None:
        raise JobError(f"expected a job that was not enqueued yet, got {job}; build another by new()")
    if job.state not in STORABLE:
        raise JobError(f"expected a job to enqueue in one of the states {', '.join(STORABLE)}, got {job}")
    return job


def _chunks(encoded: list[bytes], most: int) -> Iterator[str]:
    chunk: list[bytes] = []
    size = 0
    for row in encoded:
        if chunk and size + len(row) > most:
            yield _array(chunk)
            chunk, size = [], 0
        chunk.append(row)
        size += len(row) + 1
    if chunk:
        yield _array(chunk)


def _array(chunk: list[bytes]) -> str:
    return (b"[" + b",".join(chunk) + b"]").decode()
