"""PgQueuer by asyncpg, the fastest of its drivers. It deletes jobs that ended, and logs how each one did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import asyncpg
import psycopg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries
from psycopg.conninfo import conninfo_to_dict

from benchmarks import eventloop
from benchmarks.agent import Checked, LaneArgs, Runner, Stored
from benchmarks.tally import Lane

BEST_BATCH = 100
SECONDS = {"noop": 0.0, "sleep": 0.01, "short": 0.001}
"""The kinds of jobs, each an entry point, and how long one sleeps."""

_FILL = """
WITH stored AS (
  INSERT INTO pgqueuer (priority, status, entrypoint, payload, execute_after)
  SELECT
    0, 'queued', %(kind)s, convert_to(json_build_object('id', id)::text, 'UTF8'),
    now() + make_interval(secs => %(delay)s)
  FROM generate_series(1, %(jobs)s) AS id
  RETURNING id, entrypoint
)
INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
SELECT id, 'queued', entrypoint, 0 FROM stored
"""
_CHECK = """
SELECT
  (SELECT count(*) FROM pgqueuer) AS unfinished,
  count(*) FILTER (WHERE status = 'successful') AS completed,
  count(*) FILTER (WHERE status NOT IN ('queued', 'picked', 'successful')) AS flawed,
  CAST(extract(epoch FROM max(created) FILTER (WHERE status = 'successful')) AS float8) AS last
FROM pgqueuer_log
"""
_DISORDERED = "SELECT count(*) FROM pgqueuer WHERE id <> (convert_from(payload, 'UTF8')::json ->> 'id')::bigint"


class Client:
    """What prepares and checks the jobs of one database, and starts to run them.

    Args:
        dsn: The database.
        batch: Jobs that are fetched at once, without a limit of how many run; None: as few as slots allow.
    """

    modes: ClassVar[tuple[str, ...]] = ("drain",)

    def __init__(self, dsn: str, batch: int | None) -> None:
        self._given = conninfo_to_dict(dsn)
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._batch = batch
        self._loop = eventloop.EventLoop(uvloop.new_event_loop)  # as its command does
        self._queuer: Any = None

    def install(self) -> None:
        self._loop.run(self._install())

    def empty(self) -> None:
        self._connection.execute("TRUNCATE pgqueuer, pgqueuer_log RESTART IDENTITY")

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        self._connection.execute(_FILL, {"jobs": jobs, "kind": kind, "delay": float(delay)})

    def check(self) -> Checked:
        row = self._connection.execute(_CHECK).fetchone()
        assert row is not None
        return Checked(jobs=row[0] + row[1], unfinished=row[0], completed=row[1], flawed=row[2], last=row[3])

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        self._queuer = self._loop.run(self._node(Lane(*lane)))
        limits = {"batch_size": max(1, slots // 2), "max_concurrent_tasks": slots}  # it demands twice the batch
        self._loop.spawn(self._queuer.run(**(limits if self._batch is None else {"batch_size": self._batch})))

    def stop(self) -> None:
        self._queuer.shutdown.set()

    async def _pool(self, most: int = 10) -> Any:
        given = self._given
        return await asyncpg.create_pool(
            host=given.get("host"),
            port=given.get("port"),
            user=given.get("user"),
            password=given.get("password"),
            database=given.get("dbname"),
            min_size=2,
            max_size=most,
        )

    async def _install(self) -> None:
        await Queries(AsyncpgPoolDriver(await self._pool())).install()

    async def _node(self, lane: Lane) -> Any:
        queuer = PgQueuer(AsyncpgPoolDriver(await self._pool()))
        for kind, seconds in SECONDS.items():
            queuer.entrypoint(kind)(_entry(lane, seconds))
        return queuer


class PgQueuerPeer(Client):
    """One process, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "wait", "idle", "sleep", "short", "large")

    def __init__(self, dsn: str, batch: int | None) -> None:
        super().__init__(dsn, batch)
        self._queries: Any = self._loop.run(self._client())

    def enqueue(self, jobs: int, threads: int) -> float:
        return float(self._loop.run(eventloop.crowd(jobs, threads, self._store)))

    def bulk(self, calls: int, size: int) -> Stored:
        stored: Stored = self._loop.run(eventloop.bulk(calls, size, _payload, self._store_many))
        row = self._connection.execute(_DISORDERED).fetchone()
        assert row is not None
        if row[0] or self.check()["jobs"] != (calls + 1) * size:
            raise AssertionError(f"expected ids in the order in which the jobs were given, got {row[0]} others")
        return stored

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        times: list[tuple[float, float]] = self._loop.run(eventloop.send(pauses, self._store))
        return times

    def schedule(self, delays: Sequence[float]) -> list[float]:
        dues: list[float] = self._loop.run(eventloop.schedule(delays, self._store_late))
        return dues

    async def _client(self) -> Any:
        return Queries(AsyncpgPoolDriver(await self._pool()))

    async def _store(self, number: int) -> None:
        await self._queries.enqueue("noop", _payload(number))

    async def _store_many(self, payloads: list[bytes]) -> None:
        await self._queries.enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads))

    async def _store_late(self, number: int, delay: float, due: float) -> None:  # noqa: ARG002 - it takes delays
        await self._queries.enqueue("noop", _payload(number), execute_after=timedelta(seconds=delay))


def make(dsn: str, variant: str) -> Runner:
    """Make the system of one process; the variant `best` only drains."""
    return Client(dsn, BEST_BATCH) if variant == "best" else PgQueuerPeer(dsn, None)


def _entry(lane: Lane, seconds: float) -> Callable[[Any], Awaitable[None]]:
    async def run(job: Any) -> None:
        lane.start(json.loads(job.payload)["id"])
        if seconds:
            await asyncio.sleep(seconds)

    return run


def _payload(number: int) -> bytes:
    return json.dumps({"id": number}).encode()
