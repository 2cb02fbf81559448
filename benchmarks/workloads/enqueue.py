"""Jobs are stored one by one, each in a transaction of its own."""

from __future__ import annotations

from benchmarks.subject import Subject


def enqueue(subject: Subject, jobs: int, *, threads: int) -> float:
    """Give the jobs a second."""
    subject.fill(0)
    return store(subject, jobs, threads=threads)


def store(subject: Subject, jobs: int, *, threads: int) -> float:
    """Store jobs beside those that are there, and give the jobs a second."""
    before = subject.clerk.call("check")["jobs"]
    seconds: float = subject.clerk.call("enqueue", jobs=jobs, threads=threads)
    subject.expect(before + jobs + threads, subject.clerk.call("check")["jobs"])  # one each before the clock ran
    return jobs / seconds
