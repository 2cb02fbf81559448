"""The server is killed for good, and its standby takes over (R10)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from oban_sync import Job, Oban, schema
from oban_sync.errors import DatabaseUnavailable
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import stage as play
from tests.chaos.standby import pair


def promote(directory: Path, *, jobs: int, long_seconds: float) -> Iterator[Counted]:
    """Kill the primary under load and promote the standby, where the tables of leases and leaders are empty.

    Args:
        directory: For logs.
        jobs: Short jobs.
        long_seconds: Time of five jobs that run meanwhile.
    """
    with pair() as (first, second):
        dsn = f"host={first.home},{second.home} port=5432,5432 user=postgres dbname=postgres"
        dsn += " target_session_attrs=read-write"
        with psycopg.connect(dsn, autocommit=True) as connection:
            schema.install(connection)
        with play(dsn) as stage, Fleet(dsn, directory, queues="default:10,long:5") as fleet:
            client = Oban(dsn=dsn, name="failover")
            nodes = [fleet.start() for _ in range(2)]
            stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == 2)
            long = stage.enqueue(Job("chaos.Sibling", queue="long", args={"seconds": long_seconds}) for _ in range(5))
            stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == len(long))
            client.enqueue_many(Job("chaos.Effect", args={"seconds": 0.05}, max_attempts=20) for _ in range(jobs))
            stage.need(lambda: stage.one("SELECT count(*) FROM effects") > jobs // 10)
            first.kill()
            second.ask("SELECT pg_promote()")
            began = time.monotonic()
            enqueued = stage.wait(lambda: _enqueues(client), 60)
            works = time.monotonic() - began
            empty = not second.ask("SELECT 1 FROM pg_class WHERE relname = 'oban_producers' AND relpersistence <> 'u'")
            stage.wait(lambda: stage.unended() == 0, 120 + long_seconds)
            client.stop()
            counts = {
                "lost": stage.unended(),
                "completed": stage.states().get("completed", 0),
                "enqueue works again after s": works,
                "effects missing or doubled": stage.one(_WRONG),
                "starts of long jobs": stage.one("SELECT count(*) FROM ledger WHERE job = ANY (%s)", (long,)),
                "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
                "log lines": sum(node.log().count(" oban_sync.") for node in nodes),
            }
            whole = counts["completed"] == jobs + len(long) + 1 and not counts["effects missing or doubled"]
            kept = enqueued and empty and whole and counts["starts of long jobs"] == len(long) and works <= 10
            claim = "work resumes at a promoted standby"
            line = "lost 0, effects exact, healthy jobs started once, enqueue again within 10 s"
            fault = "SIGKILL of the primary, promotion of its standby, with a DSN that names both"
            yield Counted("R10", claim, fault, f"{jobs} jobs, 2 nodes", None, counts, line, kept)


_WRONG = """
SELECT count(*) FROM (
    SELECT oban_jobs.id FROM oban_jobs LEFT JOIN effects ON effects.job = oban_jobs.id WHERE worker = 'chaos.Effect'
    GROUP BY oban_jobs.id HAVING count(effects.job) <> 1
) AS wrong
"""


def _enqueues(client: Oban) -> bool:
    try:
        client.enqueue(Job("chaos.Sibling", args={"seconds": 0}))
    except DatabaseUnavailable:
        return False
    return True
