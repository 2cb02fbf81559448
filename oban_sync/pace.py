"""How many jobs a queue should have in hand beyond those that run: the rule, without threads or clocks.

A thread that ends a job of a few microseconds and then waits for a round trip to PostgreSQL mostly waits. So a queue of
short jobs holds some ready, at most as many as its threads run in `HORIZON_SECONDS` by its own average. A queue of
longer jobs holds none, since another node could run them meanwhile.
"""

from __future__ import annotations

import math

HORIZON_SECONDS = 0.05
MAX_READY = 1000
MAX_READY_BYTES = 16_000_000
"""Args held ready, in bytes as the database gives them; Python takes several times as much for them."""
LONG_SECONDS = 0.02
"""Average run above which nothing is held ready."""
SHORT_SECONDS = 1e-3
"""Average run below which one thread alone may do as much as many, which would wait for the interpreter's lock."""
COMPUTING = 0.4
"""Share of its time for which a thread alone has to be computing: one that waits for something else needs help."""
APART_SECONDS = 10.0
"""Time until a thread is left alone again after that."""
ALONE_SECONDS, ALONE_JOBS = 0.002, 10
"""One thread that begins fewer jobs in that time is stuck."""
SMOOTHING = 0.3
"""Weight of the newest group of runs in the average."""


class Alone:
    """Follows one thread that runs short jobs for all: where it meets a longer one, the others are to help.

    Attributes:
        alone: Whether one thread has been alone for longer than it takes the others to leave.
        check_at: When to ask `stuck`, on the monotonic clock; 0: there is no need to.
    """

    def __init__(self) -> None:
        self.alone = False
        self.check_at = 0.0
        self._begun = 0

    def begin(self, begun: int, now: float, *, alone: bool) -> None:
        """Take in how many jobs were ever begun when more came in, for one thread or for all."""
        self.alone = alone and self.check_at > 0.0
        self._begun, self.check_at = begun, now + ALONE_SECONDS if alone else 0.0

    def rest(self) -> None:
        """Have it asked no more until `begin`: the thread may have nothing to do until then."""
        self.check_at = math.inf if self.check_at else 0.0

    def stuck(self, begun: int, now: float) -> bool:
        """Say whether it began too few since it was asked last."""
        if not 0.0 < self.check_at <= now:
            return False
        few = begun - self._begun < ALONE_JOBS
        self._begun, self.check_at = begun, 0.0 if few else now + ALONE_SECONDS
        return few


class Pace:
    """Follows the run times of one queue.

    Args:
        most: Most jobs held ready; 0 holds none.

    Example:
        >>> pace = Pace()
        >>> pace.ready(limit=10)  # nothing is known yet
        0
        >>> pace.record(runs=100, seconds=0.1)
        >>> pace.ready(limit=10)  # 1 ms a job: 50 ms of work for 10 threads
        500
    """

    def __init__(self, most: int = MAX_READY) -> None:
        self.most = most
        self._average: float | None = None  # seconds a run
        self._bytes = 0.0  # of a job's args
        self._apart_until = 0.0

    def measure(self, jobs: int, size: int) -> None:
        """Take in that the args of so many jobs had so many bytes together; large ones count at once."""
        if jobs:
            newest = size / jobs
            self._bytes = max(newest, self._bytes + SMOOTHING * (newest - self._bytes))

    def record(self, runs: int, seconds: float) -> None:
        """Take in that so many runs took so many seconds together."""
        if runs:
            newest = seconds / runs
            held = newest if self._average is None else self._average
            self._average = held + max(SMOOTHING, runs / (runs + 50)) * (newest - held)

    def ready(self, limit: int) -> int:
        """Say how many jobs to hold ready for so many threads."""
        if self._average is None or self._average > LONG_SECONDS:
            return 0
        fitting = int(MAX_READY_BYTES / max(self._bytes, 1.0))
        return min(self.most, fitting, int(HORIZON_SECONDS * limit / max(self._average, 1e-6)))

    def judge(self, passed: float, computed: float, now: float) -> None:
        """Take in for how much of their time threads were computing."""
        if computed < COMPUTING * passed and now >= self._apart_until:
            self._apart_until = now + APART_SECONDS

    def threads(self, limit: int, now: float) -> int:
        """Say how many threads to begin with, out of so many."""
        short = self._average is not None and self._average < SHORT_SECONDS
        return 1 if short and now >= self._apart_until else limit

    def stall(self) -> None:
        """Take in that jobs held ready were not begun in time: hold none until runs are short again."""
        self._average = 1.0
