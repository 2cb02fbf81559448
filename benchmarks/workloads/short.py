"""Jobs of a millisecond, many at once: how much of the slots' time is left by what the queue does."""

from __future__ import annotations

from benchmarks.results import Figure, Figures
from benchmarks.subject import Subject
from benchmarks.workloads.drain import drain

SECONDS = 0.001


def short(subject: Subject, jobs: int, *, slots: int) -> Figures:
    """Give the jobs a second, and the part of the ideal, in which every slot works all the time."""
    rate = drain(subject, jobs, slots=slots, kind="short", mode="short")
    return {"": rate, f"of the ideal {slots / SECONDS:,.0f}/s": Figure(rate * SECONDS / slots, "")}
