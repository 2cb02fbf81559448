"""The values of the queue: a job, its states, and what a worker may return to say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol, cast

from oban_sync import clock, codec, etf, schedule
from oban_sync.errors import JobCancelled, JobError, JobTimeoutError

MAX_NAME = 127  # characters of a queue's or worker's name: what every Oban's tables accept
MAX_TAG = 255
MAX_ATTEMPTS = 32_767  # the column is a smallint
RECORDED_LIMIT = 64_000_000


class JobState(StrEnum):
    """Where a job is in its life."""

    AVAILABLE = "available"
    """Ready to run."""
    SCHEDULED = "scheduled"
    """Waits until `scheduled_at`."""
    EXECUTING = "executing"
    """Runs on a node."""
    RETRYABLE = "retryable"
    """Failed, waits for its next attempt."""
    COMPLETED = "completed"
    """Ended well."""
    CANCELLED = "cancelled"
    """Ended by a request or by its worker."""
    DISCARDED = "discarded"
    """Ended by its last failed attempt."""
    SUSPENDED = "suspended"
    """Held back by a tool of Oban's; never run."""


STATES: dict[str, JobState] = {str(state): state for state in JobState}
ENDED = (JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED)


@dataclass(frozen=True, slots=True)
class Snooze:
    """Returned by a worker: run this job again later, without counting the attempt.

    Args:
        seconds: Delay until the next run, seconds or a timedelta.
        meta: Merged into the job's meta, beside the counter `snoozed`.

    Raises:
        JobError: The delay is negative, or meta cannot be stored.
    """

    seconds: float | timedelta
    meta: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        schedule.delay_seconds(self.seconds, name="Snooze's seconds")
        if self.meta is not None:
            codec.encode(self.meta, what="meta")


@dataclass(frozen=True, slots=True)
class Cancel:
    """Returned by a worker: end this job as cancelled, with the reason in its errors."""

    reason: str


@dataclass(slots=True)
class Record:
    """Returned by a worker: end this job as completed and keep a result, which `Job.recorded` gives back.

    Args:
        value: None, bool, int, float, str, bytes, list, tuple or dict of these.
        limit: Bytes that the encoded value may have.

    Raises:
        JobError: The value is of another type, or too large.
    """

    value: Any
    limit: int = RECORDED_LIMIT
    encoded: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.encoded = etf.encode(self.value)
        if len(self.encoded) > self.limit:
            raise JobError(f"expected a recorded value of at most {self.limit:,} bytes, got {len(self.encoded):,}")


class Apart(Protocol):
    """Runs the job of a run in a child process."""

    def __call__(self, module: str, *, alone: bool, overdue: Callable[[float, str], Any]) -> dict[str, Any]:
        """Run it there.

        Args:
            module: What defines its worker.
            alone: Whether no other suspect may run meanwhile.
            overdue: As for `RunContext.limited`; the timeout comes first.

        Returns:
            `outcome`, and `kind`, `message` and `text` of what it raised, if it did.

        Raises:
            ProcessDied: The process ended first.
            JobTimeoutError: It was killed at the end of its time.
        """


class RunContext(Protocol):
    """What a running job can ask of the queue that runs it."""

    @property
    def until(self) -> float | None:
        """Monotonic instant at which its time ends; None: never."""

    def cancelled(self) -> bool:
        """Say whether somebody asked this job to stop."""

    def lease_lost(self) -> bool:
        """Say whether another node may hold this job by now."""

    @property
    def abandoned(self) -> bool:
        """Whether the queue gave this run up, and recorded its end."""

    def limited(self, seconds: float, overdue: Callable[[str], Any]) -> AbstractContextManager[None]:
        """Limit the time of a block of code.

        Args:
            seconds: After which it is interrupted.
            overdue: Gives the outcome of the run where the block does not end then, from a text that shows where it
                is; called by another thread.
        """

    @property
    def apart(self) -> Apart | None:
        """Runs the job in a child process; None where there are none."""

    @property
    def written(self) -> bool:
        """Whether a transaction completed this job."""

    def transaction(self, conn: Any) -> AbstractContextManager[Any]:
        """Lend a transaction whose commit completes this job."""


