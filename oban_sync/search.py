"""Where a fetch looks for due jobs: the rule, without threads or clocks.

An index keeps an entry of each row that was available until no snapshot can see it any more. While somebody holds an
old snapshot, such as a long report's, a fetch that begins at the start of its queue walks over all jobs that ran since.
So where that turns out to be slow, a fetch begins behind the jobs that it took, and only now and then at the start: for
jobs that came in with an older time, by a late commit or from a node that died.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

SLOW_SECONDS = 0.002
SLOW_SECONDS_A_JOB = 1e-5
"""A search of the server that takes longer than these together walks over much that is dead."""
TRAIL = timedelta(seconds=1)
"""Jobs that became due within it are looked for again and again: a transaction that inserts takes time to commit."""
WHOLE_SECONDS = 2.0
"""Longest time between two looks from the start."""
SHARE = 20
"""A look from the start, where there is a reason for one, waits for so many times as long as the last one took."""
PRIORITIES = 10

Key = tuple[str, int]
"""scheduled_at and id of a job; PostgreSQL's text of a timestamp sorts as its time does."""
START: Key = ("-infinity", 0)


class Search:
    """Follows the fetches of one queue.

    Example:
        >>> search = Search()
        >>> search.after(now=0.0)  # from the start
        >>> search.record_whole(found=1, seconds=0.05, now=0.0)
        >>> search.record([(4, "2026-01-31 08:00:00", 7)], taken_at="2026-01-31 09:00:00")
        >>> search.after(now=0.1)[4]
        ('2026-01-31 08:00:00', 7)
    """

    def __init__(self) -> None:
        self._slow = False
        self._whole_due = 0.0
        self._whole_at = 0.0
        self._whole_seconds = 0.0
        self._newest: dict[int, Key] = {}

    def after(self, now: float) -> list[Key] | None:
        """Give for each priority the key behind which to look; None: look from the start."""
        if not self._slow or now >= self._whole_due:
            return None
        return [self._newest.get(priority, START) for priority in range(PRIORITIES)]

    def record(self, taken: Sequence[tuple[int, str, int]], taken_at: str) -> None:
        """Take in (priority, scheduled_at, id) of the jobs that a fetch took, and the database's time of it."""
        if not self._slow:
            return
        settled = ((datetime.fromisoformat(taken_at) - TRAIL).isoformat(" "), 0)
        for priority, scheduled_at, id in taken:
            key = min((scheduled_at, id), settled)
            if key > self._newest.get(priority, START):
                self._newest[priority] = key

    def record_whole(self, found: int, seconds: float | None, now: float) -> None:
        """Take in how long the server searched from the start; None: it found nothing that could tell."""
        self._whole_at, self._whole_due = now, now + WHOLE_SECONDS
        if seconds is not None:
            self._whole_seconds = seconds
            self._slow = seconds > SLOW_SECONDS + SLOW_SECONDS_A_JOB * found
        if not self._slow:
            self._newest = {}

    def hurry(self) -> None:
        """Take in that there may be jobs before the ones that were taken: they went back, or were due for long."""
        self._whole_due = min(self._whole_due, self._whole_at + SHARE * self._whole_seconds)


def key(row: Sequence[Any]) -> tuple[int, str, int]:
    """Give what `record` takes of a fetched row."""
    return row[4], row[9], row[0]
