"""Step four: a fetched row is decoded, its worker found and called, and what it did classified as an outcome.

Nothing that a job does or holds comes out of `run` as an exception, since its thread has other jobs to run.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from oban_sync import backoff, clock, codec, schedule, telemetry, tracebacks, typed
from oban_sync.current import current
from oban_sync.errors import JobCancelled, JobInterrupted, JobTimeoutError, ProcessDied, UnknownWorker
from oban_sync.job import Apart, Cancel, Job, Record, RunContext, Snooze
from oban_sync.lifecycle.outcome import Outcome, clamped, storable
from oban_sync.quiet import Quiet
from oban_sync.store import rows
from oban_sync.worker import home, isolated, resolve

Row = tuple[Any, ...]

logger = logging.getLogger(__name__)

UNKNOWN_DELAYS = (15.0, 600.0)
"""First and longest seconds that a job waits for a node that knows its worker."""
SUSPECT_AFTER = 2
"""Processes that ended while they ran a job, after which it runs alone in a process of its own."""
UNKNOWN_LIMIT = 100
"""Times that it waits before each further one costs an attempt: some 16 hours."""
_quiet = Quiet()


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs run: what a row leaves out because it is the same for all rows of a fetch."""

    queue: str
    node: str
    owner: str


@dataclass(slots=True)
class Failure:
    """What a run raised, as text that was made while that was still possible."""

    error: BaseException
    text: str

    @property
    def kind(self) -> str:
        """Name of the exception's type."""
        return type(self.error).__name__

    @property
    def message(self) -> str:
        """What the exception says."""
        try:
            return storable(str(self.error))
        except BaseException:
            return self.text.rstrip().rsplit("\n", 1)[-1]

    def forget(self) -> None:
        """Let go of the exception, since frames of its traceback hold this: it would stay for the garbage collector."""
        del self.error


@dataclass(frozen=True, slots=True)
class Reported:
    """The end of a run in a child process, and what it raised there, if it did."""

    outcome: Outcome
    kind: str | None
    message: str
    text: str


def run(row: Row, context: RunContext, place: Place) -> Outcome:
    """Run one fetched row to its outcome, whatever the row or its worker does."""
    outcome, result = run_row(row, context, place)
    if isinstance(result, Failure):
        result.forget()
    return outcome


def run_row(
    row: Row, context: RunContext, place: Place, prepare: Callable[[], object] | None = None
) -> tuple[Outcome, Any]:
    """Do as `run`, and give what `run_job` gives.

    Args:
        row: What was fetched.
        context: What the job can ask.
        place: Where it runs.
        prepare: Called first; what it raises fails the attempt.
    """
    try:
        if prepare is not None:
            prepare()
        job = rows.fetched(row, queue=place.queue, node=place.node, owner=place.owner)
        job._context = context
        outcome, result = run_job(job)
    except BaseException as error:
        result = _failure(error)
        outcome = _failed(row[0], row[2], row[3], result, _retry_delay(None, None, row[2], row[3]))
    return outcome._replace(id=row[0], attempt=row[2]), result  # the worker may have written over those of its job


def run_job(job: Job) -> tuple[Outcome, Any]:
    """Run one job to its outcome; give that, and what the worker returned, or a Failure in place of what it raised."""
    waited = _waited(job)
    token = current.set(job)
    started = clock.monotonic()
    if telemetry.heard("oban.job.start"):
        telemetry.execute("oban.job.start", {"job": job, "monotonic_time": int(started * 1e9)})
    try:
        processor, result = perform(job)
        try:
            outcome = classify(job, processor, result)
        except BaseException as error:  # what it returned cannot be written
            result = _failure(error)
            outcome = classify(job, processor, result)
        if job._context is None or not job._context.abandoned:
            _report(job, outcome, result, started, waited)
    finally:
        current.reset(token)
    return outcome, result


