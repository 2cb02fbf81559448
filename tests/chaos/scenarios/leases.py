"""A living node keeps its jobs whatever they do, and one that lost them changes nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet, Node
from tests.chaos.server import Stage, private

WAYS = ("sleep", "compute", "interpreter", "connection")
OUTCOMES = ("complete", "record", "snooze", "cancel", "error", "transaction")
FREE_LEASE = 5.0


def healthy(directory: Path, seed: int, *, seconds: float, each: int) -> Iterator[Counted]:
    """Run long jobs of every way while others watch and PostgreSQL crashes; nobody may take them (R4).

    Args:
        directory: For logs.
        seed: Draws when PostgreSQL crashes, in the first quarter of the jobs' time.
        seconds: How long each job runs.
        each: Jobs of each way.
    """
    with private() as stage, Fleet(stage.dsn, directory) as fleet:
        runner, *watchers = (fleet.start(queues=queues) for queues in (f"default:{4 * each}", "other:1", "other:1"))
        stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == 3)
        jobs = [_healthy(way, seconds) for way in WAYS for _ in range(each)]
        stage.enqueue(jobs)
        stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == len(jobs))
        time.sleep(Random(seed).uniform(0, seconds / 8))
        stage.restart()
        stage.wait(lambda: stage.unended() == 0, seconds * 4 + 60)
        yield _taken(stage, [runner, *watchers], seed, len(jobs), seconds)


def _healthy(way: str, seconds: float) -> Job:
    """Make a job; a call that holds the interpreter lasts half as long as the others, and not over 8 seconds."""
    return Job(
        "chaos.Healthy", args={"way": way, "seconds": min(8.0, seconds / 2) if way == "interpreter" else seconds}
    )


def _taken(stage: Stage, nodes: Sequence[Node], seed: int, jobs: int, seconds: float) -> Counted:
    counts = {
        "jobs": jobs,
        "starts": stage.one("SELECT count(*) FROM ledger"),
        "completed": stage.states().get("completed", 0),
        "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
    }
    kept = counts["starts"] == counts["completed"] == jobs and counts["rescued"] == 0
    fault = "sleep, load, a C call that holds the interpreter, a held pool connection; PostgreSQL crashes meanwhile"
    sizes = f"{jobs} jobs of {seconds:g} s ({seconds / FREE_LEASE:.1f} leases), {len(nodes)} processes"
    return Counted("R4", "a healthy job is never rescued", fault, sizes, seed, counts, "starts = jobs, rescued 0", kept)


def lost(stage: Stage, directory: Path, seed: int, *, each: int, stopped: float | None) -> Iterator[Counted]:
    """Stop a node past its lease, let another run its jobs, and let it go on (R5).

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws the order of the outcomes.
        each: Jobs of each outcome.
        stopped: Seconds after which a stopped process has lost its lease; None: end its lease by hand.
    """
    jobs = [Job("chaos.Late", args={"outcome": outcome}) for outcome in OUTCOMES for _ in range(each)]
    Random(seed).shuffle(jobs)
    with Fleet(stage.dsn, directory, queues=f"default:{len(jobs)}") as fleet:
        first = fleet.start()
        stage.enqueue(jobs)
        stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == len(jobs))
        fleet.start()
        stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == 2)
        first.send(signal.SIGSTOP)
        if stopped is None:
            stage.ask(_END_SESSION, (f"oban_sync:{first.name}:heartbeat",))
            stage.ask(_AGE, (first.name,))
        stage.wait(lambda: stage.unended() == 0, 60 + (stopped or 0))
        before = _rows(stage)
        stage.ask("INSERT INTO gates VALUES ('late')")
        first.send(signal.SIGCONT)
        stage.wait(lambda: stage.one("SELECT count(*) FROM ledger WHERE ended IS NULL") == 0)
        # The transaction of a job is refused in the job itself, whose error is then refused like the other ends.
        stage.wait(lambda: first.refused() >= len(jobs), 20)
        yield _changed(stage, before, first.refused(), seed, len(jobs), stopped)


_END_SESSION = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
_AGE = "UPDATE oban_producers SET updated_at = updated_at - interval '10 s' WHERE node = %s"


def _rows(stage: Stage) -> list[tuple[Any, ...]]:
    columns = "id, state::text, attempt, errors, meta, attempted_by, scheduled_at, completed_at, cancelled_at"
    return stage.ask(f"SELECT {columns}, discarded_at FROM oban_jobs ORDER BY id")


def _changed(
    stage: Stage, before: list[tuple[Any, ...]], refused: int, seed: int, jobs: int, stopped: float | None
) -> Counted:
    counts = {
        "jobs": jobs,
        "runs": stage.one("SELECT count(*) FROM ledger"),
        "rows changed by the first run": sum(old != new for old, new in zip(before, _rows(stage), strict=True)),
        "its ends refused": refused,
        "its effects": stage.one("SELECT count(*) FROM effects"),
    }
    second = stage.one("SELECT count(*) FROM oban_jobs WHERE state = 'completed' AND attempt = 2 AND meta ? 'return'")
    kept = not counts["rows changed by the first run"] and not counts["its effects"] and second == jobs == refused
    lease = "the end of its lease" if stopped is None else "60 s"
    fault = f"SIGSTOP past {lease}, then SIGCONT, for each of {len(OUTCOMES)} outcomes"
    line = "rows are the second run's, all ends refused"
    return Counted("R5", "a lost owner changes nothing", fault, f"{jobs} jobs", seed, counts, line, kept)