class Job:
    """One unit of work: a row of `oban_jobs`.

    Args:
        worker: The registered name of the worker that runs it.
        args: What the worker gets: a mapping that JSON can hold (see `oban_sync.codec`).
        queue: Queue that runs it.
        priority: 0 (first) to 9.
        max_attempts: Attempts before it is discarded.
        tags: Labels; stripped, lowered, sorted, without doubles.
        meta: A mapping for the queue's and your own notes.
        scheduled_in: Delay in seconds or as a timedelta; counted by the database from the moment of the INSERT.
        schedule_in: The same, by its older name.
        scheduled_at: Aware datetime; kept in UTC.

    Attributes:
        typed: The args as an object of the type that `@worker(args=...)` names, in a job that `new` made or that runs.

    Raises:
        JobError: A field has a value that cannot be stored or run.

    Example:
        >>> job = Job("myapp.Email", args={"to": "a@example.com"}, tags=["Mail", "mail "])
        >>> job.queue, job.state, job.tags
        ('default', <JobState.AVAILABLE: 'available'>, ['mail'])
    """

    __slots__ = (
        "_context",
        "_delay",
        "args",
        "attempt",
        "attempted_at",
        "attempted_by",
        "cancelled_at",
        "completed_at",
        "discarded_at",
        "errors",
        "extra",
        "id",
        "inserted_at",
        "max_attempts",
        "meta",
        "priority",
        "queue",
        "scheduled_at",
        "state",
        "tags",
        "typed",
        "worker",
    )

    def __init__(
        self,
        worker: str,
        *,
        id: int | None = None,
        state: JobState | str = JobState.AVAILABLE,
        queue: str = "default",
        attempt: int = 0,
        max_attempts: int = 20,
        priority: int = 0,
        args: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        errors: list[Any] | None = None,
        tags: Iterable[str] | None = None,
        attempted_by: list[str] | None = None,
        inserted_at: datetime | None = None,
        attempted_at: datetime | None = None,
        cancelled_at: datetime | None = None,
        completed_at: datetime | None = None,
        discarded_at: datetime | None = None,
        scheduled_at: datetime | None = None,
        scheduled_in: float | timedelta | None = None,
        schedule_in: float | timedelta | None = None,
        extra: dict[str, Any] | None = None,
        _validate: bool = True,
    ) -> None:
        self.id = id
        self.worker = worker
        self.queue = queue
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.priority = priority
        self.args = {} if args is None else args
        self.meta = {} if meta is None else meta
        self.errors = [] if errors is None else errors
        self.tags: Any = () if tags is None else tags
        self.attempted_by = [] if attempted_by is None else attempted_by
        self.inserted_at = inserted_at
        self.attempted_at = attempted_at
        self.cancelled_at = cancelled_at
        self.completed_at = completed_at
        self.discarded_at = discarded_at
        self.scheduled_at = scheduled_at
        self.extra = {} if extra is None else extra
        self.state = cast(JobState, state)  # checked below
        self._delay: tuple[datetime, float] | None = None
        self.typed: Any = None
        self._context: RunContext | None = None
        if _validate:
            self._check()
            self._maybe_schedule({"scheduled_in": scheduled_in, "schedule_in": schedule_in})

    def _check(self) -> None:
        self.state = _state(self.state)
        self.tags = _tags(self.tags)
        _check_name("queue", self.queue)
        _check_name("worker", self.worker)
        _check_integer("max_attempts", self.max_attempts, 1, MAX_ATTEMPTS, "max_attempts must be greater than 0")
        _check_integer("priority", self.priority, 0, 9, "priority must be between 0 and 9")
        _check_integer("attempt", self.attempt, 0, self.max_attempts, "attempt must be between 0 and max_attempts")

    def _maybe_schedule(self, delays: dict[str, float | timedelta | None]) -> None:
        if self.scheduled_at is None and all(delay is None for delay in delays.values()):
            return
        schedule.only_one({**delays, "scheduled_at": self.scheduled_at})
        for name, delay in delays.items():
            if delay is not None:
                seconds = schedule.delay_seconds(delay, name=name)
                self.scheduled_at = schedule.after(seconds, name=name)
                self._delay = (self.scheduled_at, seconds)
        if self._delay is None and self.scheduled_at is not None:
            self.scheduled_at = schedule.instant(self.scheduled_at)
        self.state = JobState.SCHEDULED if self.state == JobState.AVAILABLE else self.state

    def update(self, changes: Mapping[str, Any]) -> Job:
        """Change fields of this object, checked as those of a new job are; `Oban.update_job` changes the row.

        Args:
            changes: Of `args`, `max_attempts`, `meta`, `priority`, `queue`, `tags`, `worker`, and one of
                `scheduled_at`, `scheduled_in` and `schedule_in`.

        Returns:
            The same job.

        Raises:
            JobError: A field is none of these, or has a value that cannot be stored; nothing was changed.

        Example:
            >>> Job("myapp.Email").update({"priority": 3, "tags": ["VIP"]}).tags
            ['vip']
        """
        if not isinstance(changes, Mapping):
            raise JobError(f"expected changes in a mapping, got {type(changes).__name__} {changes!r:.80}")
        if unknown := [name for name in changes if name not in UPDATABLE]:
            raise JobError(f"expected changes of {', '.join(sorted(UPDATABLE))}, got {', '.join(map(str, unknown))}")
        times = {name: changes[name] for name in schedule.KEYS if changes.get(name) is not None}
        changed = copy(self)
        for name in changes.keys() - schedule.KEYS:
            setattr(changed, name, changes[name])
        changed._check()
        if times:
            changed.scheduled_at, changed._delay = times.pop("scheduled_at", None), None
            changed._maybe_schedule(times)
        for name in Job.__slots__:
            setattr(self, name, getattr(changed, name))
        return self

    @property
    def delay(self) -> float | None:
        """Seconds from the INSERT until the job is due, where it was scheduled by a delay; else None."""
        if self._delay is None or self._delay[0] is not self.scheduled_at:
            return None
        return self._delay[1]

    @property
    def recorded(self) -> Any:
        """The value that the worker returned in a `Record`, or None."""
        return etf.decode(self.meta.get("return")) if self.meta.get("recorded") else None

    def cancelled(self) -> bool:
        """Say whether somebody asked the running job to stop; a long worker looks now and then."""
        return self._context is not None and self._context.cancelled()

    @property
    def deadline(self) -> float | None:
        """Seconds left until the worker's timeout, below 0 once it passed; None without one or outside of a run."""
        until = None if self._context is None else self._context.until
        return None if until is None else until - clock.monotonic()

    @property
    def lease_lost(self) -> bool:
        """Whether another node may run this job by now, since this process could not renew its lease in time.

        It becomes false again when the lease is renewed. Then the job is still ours, unless it was taken meanwhile:
        only its end, or `transaction`, tells.
        """
        return self._context is not None and self._context.lease_lost()

    def check(self) -> None:
        """Raise if the running job should stop; a long worker calls it now and then.

        Raises:
            JobCancelled: Somebody asked it to stop; left to propagate, it ends the job as cancelled.
            JobTimeoutError: Its time is over; left to propagate, it fails the attempt.
        """
        if self.cancelled():
            raise JobCancelled(f"job {self.id} was asked to stop")
        left = self.deadline
        if left is not None and left <= 0:
            raise JobTimeoutError(f"job {self.id} ran longer than its timeout")

    def transaction(self, conn: Any = None) -> AbstractContextManager[Any]:
        """Do the work of the running job in a transaction whose commit also completes the job, or neither.

        What the block raises rolls back, and fails the attempt where it leaves `process`. After the block the job is
        completed: an error then is logged only, and a Snooze, Cancel or Record has no effect.

        Args:
            conn: A SQLAlchemy Session or Connection, or another connection with `commit` and `rollback`, which is
                committed at the end of the block; None: a psycopg connection of the instance's pool.

        Returns:
            A context manager that gives the connection.

        Raises:
            LeaseLost: At the end of the block: another node may hold the job by now; everything was rolled back.
            HandleError: `conn` cannot carry it, or it is needed because the instance has an engine.
            JobError: The job does not run, or a transaction completed it before.

        Example:
            >>> def process(self, job):
            ...     with job.transaction() as connection:
            ...         connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", [job.args["id"]])
        """
        if self._context is None:
            raise JobError(f"expected a running job, got {self}: nothing was done")
        return self._context.transaction(conn)

    def __repr__(self) -> str:
        return f"Job(id={self.id}, worker={self.worker!r}, queue={self.queue!r}, state={str(self.state)!r})"

    __str__ = __repr__


