"""Starts of jobs, written by the jobs themselves into memory that all processes share.

Each process has a lane of its own and each start a record of its own in it, so two starts of one job are two records
however they fall. A job costs two reads of a clock and one write, and no SQL.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

RECORD = struct.Struct("<qdd")
_HEADER = 64  # bytes: whether the gate is open, then for each lane whether a job has come to it
_SPARE = 1000
_SHARED = Path("/dev/shm")  # noqa: S108 - mkstemp makes a name of its own in it
_FULL = "expected about one start a job, got so many that the tally is full"


class Start(NamedTuple):
    """One start of a job.

    Attributes:
        id: The number in the job's args, from 1.
        wall: Seconds since 1970.
        monotonic: Seconds of CLOCK_MONOTONIC, which all processes of a host share.
        lane: The process that ran it, from 0.
    """

    id: int
    wall: float
    monotonic: float
    lane: int


class Lane:
    """The part of a tally that one process writes; any of its threads may.

    Args:
        path: File of the tally.
        number: Its number, from 0.
        begin: First byte of the lane.
        end: Byte after its last.
    """

    def __init__(self, path: str, number: int, begin: int, end: int) -> None:
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._number = number
        self._end = end
        self._open = False  # any thread of this process may see first that it is
        self._offsets: Iterator[int] = itertools.count(begin, RECORD.size)  # next() is one step under the GIL

    def start(self, id: int) -> None:
        """Record that a job starts now.

        Raises:
            OverflowError: There were far more starts than jobs.
        """
        if not self._open:
            self._wait()
        offset = next(self._offsets)
        if offset >= self._end:
            raise OverflowError(_FULL)
        RECORD.pack_into(self._memory, offset, id, time.time(), time.monotonic())

    def start_all(self, ids: Sequence[int]) -> None:
        """Record that jobs start now, all at once: for loops that run nothing, whose speed this must not hide."""
        if not self._open:
            self._wait()
        wall, monotonic = time.time(), time.monotonic()
        offsets = [next(self._offsets) for _ in ids]
        if not ids:
            return
        if offsets[-1] >= self._end:
            raise OverflowError(_FULL)
        fields = [field for id in ids for field in (id, wall, monotonic)]
        struct.pack_into("<" + "qdd" * len(ids), self._memory, offsets[0], *fields)

    def _wait(self) -> None:
        """Wait until the processes that share the jobs are all here."""
        self._memory[1 + self._number] = 1
        while not self._memory[0]:
            time.sleep(0.0005)
        self._open = True


class Tally:
    """The starts of some jobs, read by the process that measures.

    Several processes cannot begin at once by themselves, so the first jobs of each wait at a gate until all are there.

    Args:
        jobs: How many jobs there are.
        lanes: How many processes run them.
    """

    def __init__(self, jobs: int, lanes: int = 1) -> None:
        self.lanes = lanes
        self._lane_bytes = (2 * jobs + _SPARE) * RECORD.size
        handle, self._path = tempfile.mkstemp(prefix="benchmarks-", dir=_SHARED if _SHARED.is_dir() else None)
        os.truncate(handle, self._begin(lanes))
        self._memory = mmap.mmap(handle, 0)
        os.close(handle)
        self._frontiers = [self._begin(lane) for lane in range(lanes)]
        self._memory[0] = lanes == 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()
        Path(self._path).unlink()

    def lane(self, number: int) -> tuple[str, int, int, int]:
        """Give the arguments that make the lane of one process."""
        return self._path, number, self._begin(number), self._begin(number + 1)

    def open(self, seconds: float) -> bool:
        """Let the jobs begin once every process has one; say whether that was so in time."""
        deadline = time.monotonic() + seconds
        while not self._memory[0]:
            if all(self._memory[1 : 1 + self.lanes]):
                self._memory[0] = 1
            elif time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def count(self) -> int:
        """Count the starts so far, looking only at what is new since the last call."""
        for lane in range(self.lanes):
            while self._id(self._frontiers[lane], lane):
                self._frontiers[lane] += RECORD.size
        return sum(at - self._begin(lane) for lane, at in enumerate(self._frontiers)) // RECORD.size

    def starts(self) -> list[Start]:
        """List all starts in the order of the clock."""
        self.count()
        found = [
            Start._make((*RECORD.unpack_from(self._memory, offset), lane))
            for lane in range(self.lanes)
            for offset in range(self._begin(lane), self._frontiers[lane], RECORD.size)
        ]
        return sorted(found, key=lambda start: start.monotonic)

    def _begin(self, lane: int) -> int:
        return _HEADER + lane * self._lane_bytes

    def _id(self, offset: int, lane: int) -> int:
        if offset >= self._begin(lane + 1):
            return 0
        return int.from_bytes(self._memory[offset : offset + 8], "little")


def duplicates(starts: Iterable[Start]) -> list[int]:
    """List the jobs that started more than once."""
    seen: set[int] = set()
    twice = []
    for start in starts:
        if start.id in seen:
            twice.append(start.id)
        seen.add(start.id)
    return twice
