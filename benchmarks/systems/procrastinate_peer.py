"""Procrastinate: jobs are stored by its blocking interface and run by coroutines; jobs that ended are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import procrastinate
import psycopg

from benchmarks import clerk
from benchmarks.agent import Checked, LaneArgs, Stored, System
from benchmarks.crowd import crowd
from benchmarks.eventloop import EventLoop
from benchmarks.rows import QUEUE
from benchmarks.tally import Lane

SECONDS = {"noop": 0.0, "sleep": 0.01, "short": 0.001}
"""The kinds of jobs, each a task, and how long one sleeps."""

_FILL = """
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT
  %(queue)s, %(kind)s, jsonb_build_object('id', id),
  CASE WHEN %(delay)s > 0 THEN now() + make_interval(secs => %(delay)s) END
FROM generate_series(1, %(jobs)s) AS id
"""
_CHECK = """
SELECT
  count(*) AS jobs,
  count(*) FILTER (WHERE status IN ('todo', 'doing')) AS unfinished,
  count(*) FILTER (WHERE status = 'succeeded') AS completed,
  count(*) FILTER (WHERE status = 'succeeded' AND attempts <> 1 OR status = 'failed') AS flawed,
  (SELECT CAST(extract(epoch FROM max(at)) AS float8) FROM procrastinate_events WHERE type = 'succeeded') AS last
FROM procrastinate_jobs
"""
_DISORDERED = "SELECT count(*) FROM procrastinate_jobs WHERE id <> (args ->> 'id')::bigint"


class ProcrastinatePeer:
    """One process, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "wait", "idle", "sleep", "short")

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=dsn, max_size=10))
        self._app.open()
        self._noop: Any = _tasks(self._app, None)["noop"]
        self._loop = EventLoop()

    def install(self) -> None:
        self._app.schema_manager.apply_schema()

    def empty(self) -> None:
        self._connection.execute("TRUNCATE procrastinate_jobs, procrastinate_events RESTART IDENTITY CASCADE")

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        self._connection.execute(_FILL, {"jobs": jobs, "queue": QUEUE, "kind": kind, "delay": float(delay)})

    def check(self) -> Checked:
        row = self._connection.execute(_CHECK).fetchone()
        assert row is not None
        return Checked(jobs=row[0], unfinished=row[1], completed=row[2], flawed=row[3], last=row[4])

    def enqueue(self, jobs: int, threads: int) -> float:
        return crowd(jobs, threads, lambda: self._store)

    def bulk(self, calls: int, size: int) -> Stored:
        stored = clerk.bulk(calls, size, lambda number: {"id": number}, lambda jobs: self._noop.batch_defer(*jobs))
        row = self._connection.execute(_DISORDERED).fetchone()
        assert row is not None
        if row[0] or self.check()["jobs"] != (calls + 1) * size:
            raise AssertionError(f"expected ids in the order in which the jobs were given, got {row[0]} others")
        return stored

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        self._loop.spawn(self._run(slots, Lane(*lane)))

    def stop(self) -> None:
        """Leave it to the end of the process."""

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        return clerk.send(pauses, self._store)

    def schedule(self, delays: Sequence[float]) -> list[float]:
        return clerk.schedule(delays, self._store_late)

    async def _run(self, slots: int, lane: Lane) -> None:
        connector = procrastinate.PsycopgConnector(conninfo=self._dsn, min_size=2, max_size=10)
        app = procrastinate.App(connector=connector)
        _tasks(app, lane)
        async with app.open_async():
            await app.run_worker_async(queues=[QUEUE], concurrency=slots, install_signal_handlers=False)

    def _store(self, number: int) -> None:
        self._noop.defer(id=number)

    def _store_late(self, number: int, due: float) -> None:
        self._noop.configure(schedule_at=datetime.fromtimestamp(due, UTC)).defer(id=number)


def make(dsn: str) -> System:
    """Make the system of one process."""
    return ProcrastinatePeer(dsn)


def _tasks(app: procrastinate.App, lane: Lane | None) -> Any:
    """Declare the kinds of jobs; a client, which runs none, has no lane."""
    for kind, seconds in SECONDS.items():

        async def run(id: int, seconds: float = seconds) -> None:
            assert lane is not None
            lane.start(id)
            if seconds:
                await asyncio.sleep(seconds)

        app.task(name=kind, queue=QUEUE)(run)
    return app.tasks
