"""Step one: jobs become rows, in the caller's transaction or one of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

import orjson

from oban_sync.errors import JobError, SchemaMissing
from oban_sync.job import Job, JobState
from oban_sync.store import rows
from oban_sync.store.handles import UNDEFINED_TABLE, Handle, Row, sqlstates
from oban_sync.store.schema import missing
from oban_sync.store.statements import Statements

STORABLE = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.SUSPENDED)
CHUNK_BYTES = 100_000_000
"""Most bytes of one INSERT's parameter; more go in several, in one transaction. PostgreSQL's end is 1 GB."""


class Batch(NamedTuple):
    """Jobs, and the JSON objects that their INSERT reads."""

    jobs: list[Job]
    rows: list[bytes]


def enqueue(
    jobs: Iterable[Job], handle: Handle, statements: Statements, *, max_bytes: int, chunk_bytes: int = CHUNK_BYTES
) -> list[Job]:
    """Encode and insert jobs through one handle; see `encode` and `insert`."""
    return insert(encode(jobs, max_bytes=max_bytes, quiet=handle.quiet), handle, statements, chunk_bytes=chunk_bytes)


def encode(jobs: Iterable[Job], *, max_bytes: int, quiet: bool) -> Batch:
    """Check jobs and make rows of them, before any connection is taken.

    Args:
        jobs: Jobs that were not inserted yet.
        max_bytes: Most bytes of one job's args, and of its meta.
        quiet: Whether their INSERT must not notify.

    Raises:
        JobError: One of them cannot be stored.
    """
    wanted = [_checked(job) for job in jobs]
    if len({id(job) for job in wanted}) < len(wanted):
        raise JobError(
            "expected each job once, got one of them several times; nothing was written; build each by new()"
        )
    return Batch(wanted, [orjson.dumps(rows.insertable(job, max_bytes=max_bytes, quiet=quiet)) for job in wanted])


def insert(batch: Batch, handle: Handle, statements: Statements, *, chunk_bytes: int = CHUNK_BYTES) -> list[Job]:
    """Insert a batch, all of it or nothing, and write id, state and times into its jobs.

    Args:
        batch: What `encode` made.
        handle: The transaction it goes into.
        statements: The tables it goes into.
        chunk_bytes: Most bytes of one statement.

    Returns:
        The jobs in the order given; their ids rise.

    Raises:
        SchemaMissing: The tables are not installed.
    """
    chunks = list(_chunks(batch.rows, chunk_bytes))
    found: list[Row] = []
    with handle.atomic() if len(chunks) > 1 else nullcontext():
        for chunk in chunks:
            found += _insert(handle, statements, chunk)
    for row, job in zip(found, batch.jobs, strict=True):
        rows.mark_inserted(job, row)  # once all of them are in: jobs of a failed call can be enqueued again
    return batch.jobs


def _insert(handle: Handle, statements: Statements, chunk: str) -> list[Row]:
    try:
        return handle.execute(statements["insert_jobs"], (chunk,))
    except Exception as error:
        if UNDEFINED_TABLE in sqlstates(error) and "oban_jobs" in str(error):
            raise SchemaMissing(missing("oban_jobs", statements.prefix)) from error
        raise


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
