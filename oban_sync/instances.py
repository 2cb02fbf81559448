"""Which Oban instance has which name in this process, so that `Worker.enqueue` finds one without importing it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from oban_sync.errors import InstanceNotFound
from oban_sync.job import Job


class Instance(Protocol):
    """What a worker needs of an Oban instance."""

    @property
    def running(self) -> bool:
        """Whether it runs queues, or may lead, in this process."""

    def enqueue(self, job: Job, *, conn: object = None) -> Job:
        """Insert one job."""


_instances: dict[str, Instance] = {}  # written by Oban() only; dict stores are atomic


def register(name: str, instance: Instance) -> None:
    """Make an instance known; a later one of the same name takes its place."""
    _instances[name] = instance


def get(name: str) -> Instance:
    """Give the instance of that name.

    Raises:
        InstanceNotFound: None was made in this process.
    """
    try:
        return _instances[name]
    except KeyError:
        known = ", ".join(sorted(_instances)) or "none"
        raise InstanceNotFound(
            f"Oban instance '{name}' not found (made so far: {known}): make one by Oban(dsn=..., name={name!r}) first"
        ) from None


def runs(name: str) -> bool:
    """Say whether the instance of that name runs in this process."""
    return name in _instances and _instances[name].running


def every() -> Iterator[Instance]:
    """Give each registered instance."""
    return iter(list(_instances.values()))
