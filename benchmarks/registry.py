"""Which systems there are and which workloads: the one place where they are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.remote import SystemSpec
from benchmarks.results import OURS, Figures
from benchmarks.sizes import Sizes
from benchmarks.subject import Subject
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
    "bare SQL": SystemSpec("benchmarks.systems.bare"),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing that is measured.

    Attributes:
        group: Its name on the command line.
        name: What it is, in words.
        unit: Of its figures.
        needs: Operations and modes that a system must have for it.
        measure: Gives one figure, or several by name.
        compared: Whether a ratio of two systems says something.
    """

    group: str
    name: str
    unit: str
    needs: tuple[str, ...]
    measure: Callable[[Subject], float | Figures]
    compared: bool = True


def workloads(sizes: Sizes) -> list[Workload]:
    """List all workloads in the order in which they are measured."""
    return [*_storing(sizes), *_draining(sizes), *_running(sizes), *_waiting(sizes), *_living(sizes)]


def _storing(sizes: Sizes) -> list[Workload]:
    one_by_one = [
        Workload("enqueue", f"enqueue, {shown}", "jobs/s", ("enqueue",), partial(enqueue, jobs=jobs, threads=threads))
        for threads, jobs, shown in ((1, sizes.enqueue, "1 thread"), (8, 2 * sizes.enqueue, "8 threads"))
    ]
    many = [
        Workload("bulk", f"bulk, {size:,} a call", "jobs/s", ("bulk",), partial(bulk, jobs=sizes.bulk, size=size))
        for size in (1_000, 10_000, 100_000)
        if size <= max(1_000, sizes.bulk)
    ]
    return one_by_one + many


def _draining(sizes: Sizes) -> list[Workload]:
    shapes = ((1, 10, "drain", ""), (1, 10, "strict", ", none held ready"), (2, 10, "drain", ""), (1, 50, "drain", ""))
    return [
        Workload(
            "drain",
            f"drain, {processes} x {slots} slots{shown}",
            "jobs/s",
            ("start", mode),
            partial(drain, jobs=sizes.drain, processes=processes, slots=slots, mode=mode),
        )
        for processes, slots, mode, shown in shapes
    ]


def _running(sizes: Sizes) -> list[Workload]:
    hurried = partial(short, jobs=sizes.short, slots=50)
    asleep = partial(sleep, jobs=sizes.sleep, slots=50)
    return [
        Workload("short", "short 1 ms, 50 slots", "jobs/s", ("short",), hurried),
        Workload("sleep", "sleep 10 ms, 50 slots, of the ideal", "", ("sleep",), asleep),
        Workload("mixed", "mixed", "jobs/s", ("mixed",), partial(mixed, jobs=sizes.mixed)),
    ]


def _waiting(sizes: Sizes) -> list[Workload]:
    near = partial(scheduled, jobs=sizes.scheduled, longest=sizes.scheduled_seconds, foreign=False)
    far = partial(scheduled, jobs=sizes.scheduled, longest=sizes.scheduled_seconds, foreign=True)
    unused = partial(idle, jobs=sizes.idle, seconds=sizes.idle_seconds)
    return [
        Workload("latency", "latency", "ms", ("wait", "send"), partial(latency, jobs=sizes.latency)),
        Workload("scheduled", "scheduled by the node, late", "ms", ("wait", "schedule"), near),
        Workload("scheduled", "scheduled by another process, late", "ms", ("wait", "schedule"), far),
        Workload("idle", "idle", "% of a core", ("wait",), unused, compared=False),
    ]


def _living(sizes: Sizes) -> list[Workload]:
    full = partial(backlog, jobs=sizes.drain, enqueued=sizes.enqueue, beside=sizes.backlog, seconds=sizes.idle_seconds)
    held = partial(snapshot, jobs=sizes.snapshot, dead=sizes.dead, seconds=sizes.snapshot_seconds)
    kept = partial(through, jobs=sizes.memory)
    at_rest = partial(waiting, jobs=sizes.memory, seconds=sizes.idle_seconds)
    return [
        Workload("backlog", "backlog", "jobs/s", ("rows", "drain", "wait", "enqueue"), full),
        Workload("snapshot", "snapshot", "jobs/s", ("rows", "drain"), held),
        Workload("memory", "memory of a node, jobs through it", "MB", ("memory",), kept, compared=False),
        Workload("memory", "memory of an idle node", "MB", ("paused",), at_rest, compared=False),
    ]
