"""What the queues in Redis have in common: they store jobs one by one, and each has all of the Redis at its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import redis

from benchmarks.crowd import crowd
from benchmarks.tally import Lane

SENT = "benchmarks:sent"
SLEEP_SECONDS = 0.01
SHORT_SECONDS = 0.001


class Running:
    """Where the jobs of this process write that they start."""

    lane: ClassVar[Lane]  # written before any job runs


def noop(number: int) -> None:
    """Say that it started."""
    Running.lane.start(number)


def nap(number: int) -> None:
    """Say that it started, and sleep."""
    Running.lane.start(number)
    time.sleep(SLEEP_SECONDS)


def hurry(number: int) -> None:
    """Say that it started, and sleep for a moment."""
    Running.lane.start(number)
    time.sleep(SHORT_SECONDS)


JOBS: dict[str, Callable[[int], None]] = {"noop": noop, "sleep": nap, "short": hurry}


class RedisQueue:
    """The jobs of one Redis, which a queue stores by its `store` and `store_due`.

    Args:
        dsn: URL of the Redis.
    """

    def __init__(self, dsn: str) -> None:
        self.redis = redis.Redis.from_url(dsn)

    def store(self, number: int, kind: str = "noop") -> object:
        """Store a job that is due now."""
        raise NotImplementedError

    def store_due(self, number: int, due: float) -> object:
        """Store a job that is due at a time, seconds since 1970."""
        raise NotImplementedError

    def install(self) -> None:
        """Do nothing: Redis has no tables."""

    def empty(self) -> None:
        self.redis.flushall()

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        for number in range(1, jobs + 1):
            if delay > 0:
                self.store_due(number, time.time() + delay)
            else:
                self.store(number, kind)
        self.redis.incrby(SENT, jobs)

    def enqueue(self, jobs: int, threads: int) -> float:
        return crowd(jobs, threads, lambda: self.store)

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        times = []
        for number, pause in enumerate(pauses, 1):
            time.sleep(pause)
            called = time.monotonic()
            self.store(number)
            times.append((called, time.monotonic()))
        self.redis.incrby(SENT, len(pauses))
        return times

    def schedule(self, delays: Sequence[float]) -> list[float]:
        dues = []
        for number, delay in enumerate(delays, 1):
            dues.append(time.time() + delay)
            self.store_due(number, dues[-1])
        self.redis.incrby(SENT, len(delays))
        return dues

    def sent(self) -> int:
        """Give how many jobs were stored for nodes to run, for queues that do not keep all of them."""
        return int(self.redis.get(SENT) or 0)
