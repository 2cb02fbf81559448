"""Jobs as a real program has them: every one must end as `mixture` says, and little of the slots' time be lost."""

from __future__ import annotations

from benchmarks import mixture
from benchmarks.results import Figure, Figures
from benchmarks.subject import Subject
from benchmarks.tally import Tally


def mixed(subject: Subject, jobs: int) -> Figures:
    """Give the jobs a second, and the part of the ideal, in which every slot works all the time."""
    plan = mixture.plan(jobs)
    again = [number for number, part in enumerate(plan, 1) if part.end in mixture.AGAIN]
    slots = sum(mixture.SLOTS.values())
    subject.fill(jobs, "mixed")
    with Tally(jobs) as tally, subject.processes() as (node,):
        node.call("start", slots=slots, mode="mixed", lane=tally.lane(0))
        ended, starts = subject.finished(jobs, tally, again=again)
        node.call("stop")
    seconds = ended - starts[0].wall
    return {"": jobs / seconds, "of the ideal": Figure(sum(part.work for part in plan) / (slots * seconds), "")}
