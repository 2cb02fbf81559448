"""The jobs that a queue has in hand, and the ThreadPoolExecutor that runs them.

A drain task takes one job after another as long as there are any, which costs a tenth of submitting each. There are
never more drain tasks than threads, and a crew of threads that is replaced runs what it has begun and no more.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from oban_sync import clock
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.runtime import threads
from oban_sync.runtime.context import House, Run

Row = tuple[Any, ...]

logger = logging.getLogger(__name__)

LOOK_RUNS = 50
"""Runs of a thread after which it looks how much of the time it was computing."""


class Crew:
    """The threads that serve a queue at one time; `drains` and `stuck` are written under the queue's lock."""

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self.executor: ThreadPoolExecutor = threads.executor(name, limit)
        self.drains = 0
        self.stuck = 0  # threads that are given up and count no more


class Unfinished(NamedTuple):
    """A job in hand at a stop."""

    id: int
    attempt: int
    started: bool


class Taken(NamedTuple):
    """What ended, and how the threads spent their time.

    Attributes:
        outcomes: How runs ended.
        busy: Seconds that they took together.
        passed: Seconds for which threads were looked at.
        computed: Seconds of these for which they were computing.
    """

    outcomes: list[Outcome]
    busy: float
    passed: float
    computed: float


class Queue:
    """Runs rows on threads and collects their outcomes.

    Args:
        name: Name of its threads.
        limit: Jobs that run at once.
        run: Runs a row to its outcome; never raises.
        wake: Called after an outcome, once there are `quorum` of them or no rows to run.
        house: What the runs share.
    """

    def __init__(
        self, name: str, limit: int, run: Callable[[Row, Run], Outcome], wake: Callable[[], None], house: House
    ) -> None:
        self._name = name
        self._run = run
        self._wake = wake
        self._house = house
        self._lock = threads.Lock()
        self._ready: deque[Row] = deque()  # this and what follows: under _lock
        self._running: dict[tuple[int, int], Run] = {}  # by (id, attempt): a rescued job may be here twice
        self._outcomes: list[Outcome] = []
        self._lease: int | None = None
        self._busy = self._passed = self._computed = 0.0  # what `take` gives of them
        self._crew = Crew(name, limit)
        self._process = os.getpid()
        self.begun = 0  # rows that a thread has begun; written under _lock
        self.quorum = 1  # written by who is woken

    def put(self, rows: Iterable[Row], lease: int) -> None:
        """Take rows in hand, to be begun while the lease is the one under which they were fetched.

        Threads that run go on with them; `employ` has more do so. Where others are ready under another lease, none is
        begun: one of the two leases has lapsed.

        Args:
            rows: What was fetched.
            lease: When; -1: under a lease that never holds.
        """
        with self._lock:
            self._lease = lease if not self._ready or lease == self._lease else -1
            self._ready.extend(rows)

    def employ(self, most: int | None = None) -> None:
        """Have at most so many threads run what is ready; None: as many as there may be."""
        with self._lock:
            crew = self._crew
            wanted = max(0, min((crew.limit if most is None else most) - crew.drains, len(self._ready)))
            crew.drains += wanted
        for submitted in range(wanted):
            try:
                crew.executor.submit(self._drain, crew)
            except RuntimeError as error:  # the system gives no more threads: those that there are run the rows
                logger.warning("%s has fewer threads than its limit of %d: %s", self._name, crew.limit, error)
                with self._lock:
                    crew.drains -= wanted - submitted
                return

    def take(self) -> Taken:
        """Give what came in since the last call."""
        with self._lock:
            taken = Taken(self._outcomes, self._busy, self._passed, self._computed)
            self._outcomes, self._busy, self._passed, self._computed = [], 0.0, 0.0, 0.0
            stuck = self._crew.stuck
        if stuck:
            self._replace_threads()
        return taken

    def ready(self) -> int:
        """Count the rows that no thread has begun."""
        return len(self._ready)

    def stale(self) -> bool:
        """Say whether rows are ready that no thread may begin, since the lease lapsed after they were fetched."""
        return bool(self._ready) and self._house.lease() != self._lease

    def in_hand(self) -> int:
        """Count the jobs that are ready or running, and the outcomes not yet taken."""
        with self._lock:
            return len(self._ready) + len(self._running) + len(self._outcomes)

    def unended(self) -> int:
        """Count the jobs that are ready or running."""
        with self._lock:
            return len(self._ready) + len(self._running)

    def holds(self) -> set[tuple[int, int]]:
        """Give (id, attempt) of the jobs in hand."""
        with self._lock:
            ready = {(row[0], row[2]) for row in self._ready}
            return ready | self._running.keys() | {(outcome.id, outcome.attempt) for outcome in self._outcomes}

    def give_back(self) -> list[Unfinished]:
        """Let go of the rows that no thread has begun."""
        with self._lock:
            rows, self._ready = self._ready, deque()
        return [Unfinished(row[0], row[2], False) for row in rows]

    def running(self) -> list[Unfinished]:
        """Give the jobs that run now."""
        with self._lock:
            return [Unfinished(id, attempt, True) for id, attempt in self._running]

    def cancel(self, ids: Iterable[int]) -> list[int]:
        """Ask jobs in hand to stop; one that no thread has begun ends as cancelled. Give the ids that are in hand."""
        wanted = set(ids)
        with self._lock:
            runs = [(id, run) for (id, _), run in self._running.items() if id in wanted]
            unbegun = [row for row in self._ready if row[0] in wanted]
            for row in unbegun:
                self._ready.remove(row)
                self._outcomes.append(Outcome(row[0], row[2], "cancelled", attempt_change=-1))
        for _, run in runs:
            run.cancel()
        if unbegun:
            self._wake()
        return [id for id, _ in runs] + [row[0] for row in unbegun]

    def abandon(self, run: Run) -> bool:
        """Give a run up, so that its own end counts no more; False where it ended."""
        with self._lock:
            run.abandoned = self._running.get((run.id, run.attempt)) is run
        return run.abandoned

    def replace(self, run: Run, outcome: Outcome) -> None:
        """Take this as the end of a run that was given up, and another thread in place of its own."""
        with self._lock:
            self._running.pop((run.id, run.attempt), None)
            if not outcome.written:
                self._outcomes.append(outcome._replace(id=run.id, attempt=run.attempt))
            if run.crew is self._crew:
                self._crew.drains -= 1
                self._crew.stuck += 1
        logger.error("%s gave up job %s, whose thread goes on, and has another in its place", self._name, run.id)
        self._wake()

    def resize(self, limit: int) -> None:
        """Run at most `limit` jobs at once from now on; a crew of another size takes over the rows not begun."""
        with self._lock:
            if limit == self._crew.limit:
                return
            retired, self._crew = self._crew, Crew(self._name, limit)
        retired.executor.shutdown(wait=False)
        self.employ()

    def close(self) -> None:
        """Let the threads end after what they run; nothing may be put afterwards."""
        with self._lock:
            crew = self._crew
        crew.executor.shutdown(wait=False)

    def _replace_threads(self) -> None:
        """Have new threads in place of stuck ones; the others take jobs as before, until there are none."""
        with self._lock:
            crew, self._crew.stuck = self._crew, 0
            retired, crew.executor = crew.executor, threads.executor(self._name, crew.limit)
        retired.shutdown(wait=False)
        self.employ()

    def _drain(self, crew: Crew) -> None:
        begun = self._next(crew, None, None, 0.0)
        looked, computed, runs = clock.monotonic(), clock.computed(), 0
        while begun is not None:
            began = clock.monotonic()
            outcome = self._run(*begun)
            if os.getpid() != self._process:
                os._exit(0)  # the job forked: its child has a copy of what is ready, which is the parent's to run
            begun = self._next(crew, begun[1], outcome, clock.monotonic() - began)
            if len(self._outcomes) >= self.quorum or not self._ready:
                self._wake()
            runs += 1
            if runs % LOOK_RUNS == 0:
                looked, computed = self._account(looked, computed)

    def _account(self, looked: float, computed: float) -> tuple[float, float]:
        """Take in how much this thread computed since it looked last."""
        now, sum = clock.monotonic(), clock.computed()
        with self._lock:
            self._passed += now - looked
            self._computed += sum - computed
        return now, sum

    def _next(self, crew: Crew, ended: Run | None, outcome: Outcome | None, seconds: float) -> tuple[Row, Run] | None:
        """Hand an outcome in and take the next row; where there is none, the drain task ends."""
        with self._lock:
            if ended is not None and ended.abandoned:
                return None  # another thread has its place
            if outcome is not None:
                self._running.pop((outcome.id, outcome.attempt), None)
                if not outcome.written:
                    self._outcomes.append(outcome)
                    self._busy += seconds
            if crew is not self._crew or not self._ready or self._house.lease() != self._lease:
                crew.drains = max(0, crew.drains - 1)  # one that found no thread may run later, uncounted
                return None
            row = self._ready.popleft()
            self.begun += 1
            run = self._running[row[0], row[2]] = Run(self, self._house, row, crew)
            return row, run
