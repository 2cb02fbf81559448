"""oban_sync by its public interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from benchmarks.agent import LaneArgs, System
from benchmarks.systems.oban_table import NOOP, QUEUE, SLEEP, Table
from benchmarks.tally import Lane
from oban_sync import Job, Oban, worker

SLEEP_SECONDS = 0.01


@worker(queue=QUEUE, name=NOOP)
class Noop:
    """Says that it started."""

    lane: ClassVar[Lane]

    def process(self, job: Job) -> None:
        Noop.lane.start(job.args["id"])


@worker(queue=QUEUE, name=SLEEP)
class Sleep:
    """Says that it started, and sleeps."""

    def process(self, job: Job) -> None:
        Noop.lane.start(job.args["id"])
        time.sleep(SLEEP_SECONDS)


class ObanSync(Table):
    """One process with an Oban instance, which is a client until `start`."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._oban = Oban(dsn=dsn)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:
        Noop.lane = Lane(*lane)
        self._oban = Oban(dsn=self.dsn, queues={QUEUE: slots}).start()

    def stop(self) -> None:
        self._oban.stop()

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        times = []
        for number, pause in enumerate(pauses, 1):
            time.sleep(pause)
            called = time.monotonic()
            Noop.enqueue({"id": number})
            times.append((called, time.monotonic()))
        return times


def make(dsn: str) -> System:
    """Make the system of one process."""
    return ObanSync(dsn)
