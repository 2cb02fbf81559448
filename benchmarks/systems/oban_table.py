"""The table that oban_sync, bare SQL and oban have in common: filled and checked in the same way for all."""

from __future__ import annotations

from typing import ClassVar

import psycopg

from benchmarks.agent import Checked
from benchmarks.rows import CHECKS, NOOP, QUEUE, Connection

SLEEP = "benchmarks.Sleep"
SHORT = "benchmarks.Short"

_FILL = """
INSERT INTO oban_jobs (state, queue, worker, args, scheduled_at)
SELECT
  CASE WHEN %(delay)s > 0 THEN 'scheduled' ELSE 'available' END::oban_job_state,
  %(queue)s, %(worker)s, jsonb_build_object('id', id),
  timezone('UTC', clock_timestamp()) + make_interval(secs => %(delay)s)
FROM generate_series(1, %(jobs)s) AS id
"""
_CHECK = """
SELECT
  count(*) AS jobs,
  count(*) FILTER (WHERE state IN ('available', 'scheduled', 'executing', 'retryable')) AS unfinished,
  count(*) FILTER (WHERE state = 'completed') AS completed,
  count(*) FILTER (WHERE attempt <> 1 OR errors <> '[]') AS flawed,
  CAST(extract(epoch FROM max(completed_at)) AS float8) AS last
FROM oban_jobs
WHERE id > 0
"""
_DISORDERED = "SELECT count(*) FROM oban_jobs WHERE id <> (args ->> 'id')::bigint"


class Table:
    """The jobs of one database.

    Attributes:
        workers: The worker of each kind of job.

    Args:
        dsn: The database.
    """

    workers: ClassVar[dict[str, str]] = {"noop": NOOP, "sleep": SLEEP, "short": SHORT}

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """A connection in autocommit, made when it is asked for."""
        if self._connection is None:
            self._connection = psycopg.connect(self.dsn, autocommit=True, application_name=CHECKS)
        return self._connection

    def empty(self) -> None:
        self.connection.execute("TRUNCATE oban_jobs RESTART IDENTITY")

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        given = {"jobs": jobs, "queue": QUEUE, "worker": self.workers[kind], "delay": float(delay)}
        self.connection.execute(_FILL, given)

    def check(self) -> Checked:
        row = self.connection.execute(_CHECK).fetchone()
        assert row is not None
        return Checked(jobs=row[0], unfinished=row[1], completed=row[2], flawed=row[3], last=row[4])

    def check_order(self, jobs: int) -> None:
        """Check that so many jobs are stored, with the id that each one's place in the calls makes due."""
        row = self.connection.execute(_DISORDERED).fetchone()
        assert row is not None
        stored = self.check()["jobs"]
        if row[0] or stored != jobs:
            raise AssertionError(f"expected ids of {jobs} jobs in the order given, got {stored} and {row[0]} elsewhere")
