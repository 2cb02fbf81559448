"""A lane that several processes write, for queues that run each job in a process of its own."""

from __future__ import annotations

import fcntl
import itertools

from benchmarks.agent import LaneArgs
from benchmarks.tally import RECORD, Lane


class SharedLane(Lane):
    """A lane whose records follow each other whoever writes them, by `start` in one thread of each process.

    Args:
        lane: Arguments of the lane.
    """

    def __init__(self, lane: LaneArgs) -> None:
        super().__init__(*lane)
        path, _, begin, _ = lane
        self._begin = begin
        self._file = open(path, "r+b")  # noqa: SIM115 - open as long as the process
        self._offsets = itertools.filterfalse(self._written, itertools.count(begin, RECORD.size))

    def start(self, id: int) -> None:
        """Record that a job starts now, as `Lane.start` does."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._begin)
        try:
            super().start(id)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._begin)

    def _written(self, offset: int) -> bool:
        return offset < self._end and any(self._memory[offset : offset + 8])
