"""A system with its database: what a workload measures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.agent import Checked
from benchmarks.database import Databases
from benchmarks.remote import Agent, BenchmarkError, SystemSpec, agents
from benchmarks.tally import Start, Tally, duplicates

STALL_SECONDS = 60.0


class Subject:
    """One system under measurement.

    Args:
        name: Its name in tables.
        spec: How to start its processes.
        databases: The server.
        cpus: CPUs that its processes may use; None: all.
    """

    def __init__(self, name: str, spec: SystemSpec, databases: Databases, cpus: set[int] | None = None) -> None:
        self.name = name
        self.databases = databases
        self.strict = spec.strict
        self._spec, self._cpus = spec, cpus
        self._dsn = databases.create(name)
        self.clerk = Agent(spec, self._dsn, cpus)  # stores jobs, and checks what became of them; runs none
        self._able = set(self.clerk.wait())
        self.clerk.call("install")

    def close(self) -> None:
        """End its processes."""
        self.clerk.close()

    def can(self, *needs: str) -> bool:
        """Say whether it has all of these operations and modes."""
        return set(needs) <= self._able

    @contextmanager
    def processes(self, count: int = 1) -> Iterator[list[Agent]]:
        """Start processes to be measured, which end with the block."""
        with agents(self._spec, self._dsn, count, self._cpus) as found:
            yield found

    def fill(self, jobs: int, kind: str = "noop", *, delay: float = 0.0) -> None:
        """Have so many jobs and no others, in a table that has settled."""
        self.clerk.call("empty")
        if jobs:
            self.clerk.call("fill", jobs=jobs, kind=kind, delay=delay)
        self.databases.settle(self._dsn)

    def finished(self, jobs: int, tally: Tally) -> tuple[Checked, list[Start]]:
        """Wait until every job ran and is stored as completed, and prove that each did so once.

        Raises:
            BenchmarkError: It is not so.
        """
        _wait_for_starts(jobs, tally)
        deadline = time.monotonic() + STALL_SECONDS
        checked: Checked = self.clerk.call("check")
        while checked["completed"] < jobs and time.monotonic() < deadline:
            time.sleep(0.02)
            checked = self.clerk.call("check")
        starts = tally.starts()
        self.expect(
            {"stored": jobs, "completed": jobs, "flawed": 0, "starts": jobs, "started twice": 0},
            {
                "stored": checked["jobs"],
                "completed": checked["completed"],
                "flawed": checked["flawed"],
                "starts": len(starts),
                "started twice": len(duplicates(starts)),
            },
        )
        return checked, starts

    def expect(self, expected: object, got: object) -> None:
        """Check what must be so for a figure to count.

        Raises:
            BenchmarkError: It is not so.
        """
        if expected != got:
            raise BenchmarkError(f"{self.name}: expected {expected}, got {got}")


def _wait_for_starts(jobs: int, tally: Tally) -> None:
    seen, changed = 0, time.monotonic()
    while seen < jobs:
        time.sleep(0.01)
        count = tally.count()
        if count != seen:
            seen, changed = count, time.monotonic()
        elif time.monotonic() - changed > STALL_SECONDS:
            raise BenchmarkError(f"expected {jobs} jobs to start, got {count} and none for {STALL_SECONDS:g} s")
