"""Ways to store jobs by a blocking interface, timed; `crowd` is the one for threads, `eventloop` for coroutines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from benchmarks.agent import Stored

Made = TypeVar("Made")


def bulk(calls: int, size: int, make: Callable[[int], Made], store: Callable[[list[Made]], object]) -> Stored:
    """Store so many jobs a call, after one call that is not measured, and give the seconds."""
    calling = whole = 0.0
    for call in range(calls + 1):
        begin = time.monotonic()
        jobs = [make(number) for number in range(call * size + 1, (call + 1) * size + 1)]
        made = time.monotonic()
        store(jobs)
        end = time.monotonic()
        if call:
            calling, whole = calling + end - made, whole + end - begin
    return Stored(calls=calling, whole=whole)


def send(pauses: Sequence[float], store: Callable[[int], object]) -> list[tuple[float, float]]:
    """Store a job after each pause, and give CLOCK_MONOTONIC before and after each call."""
    times = []
    for number, pause in enumerate(pauses, 1):
        time.sleep(pause)
        called = time.monotonic()
        store(number)
        times.append((called, time.monotonic()))
    return times


def schedule(delays: Sequence[float], store: Callable[[int, float], object]) -> list[float]:
    """Store jobs due in so many seconds from their call, and give the due times, seconds since 1970.

    Args:
        delays: The seconds.
        store: Stores the job of a number, due at a time.
    """
    dues = []
    for number, delay in enumerate(delays, 1):
        dues.append(time.time() + delay)
        store(number, dues[-1])
    return dues
