"""Which systems there are and which workloads: the one place where they are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.remote import SystemSpec
from benchmarks.results import BARE, OURS, Figures
from benchmarks.sizes import Sizes
from benchmarks.subject import Subject
from benchmarks.workloads import scaling
from benchmarks.workloads.backlog import backlog
from benchmarks.workloads.bulk import bulk
from benchmarks.workloads.drain import drain
from benchmarks.workloads.enqueue import enqueue
from benchmarks.workloads.idle import idle
from benchmarks.workloads.latency import latency
from benchmarks.workloads.memory import through, waiting
from benchmarks.workloads.mixed import mixed
from benchmarks.workloads.scheduled import scheduled
from benchmarks.workloads.short import short
from benchmarks.workloads.sleep import sleep
from benchmarks.workloads.snapshot import snapshot

SYSTEMS: dict[str, SystemSpec] = {
    OURS: SystemSpec("benchmarks.systems.ours"),
    BARE: SystemSpec("benchmarks.systems.bare"),
}

PROCESSES = (1, 2, 4, 8)
"""How many processes share the jobs where it is measured how a fleet scales."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing that is measured.

    Attributes:
        group: Its name on the command line.
        name: What it is, in words.
        unit: Of its figures.
        needs: Operations and modes that a system must have for it.
        measure: Gives one figure, or several by name, of a system and so many jobs.
        jobs: How many.
        compared: Whether a ratio of two systems says something.
        shared: Whether a slow system is given fewer jobs, since only the rate counts.
        step: Jobs come in multiples of it.
    """

    group: str
    name: str
    unit: str
    needs: tuple[str, ...]
    measure: Callable[[Subject, int], float | Figures]
    jobs: int
    compared: bool = True
    shared: bool = False
    step: int = 1

    def jobs_of(self, share: float) -> int:
        """Say how many jobs a system of this share is given."""
        wanted = self.jobs * share if self.shared else self.jobs
        return max(1, round(wanted / self.step)) * self.step


def workloads(sizes: Sizes) -> list[Workload]:
    """List all workloads in the order in which they are measured."""
    return [*_storing(sizes), *_draining(sizes), *_running(sizes), *_waiting(sizes), *_living(sizes), *_scaling(sizes)]


def _storing(sizes: Sizes) -> list[Workload]:
    one_by_one = [
        _rate("enqueue", f"enqueue, {shown}", ("enqueue",), partial(enqueue, threads=threads), jobs)
        for threads, jobs, shown in ((1, sizes.enqueue, "1 thread"), (8, 2 * sizes.enqueue, "8 threads"))
    ]
    many = [
        _rate("bulk", f"bulk, {size:,} a call", ("bulk", *also), partial(bulk, size=size), sizes.bulk, size)
        for size, also in ((1_000, ()), (10_000, ()), (100_000, ("large",)))
        if size <= max(1_000, sizes.bulk)
    ]
    return one_by_one + many


def _draining(sizes: Sizes) -> list[Workload]:
    shapes = ((1, 10, "drain", ""), (1, 10, "strict", ", none held ready"), (2, 10, "drain", ""), (1, 50, "drain", ""))
    return [
        _rate(
            "drain",
            f"drain, {processes} x {slots} slots{shown}",
            ("start", mode),
            partial(drain, processes=processes, slots=slots, mode=mode),
            sizes.drain * processes,
        )
        for processes, slots, mode, shown in shapes
    ]


def _running(sizes: Sizes) -> list[Workload]:
    hurried, asleep = partial(short, slots=50), partial(sleep, slots=50)
    return [
        _rate("short", "short 1 ms, 50 slots", ("short",), hurried, sizes.short),
        Workload("sleep", "sleep 10 ms, 50 slots, of the ideal", "", ("sleep",), asleep, sizes.sleep, shared=True),
        Workload("mixed", "mixed", "jobs/s", ("mixed",), mixed, sizes.mixed),
    ]


def _waiting(sizes: Sizes) -> list[Workload]:
    near = partial(scheduled, longest=sizes.scheduled_seconds, foreign=False)
    far = partial(scheduled, longest=sizes.scheduled_seconds, foreign=True)
    unused = partial(idle, seconds=sizes.idle_seconds)
    many = sizes.scheduled
    return [
        Workload("latency", "latency", "ms", ("wait", "send"), latency, sizes.latency),
        Workload("scheduled", "scheduled by the node, late", "ms", ("wait", "send", "schedule"), near, many),
        Workload("scheduled", "scheduled by another process, late", "ms", ("wait", "send", "schedule"), far, many),
        Workload("idle", "idle", "% of a core", ("idle",), unused, sizes.idle, compared=False),
    ]


def _living(sizes: Sizes) -> list[Workload]:
    full = partial(backlog, enqueued=sizes.enqueue, beside=sizes.backlog, seconds=sizes.idle_seconds)
    held = partial(snapshot, dead=sizes.dead, seconds=sizes.snapshot_seconds)
    at_rest = partial(waiting, seconds=sizes.idle_seconds)
    return [
        _rate("backlog", "backlog", ("rows", "drain", "wait", "enqueue"), full, sizes.drain),
        _rate("snapshot", "snapshot", ("rows", "drain"), held, sizes.snapshot),
        Workload("memory", "memory of a node, jobs through it", "MB", ("memory",), through, sizes.memory, False),
        Workload("memory", "memory of an idle node", "MB", ("paused",), at_rest, sizes.memory, False),
    ]


def _scaling(sizes: Sizes) -> list[Workload]:
    thousand = partial(scaling.storing_many, size=1_000)
    commits = max(10, sizes.latency)
    return [
        *(_fleet(processes, processes * sizes.scaling) for processes in PROCESSES),
        _rate("scaling", "scaling enqueue, one by one", ("send", "resume"), scaling.storing, sizes.enqueue),
        _rate("scaling", "scaling enqueue, 1,000 a call", ("bulk", "resume"), thousand, sizes.bulk, 1_000),
        Workload("scaling", "scaling commit", "ms", ("resume",), scaling.commit, commits, compared=False),
    ]


def _fleet(processes: int, jobs: int) -> Workload:
    drained = partial(scaling.fleet, processes=processes, slots=10)
    return _rate("scaling", f"scaling drain, {processes} x 10 slots", ("paused", "resume"), drained, jobs)


def _rate(
    group: str,
    name: str,
    needs: tuple[str, ...],
    measure: Callable[[Subject, int], float | Figures],
    jobs: int,
    step: int = 1,
) -> Workload:
    return Workload(group, name, "jobs/s", needs, measure, jobs, shared=True, step=step)
