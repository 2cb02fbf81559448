"""What a node keeps in memory: while many jobs go through it, and beside a queue in which many wait."""

from __future__ import annotations

from benchmarks import machine
from benchmarks.results import Figure, Figures
from benchmarks.subject import Subject
from benchmarks.tally import Tally
from benchmarks.workloads.idle import cost


def through(subject: Subject, jobs: int) -> dict[str, float]:
    """Give the megabytes of a node after a tenth of the jobs, and at their end."""
    samples: list[tuple[int, float]] = []
    subject.fill(jobs)
    with Tally(jobs) as tally, subject.processes() as (node,):
        node.call("start", slots=10, mode="drain", lane=tally.lane(0))
        subject.finished(jobs, tally, watch=lambda count: samples.append((count, machine.memory(node.pid))))
        node.call("stop")
    early = next(megabytes for count, megabytes in samples if count >= jobs / 10)
    late = samples[-1][1]
    return {f"after {jobs // 10:,}": early, f"after {jobs:,}": late, "growth": late - early}


def waiting(subject: Subject, jobs: int, *, seconds: float) -> Figures:
    """Give the megabytes of a node whose queue is paused, and what it takes of a core."""
    none, some = _waiting(subject, 0, seconds), _waiting(subject, jobs, seconds)
    return {
        "empty queue": none["memory"],
        f"{jobs:,} waiting": some["memory"],
        "difference": some["memory"] - none["memory"],
        "node, empty queue": Figure(none["node"], "% of a core", compared=False),
        f"node, {jobs:,} waiting": Figure(some["node"], "% of a core", compared=False),
    }


def _waiting(subject: Subject, jobs: int, seconds: float) -> dict[str, float]:
    subject.fill(jobs)
    with Tally(1) as tally, subject.processes() as (node,):
        node.call("start", slots=10, mode="paused", lane=tally.lane(0))
        found = cost(subject, node.pid, seconds) | {"memory": machine.memory(node.pid)}
        node.call("stop")
    return found
