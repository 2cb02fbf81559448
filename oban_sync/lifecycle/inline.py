"""A whole life at once: a job runs where it is enqueued, without queues and without a database, as tests ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

from oban_sync import clock, codec
from oban_sync.errors import JobError
from oban_sync.job import STATES, Job, JobState
from oban_sync.lifecycle import enqueue, run
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.store import transactions
from oban_sync.store.source import Source

PLACE = "inline"
"""Node and owner of what runs so."""

_ids = count(1)
_ENDS = {"completed": "completed_at", "cancelled": "cancelled_at", "discarded": "discarded_at"}


class Here:
    """What a job can ask that runs in the thread of its caller, where nobody asks it to stop or interrupts it.

    Args:
        transact: Lends a transaction that completes the job, from the connection that it gives, or None.
    """

    abandoned = False
    apart = None

    def __init__(self, transact: Callable[[Any], AbstractContextManager[Any]]) -> None:
        self._transact = transact
        self.until: float | None = None
        self.written = False

    def cancelled(self) -> bool:
        """Say that nobody asked it to stop."""
        return False

    def lease_lost(self) -> bool:
        """Say that nobody else can hold it."""
        return False

    @contextmanager
    def limited(self, seconds: float, overdue: Callable[[str], Any]) -> Iterator[None]:  # noqa: ARG002
        """Let the job see its deadline, which nothing enforces."""
        self.until = clock.monotonic() + seconds
        yield

    @contextmanager
    def transaction(self, conn: Any) -> Iterator[Any]:
        """Lend a transaction whose commit completes the job.

        Raises:
            JobError: It was completed so before.
        """
        if self.written:
            raise JobError("expected one transaction a run, got another: the job is completed already")
        with self._transact(conn) as given:
            yield given
        self.written = True


def live_all(jobs: list[Job], *, max_bytes: int, source: Source) -> list[Job]:
    """Encode checked jobs as an INSERT of them would, and run one after the other.

    Args:
        jobs: The jobs.
        max_bytes: Most bytes of one job's args, and of its meta.
        source: Where `Job.transaction` finds a connection, if a job asks for one.

    Returns:
        The jobs, in the states in which they ended.

    Raises:
        ArgsError: One of them could not be stored; none ran.
        Exception: What a job raises that fails; those after it do not run.
    """
    enqueue.encode(jobs, max_bytes=max_bytes, quiet=False)
    for job in jobs:
        live(job, source)
    return jobs


def live(job: Job, source: Source | None = None) -> Any:
    """Run a job as a queue would, which sees its args and meta as JSON has them, and write its end into it.

    Args:
        job: The job.
        source: As for `live_all`; None: `Job.transaction` has to be given a connection.

    Returns:
        What its worker returned.

    Raises:
        Exception: What the job raised, where its attempt failed.
    """
    job.args = codec.decode(codec.encode(job.args))
    job.meta = codec.decode(codec.encode(job.meta, what="meta"))
    _begin(job)
    job._context = Here(lambda conn: _transaction(conn, source))
    outcome, result = run.run_job(job)
    settle(job, outcome)
    raise_failure(outcome, result)
    return result


def raise_failure(outcome: Outcome, result: Any) -> None:
    """Raise what a run raised, unless that is how it ended as cancelled."""
    if isinstance(result, run.Failure) and outcome.state != "cancelled":
        raise result.error


def settle(job: Job, outcome: Outcome) -> None:
    """Write into a job what an ack would write into its row."""
    now = clock.now()
    job.state = STATES[outcome.state]
    if outcome.error is not None:
        job.errors = [*job.errors, {"attempt": job.attempt, "at": now.isoformat(), "error": outcome.error}]
    if outcome.meta is not None:
        job.meta = {**job.meta, **codec.decode(outcome.meta)}
    if outcome.delay is not None:
        job.scheduled_at = now + timedelta(seconds=outcome.delay)
    if outcome.state in _ENDS:
        setattr(job, _ENDS[outcome.state], now)
    job.attempt += outcome.attempt_change


@contextmanager
def _transaction(conn: Any, source: Source | None) -> Iterator[Any]:
    if conn is not None:
        with transactions.ending(conn):
            yield conn
    elif source is not None:
        with source.transaction() as connection:
            yield connection
    else:
        raise JobError("expected job.transaction(conn) in a test without an instance, got no conn; nothing was done")


def _begin(job: Job) -> None:
    now = clock.now()
    job.id = next(_ids) if job.id is None else job.id
    job.inserted_at = job.inserted_at or now
    job.scheduled_at = job.scheduled_at or now
    job.attempt = max(job.attempt, 1)
    job.attempted_at = now
    job.attempted_by = [PLACE, PLACE]
    job.state = JobState.EXECUTING
