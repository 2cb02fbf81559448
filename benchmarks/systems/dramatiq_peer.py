"""dramatiq with its Redis broker, without results: a message is deleted when its job has ended.

The worker runs in this process, as in each process of its command.
"""

from __future__ import annotations

import math
import os
import time
from typing import ClassVar

os.environ.setdefault("dramatiq_queue_prefetch", "100")  # read at the import; by itself twice the threads, and slower

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.agent import Checked, LaneArgs, Runner
from benchmarks.systems.redis_queue import JOBS, RedisQueue, Running
from benchmarks.tally import Lane


class Dramatiq(RedisQueue):
    """One process, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "wait", "sleep", "short")  # not idle: no job may be due in over 7 days

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._broker = RedisBroker(url=dsn)
        self._actors = {kind: dramatiq.actor(body, broker=self._broker) for kind, body in JOBS.items()}

    def store(self, number: int, kind: str = "noop") -> object:
        return self._actors[kind].send(number)

    def store_due(self, number: int, due: float) -> object:
        delay = math.ceil((due - time.time()) * 1e3) + 1  # it counts from the whole millisecond before
        return self._actors["noop"].send_with_options(args=(number,), delay=delay)

    def check(self) -> Checked:
        """Count messages. One that fails is sent again, which the tally shows, and at last becomes a dead letter."""
        unfinished = sum(self.redis.hlen(f"dramatiq:{name}.msgs") for name in ("default", "default.DQ"))
        dead = self.redis.zcard("dramatiq:default.XQ")
        return Checked(jobs=unfinished + dead, unfinished=unfinished, completed=None, flawed=dead, last=None)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        Running.lane = Lane(*lane)
        self._worker = dramatiq.Worker(self._broker, worker_threads=slots)
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()


def make(dsn: str) -> Runner:
    """Make the system of one process."""
    return Dramatiq(dsn)
