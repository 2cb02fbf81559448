"""Which systems there are and which workloads: the one place where they are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.remote import SystemSpec
from benchmarks.results import OURS
from benchmarks.sizes import Sizes
from benchmarks.subject import Subject
from benchmarks.workloads.bulk import bulk
from benchmarks.workloads.drain import drain
from benchmarks.workloads.enqueue import enqueue
from benchmarks.workloads.idle import idle
from benchmarks.workloads.latency import latency
from benchmarks.workloads.scheduled import scheduled
from benchmarks.workloads.sleep import sleep

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
    measure: Callable[[Subject], float | dict[str, float]]
    compared: bool = True


def workloads(sizes: Sizes) -> list[Workload]:
    """List all workloads in the order in which they are measured."""
    return [*_storing(sizes), *_draining(sizes), *_waiting(sizes)]


def _storing(sizes: Sizes) -> list[Workload]:
    one_by_one = [
        Workload("enqueue", f"enqueue, {shown}", "jobs/s", ("enqueue",), partial(enqueue, jobs=jobs, threads=threads))
        for threads, jobs, shown in ((1, sizes.enqueue, "1 thread"), (8, 2 * sizes.enqueue, "8 threads"))
    ]
    many = [
        Workload("bulk", f"bulk, {size:,} a call", "jobs/s", ("bulk",), partial(bulk, jobs=sizes.bulk, size=size))
        for size in (1_000, 10_000)
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


def _waiting(sizes: Sizes) -> list[Workload]:
    near = partial(scheduled, jobs=sizes.scheduled, longest=sizes.scheduled_seconds, foreign=False)
    far = partial(scheduled, jobs=sizes.scheduled, longest=sizes.scheduled_seconds, foreign=True)
    asleep = partial(sleep, jobs=sizes.sleep, slots=50)
    unused = partial(idle, jobs=sizes.idle, seconds=sizes.idle_seconds)
    return [
        Workload("latency", "latency", "ms", ("wait", "send"), partial(latency, jobs=sizes.latency)),
        Workload("scheduled", "scheduled by the node, late", "ms", ("wait", "schedule"), near),
        Workload("scheduled", "scheduled by another process, late", "ms", ("wait", "schedule"), far),
        Workload("sleep", "sleep 10 ms, 50 slots, of the ideal", "", ("sleep",), asleep),
        Workload("idle", "idle", "% of a core", ("wait",), unused, compared=False),
    ]
