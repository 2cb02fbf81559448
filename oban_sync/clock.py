"""The only reader of clocks.

`now` is the wall clock, which freezegun moves in tests. `monotonic` measures durations and deadlines of running
threads and is read straight from the kernel, so that a test that moves the wall clock cannot stretch a deadline.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Read the wall clock as an aware datetime in UTC."""
    return datetime.now(UTC)


def computed() -> float:
    """Read the seconds for which this thread has been computing, not waiting."""
    return time.thread_time()


def monotonic() -> float:
    """Read seconds of the kernel's monotonic clock."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)
