"""Rows of Oban's table, made by bare statements for what they do to the jobs beside them.

Those that no node runs have negative ids, so that those of jobs begin at 1 as in an empty table, and checks can tell
them apart.
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

QUEUE = "bench"
NOOP = "benchmarks.Noop"
BATCH = 10_000
CHECKS = "benchmarks:checks"
"""Name of the connections that look at the jobs, whose CPU is not the system's."""

_NOW: LiteralString = "timezone('UTC', clock_timestamp())"

_BESIDE = f"""
INSERT INTO oban_jobs (id, state, queue, worker, attempt, args, scheduled_at, attempted_at, completed_at)
OVERRIDING SYSTEM VALUE
SELECT
  -id, CAST(state AS oban_job_state), %(queue)s, %(worker)s, CASE state WHEN 'completed' THEN 1 ELSE 0 END,
  jsonb_build_object('id', id),
  {_NOW} + CASE state WHEN 'scheduled' THEN interval '3 years' ELSE interval '0' END,
  CASE state WHEN 'completed' THEN {_NOW} END,
  CASE state WHEN 'completed' THEN {_NOW} END
FROM generate_series(1, 2 * %(each)s) AS id,
  LATERAL (SELECT CASE WHEN id <= %(each)s THEN 'scheduled' ELSE 'completed' END AS state) AS given
"""
_STORE = f"""
INSERT INTO oban_jobs (id, state, queue, worker, args, scheduled_at)
OVERRIDING SYSTEM VALUE
SELECT -id, 'available', %(queue)s, %(worker)s, jsonb_build_object('id', id), {_NOW}
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS id
"""
_TAKE = f"""
UPDATE oban_jobs
SET state = 'executing', attempt = attempt + 1, attempted_at = {_NOW}, attempted_by = ARRAY['bare', 'bare']
WHERE id BETWEEN -%(last)s::bigint AND -%(first)s::bigint
"""
_END = f"""
UPDATE oban_jobs
SET state = 'completed', completed_at = {_NOW}
WHERE id BETWEEN -%(last)s::bigint AND -%(first)s::bigint
"""
_PUT_FIRST = f"""
INSERT INTO oban_jobs (state, queue, worker, args, scheduled_at)
SELECT 'available', queue, worker, jsonb_build_object('id', %(number)s::int), {_NOW} - interval '1 hour'
FROM oban_jobs
WHERE id > 0
ORDER BY id
LIMIT 1
"""

Connection = psycopg.Connection[tuple[Any, ...]]


def put_beside(connection: Connection, each: int) -> None:
    """Store so many rows that are scheduled in years, and as many that are completed."""
    connection.execute(_BESIDE, {"queue": QUEUE, "worker": NOOP, "each": each})


def live_through(connection: Connection, jobs: int) -> None:
    """Store so many jobs and take them to their end, group by group. Each leaves two dead rows."""
    for first in range(1, jobs + 1, BATCH):
        given = {"queue": QUEUE, "worker": NOOP, "first": first, "last": min(jobs, first + BATCH - 1)}
        for statement in (_STORE, _TAKE, _END):
            connection.execute(statement, given)


def put_first(connection: Connection, number: int) -> None:
    """Store a job of the kind of those that are there, which was due before all of them."""
    connection.execute(_PUT_FIRST, {"number": number})
