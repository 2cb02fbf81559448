"""Processes and PostgreSQL die under load: nothing is lost, nothing doubled, and orphans run again soon."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from oban_sync import Job
from tests.chaos import faults
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet, Node
from tests.chaos.server import Stage, private


@dataclass(frozen=True, slots=True)
class Storm:
    """How much is done in a storm; `longest` and `gap` in seconds."""

    jobs: int
    processes: int
    kills: int
    stops: int
    restarts: int
    longest: float = 0.5
    gap: float = 1.5

    def __str__(self) -> str:
        return f"{self.jobs:,} jobs, {self.processes} processes"


def storm(directory: Path, seed: int, size: Storm) -> Iterator[Counted]:
    """Kill, stop and restart while jobs run that end in every way, a part of them in their own transaction (R1, R2)."""
    random = Random(seed)
    with private() as stage, Fleet(stage.dsn, directory) as fleet:
        stage.enqueue(_stormy(random, size) for _ in range(size.jobs))
        for _ in range(size.processes):
            fleet.start()
        stage.need(lambda: stage.states().get("completed", 0) > 0)
        plan = faults.schedule(random, kills=size.kills, stops=size.stops, restarts=size.restarts, gap=size.gap)
        done = faults.inflict(plan, fleet, stage)
        stage.wait(lambda: stage.unended() == 0, 60 + size.jobs * size.longest / (10 * size.processes))
        said = f"{done['kill']} SIGKILL, {done['stop']} SIGSTOP/CONT, {done['restart']} crashes of PostgreSQL"
        yield _lost(stage, fleet, said, size, seed)
        yield _doubled(stage, said, size, seed)


ENDS = ("transaction", "transaction", "complete", "record", "snooze", "error")


def _stormy(random: Random, size: Storm) -> Job:
    args = {"seconds": round(random.uniform(0, size.longest), 3), "end": random.choice(ENDS)}
    return Job("chaos.Stormy", args=args, max_attempts=100)


def _lost(stage: Stage, fleet: Fleet, fault: str, size: Storm, seed: int) -> Counted:
    counts = {
        "lost": stage.unended(),
        "completed": stage.states().get("completed", 0),
        "runs": stage.one("SELECT count(*) FROM ledger"),
        "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
        "late ends refused": sum(node.refused() for node in fleet.nodes),
    }
    kept = counts["lost"] == 0 and sum(stage.states().values()) == size.jobs
    return Counted("R1", "no committed job is lost", fault, str(size), seed, counts, "lost 0", kept)


def _doubled(stage: Stage, fault: str, size: Storm, seed: int) -> Counted:
    wrong, ours = stage.one(_WRONG), "args ->> 'end' = 'transaction'"
    counts = {
        "jobs": stage.one(f"SELECT count(*) FROM oban_jobs WHERE {ours} AND state = 'completed'"),
        "effects": stage.one("SELECT count(*) FROM effects"),
        "missing or doubled": wrong,
    }
    claim = "effects in `job.transaction()` happen exactly once"
    kept = counts["missing or doubled"] == 0
    return Counted("R2", claim, fault, str(size), seed, counts, "effects = completed jobs, one each", kept)


_WRONG = """
SELECT count(*)
FROM (
  SELECT FROM oban_jobs AS j LEFT JOIN effects AS e ON e.job = j.id
  WHERE j.args ->> 'end' = 'transaction'
  GROUP BY j.id
  HAVING count(e.job) <> (j.state = 'completed')::int
) AS wrong
"""


def orphans(stage: Stage, directory: Path, seed: int, *, kills: int, lone: int) -> Iterator[Counted]:
    """Kill nodes that hold jobs, and count how long until these run again (R3).

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws whom to kill.
        kills: How often one of three nodes is killed.
        lone: How often a lone node is killed, and comes back.
    """
    random = Random(seed)
    waits: list[float] = []
    leaders = 0
    stage.need(lambda: stage.one(_MATURE))
    with Fleet(stage.dsn, directory, queues="default:50") as fleet:
        for _ in range(3 if kills else 0):
            fleet.start()
        for _ in range(kills):
            _enqueue_held(stage, fleet)
            victim = random.choice(_holders(stage, fleet))
            leaders += stage.one("SELECT count(*) FROM oban_leaders WHERE node = %s", (victim.name,))
            waits += _orphaned(stage, fleet, victim)
    with Fleet(stage.dsn, directory, queues="lone:50") as fleet:
        for _ in range(lone):
            node = fleet.start()
            _enqueue_held(stage, fleet, "lone")
            waits += _orphaned(stage, fleet, node)
            fleet.living()[0].kill()
    fault = f"{kills} SIGKILL of one of 3 nodes, and {lone} of a lone node"
    yield _again(fault, seed, waits, leaders)


def _enqueue_held(stage: Stage, fleet: Fleet, queue: str = "default") -> None:
    """Give each node that lives a share of jobs that do not end."""
    stage.need(lambda: stage.one(_UP, ([node.name for node in fleet.living()],)) == len(fleet.living()))
    ids = stage.enqueue(Job("chaos.Orphan", queue=queue) for _ in range(6 * len(fleet.living())))
    stage.need(lambda: stage.one("SELECT count(*) FROM ledger WHERE job = ANY (%s)", (ids,)) >= len(ids))


_MATURE = "SELECT clock_timestamp() > pg_postmaster_start_time() + interval '10 s'"
"""Nobody is judged in the first seconds of a server, when all beats are old."""
_UP = "SELECT count(DISTINCT node) FROM oban_producers WHERE node = ANY (%s)"
_AGAIN = """
SELECT extract(epoch FROM min(began) - %s)::float8 FROM ledger WHERE job = ANY (%s) AND attempt = 2 GROUP BY job
"""
_HELD = "SELECT id FROM oban_jobs WHERE state = 'executing' AND attempted_by[1] = %s"


def _holders(stage: Stage, fleet: Fleet) -> list[Node]:
    return [node for node in fleet.living() if stage.ask(_HELD, (node.name,))]


def _orphaned(stage: Stage, fleet: Fleet, victim: Node) -> list[float]:
    """Kill a node, start another, and give the seconds until each of its jobs began again."""
    held = [id for (id,) in stage.ask(_HELD, (victim.name,))]
    victim.kill()
    at = stage.one("SELECT clock_timestamp()")
    fleet.start()
    stage.wait(lambda: len(stage.ask(_AGAIN, (at, held))) == len(held), 40)
    waits = [seconds for (seconds,) in stage.ask(_AGAIN, (at, held))]
    return waits + [float("inf")] * (len(held) - len(waits))


def _again(fault: str, seed: int, waits: list[float], leaders: int) -> Counted:
    counts = {
        "leaders killed": leaders,
        "orphans": len(waits),
        "run again": sum(wait < float("inf") for wait in waits),
        "median s": statistics.median(waits) if waits else 0.0,
        "max s": max(waits, default=0.0),
    }
    kept = counts["run again"] == counts["orphans"] and counts["max s"] <= 8 and counts["median s"] <= 5
    line = "all run again, median <= 5 s, max <= 8 s"
    return Counted("R3", "orphans run again within 8 s", fault, f"{len(waits)} orphans", seed, counts, line, kept)
