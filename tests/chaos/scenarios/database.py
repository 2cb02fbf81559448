"""What a database does to those who write: it refuses for a while, or holds an old snapshot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage

REFUSALS = {
    "disk_full": "53100",
    "query_canceled": "57014",
    "deadlock_detected": "40P01",
    "serialization_failure": "40001",
    "read_only_sql_transaction": "25006",
    "insufficient_resources": "53000",
}
_TRAP = """
CREATE SEQUENCE tries;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('tries');
    RAISE EXCEPTION 'refused by the scenario' USING ERRCODE = TG_ARGV[0];
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON oban_jobs EXECUTE FUNCTION refuse('{code}');
"""
_RELEASE = "DROP TRIGGER refuse ON oban_jobs"
_TRIES = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries"


def refusing(stage: Stage, directory: Path, *, name: str, seconds: float, jobs: int) -> Iterator[Counted]:
    """Refuse every change of a job for a while, and count what is tried and what becomes of the jobs (R21).

    Args:
        stage: Where.
        directory: For logs.
        name: The refusal, of `REFUSALS`.
        seconds: For how long.
        jobs: How many run or wait meanwhile.
    """
    with Fleet(stage.dsn, directory, queues="default:5") as fleet:
        node = fleet.start()
        stage.enqueue(Job("chaos.Sibling", args={"seconds": 0.5}) for _ in range(jobs))
        stage.need(lambda: stage.one("SELECT count(*) FROM ledger") >= 5)
        stage.ask(_TRAP.format(code=REFUSALS[name]))
        time.sleep(seconds)
        tries = stage.one(_TRIES)
        stage.ask(_RELEASE)
        stage.wait(lambda: stage.unended() == 0, 60 + jobs * 0.2)
        counts = {
            "lost": stage.unended(),
            "completed": stage.states().get("completed", 0),
            "runs": stage.one("SELECT count(*) FROM ledger"),
            "tries/s": tries / seconds,
            "log lines": node.log().count(" oban_sync."),
        }
    kept = not counts["lost"] and counts["completed"] == counts["runs"] == jobs and tries <= 5 * seconds
    claim, line = "database errors back off and lose nothing", "lost 0, each ran once, <= 5 tries/s"
    fault = f"every change of a job refused with {name}"
    yield Counted("R21", claim, fault, f"{jobs} jobs, {seconds:g} s", None, counts, line, kept)


_DELAYS = """
SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM attempted_at - scheduled_at))::float8
FROM oban_jobs WHERE id > %s AND id <= %s AND attempted_at IS NOT NULL
"""
_DEAD = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'oban_jobs'"
_WARNED = "holds a snapshot"


def snapshot(stage: Stage, directory: Path, *, seconds: float, rate: int) -> Iterator[Counted]:
    """Hold a snapshot while jobs flow, and compare how long they wait with before (R22).

    Args:
        stage: Where.
        directory: For logs.
        seconds: How long the snapshot is held; it is measured in fifths, and one before.
        rate: Jobs a second.
    """
    with Fleet(stage.dsn, directory, queues="default:10") as fleet, psycopg.connect(stage.dsn) as holder:
        node = fleet.start()
        stage.need(lambda: stage.one("SELECT count(*) FROM oban_producers") == 1)
        _flow(stage, 2.0, rate)
        clean = _flow(stage, seconds / 5, rate)
        holder.execute("SET application_name = 'long report'")
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM oban_jobs")
        held = max(_flow(stage, seconds / 5, rate) for _ in range(5))
        stage.wait(lambda: stage.one(_DEAD), 10)
        dead = stage.one(_DEAD)
        warned = [line for line in node.log().splitlines() if _WARNED in line]
        holder.rollback()
        stage.wait(lambda: stage.unended() == 0)
        counts = {
            "completed": stage.states().get("completed", 0),
            "unended": stage.unended(),
            "p99 wait before ms": clean * 1000,
            "of the worst fifth ms": held * 1000,
            "dead rows": dead,
            "warnings that name the session": sum("long report" in line for line in warned),
        }
    expected = 1 + int((seconds - 360) // 600) if seconds > 360 else 0
    kept = not counts["unended"] and held <= 5 * max(clean, 0.01) and len(warned) == expected
    claim = "throughput survives a long transaction"
    line = "p99 wait of each fifth <= 5x that before (or 50 ms), the session named after 5 min"
    fault = "one snapshot held while jobs flow"
    yield Counted("R22", claim, fault, f"{rate} jobs/s, {seconds:g} s", None, counts, line, kept)


def _flow(stage: Stage, seconds: float, rate: int) -> float:
    """Enqueue at a rate, and give the wait in seconds that 99 of 100 of these jobs did not exceed."""
    began = time.monotonic()
    first = stage.one("SELECT coalesce(max(id), 0) FROM oban_jobs")
    sent = 0
    while (elapsed := time.monotonic() - began) < seconds:
        due = int(elapsed * rate) - sent
        if due > 0:
            stage.enqueue(Job("chaos.Innocent") for _ in range(due))
            sent += due
        time.sleep(0.02)
    last = stage.one("SELECT max(id) FROM oban_jobs")
    stage.wait(lambda: stage.unended() == 0)
    return float(stage.one(_DELAYS, (first, last)))
