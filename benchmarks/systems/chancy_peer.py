"""Chancy: jobs are stored by its blocking interface and run by coroutines, polled for eagerly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import psycopg
from chancy import Chancy, Queue, Worker, job

from benchmarks import clerk
from benchmarks.agent import Checked, LaneArgs, Stored, System
from benchmarks.crowd import crowd
from benchmarks.eventloop import EventLoop
from benchmarks.rows import QUEUE
from benchmarks.tally import Lane

_FILL = """
INSERT INTO chancy_jobs (id, queue, func, kwargs, scheduled_at)
SELECT
  gen_random_uuid(), %(queue)s, %(func)s, jsonb_build_object('id', id), now() + make_interval(secs => %(delay)s)
FROM generate_series(1, %(jobs)s) AS id
"""
_CHECK = """
SELECT
  count(*) AS jobs,
  count(*) FILTER (WHERE state NOT IN ('succeeded', 'failed')) AS unfinished,
  count(*) FILTER (WHERE state = 'succeeded') AS completed,
  count(*) FILTER (WHERE state = 'succeeded' AND attempts <> 1 OR errors <> '[]') AS flawed
FROM chancy_jobs
"""


class Lanes:
    """Where the jobs of this process say that they start."""

    lane: ClassVar[Lane]  # written before any job runs


@job(queue=QUEUE)
async def noop(*, id: int) -> None:
    Lanes.lane.start(id)


@job(queue=QUEUE)
async def sleep(*, id: int) -> None:
    Lanes.lane.start(id)
    await asyncio.sleep(0.01)


@job(queue=QUEUE)
async def short(*, id: int) -> None:
    Lanes.lane.start(id)
    await asyncio.sleep(0.001)


class ChancyPeer:
    """One process, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "wait", "idle", "sleep", "short")

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._chancy: Any = Chancy(dsn)
        self._loop = EventLoop()

    def install(self) -> None:
        self._loop.run(self._install())

    def empty(self) -> None:
        self._connection.execute("TRUNCATE chancy_jobs")

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        given = {"jobs": jobs, "queue": QUEUE, "func": f"{__name__}.{kind}", "delay": float(delay)}
        self._connection.execute(_FILL, given)

    def check(self) -> Checked:
        """Say how the jobs ended, but not when: `completed_at` is up to a second before the row says so."""
        row = self._connection.execute(_CHECK).fetchone()
        assert row is not None
        return Checked(jobs=row[0], unfinished=row[1], completed=row[2], flawed=row[3], last=None)

    def enqueue(self, jobs: int, threads: int) -> float:
        return crowd(jobs, threads, lambda: self._store)

    def bulk(self, calls: int, size: int) -> Stored:
        """Store jobs; their ids are random within a millisecond, so no order is checked."""

        def store(jobs: list[Any]) -> None:
            for _ in self._chancy.sync_push_many(jobs, batch_size=size):
                pass

        return clerk.bulk(calls, size, _job, store)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        Lanes.lane = Lane(*lane)
        self._loop.spawn(self._run(slots))

    def stop(self) -> None:
        """Leave it to the end of the process."""

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        return clerk.send(pauses, self._store)

    def schedule(self, delays: Sequence[float]) -> list[float]:
        return clerk.schedule(delays, self._store_late)

    async def _install(self) -> None:
        async with Chancy(self._dsn) as chancy:
            await chancy.migrate()

    async def _run(self, slots: int) -> None:
        queue = Queue(QUEUE, concurrency=slots, executor=Chancy.Executor.Async, eager_polling=True)
        async with Chancy(self._dsn) as chancy:
            await chancy.declare(queue, upsert=True)
            async with Worker(chancy, register_signal_handlers=False) as worker:
                await worker.wait_for_shutdown()

    def _store(self, number: int) -> None:
        self._chancy.sync_push(_job(number))

    def _store_late(self, number: int, due: float) -> None:
        self._chancy.sync_push(_job(number).with_scheduled_at(datetime.fromtimestamp(due, UTC)))


def make(dsn: str) -> System:
    """Make the system of one process."""
    return ChancyPeer(dsn)


def _job(number: int) -> Any:
    return noop.job.with_kwargs(id=number)
