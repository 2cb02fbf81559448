"""Which workers of this process have a schedule: `cron=` puts them here, and a leader enqueues their jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from oban_sync import cron
from oban_sync.cron import Cron
from oban_sync.errors import WorkerError
from oban_sync.job import Job


class Periodic(NamedTuple):
    """A worker with a schedule.

    Attributes:
        name: Name of the schedule, the same on every node.
        worker: Name of the worker.
        cron: When its jobs are due.
        oban: Name of the instance that is to enqueue them, where it runs in this process.
        new: Makes a job.
    """

    name: str
    worker: str
    cron: Cron
    oban: str
    new: Callable[[], Job]


_periodic: dict[str, Periodic] = {}  # by the worker's name; written by the decorators only


def declared(given: object) -> Cron | None:
    """Check what `cron=` says.

    Raises:
        ConfigError: It is no schedule, or is never due.
    """
    return None if given is None else cron.parse(given)


def register(worker: str, schedule: Cron | None, oban: str, new: Callable[[], Job]) -> None:
    """Have jobs of a worker enqueued at their times, or no more where its module was loaded again without `cron=`."""
    if schedule is None:
        _periodic.pop(worker, None)
    else:
        _periodic[worker] = Periodic(schedule.name(worker), worker, schedule, oban, new)


def every() -> list[Periodic]:
    """List the workers with a schedule, by name."""
    return sorted(_periodic.values(), key=lambda entry: entry.worker)


def check_needs_nothing(function: Callable[..., Any]) -> None:
    """Refuse a schedule for a function that must be given arguments.

    Raises:
        WorkerError: It must.
    """
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise WorkerError(
            f"expected {function.__qualname__} with cron= to need no arguments, since nobody gives it any: {error}"
        ) from None
