"""Jobs that are due within seconds start late by so much, whoever stored them, and never early."""

from __future__ import annotations

import random
import time

from benchmarks.results import percentile
from benchmarks.subject import Subject
from benchmarks.tally import Tally

SHORTEST = 0.2


def scheduled(subject: Subject, jobs: int, *, longest: float, foreign: bool) -> dict[str, float]:
    """Give milliseconds from due time to start.

    Args:
        subject: Who is measured.
        jobs: How many.
        longest: Most seconds until a job is due.
        foreign: Whether another process than the node stores them.
    """
    dice = random.Random(jobs)  # noqa: S311 - the same delays for every system
    subject.fill(0)
    with Tally(jobs) as tally, subject.processes() as (node,):
        node.call("start", slots=10, mode="wait", lane=tally.lane(0))
        subject.warm(tally)
        time.sleep(random.uniform(0, longest))  # noqa: S311 - who looks at fixed times must not have a fixed distance
        dues = (subject.clerk if foreign else node).call(
            "schedule", delays=[dice.uniform(SHORTEST, longest) for _ in range(jobs)]
        )
        _, starts = subject.finished(jobs, tally, before=1, again=[1])
        node.call("stop")
    late = [(start.wall - dues[start.id - 1]) * 1e3 for start in starts[1:]]
    early = sum(milliseconds < 0 for milliseconds in late)
    if subject.strict:
        subject.expect({"early": 0}, {"early": early})
    elif early:
        subject.note("starts scheduled jobs before they are due")
    return {"p50": percentile(late, 50), "p99": percentile(late, 99)}
