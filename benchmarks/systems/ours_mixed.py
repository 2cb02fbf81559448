"""The jobs of `mixture` in oban_sync: stored, run, and checked one by one by SQL."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from psycopg.types.json import Jsonb

from benchmarks import mixture
from benchmarks.agent import Checked
from benchmarks.rows import Connection
from benchmarks.tally import Lane
from oban_sync import Cancel, Job, Record, Snooze, worker

NAME = "benchmarks.Mixed"
REASON = "as planned"

_FILL = """
INSERT INTO oban_jobs (state, queue, worker, priority, args)
SELECT 'available', queue, %(worker)s, priority, jsonb_build_object('id', id, 'seconds', seconds, 'end', "end")
FROM jsonb_to_recordset(%(jobs)s) AS given (id int, queue text, priority int, seconds float8, "end" text)
ORDER BY id
"""
_CHECK = """
SELECT
  count(*) AS jobs,
  count(*) FILTER (WHERE state IN ('available', 'scheduled', 'executing', 'retryable')) AS unfinished,
  count(*) FILTER (WHERE state::text = expected) AS ended,
  count(*) FILTER (WHERE state::text = expected AND NOT coalesce(right_so, false)) AS flawed,
  CAST(extract(epoch FROM max(coalesce(completed_at, cancelled_at))) AS float8) AS last
FROM oban_jobs, LATERAL (
  SELECT
    CASE args ->> 'end' WHEN 'cancel' THEN 'cancelled' ELSE 'completed' END AS expected,
    CASE args ->> 'end'
      WHEN 'plain' THEN attempt = 1 AND errors = '[]' AND meta = '{}'
      WHEN 'error' THEN attempt = 2 AND jsonb_array_length(errors) = 1 AND meta = '{}'
      WHEN 'snooze' THEN attempt = 1 AND errors = '[]' AND meta ->> 'snoozed' = '1'
      WHEN 'cancel' THEN attempt = 1 AND jsonb_array_length(errors) = 1 AND errors #>> '{0,error}' = %(reason)s
      WHEN 'record' THEN attempt = 1 AND errors = '[]' AND meta ->> 'recorded' = 'true' AND meta ? 'return'
    END AS right_so
) AS planned
"""


class PlannedError(Exception):
    """An error that is part of the plan."""


@worker(queue="bench", name=NAME)
class Mixed:
    """Says that it started, sleeps as long as planned, and ends as planned."""

    lane: ClassVar[Lane]  # written before any job runs

    def process(self, job: Job) -> Any:
        Mixed.lane.start(job.args["id"])
        time.sleep(job.args["seconds"])
        end = job.args["end"]
        if end == "error" and job.attempt == 1:
            raise PlannedError(REASON)
        if end == "snooze" and "snoozed" not in job.meta:
            return Snooze(mixture.SNOOZE_SECONDS)
        return {"cancel": Cancel(REASON), "record": Record({"id": job.args["id"]})}.get(end)

    def backoff(self, job: Job) -> float:  # noqa: ARG002 - the same for every job
        return 0.0


def fill(connection: Connection, jobs: int) -> None:
    """Store the planned jobs."""
    parts = [part._asdict() | {"id": number} for number, part in enumerate(mixture.plan(jobs), 1)]
    connection.execute(_FILL, {"worker": NAME, "jobs": Jsonb(parts)})


def check(connection: Connection) -> Checked:
    """Say how many ended in the state that they should, and how many of those not as they should."""
    row = connection.execute(_CHECK, {"reason": REASON}).fetchone()
    assert row is not None
    return Checked(jobs=row[0], unfinished=row[1], completed=row[2], flawed=row[3], last=row[4])
