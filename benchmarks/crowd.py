"""Threads that store jobs together, timed from the moment at which all of them are ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Store = Callable[[int], object]


def crowd(jobs: int, threads: int, connect: Callable[[], Store]) -> float:
    """Store jobs 1 to `jobs`, shared among threads, and a job 0 in each thread before that is measured.

    Args:
        jobs: How many are measured.
        threads: How many threads share them.
        connect: Gives a thread its way to store the job of a number.

    Returns:
        Seconds from the moment at which every thread was ready to the end of the last.
    """
    begun: list[float] = []
    gate = threading.Barrier(threads, action=lambda: begun.append(time.monotonic()))

    def work(first: int) -> float:
        store = connect()
        store(0)
        gate.wait()
        for number in range(first, jobs + 1, threads):
            store(number)
        return time.monotonic()

    with ThreadPoolExecutor(threads) as executor:
        return max(executor.map(work, range(1, threads + 1))) - begun[0]
