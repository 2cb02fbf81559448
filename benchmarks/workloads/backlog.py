"""A table with many rows that wait for later or ended long ago: what they cost those that run now."""

from __future__ import annotations

from benchmarks import rows
from benchmarks.results import Figure, Figures
from benchmarks.subject import Subject
from benchmarks.tally import Tally
from benchmarks.workloads.drain import drain, run_out
from benchmarks.workloads.enqueue import enqueue, store
from benchmarks.workloads.idle import cost


def backlog(subject: Subject, jobs: int, *, enqueued: int, beside: int, seconds: float) -> Figures:
    """Give the jobs a second with an empty table and beside so many scheduled and as many completed rows."""
    alone = {"drain": drain(subject, jobs, slots=10), "enqueue": enqueue(subject, enqueued, threads=1)}
    subject.fill(0)
    with subject.connection() as connection:
        rows.put_beside(connection, beside)
    subject.add(jobs)
    full = {"drain": run_out(subject, jobs)}
    idle = _idle(subject, seconds)  # while nothing is left to run
    full["enqueue"] = store(subject, enqueued, threads=1)
    found: dict[str, float | Figure] = {}
    for part, rate in full.items():
        found[f"{part}, empty table"] = alone[part]
        found[f"{part}, beside {beside:,} scheduled and completed each"] = rate
        found[f"{part}, of the empty table"] = Figure(rate / alone[part], "", compared=False)
    return found | {f"idle {part}, beside them": Figure(idle[part], "% of a core", compared=False) for part in idle}


def _idle(subject: Subject, seconds: float) -> dict[str, float]:
    subject.add(0)
    with Tally(1) as tally, subject.processes() as (node,):
        node.call("start", slots=10, mode="wait", lane=tally.lane(0))
        used = cost(subject, node.pid, seconds)
        node.call("stop")
    return used
