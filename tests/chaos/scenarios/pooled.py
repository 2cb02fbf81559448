"""PgBouncer in transaction mode stands between a node and PostgreSQL, with and without a direct way beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.pooler import pooled
from tests.chaos.server import Stage

POLL_SECONDS = 1.0
_AGAIN = """
SELECT extract(epoch FROM min(began) - %s)::float8 FROM ledger WHERE job = ANY (%s) AND attempt = 2 GROUP BY job
"""
_DELAYS = """
SELECT extract(epoch FROM min(ledger.began) - timezone('UTC', oban_jobs.scheduled_at))::float8
FROM ledger JOIN oban_jobs ON oban_jobs.id = ledger.job WHERE worker = 'chaos.Sibling' GROUP BY oban_jobs.id
"""


def behind(stage: Stage, directory: Path, *, jobs: int, direct: bool) -> Iterator[Counted]:
    """Run jobs on a node behind a pooler, kill it, and count how long its jobs wait for another (R12, R3).

    Args:
        stage: Where.
        directory: For logs.
        jobs: How many are enqueued one by one.
        direct: Whether leases and notifications have a way of their own.
    """
    with pooled(stage.dsn) as through:
        config = directory / f"direct-{direct}.toml"
        way = f'[notifier]\ndsn = "{stage.dsn}"\n' if direct else ""
        config.write_text(f"{way}[stager]\ninterval = {POLL_SECONDS}\n")
        with Fleet(through, directory, queues="default:50", ledger=stage.dsn) as fleet:
            node = fleet.start("", "", "--config", str(config))
            stage.need(lambda: stage.one("SELECT count(*) FROM oban_producers") == 1)
            if not direct:
                stage.need(lambda: "notifications do not arrive" in node.log())
            for _ in range(jobs):
                stage.enqueue([Job("chaos.Sibling", args={"seconds": 0})])
                time.sleep(0.02)
            stage.wait(lambda: stage.unended() == 0)
            delays = [seconds for (seconds,) in stage.ask(_DELAYS)]
            yield _started(stage, node.log(), delays, jobs, direct=direct)
            held = stage.enqueue(Job("chaos.Orphan") for _ in range(6))
            stage.need(lambda: stage.one("SELECT count(*) FROM ledger WHERE job = ANY (%s)", (held,)) == len(held))
            node.kill()
            at = stage.one("SELECT clock_timestamp()")
            fleet.start("", "", "--config", str(config))
            stage.wait(lambda: len(stage.ask(_AGAIN, (at, held))) == len(held), 40)
            waits = [seconds for (seconds,) in stage.ask(_AGAIN, (at, held))]
            yield _again(held, waits, direct=direct)


def _way(direct: bool) -> str:
    return "PgBouncer in transaction mode" + (", a direct way for LISTEN and leases" if direct else ", no other way")


def _started(stage: Stage, log: str, delays: list[float], jobs: int, *, direct: bool) -> Counted:
    counts = {
        "completed": stage.states().get("completed", 0),
        "runs": stage.one("SELECT count(*) FROM ledger"),
        "errors in the log": log.count("prepared statement"),
        "warnings that LISTEN is dead": log.count("notifications do not arrive"),
        "median start delay s": statistics.median(delays) if delays else 0.0,
        "max start delay s": max(delays, default=0.0),
    }
    exact = counts["completed"] == counts["runs"] == jobs and not counts["errors in the log"]
    warned = counts["warnings that LISTEN is dead"] == (0 if direct else 1)
    kept = exact and warned and counts["max start delay s"] <= POLL_SECONDS + 0.5
    line = "each ran once, one warning where LISTEN is dead, start delay <= poll + 0.5 s"
    claim = "a lost notification costs only latency"
    return Counted("R12", claim, _way(direct), f"{jobs} jobs, poll {POLL_SECONDS:g} s", None, counts, line, kept)


def _again(held: list[int], waits: list[float], *, direct: bool) -> Counted:
    most = 8 if direct else 20
    counts = {"orphans": len(held), "run again": len(waits), "max s": max(waits, default=0.0)}
    kept = len(waits) == len(held) and counts["max s"] <= most
    fault = f"SIGKILL of a lone node behind {_way(direct)}"
    return Counted("R3", "orphans run again", fault, "1 kill", None, counts, f"all run again, max <= {most} s", kept)
