"""A transaction that holds a snapshot open for long: no row that dies after it can be cleared away.

Jobs go through their states by bare statements first, in the queue of those that are measured, because a queue that
gets slow there would take hours to do so by itself. For the same reason those come in lots, each as large as the rate
of the one before allows, until one takes at least half the time; its rate counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from psycopg import IsolationLevel

from benchmarks import rows
from benchmarks.results import Figure, Figures
from benchmarks.subject import Subject
from benchmarks.workloads.drain import run_out

FIRST = 200
"""Jobs of the first lot."""


def snapshot(subject: Subject, jobs: int, *, dead: int, seconds: float) -> Figures:
    """Give the jobs a second behind dead rows that can be cleared away, and behind those that cannot.

    Args:
        subject: Who is measured.
        jobs: Most jobs to measure.
        dead: How many jobs lived and ended before; each leaves a dead entry among those that wait.
        seconds: How long to measure; a slow queue gets fewer jobs.
    """
    clean = _rate(subject, jobs, dead, seconds, held=False)
    held = _rate(subject, jobs, dead, seconds, held=True)
    return {
        f"after {dead:,} jobs": clean,
        f"after {dead:,} jobs, snapshot held": held,
        "snapshot held, of without": Figure(held / clean, "", compared=False),
    }


def _rate(subject: Subject, jobs: int, dead: int, seconds: float, *, held: bool) -> float:
    subject.fill(0)
    with _snapshot(subject) if held else nullcontext():
        with subject.connection() as connection:
            rows.live_through(connection, dead)
        return _rate_of_lots(subject, jobs, seconds)


def _rate_of_lots(subject: Subject, jobs: int, seconds: float) -> float:
    before, lot, wanted, rate = 0, 0, min(FIRST, jobs), 0.0
    while lot < wanted / 2:
        before, lot = before + lot, wanted
        subject.add(lot)
        rate = run_out(subject, lot, before=before)
        wanted = min(jobs, round(rate * seconds))
    return rate


@contextmanager
def _snapshot(subject: Subject) -> Iterator[None]:
    """Hold a snapshot, and a lock on nothing, for the block."""
    with subject.connection() as connection:
        connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        with connection.transaction():
            connection.execute("SELECT 1")
            yield
