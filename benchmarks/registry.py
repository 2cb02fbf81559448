"""Which systems there are and which workloads: the one place where they are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.remote import SystemSpec
from benchmarks.results import OURS
from benchmarks.sizes import Sizes
from benchmarks.subject import Subject
from benchmarks.workloads.drain import drain
from benchmarks.workloads.latency import latency

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
        operations: What a system must be able to do for it.
        measure: Gives one figure, or several by name.
    """

    group: str
    name: str
    unit: str
    operations: tuple[str, ...]
    measure: Callable[[Subject], float | dict[str, float]]


def workloads(sizes: Sizes) -> list[Workload]:
    """List all workloads."""
    runs = ("start", "stop")
    jobs = sizes.drain
    return [
        Workload("drain", "drain, 1 process, 10 slots", "jobs/s", runs, partial(drain, jobs=jobs)),
        Workload("drain", "drain, 2 processes, 10 slots each", "jobs/s", runs, partial(drain, jobs=jobs, processes=2)),
        Workload("drain", "drain, 1 process, 50 slots", "jobs/s", runs, partial(drain, jobs=jobs, slots=50)),
        Workload("latency", "latency", "ms", (*runs, "send"), partial(latency, jobs=sizes.latency)),
    ]
