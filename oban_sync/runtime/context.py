"""What a running job can ask of the queue that runs it, and others of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from oban_sync.errors import JobError


@dataclass(frozen=True, slots=True)
class House:
    """What the runs of a queue share.

    Attributes:
        fresh: Says whether the lease of this process is fresh.
        transact: Lends a transaction that completes a job: from id, attempt and the caller's connection or None.
    """

    fresh: Callable[[], bool]
    transact: Callable[[int, int, Any], AbstractContextManager[Any]]


class Run:
    """One run of one job.

    Args:
        house: What it shares with the others.
        id: The job's.
        attempt: The attempt that runs.
    """

    __slots__ = ("_cancelled", "_house", "attempt", "id", "until", "written")

    def __init__(self, house: House, id: int, attempt: int) -> None:
        self._house = house
        self.id = id
        self.attempt = attempt
        self._cancelled = False  # set once, by whichever thread cancels
        self.until: float | None = None  # this and what follows: written by the thread of the run
        self.written = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copy of a job is not the job that runs

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Say whether somebody asked it to stop."""
        return self._cancelled

    def lease_lost(self) -> bool:
        """Say whether other nodes may have judged this process dead."""
        return not self._house.fresh()

    @contextmanager
    def transaction(self, conn: Any) -> Iterator[Any]:
        """Lend a transaction whose commit completes the job.

        Raises:
            JobError: It was completed so before.
        """
        if self.written:
            raise JobError(f"expected one transaction a run, got another: job {self.id} is completed already")
        with self._house.transact(self.id, self.attempt, conn) as given:
            yield given
        self.written = True
