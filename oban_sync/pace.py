"""How many jobs a queue should have in hand beyond those that run: the rule, without threads or clocks.

A thread that ends a job of a few microseconds and then waits for a round trip to PostgreSQL mostly waits. So a queue of
short jobs holds some ready, at most as many as its threads run in `HORIZON_SECONDS` by its own average. A queue of
longer jobs holds none, since another node could run them meanwhile.
"""

from __future__ import annotations

HORIZON_SECONDS = 0.05
MAX_READY = 1000
MAX_READY_BYTES = 16_000_000
"""Args held ready, in bytes as the database gives them; Python takes several times as much for them."""
LONG_SECONDS = 0.02
"""Average run above which nothing is held ready."""
SHORT_SECONDS = 5e-5
"""Average run below which one thread does as much as many, which would only wait for the interpreter's lock."""
ALONE_SECONDS, ALONE_JOBS = 0.002, 10
"""One thread that begins fewer jobs in that time is stuck."""
SMOOTHING = 0.3
"""Weight of the newest group of runs in the average."""


class Alone:
    """Follows one thread that runs short jobs for all: where it meets a longer one, the others are to help.

    Attributes:
        check_at: When to ask `stuck`, on the monotonic clock; 0: there is no need to.
    """

    def __init__(self) -> None:
        self.check_at = 0.0
        self._begun = 0

    def begin(self, begun: int, now: float) -> None:
        """Take in how many jobs were ever begun when it was given more."""
        self._begun, self.check_at = begun, now + ALONE_SECONDS

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
            self._average = held + SMOOTHING * (newest - held)

    def ready(self, limit: int) -> int:
        """Say how many jobs to hold ready for so many threads."""
        if self._average is None or self._average > LONG_SECONDS:
            return 0
        fitting = int(MAX_READY_BYTES / max(self._bytes, 1.0))
        return min(self.most, fitting, int(HORIZON_SECONDS * limit / max(self._average, 1e-6)))

    def threads(self, limit: int) -> int:
        """Say how many threads to begin with, out of so many."""
        return 1 if self._average is not None and self._average < SHORT_SECONDS else limit

    def stall(self) -> None:
        """Take in that jobs held ready were not begun in time: hold none until runs are short again."""
        self._average = 1.0
