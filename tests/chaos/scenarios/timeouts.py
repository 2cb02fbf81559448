"""Timeouts are recorded in time whatever the thread does, and hit nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage
from tests.chaos.work import OVERDUE


def race(stage: Stage, directory: Path, seed: int, *, jobs: int) -> Iterator[Counted]:
    """Run jobs that end at about their timeouts, and between them others that have none (R23)."""
    random = Random(seed)
    racing = [Job("chaos.Racing", args={"timeout": random.uniform(0.002, 0.01)}) for _ in range(jobs)]
    innocent = [Job("chaos.Innocent") for _ in range(jobs)]
    mixed = racing + innocent
    random.shuffle(mixed)
    stage.enqueue(mixed)
    with Fleet(stage.dsn, directory, queues="default:10") as fleet:
        node = fleet.start()
        stage.wait(lambda: not stage.states().keys() & {"available", "executing"}, 60 + jobs / 50)
        alive = node.alive
    slowest = "max(extract(epoch FROM (errors->0->>'at')::timestamp - attempted_at) - (args->>'timeout')::float8)"
    late = "worker = 'chaos.Racing' AND state = 'retryable' AND errors->0->>'error' LIKE '%longer than its timeout%'"
    counts = {
        "in time": stage.one("SELECT count(*) FROM oban_jobs WHERE worker = 'chaos.Racing' AND state = 'completed'"),
        "timed out": stage.one(f"SELECT count(*) FROM oban_jobs WHERE {late}"),
        "slowest record s": stage.one(f"SELECT {slowest}::float8 FROM oban_jobs WHERE {late}") or 0.0,
        "others completed": stage.one(
            "SELECT count(*) FROM oban_jobs WHERE worker = 'chaos.Innocent' AND state = 'completed'"
        ),
        "others hit": stage.one("SELECT count(*) FROM oban_jobs WHERE worker = 'chaos.Innocent' AND errors <> '[]'"),
    }
    kept = alive and counts["in time"] + counts["timed out"] == jobs == counts["others completed"]
    fault = "timeouts at the instant at which jobs end"
    sizes, line = f"{jobs:,} racing jobs, {jobs:,} others", "each recorded within 1 s, others hit 0"
    kept = kept and counts["others hit"] == 0 and counts["slowest record s"] <= 1
    yield Counted("R23", "no timeout ever hits another job", fault, sizes, seed, counts, line, kept)


TIMEOUT = 1.0


def overdue(stage: Stage, directory: Path) -> Iterator[Counted]:
    """Let jobs run past their timeout in every way, and see that others get their slots (R23)."""
    slots = len(OVERDUE)
    with Fleet(stage.dsn, directory, queues=f"default:{slots}") as fleet:
        node = fleet.start()
        stage.need(lambda: stage.one("SELECT count(*) FROM oban_producers") == 1)
        stage.enqueue(Job("chaos.Overdue", args={"way": way, "timeout": TIMEOUT}, max_attempts=1) for way in OVERDUE)
        stage.wait(lambda: not stage.unended(), 30)
        others = stage.enqueue(Job("chaos.Sibling", args={"seconds": 3}) for _ in range(slots))
        at_once = stage.wait(lambda: stage.one(_AT_ONCE) == slots, 10)
        stage.wait(lambda: not stage.unended(), 30)
        alive = node.alive
    ((recorded, slowest),) = stage.ask(_RECORDED, (TIMEOUT,))
    counts = {
        "recorded": recorded,
        "slowest after its deadline s": slowest or 0.0,
        "others at once": slots if at_once else stage.one(_AT_ONCE),
        "others completed": stage.one(_COMPLETED, (others,)),
    }
    kept = alive and recorded == slots == counts["others completed"] and at_once and slowest <= 1
    fault = f"timeouts of threads in {', '.join(OVERDUE)}"
    line = "each recorded by its deadline + 1 s, its slot given to others"
    yield Counted("R23", "timeouts are recorded in time", fault, f"{slots} jobs", None, counts, line, kept)


_COMPLETED = "SELECT count(*) FROM oban_jobs WHERE id = ANY (%s) AND state = 'completed'"
_AT_ONCE = "SELECT count(*) FROM ledger WHERE ended IS NULL"
_RECORDED = """
SELECT count(*), max(extract(epoch FROM (errors -> 0 ->> 'at')::timestamp - attempted_at) - %s)::float8
FROM oban_jobs WHERE worker = 'chaos.Overdue' AND state = 'discarded'
"""
