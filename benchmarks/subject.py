"""A system with its database: what a workload measures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from benchmarks.agent import Checked
from benchmarks.remote import Agent, BenchmarkError, SystemSpec, agents
from benchmarks.rows import Connection
from benchmarks.servers import Server
from benchmarks.tally import Start, Tally, duplicates

STALL_SECONDS = 60.0


class Subject:
    """One system under measurement.

    Args:
        name: Its name in tables.
        spec: How to start its processes.
        server: What it keeps its jobs in.
        cpus: CPUs that its processes may use; None: all.
    """

    def __init__(self, name: str, spec: SystemSpec, server: Server, cpus: set[int] | None = None) -> None:
        self.name = name
        self.server = server
        self.strict = spec.strict
        self.share = spec.share
        self.without = spec.without
        self._notes = [f"{name}: {spec.about}"] if spec.about else []
        self._spec, self._cpus = spec, cpus
        self._dsn = server.create(name)
        self.clerk = Agent(spec, self._dsn, cpus)  # stores jobs, and checks what became of them; runs none
        try:
            self._able = set(self.clerk.wait())
            self.clerk.call("install")
        except BenchmarkError:
            self.close()
            raise

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
        self.add(jobs, kind, delay=delay)

    def add(self, jobs: int, kind: str = "noop", *, delay: float = 0.0) -> None:
        """Have so many jobs more, in a table that has settled."""
        if jobs:
            self.clerk.call("fill", jobs=jobs, kind=kind, delay=delay)
        self.server.settle(self._dsn)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Connect to its database in autocommit, for the block."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            yield connection

    def warm(self, tally: Tally) -> None:
        """Store a lone job with the number 1, and wait until it has run: then the node is up."""
        self.clerk.call("send", pauses=[0.0])
        self._wait_for_starts(1, tally, None)

    def finished(
        self,
        jobs: int,
        tally: Tally,
        *,
        before: int = 0,
        again: Sequence[int] = (),
        watch: Callable[[int], object] | None = None,
    ) -> tuple[float, list[Start]]:
        """Wait until every job ran and has ended, and prove that each did so once and completed, if that is stored.

        Args:
            jobs: How many jobs there are.
            tally: Their starts.
            before: How many other jobs are in the table, completed before these.
            again: The jobs that are to start twice.
            watch: Told how many have started, again and again while they run.

        Returns:
            When the last one ended, seconds since 1970, and the starts.

        Raises:
            BenchmarkError: It is not so.
        """
        self._wait_for_starts(jobs + len(again), tally, watch)
        deadline = time.monotonic() + STALL_SECONDS
        checked: Checked = self.clerk.call("check")
        while checked["unfinished"] and time.monotonic() < deadline:
            time.sleep(0.002)
            checked = self.clerk.call("check")
        seen, starts = time.time(), tally.starts()
        expected = {
            "unfinished": 0,
            "completed": before + jobs,
            "flawed": 0,
            "starts": jobs + len(again),
            "started once too often": 0,
        }
        got = {
            "unfinished": checked["unfinished"],
            "completed": checked["completed"],
            "flawed": checked["flawed"],
            "starts": len(starts),
            "started once too often": (Counter(duplicates(starts)) - Counter(again)).total(),
        }
        told = {what: value for what, value in got.items() if value is not None}
        self.expect({what: expected[what] for what in told}, told)
        if len(told) < len(got):
            self.note(f"does not store how many jobs are {' and '.join(sorted(got.keys() - told))}: not checked")
        return checked["last"] or seen, starts

    def note(self, text: str) -> None:
        """Keep what a reader must know of the figures."""
        self._notes.append(f"{self.name}: {text}")

    def notes(self) -> list[str]:
        """Give what was noted since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def expect(self, expected: object, got: object) -> None:
        """Check what must be so for a figure to count.

        Raises:
            BenchmarkError: It is not so.
        """
        if expected != got:
            raise BenchmarkError(f"{self.name}: expected {expected}, got {got}")

    def _wait_for_starts(self, jobs: int, tally: Tally, watch: Callable[[int], object] | None) -> None:
        seen, changed = 0, time.monotonic()
        while seen < jobs:
            time.sleep(0.01)
            count = tally.count()
            if watch is not None:
                watch(count)
            if count != seen:
                seen, changed = count, time.monotonic()
            elif time.monotonic() - changed > STALL_SECONDS:
                raise BenchmarkError(
                    f"{self.name}: expected {jobs} jobs to start, got {count} and none for {STALL_SECONDS:g} s"
                )
