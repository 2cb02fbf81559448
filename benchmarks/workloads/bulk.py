"""Jobs are stored many a call, and their ids rise in the order given."""

from __future__ import annotations

from benchmarks.agent import Stored
from benchmarks.subject import Subject


def bulk(subject: Subject, jobs: int, *, size: int) -> dict[str, float]:
    """Give the jobs a second of the calls alone, and with the making of what they take."""
    calls = jobs // size
    subject.fill(0)
    seconds: Stored = subject.clerk.call("bulk", calls=calls, size=size)
    return {"": calls * size / seconds["calls"], "with their making": calls * size / seconds["whole"]}
