"""A full queue is drained: no-op jobs, from the first start to the last row completed."""

from __future__ import annotations

from benchmarks.subject import STALL_SECONDS, Subject
from benchmarks.tally import Tally

FEWEST = 1_000
"""Jobs below which the first of several processes could take all."""


def drain(
    subject: Subject, jobs: int, *, slots: int, processes: int = 1, kind: str = "noop", mode: str = "drain"
) -> float:
    """Give the jobs a second."""
    jobs = max(jobs, FEWEST * processes) if processes > 1 else jobs
    subject.fill(jobs, kind)
    return run_out(subject, jobs, slots=slots, processes=processes, mode=mode)


def run_out(
    subject: Subject, jobs: int, *, slots: int = 10, processes: int = 1, mode: str = "drain", before: int = 0
) -> float:
    """Drain the jobs that are there, `before` completed ones aside, and give the jobs a second."""
    with Tally(jobs, processes) as tally, subject.processes(processes) as nodes:
        for number, node in enumerate(nodes):
            node.ask("start", slots=slots, mode=mode, lane=tally.lane(number))
        for node in nodes:
            node.answer()
        subject.expect({"all processes have jobs": True}, {"all processes have jobs": tally.open(STALL_SECONDS)})
        ended, starts = subject.finished(jobs, tally, before=before)
        for node in nodes:
            node.call("stop")
    return jobs / (ended - starts[0].wall)
