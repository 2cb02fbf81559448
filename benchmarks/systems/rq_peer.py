"""RQ with a worker for each slot, since one runs one job at a time: processes, as its command `worker-pool` has them.

A `SimpleWorker` runs the job in itself, without a fork for each, which is faster where jobs are short.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import ClassVar

from redis.exceptions import ResponseError
from rq import Queue, SimpleWorker
from rq.worker_pool import WorkerPool

from benchmarks.agent import Checked, LaneArgs, Stored, System
from benchmarks.family import end_with_parent
from benchmarks.shared_lane import SharedLane
from benchmarks.systems.redis_queue import JOBS, RedisQueue, Running

HELD = "benchmarks:held"
READY_SECONDS = 60.0


class RQ(RedisQueue):
    """One process, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "wait", "sleep", "short")  # not idle: the node is many processes

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._queue = Queue("benchmarks", connection=self.redis)

    def store(self, number: int, kind: str = "noop") -> object:
        return self._queue.enqueue(JOBS[kind], number)

    def store_due(self, number: int, due: float) -> object:
        return self._queue.enqueue_at(datetime.fromtimestamp(due, UTC), JOBS["noop"], number)

    def bulk(self, calls: int, size: int) -> Stored:
        ids: list[str] = []
        calling = whole = 0.0
        for call in range(calls + 1):
            begin = time.monotonic()
            numbers = range(call * size + 1, (call + 1) * size + 1)
            jobs = [Queue.prepare_data(JOBS["noop"], (number,)) for number in numbers]
            made = time.monotonic()
            ids += [job.id for job in self._queue.enqueue_many(jobs)]
            end = time.monotonic()
            if call:
                calling, whole = calling + end - made, whole + end - begin
        if self._queue.get_job_ids() != ids:
            raise AssertionError("expected a queue in the order in which the jobs were given, got another")
        return Stored(calls=calling, whole=whole)

    def check(self) -> Checked:
        queue = self._queue
        registries = (queue.started_job_registry, queue.scheduled_job_registry, queue.deferred_job_registry)
        waiting = len(queue) + self.redis.llen(queue.intermediate_queue_key)
        unfinished = waiting + sum(registry.get_job_count(cleanup=False) for registry in registries)
        completed = queue.finished_job_registry.get_job_count(cleanup=False)
        failed = queue.failed_job_registry.get_job_count(cleanup=False)
        jobs = unfinished + completed + failed
        return Checked(jobs=jobs, unfinished=unfinished, completed=completed, flawed=failed, last=None)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        Running.lane = SharedLane(lane)
        os.register_at_fork(after_in_child=end_with_parent)
        held = self._hold()
        self._pool = WorkerPool([self._queue], self.redis, num_workers=slots, worker_class=SimpleWorker)
        self._pool.start_workers(burst=False, logging_level="WARNING")
        self._await_workers()
        if held:  # jobs begin when all workers are there, as they do where these are threads
            self.redis.rename(HELD, self._queue.key)

    def stop(self) -> None:
        self._pool.stop_workers()
        for worker in self._pool.worker_dict.values():
            worker.process.join()

    def _hold(self) -> bool:
        """Take the jobs out of the queue; False: there are none, or the process beside this one has just done so."""
        try:
            return bool(self.redis.rename(self._queue.key, HELD))
        except ResponseError:
            return False

    def _await_workers(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while any(not self.redis.exists(f"rq:worker:{name}") for name in self._pool.worker_dict):
            if time.monotonic() > deadline:
                raise TimeoutError(f"expected all workers within {READY_SECONDS:g} s, got not all")
            time.sleep(0.01)


def make(dsn: str) -> System:
    """Make the system of one process."""
    return RQ(dsn)
