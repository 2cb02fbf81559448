"""A transaction that holds a snapshot open for long: no row that dies after it can be cleared away.

Jobs go through their states by bare statements first, in the queue of those that are measured, because a queue that
gets slow there would take hours to do so by itself. For the same reason those come in lots, each as large as the rate
of the one before allows, until one takes at least half the time; its rate counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import IsolationLevel

from benchmarks import rows
from benchmarks.results import Figure, Figures
from benchmarks.subject import Subject
from benchmarks.tally import Tally
from benchmarks.workloads.drain import run_out

FIRST = 200
"""Jobs of the first lot."""
LATE = 5
"""Jobs that come late and belong before all others."""


def snapshot(subject: Subject, jobs: int, *, dead: int, seconds: float) -> Figures:
    """Give the jobs a second behind dead rows that can be cleared away, and behind those that cannot.

    Args:
        subject: Who is measured.
        jobs: Most jobs to measure.
        dead: How many jobs lived and ended before; each leaves a dead entry among those that wait.
        seconds: How long to measure; a slow queue gets fewer jobs.
    """
    clean, _ = _rate(subject, jobs, dead, seconds)
    late: dict[str, float | Figure] = {}
    with _snapshot(subject):
        held, before = _rate(subject, jobs, dead, seconds)
        if subject.can("sleep"):  # bare SQL, which cannot, ends when it finds nothing
            waited = _late_jobs_wait(subject, min(2 * jobs, round(2 * held * seconds)), before)
            late = {"snapshot held, longest wait of a late job that belongs first": Figure(waited, "ms")}
    return {
        f"after {dead:,} jobs": clean,
        f"after {dead:,} jobs, snapshot held": held,
        "snapshot held, of without": Figure(held / clean, "", compared=False),
        **late,
    }


def _rate(subject: Subject, jobs: int, dead: int, seconds: float) -> tuple[float, int]:
    """Give the rate of the last lot, and the jobs of all lots."""
    subject.fill(0)
    with subject.connection() as connection:
        rows.live_through(connection, dead)
    before, lot, wanted, rate = 0, 0, min(FIRST, jobs), 0.0
    while lot < wanted / 2:
        before, lot = before + lot, wanted
        subject.add(lot)
        rate = run_out(subject, lot, before=before)
        wanted = min(jobs, round(rate * seconds))
    return rate, before + lot


def _late_jobs_wait(subject: Subject, jobs: int, before: int) -> float:
    """Give the milliseconds from commit to start of the one that waits longest, while the others run."""
    stored: list[float] = []
    subject.add(jobs)
    with Tally(jobs + LATE) as tally, subject.processes() as (node,), subject.connection() as connection:

        def maybe_store(count: int) -> None:
            if len(stored) < LATE and count >= jobs * (len(stored) + 1) / (2 * LATE):
                rows.put_first(connection, jobs + len(stored) + 1)
                stored.append(time.monotonic())

        node.call("start", slots=10, mode="drain", lane=tally.lane(0))
        _, starts = subject.finished(jobs + LATE, tally, before=before, watch=maybe_store)
        node.call("stop")
    begun = {start.id: start.monotonic for start in starts}
    return 1e3 * max(begun[number] - when for number, when in enumerate(stored, jobs + 1))


@contextmanager
def _snapshot(subject: Subject) -> Iterator[None]:
    """Hold a snapshot, and a lock on nothing, for the block."""
    with subject.connection() as connection:
        connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        with connection.transaction():
            connection.execute("SELECT 1")
            yield
