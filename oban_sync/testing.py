"""Helpers for the tests of programs that enqueue jobs.

With a database, in the mode `manual`: jobs are stored and wait until `drain_queue` runs them. Without one, in the mode
`inline`: `enqueue` runs them. Every helper takes `conn=`, to see the rows of a transaction that the test rolls back.
What they write goes by the clock of the test's process, which freezegun and the like can move.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from oban_sync import clock, codec, schedule, typed
from oban_sync import mode as modes
from oban_sync.errors import ConfigError, JobError
from oban_sync.job import FIELDS, Job
from oban_sync.lifecycle import inline
from oban_sync.lifecycle.drain import Drain, lent
from oban_sync.lifecycle.enqueue import STORABLE
from oban_sync.oban import Oban
from oban_sync.store import rows
from oban_sync.store.absence import named

__all__ = [
    "all_enqueued",
    "assert_enqueued",
    "drain_queue",
    "mode",
    "process_job",
    "refute_enqueued",
    "reset_oban",
    "set_mode",
]

TOLERANCE = timedelta(seconds=1)
"""How far `scheduled_at` may be from what the filter `scheduled_in` says."""
POLL_SECONDS = 0.02


def set_mode(mode: str | None) -> None:
    """Set the testing mode of this process: `inline`, `manual`, or None for none.

    Raises:
        ConfigError: There is no such mode.
    """
    modes.put(mode)


@contextmanager
def mode(testing_mode: str | None) -> Iterator[None]:
    """Set the testing mode of this process, all its threads, for the length of a block.

    Args:
        testing_mode: `inline`: `enqueue` runs a job at once, in its own thread and without a database, raises what the
            job raises, and gives the job in the state in which it ended. `manual`: jobs are stored, by this process's
            clock. In both, queues fetch nothing, and `Oban.start` starts nothing. None: as outside of tests.

    Raises:
        ConfigError: There is no such mode.

    Example:
        >>> from oban_sync import job, Oban
        >>> @job(name="docs.greet")
        ... def greet(name):
        ...     print("hello", name)
        >>> oban = Oban(dsn="postgresql://localhost/app")
        >>> with mode("inline"):
        ...     greet.enqueue("ann").state
        hello ann
        <JobState.COMPLETED: 'completed'>
    """
    before = modes.put(testing_mode)
    try:
        yield
    finally:
        modes.put(before)


def reset_oban(oban: str | Oban = "Oban", *, conn: Any = None) -> None:
    """Empty the tables of an instance, durable pauses and ticks of periodic jobs with them; ids begin at 1 again."""
    instance = _instance(oban)
    with lent(instance._source, conn) as handle, named():
        handle.command(instance._statements["truncate_tables"])
        handle.command(instance._statements["truncate_own_tables"])


def all_enqueued(*, oban: str | Oban = "Oban", conn: Any = None, **filters: Any) -> list[Job]:
    """Give the jobs that wait for their first run (available, scheduled, suspended), the newest first.

    Args:
        oban: The instance, or its name.
        conn: A transaction in which to look.
        **filters: Fields of a job with their values. `worker` may be a class or function too; of `args` and `meta`, the
            keys that are given count, and `args` may be what a worker with types takes; `scheduled_in` is a delay from
            now, give or take a second.

    Raises:
        ConfigError: There is no such filter, or it has a value that no such job can have.
    """
    tests = [_test(name, value) for name, value in filters.items()]
    instance = _instance(oban)
    with lent(instance._source, conn) as handle:
        found = handle.execute(instance._statements["select_enqueued_jobs"], ())
    jobs = [rows.selected(text) for (text,) in found]
    return [job for job in jobs if all(test(job) for test in tests)]


def assert_enqueued(*, oban: str | Oban = "Oban", timeout: float = 0, conn: Any = None, **filters: Any) -> Job:
    """Check that a job is enqueued, and give the newest.

    Args:
        oban: The instance, or its name.
        timeout: Seconds to wait for one.
        conn: A transaction in which to look.
        **filters: As for `all_enqueued`.

    Raises:
        AssertionError: There is none; the message lists those that there are.
    """
    found = _polled(timeout, lambda: all_enqueued(oban=oban, conn=conn, **filters))
    if found:
        return found[0]
    waited = f" within {timeout} s" if timeout > 0 else ""
    others = all_enqueued(oban=oban, conn=conn)
    raise AssertionError(f"expected a job to be enqueued{waited} {_wanted(filters)}, got {_listed(others)}")


def refute_enqueued(*, oban: str | Oban = "Oban", timeout: float = 0, conn: Any = None, **filters: Any) -> None:
    """Check that no job is enqueued.

    Args:
        oban: The instance, or its name.
        timeout: Seconds in which none may come.
        conn: A transaction in which to look.
        **filters: As for `all_enqueued`.

    Raises:
        AssertionError: There are some; the message lists them.
    """
    found = _polled(timeout, lambda: all_enqueued(oban=oban, conn=conn, **filters))
    if found:
        waited = f" within {timeout} s" if timeout > 0 else ""
        raise AssertionError(f"expected no job to be enqueued{waited} {_wanted(filters)}, got {_listed(found)}")


def drain_queue(
    queue: str = "default",
    oban: str | Oban = "Oban",
    with_recursion: bool = True,
    with_safety: bool = False,
    with_scheduled: bool | datetime = True,
    *,
    conn: Any = None,
) -> dict[str, int]:
    """Run the jobs of a queue here and now, one after the other.

    Args:
        queue: The queue.
        oban: The instance, or its name.
        with_recursion: Whether to go on with jobs that were added or failed meanwhile, until none is left. A job that
            always snoozes never is.
        with_safety: Whether a job that raises is just written as failed.
        with_scheduled: Whether jobs run whose time has not come; False: only what is due by this process's clock; an
            aware datetime: what is due by then.
        conn: A transaction to work in; each statement commits by itself without it.

    Returns:
        How many runs ended as cancelled, completed, discarded, retryable and scheduled.

    Raises:
        Exception: What a job raised, without `with_safety`; its attempt is written before.
    """
    instance = _instance(oban)
    until = with_scheduled if isinstance(with_scheduled, datetime) else None if with_scheduled else clock.now()
    draining = Drain(instance._source, conn, instance._tables, queue, until=until)
    return draining.run(recursion=with_recursion, safety=with_safety)


def process_job(job: Job) -> Any:
    """Run a job as a queue would, without a database, and write its end into it.

    Args:
        job: What a worker's `new` made. Its args and meta become what JSON makes of them.

    Returns:
        What its worker returned.

    Raises:
        Exception: What the worker raised.

    Example:
        >>> from oban_sync import worker
        >>> @worker(name="docs.Double")
        ... class Double:
        ...     def process(self, job):
        ...         return job.args["number"] * 2
        >>> process_job(Double.new({"number": 4}))
        8
    """
    return inline.live(job)


def _instance(oban: str | Oban) -> Oban:
    return Oban.get_instance(oban) if isinstance(oban, str) else oban


def _polled(timeout: float, look: Callable[[], list[Job]]) -> list[Job]:
    """Look until there is something or the time is over."""
    deadline = clock.monotonic() + timeout
    while not (found := look()) and clock.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return found


def _test(name: str, value: Any) -> Callable[[Job], bool]:
    """Make what says whether a job fits a filter.

    Raises:
        ConfigError: There is no such filter, or no job has that value.
    """
    if name not in FIELDS:
        raise ConfigError(f"expected filters out of {', '.join(sorted(FIELDS))}, got {name}")
    try:
        if name in ("scheduled_in", "schedule_in"):
            due = schedule.after(schedule.delay_seconds(value, name=name), name=name)
            return lambda job: job.scheduled_at is not None and abs(job.scheduled_at - due) <= TOLERANCE
        if name in ("args", "meta"):
            wanted = typed.plain(value) if name == "args" else codec.decode(codec.encode(value, what=name))
            return lambda job: _holds(getattr(job, name), wanted)
        expected = _expected(name, value)
    except JobError as error:
        raise ConfigError(str(error)) from None
    return lambda job: bool(getattr(job, name) == expected)


def _expected(name: str, value: Any) -> Any:
    """Give the value of a field that fits.

    Raises:
        JobError: No job has it that waits for its first run.
    """
    if name == "worker":
        return Job(getattr(value, "_worker_name", value)).worker
    if name == "state" and value not in STORABLE:
        raise JobError(f"expected state to be one of {', '.join(STORABLE)}, got {value!r}")
    if name in ("queue", "priority", "max_attempts", "tags"):
        return getattr(Job("filter", **{name: value}), name)
    if name in rows.TIMES and value is not None:
        return schedule.instant(value, name=name)
    return value


def _holds(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in found and found[key] == value for key, value in wanted.items())


def _wanted(filters: Mapping[str, Any]) -> str:
    shown = {name: getattr(value, "_worker_name", value) for name, value in filters.items()}
    return f"with {', '.join(f'{name}={value!r}' for name, value in shown.items())}" if shown else "at all"


def _listed(jobs: list[Job]) -> str:
    if not jobs:
        return "none"
    lines = [f"  {job} with args {job.args!r:.200}, scheduled at {job.scheduled_at}" for job in jobs[:20]]
    more = [f"  and {len(jobs) - 20} more"] if len(jobs) > 20 else []
    return "\n".join([f"{len(jobs)}:", *lines, *more])
