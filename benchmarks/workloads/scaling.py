"""How the rate grows with processes on one PostgreSQL, and what a job costs: the input of `benchmarks.simulation`.

What is metered begins when the processes are connected and have their statements, so that a figure is of jobs alone.
"""

from __future__ import annotations

import statistics
import time

from benchmarks.meter import costs, metered
from benchmarks.results import Figure, Figures
from benchmarks.rows import Connection
from benchmarks.subject import STALL_SECONDS, Subject
from benchmarks.tally import Tally
from benchmarks.workloads.drain import FEWEST

WARM = 50
"""Jobs that are stored before those that are metered."""
_COMMIT = "SELECT pg_logical_emit_message(true, 'benchmarks', 'a commit that writes')"
_UNFINISHED = "SELECT EXISTS (SELECT FROM oban_jobs WHERE state IN ('available', 'executing'))"


def fleet(subject: Subject, jobs: int, *, processes: int, slots: int) -> Figures:
    """Drain jobs with several processes that are there and wait for them; give the jobs a second, and what a job costs.

    Args:
        subject: Who is measured.
        jobs: How many they share.
        processes: How many processes.
        slots: How many jobs each runs at once.
    """
    jobs = max(jobs, FEWEST * processes)
    subject.fill(jobs)
    with (
        Tally(jobs, processes) as tally,
        subject.processes(processes) as nodes,
        metered(subject, [node.pid for node in nodes]) as meter,
        subject.connection() as connection,
    ):
        for number, node in enumerate(nodes):
            node.ask("start", slots=slots, mode="paused", lane=tally.lane(number))
        for node in nodes:
            node.answer()
        before = meter.read()
        nodes[0].call("resume")
        subject.expect({"all processes have jobs": True}, {"all processes have jobs": tally.open(STALL_SECONDS)})
        _await_end(connection, jobs, tally)
        after = meter.read()
        ended, starts = subject.finished(jobs, tally)
        for node in nodes:
            node.call("stop")
    rate = Figure(jobs / (ended - starts[0].wall), "jobs/s")
    return {"": rate, **costs(before, after, jobs)}


def storing(subject: Subject, jobs: int) -> Figures:
    """Store jobs one by one; give the jobs a second, and what a job costs."""
    subject.fill(0)
    with subject.processes() as (agent,), metered(subject, [agent.pid]) as meter:
        agent.call("send", pauses=[0.0] * WARM)
        before = meter.read()
        times = agent.call("send", pauses=[0.0] * jobs)
        found = costs(before, meter.read(), jobs)
    subject.expect(WARM + jobs, subject.clerk.call("check")["jobs"])
    return {"": Figure(jobs / (times[-1][1] - times[0][0]), "jobs/s"), **found}


def storing_many(subject: Subject, jobs: int, *, size: int) -> Figures:
    """Store so many jobs a call; give the jobs a second with their making, and what a job costs."""
    calls = max(1, jobs // size)
    with subject.processes() as (agent,), metered(subject, [agent.pid]) as meter:
        subject.fill(0)
        agent.call("bulk", calls=1, size=size)
        subject.fill(0)
        before = meter.read()
        seconds = agent.call("bulk", calls=calls, size=size)
        found = costs(before, meter.read(), (calls + 1) * size)
    return {"": Figure(calls * size / seconds["whole"], "jobs/s"), **found}


def commit(subject: Subject, jobs: int) -> float:
    """Give the milliseconds of a transaction that writes next to nothing: the round trip and the disk."""
    times = []
    with subject.connection() as connection:
        for _ in range(jobs):
            begin = time.monotonic()
            connection.execute(_COMMIT)
            times.append(time.monotonic() - begin)
    return 1e3 * statistics.median(times)


def _await_end(connection: Connection, jobs: int, tally: Tally) -> None:
    """Wait until all jobs have ended, by a statement that costs next to nothing; who checks tells if they do not."""
    deadline = time.monotonic() + STALL_SECONDS
    while time.monotonic() < deadline:
        if tally.count() >= jobs and connection.execute(_UNFINISHED).fetchone() == (False,):
            return
        time.sleep(0.005)
