"""What a running job can ask of the queue that runs it, and others of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from oban_sync import clock
from oban_sync.errors import JobError
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.runtime import threads
from oban_sync.runtime.watch import Limit, Watch


@dataclass(frozen=True, slots=True)
class House:
    """What the runs of a queue share.

    Attributes:
        fresh: Says whether the lease of this process is fresh.
        transact: Lends a transaction that completes a job: from id, attempt and the caller's connection or None.
        watch: Keeps their deadlines.
    """

    fresh: Callable[[], bool]
    transact: Callable[[int, int, Any], AbstractContextManager[Any]]
    watch: Watch


class Holder(Protocol):
    """What a run needs of its queue."""

    def abandon(self, run: Run) -> bool:
        """Give a run up, so that its own end counts no more; False where it ended."""

    def replace(self, run: Run, outcome: Outcome) -> None:
        """Take this as the end of a run that was given up, and another thread in place of its own."""


class Run:
    """One run of one job.

    Args:
        holder: The queue that runs it.
        house: What it shares with the others.
        id: The job's.
        attempt: The attempt that runs.
        crew: The threads that run it.
    """

    __slots__ = ("_cancelled", "_holder", "_house", "abandoned", "attempt", "crew", "id", "until", "written")

    def __init__(self, holder: Holder, house: House, id: int, attempt: int, crew: object = None) -> None:
        self._holder = holder
        self._house = house
        self.crew = crew
        self.id = id
        self.attempt = attempt
        self.abandoned = False  # written by the queue, under its lock
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

    def limited(self, seconds: float, overdue: Callable[[str], Outcome]) -> Limit:
        """Limit the time of a block of the thread that calls this; see `RunContext`."""
        self.until = clock.monotonic() + seconds
        thread = threads.get_ident()
        return Limit(
            self._house.watch,
            self.until,
            strike=partial(threads.interrupt, thread),
            withdraw=partial(threads.uninterrupt, thread),
            give_up=partial(self._house.watch.aside, partial(self._give_up, thread, overdue)),
        )

    def _give_up(self, thread: int, overdue: Callable[[str], Outcome]) -> None:
        if self._holder.abandon(self):
            self._holder.replace(self, overdue(threads.stack(thread)))

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