UPDATABLE = frozenset({"args", "max_attempts", "meta", "priority", "queue", "tags", "worker", *schedule.KEYS})
"""Names that `Job.update` and `Oban.update_job` take."""

FIELDS = frozenset(Job.__slots__) - {"_context", "_delay", "extra", "typed"} | frozenset(schedule.KEYS)
"""Names that `new` and `enqueue` take as overrides of a job's fields."""


def _state(value: JobState | str) -> JobState:
    if isinstance(value, str) and value in STATES:
        return STATES[value]
    raise JobError(f"expected state to be one of {', '.join(JobState)}, got {value!r}")


def _check_name(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise JobError(f"expected {name} to be a str, got {type(value).__name__} {value!r}")
    _check_known_name(name, value)


@lru_cache(maxsize=4096)
def _check_known_name(name: str, value: str) -> None:
    """Check a name once: a program has few of them and enqueues many jobs."""
    if not value.strip():
        raise JobError(f"{name} must not be blank")
    if len(value) > MAX_NAME:
        hint = "; give it a short name by @worker(name=...)" if name == "worker" else ""
        raise JobError(f"expected {name} of at most {MAX_NAME} characters, got {len(value)}: {value[:40]}...{hint}")
    _check_text(name, value)


def _check_text(name: str, value: str) -> None:
    if "\0" in value or not (value.isascii() or codec.is_unicode(value)):
        raise JobError(f"expected {name} in Unicode without NUL and lone surrogates, got {value[:40]!a}")


def _check_integer(name: str, value: object, least: int, most: int, rule: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise JobError(f"expected {name} to be an integer, got {type(value).__name__} {value!r}")
    if not least <= value <= most:
        largest = "" if rule.endswith(str(most)) else f" (and at most {most})"
        raise JobError(f"{rule}{largest}, got {value}")


def _tags(values: Iterable[object]) -> list[str]:
    if values in ((), []):
        return []
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise JobError(f"expected tags to be a list of str, got {type(values).__name__} {values!r:.40}")
    kept = set()
    for value in values:
        if value is not None and not isinstance(value, str):
            raise JobError(f"expected tags to be str, got {type(value).__name__} {value!r}")
        tag = (value or "").strip().lower()
        if len(tag) > MAX_TAG:
            raise JobError(f"expected tags of at most {MAX_TAG} characters, got {len(tag)}: {tag[:40]}...")
        if tag:
            _check_text("tags", tag)
            kept.add(tag)
    return sorted(kept)
