"""How many jobs a queue should have in hand beyond those that run: the rule, without threads or clocks.

A thread that ends a job of a few microseconds and then waits for a round trip to PostgreSQL mostly waits. So a queue of
short jobs holds some ready, at most as many as its threads run in `HORIZON_SECONDS` by its own average. A queue of
longer jobs holds none, since another node could run them meanwhile.
"""

from __future__ import annotations

HORIZON_SECONDS = 0.05
MAX_READY = 500
LONG_SECONDS = 0.02
"""Average run above which nothing is held ready."""
SMOOTHING = 0.3
"""Weight of the newest group of runs in the average."""


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
        return min(self.most, int(HORIZON_SECONDS * limit / max(self._average, 1e-6)))

    def stall(self) -> None:
        """Take in that jobs held ready were not begun in time: hold none until runs are short again."""
        self._average = 1.0
