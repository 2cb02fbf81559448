"""Lone jobs on an idle node: from the call that stores one, and from its commit, to its start."""

from __future__ import annotations

import random

from benchmarks.results import percentile
from benchmarks.subject import Subject
from benchmarks.tally import Tally

WARM = 10
PAUSES = (0.02, 0.05)


def latency(subject: Subject, jobs: int) -> dict[str, float]:
    """Give milliseconds: medians and 99th percentiles. The node and the sender are processes of their own."""
    dice = random.Random(jobs)  # noqa: S311 - the same pauses for every system
    pauses = [dice.uniform(*PAUSES) for _ in range(jobs + WARM)]
    subject.fill(0)
    with Tally(len(pauses)) as tally, subject.processes() as (node,):
        node.call("start", slots=10, mode="wait", lane=tally.lane(0))
        subject.warm(tally)
        times = subject.clerk.call("send", pauses=pauses)
        _, starts = subject.finished(len(pauses), tally, before=1, again=[1])
        node.call("stop")
    begun = {start.id: start.monotonic for start in starts}
    called = [(begun[number] - times[number - 1][0]) * 1e3 for number in range(WARM + 1, len(pauses) + 1)]
    stored = [(begun[number] - times[number - 1][1]) * 1e3 for number in range(WARM + 1, len(pauses) + 1)]
    return {
        "call to start, p50": percentile(called, 50),
        "call to start, p99": percentile(called, 99),
        "commit to start, p50": percentile(stored, 50),
        "commit to start, p99": percentile(stored, 99),
    }
