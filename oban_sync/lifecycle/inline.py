"""A whole life at once: a job runs where it is enqueued, without queues and without a database, as tests ask for."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

from oban_sync import clock, codec
from oban_sync.job import STATES, Job, JobState
from oban_sync.lifecycle import enqueue, run
from oban_sync.lifecycle.outcome import Outcome

PLACE = "inline"
"""Node and owner of what runs so."""

_ids = count(1)
_ENDS = {"completed": "completed_at", "cancelled": "cancelled_at", "discarded": "discarded_at"}


def live_all(jobs: list[Job], *, max_bytes: int) -> list[Job]:
    """Encode checked jobs as an INSERT of them would, and run one after the other.

    Returns:
        The jobs, in the states in which they ended.

    Raises:
        ArgsError: One of them could not be stored; none ran.
        Exception: What a job raises that fails; those after it do not run.
    """
    enqueue.encode(jobs, max_bytes=max_bytes, quiet=False)
    for job in jobs:
        live(job)
    return jobs


def live(job: Job) -> Any:
    """Run a job as a queue would, which sees its args and meta as JSON has them, and write its end into it.

    Returns:
        What its worker returned.

    Raises:
        Exception: What the job raised, where its attempt failed.
    """
    job.args = codec.decode(codec.encode(job.args))
    job.meta = codec.decode(codec.encode(job.meta, what="meta"))
    _begin(job)
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


def _begin(job: Job) -> None:
    now = clock.now()
    job.id = next(_ids) if job.id is None else job.id
    job.inserted_at = job.inserted_at or now
    job.scheduled_at = job.scheduled_at or now
    job.attempt = max(job.attempt, 1)
    job.attempted_at = now
    job.attempted_by = [PLACE, PLACE]
    job.state = JobState.EXECUTING
