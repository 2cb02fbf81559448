"""oban for Python: asynchronous, on the same table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import uvloop
from oban import Job, Oban, worker
from oban.schema import install

from benchmarks import eventloop
from benchmarks.agent import LaneArgs, Stored, System
from benchmarks.rows import QUEUE
from benchmarks.systems.oban_table import Table
from benchmarks.tally import Lane

SLEEP_SECONDS = 0.01
SHORT_SECONDS = 0.001


class Starting:
    """Says that it started."""

    lane: ClassVar[Lane]  # written before any job runs

    async def process(self, job: Job) -> None:
        Starting.lane.start(job.args["id"])


class Sleeping:
    """Says that it started, and sleeps."""

    async def process(self, job: Job) -> None:
        Starting.lane.start(job.args["id"])
        await asyncio.sleep(SLEEP_SECONDS)


class Hurrying:
    """Says that it started, and sleeps for a moment."""

    async def process(self, job: Job) -> None:
        Starting.lane.start(job.args["id"])
        await asyncio.sleep(SHORT_SECONDS)


Noop = worker(queue=QUEUE)(Starting)
Sleep = worker(queue=QUEUE)(Sleeping)
Short = worker(queue=QUEUE)(Hurrying)


class ObanPeer(Table):
    """One process with an Oban instance, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "wait", "idle", "sleep", "short", "rows")
    workers: ClassVar[dict[str, str]] = {
        "noop": f"{__name__}.Starting",
        "sleep": f"{__name__}.Sleeping",
        "short": f"{__name__}.Hurrying",
    }

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._loop = eventloop.EventLoop(uvloop.new_event_loop)  # as its command does
        self._pool = self._loop.run(Oban.create_pool(dsn, min_size=2, max_size=10))
        self._oban = Oban(pool=self._pool)

    def install(self) -> None:
        self._loop.run(install(self._pool))

    def enqueue(self, jobs: int, threads: int) -> float:
        return float(self._loop.run(eventloop.crowd(jobs, threads, self._store)))

    def bulk(self, calls: int, size: int) -> Stored:
        stored: Stored = self._loop.run(eventloop.bulk(calls, size, _job, lambda jobs: self._oban.enqueue_many(jobs)))
        self.check_order((calls + 1) * size)
        return stored

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        Starting.lane = Lane(*lane)
        self._oban = Oban(pool=self._pool, queues={QUEUE: slots})
        self._loop.spawn(self._oban.start())  # not run: its first jobs may hold the loop at the gate of the tally

    def stop(self) -> None:
        self._loop.run(self._oban.stop())

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        times: list[tuple[float, float]] = self._loop.run(eventloop.send(pauses, self._store))
        return times

    def schedule(self, delays: Sequence[float]) -> list[float]:
        dues: list[float] = self._loop.run(eventloop.schedule(delays, self._store_late))
        return dues

    async def _store(self, number: int) -> None:
        await self._oban.enqueue(_job(number))

    async def _store_late(self, number: int, delay: float, due: float) -> None:  # noqa: ARG002 - it takes times
        await self._oban.enqueue(Noop.new({"id": number}, scheduled_at=datetime.fromtimestamp(due, UTC)))


def make(dsn: str) -> System:
    """Make the system of one process."""
    return ObanPeer(dsn)


def _job(number: int) -> Job:
    return Noop.new({"id": number})