def perform(job: Job) -> tuple[Any, Any]:
    """Find the worker and call it; give it and what it returned, or a Failure in place of what it raised."""
    processor = None
    try:
        performer = resolve(job.worker)
        if isolated(job.worker) or _suspect(job):
            apart = None if job._context is None else job._context.apart
            if apart is not None:
                return _perform_apart(apart, job, performer)
        processor = performer()
        if (kind := getattr(processor, "_args_type", None)) is not None:
            job.typed = typed.load(kind, job.args, "args")
        result = _process(processor, job)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError(f"expected {job.worker} to return a value, got a coroutine that nothing would await")
    except BaseException as error:
        return processor, _failure(error)
    return processor, result


def _process(processor: Any, job: Job) -> Any:
    seconds = _timeout(processor, job)
    if seconds is None or job._context is None:
        return processor.process(job)
    try:
        with job._context.limited(seconds, partial(overdue, job, processor, seconds, _waited(job))):
            return processor.process(job)
    except JobInterrupted as error:
        raise _late(job, seconds) from error


def _perform_apart(apart: Apart, job: Job, performer: Any) -> tuple[Any, Any]:
    """Have a child process run a job. A suspect's worker is not even built here, since it is suspect too."""
    alone, waited = _suspect(job), _waited(job)
    try:
        reply = apart(
            home(job.worker), alone=alone, overdue=lambda seconds, stack: overdue(job, None, seconds, waited, stack)
        )
    except BaseException as error:
        return None if alone else _built(performer), Failure(error, storable(f"{type(error).__name__}: {error}"))
    return None, Reported(Outcome.load(reply["outcome"]), reply["kind"], reply["message"], reply["text"])


def _built(performer: Any) -> Any:
    """Build a worker for its backoff, in a process where it is harmless."""
    try:
        return performer()
    except BaseException:
        return None


def _suspect(job: Job) -> bool:
    """Say whether so many processes ended while they ran this job that it may be the reason."""
    return "rescued" in job.meta and _count(job, "rescued") >= SUSPECT_AFTER


def overdue(job: Job, processor: Any, seconds: float, waited: timedelta, stack: str) -> Outcome:
    """Give the outcome of a run that did not even end when it was interrupted, from where its thread is."""
    error = _late(job, seconds)
    text = f"{error}, and did not end when it was interrupted. Its thread was left at:\n{stack}"
    result = Failure(error, storable(text))
    outcome = classify(job, processor, result)
    _report(job, outcome, result, clock.monotonic() - seconds, waited)
    return outcome


def _late(job: Job, seconds: float) -> JobTimeoutError:
    return JobTimeoutError(f"job {job.id} of worker {job.worker} ran longer than its timeout of {seconds:g} s")


def _timeout(processor: Any, job: Job) -> float | None:
    """Ask the worker how long this job may take."""
    own = getattr(processor, "timeout", None)
    return None if own is None else schedule.timeout_seconds(own(job), name=f"timeout() of worker {job.worker}")


def classify(job: Job, processor: Any, result: Any) -> Outcome:
    """Turn what a worker returned or raised into an outcome."""
    if job._context is not None and job._context.written:
        return _completed_before(job, result)
    if isinstance(result, Reported):
        return result.outcome
    if isinstance(result, Failure):
        if isinstance(result.error, ProcessDied) and _suspect(job):
            text = f"{result.text} while it ran this job alone, after {_count(job, 'rescued')} others that ran it too"
            return Outcome(job.id or 0, job.attempt, "discarded", error=text)
        if isinstance(result.error, UnknownWorker) and processor is None:
            return _unknown(job, result)
        if isinstance(result.error, JobCancelled) or job.cancelled():
            return Outcome(job.id or 0, job.attempt, "cancelled", error=result.text)
        delay = _retry_delay(processor, job, job.attempt, job.max_attempts)
        return _failed(job.id, job.attempt, job.max_attempts, result, delay)
    if isinstance(result, Snooze):
        return Outcome(job.id or 0, job.attempt, "cancelled") if job.cancelled() else _snoozed(job, result)
    if isinstance(result, Cancel):
        return Outcome(job.id or 0, job.attempt, "cancelled", error=storable(_text(result.reason)))
    if isinstance(result, Record):
        meta = codec.encode({"recorded": True, "return": result.encoded}, max_bytes=result.limit + 100)
        return Outcome(job.id or 0, job.attempt, "completed", meta=meta)
    return Outcome(job.id or 0, job.attempt, "completed")


