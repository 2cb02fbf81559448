"""What a running job can ask of the queue that runs it, and others of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from oban_sync import clock
from oban_sync.errors import JobError, JobTimeoutError, ProcessDied
from oban_sync.job import Apart
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.lifecycle.run import Place, Row
from oban_sync.runtime import threads
from oban_sync.runtime.children import Child, Children
from oban_sync.runtime.watch import Limit, Watch


@dataclass(frozen=True, slots=True)
class House:
    """What the runs of a queue share.

    Attributes:
        lease: Numbers the time for which the lease of this process has been fresh without a break; None: it is not.
        transact: Lends a transaction that completes a job: from id, attempt and the caller's connection or None.
        watch: Keeps their deadlines.
        place: Where they run.
        children: Run jobs in processes of their own; None where this is one.
    """

    lease: Callable[[], int | None]
    transact: Callable[[int, int, Any], AbstractContextManager[Any]]
    watch: Watch
    place: Place
    children: Children | None = None

    def fresh(self) -> bool:
        """Say whether the lease of this process is fresh."""
        return self.lease() is not None


class Holder(Protocol):
    """What a run needs of its queue."""

    def abandon(self, run: Run) -> bool:
        """Give a run up, so that its own end counts no more; False where it ended."""

    def replace(self, run: Run, outcome: Outcome) -> None:
        """Take this as the end of a run that was given up, and another thread in place of its own."""


class Run:
    """One run of one job.

    Args:
        holder: The queue that runs it; None in a child process.
        house: What it shares with the others.
        row: What was fetched.
        crew: The threads that run it.
    """

    __slots__ = (
        "_cancelled",
        "_child",
        "_holder",
        "_house",
        "_row",
        "abandoned",
        "attempt",
        "crew",
        "id",
        "until",
        "written",
    )

    def __init__(self, holder: Holder | None, house: House, row: Row, crew: object = None) -> None:
        self._holder = holder
        self._house = house
        self._row = row
        self._child: Child | None = None  # written by the thread of the run
        self.crew = crew
        self.id: int = row[0]
        self.attempt: int = row[2]
        self.abandoned = False  # written by the queue, under its lock
        self._cancelled = False  # set once, by whichever thread cancels
        self.until: float | None = None  # this and what follows: written by the thread of the run
        self.written = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copy of a job is not the job that runs

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._cancelled = True
        if (child := self._child) is not None:
            child.tell({"cancel": [self.id, self.attempt]})

    def cancelled(self) -> bool:
        """Say whether somebody asked it to stop."""
        return self._cancelled

    def lease_lost(self) -> bool:
        """Say whether other nodes may have judged this process dead."""
        return not self._house.fresh()

    def limited(self, seconds: float, overdue: Callable[[str], Outcome]) -> AbstractContextManager[None]:
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
        if self._holder is not None and self._holder.abandon(self):
            self._holder.replace(self, overdue(threads.stack(thread)))

    @property
    def apart(self) -> Apart | None:
        """Runs the job in a child process; None where this is one."""
        return None if self._house.children is None else partial(self._apart, self._house.children)

    def _apart(
        self, children: Children, module: str, *, alone: bool, overdue: Callable[[float, str], Outcome]
    ) -> dict[str, Any]:
        place = self._house.place
        with children.lend(alone=alone) as child, ExitStack() as time:
            child.tell({"row": self._row, "module": module, "place": [place.queue, place.node, place.owner]})
            try:
                while "outcome" not in (message := child.hear()):
                    if "limit" in message:
                        time.enter_context(self._kill_after(child, message["limit"], overdue))
                    elif "fresh" in message:
                        child.tell({"fresh": self._house.fresh()})
                    else:
                        self._attach(child)
            except ProcessDied as error:
                if self.until is not None and clock.monotonic() >= self.until:
                    raise JobTimeoutError(f"job {self.id} ran longer than its timeout, and was killed") from error
                raise
            finally:
                self._child = None
        return message

    def _attach(self, child: Child) -> None:
        """Have the job hear what is asked of it, now that it runs."""
        self._child = child
        if self._cancelled:
            self.cancel()

    def _kill_after(self, child: Child, seconds: float, overdue: Callable[[float, str], Outcome]) -> Limit:
        self.until = clock.monotonic() + seconds
        return Limit(
            self._house.watch,
            self.until,
            strike=child.kill,
            withdraw=lambda: None,
            give_up=partial(
                self._house.watch.aside, partial(self._give_up, threads.get_ident(), partial(overdue, seconds))
            ),
        )

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
