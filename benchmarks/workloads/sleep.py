"""Many short jobs that only wait: how much of the slots' time is used."""

from __future__ import annotations

from benchmarks.subject import Subject
from benchmarks.workloads.drain import drain

SECONDS = 0.01


def sleep(subject: Subject, jobs: int, *, slots: int) -> float:
    """Give the part of the ideal, in which every slot sleeps all the time."""
    rate = drain(subject, jobs, slots=slots, kind="sleep", mode="sleep")
    return rate * SECONDS / slots