def _completed_before(job: Job, result: Any) -> Outcome:
    """Keep to what the job's transaction wrote, whatever the job did after it."""
    if isinstance(result, Failure):
        logger.error("job %s is completed by its transaction, and raised after it:\n%s", job.id, result.text)
    elif isinstance(result, Snooze | Cancel | Record):
        kind = type(result).__name__
        logger.warning("job %s is completed by its transaction; the %s that it returned is ignored", job.id, kind)
    return Outcome(job.id or 0, job.attempt, "completed", written=True)


def _failed(id: int | None, attempt: int, max_attempts: int, failure: Failure, delay: float) -> Outcome:
    if attempt >= max_attempts:
        return Outcome(id or 0, attempt, "discarded", error=failure.text)
    return Outcome(id or 0, attempt, "retryable", delay=delay, error=failure.text)


def _snoozed(job: Job, snooze: Snooze) -> Outcome:
    seconds = snooze.seconds.total_seconds() if isinstance(snooze.seconds, timedelta) else snooze.seconds
    meta = codec.encode({"snoozed": _count(job, "snoozed") + 1, **(snooze.meta or {})}, what="meta")
    return Outcome(job.id or 0, job.attempt, "scheduled", attempt_change=-1, delay=clamped(seconds), meta=meta)


def _unknown(job: Job, failure: Failure) -> Outcome:
    """Let a job wait for a node that knows its worker: during a deploy, its own code may not be here yet."""
    times = _count(job, "unknown_worker") + 1
    if times > UNKNOWN_LIMIT:
        return _failed(job.id, job.attempt, job.max_attempts, failure, UNKNOWN_DELAYS[1])
    reason = str(failure.error)
    if (more := _quiet.kept(reason, clock.monotonic())) is not None:
        logger.warning("%s; job %s waits for a node that knows it, and so do %d before it", reason, job.id, more)
    meta = codec.encode({"unknown_worker": times}, what="meta")
    delay = min(UNKNOWN_DELAYS[0] * 2 ** min(times - 1, 10), UNKNOWN_DELAYS[1])
    error = reason if times == 1 else None
    return Outcome(job.id or 0, job.attempt, "scheduled", attempt_change=-1, delay=delay, error=error, meta=meta)


def _retry_delay(processor: Any, job: Job | None, attempt: int, max_attempts: int) -> float:
    """Ask the worker's own backoff; where it fails, the default one answers."""
    own = getattr(processor, "backoff", None)
    if own is not None and job is not None:
        try:
            seconds = own(job)
            return clamped(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)
        except BaseException:
            if (more := _quiet.kept(("backoff", job.worker), clock.monotonic())) is not None:
                text = "backoff() of worker %s failed, after %d times that were not logged; the default delay is used"
                logger.exception(text, job.worker, more)
    return clamped(backoff.jittery_clamped(attempt, max_attempts))


def _failure(error: BaseException) -> Failure:
    try:
        text = tracebacks.shown(error)
    except BaseException:
        text = f"{type(error).__name__}, which cannot be shown: its __str__ or __repr__ fails"
    return Failure(error, storable(text))


def _text(value: object) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except BaseException:
        return f"a {type(value).__name__} whose repr() fails"


def _count(job: Job, key: str) -> int:
    value = job.meta.get(key)
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def _waited(job: Job) -> timedelta:
    return job.attempted_at - job.scheduled_at if job.attempted_at and job.scheduled_at else timedelta(0)


def _report(job: Job, outcome: Outcome, result: Any, started: float, waited: timedelta) -> None:
    raised = isinstance(result, Failure | Reported) and result.kind is not None
    failed = raised and outcome.state in ("retryable", "discarded")
    event = "oban.job.exception" if failed else "oban.job.stop"
    if not telemetry.heard(event):
        return
    stopped = clock.monotonic()
    meta = {
        "monotonic_time": int(stopped * 1e9),
        "duration": int((stopped - started) * 1e9),
        "queue_time": int(waited.total_seconds() * 1e9),
        "job": job,
        "state": outcome.state,
    }
    if failed:
        meta |= {
            "error_message": result.message,
            "error_type": result.kind,
            "traceback": result.text,
        }
    telemetry.execute(event, meta)
