"""oban_sync by its public interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from benchmarks import mixture
from benchmarks.agent import Checked, LaneArgs, Stored, System
from benchmarks.crowd import Store, crowd
from benchmarks.rows import NOOP, QUEUE
from benchmarks.systems import ours_mixed
from benchmarks.systems.oban_table import SHORT, SLEEP, Table
from benchmarks.tally import Lane
from oban_sync import Job, Oban, schema, worker

SLEEP_SECONDS = 0.01
SHORT_SECONDS = 0.001


class Starting:
    """Says that it started."""

    lane: ClassVar[Lane]  # written before any job runs

    def process(self, job: Job) -> None:
        Starting.lane.start(job.args["id"])


class Sleeping:
    """Says that it started, and sleeps."""

    def process(self, job: Job) -> None:
        Starting.lane.start(job.args["id"])
        time.sleep(SLEEP_SECONDS)


class Hurrying:
    """Says that it started, and sleeps for a moment."""

    def process(self, job: Job) -> None:
        Starting.lane.start(job.args["id"])
        time.sleep(SHORT_SECONDS)


Noop = worker(queue=QUEUE, name=NOOP)(Starting)
Sleep = worker(queue=QUEUE, name=SLEEP)(Sleeping)
Short = worker(queue=QUEUE, name=SHORT)(Hurrying)


class ObanSync(Table):
    """One process with an Oban instance, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = (
        "drain",
        "strict",
        "wait",
        "idle",
        "large",
        "sleep",
        "short",
        "mixed",
        "paused",
        "memory",
        "rows",
    )

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._oban = Oban(dsn=dsn)
        self._mixed = False  # whether jobs of that kind were filled in last

    def empty(self) -> None:
        super().empty()
        self._mixed = False

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        if kind == "mixed":
            ours_mixed.fill(self.connection, jobs)
            self._mixed = True
        else:
            super().fill(jobs, kind, delay)

    def check(self) -> Checked:
        return ours_mixed.check(self.connection) if self._mixed else super().check()

    def install(self) -> None:
        schema.install(self.connection)

    def enqueue(self, jobs: int, threads: int) -> float:
        with Oban.create_pool(self.dsn, min_size=threads, max_size=threads) as pool:
            pool.wait()
            self._oban = Oban(pool=pool)
            seconds = crowd(jobs, threads, _storing)
        self._oban = Oban(dsn=self.dsn)
        return seconds

    def bulk(self, calls: int, size: int) -> Stored:
        calling = whole = 0.0
        for call in range(calls + 1):
            begin = time.monotonic()
            jobs = [Noop.new({"id": number}) for number in range(call * size + 1, (call + 1) * size + 1)]
            made = time.monotonic()
            stored = self._oban.enqueue_many(jobs)
            end = time.monotonic()
            if call:
                calling, whole = calling + end - made, whole + end - begin
            if [job.id for job in stored] != [job.args["id"] for job in jobs]:
                raise AssertionError("expected ids in the order in which the jobs were given, got others")
        self.check_order((calls + 1) * size)
        return Stored(calls=calling, whole=whole)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:
        Starting.lane = ours_mixed.Mixed.lane = Lane(*lane)
        shapes: dict[str, Any] = {
            "strict": {QUEUE: {"limit": slots, "prefetch": 0}},
            "paused": {QUEUE: {"limit": slots, "paused": True}},
            "mixed": mixture.SLOTS,
        }
        self._oban = Oban(dsn=self.dsn, queues=shapes.get(mode, {QUEUE: slots})).start()

    def resume(self) -> None:
        self._oban.resume_queue(QUEUE)

    def stop(self) -> None:
        self._oban.stop()

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        times = []
        for number, pause in enumerate(pauses, 1):
            time.sleep(pause)
            called = time.monotonic()
            Noop.enqueue({"id": number})
            times.append((called, time.monotonic()))
        return times

    def schedule(self, delays: Sequence[float]) -> list[float]:
        dues = []
        for number, delay in enumerate(delays, 1):
            job = Noop.enqueue({"id": number}, scheduled_in=delay)
            assert job.scheduled_at is not None
            dues.append(job.scheduled_at.timestamp())
        return dues


def make(dsn: str) -> System:
    """Make the system of one process."""
    return ObanSync(dsn)


def _storing() -> Store:
    return lambda number: Noop.enqueue({"id": number})
