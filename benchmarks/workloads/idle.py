"""A node with nothing to do: what it costs, and its server, with an empty table and beside many far-future jobs."""

from __future__ import annotations

import time

from benchmarks import machine
from benchmarks.subject import Subject
from benchmarks.tally import Tally

SETTLE_SECONDS = 3.0
FAR_SECONDS = 1e8


def idle(subject: Subject, jobs: int, *, seconds: float) -> dict[str, float]:
    """Give percents of a core."""
    subject.fill(0)
    with Tally(1) as tally, subject.processes() as (node,):
        node.call("start", slots=10, mode="wait", lane=tally.lane(0))
        empty = cost(subject, node.pid, seconds)
        subject.fill(jobs, delay=FAR_SECONDS)
        beside = cost(subject, node.pid, seconds)
        node.call("stop")
    return {
        f"{part}, {table}": value
        for part in empty
        for table, value in (
            ("empty table", empty[part]),
            (f"{jobs:,} scheduled", beside[part]),
            ("difference", beside[part] - empty[part]),
        )
    }


def cost(subject: Subject, node: int, seconds: float) -> dict[str, float]:
    """Give the percents of a core that a node and its server take while nothing happens."""
    postmaster = subject.server.postmaster()
    time.sleep(min(SETTLE_SECONDS, seconds / 2))
    before = _used(node, postmaster)
    time.sleep(seconds)
    after = _used(node, postmaster)
    return {part: 100 * machine.spent(before[part], after[part]) / seconds for part in before}


def _used(node: int, postmaster: int | None) -> dict[str, dict[int, float]]:
    used = {"node": machine.cpu(node)}
    if postmaster is not None:
        used["server"] = machine.cpu_of_family(postmaster)
    return used
