"""Timeouts that race with the ends of their jobs hit nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage


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
