"""Celery with Redis as its broker: a message is acked when its job has ended, results are not kept, errors are.

The worker runs in threads of this process, as in that of its command with the pool `threads`.
"""

from __future__ import annotations

import threading
import warnings
from datetime import UTC, datetime
from typing import ClassVar

import celery
from celery import signals
from celery.platforms import SecurityWarning
from celery.worker import state

from benchmarks.agent import Checked, LaneArgs, Runner
from benchmarks.systems.redis_queue import JOBS, RedisQueue, Running
from benchmarks.tally import Lane

SETTINGS = {
    "task_acks_late": True,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": True,
    "broker_connection_retry_on_startup": True,
}
READY_SECONDS = 60.0


class Celery(RedisQueue):
    """One process, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = (
        "drain",
        "wait",
        "sleep",
        "short",
    )  # not idle: it takes jobs before they are due

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        url = dsn.replace("unix://", "redis+socket://")
        self._app = celery.Celery("benchmarks", broker=url, backend=url)
        self._app.conf.update(SETTINGS)
        self._tasks = {kind: self._app.task(body) for kind, body in JOBS.items()}

    def store(self, number: int, kind: str = "noop") -> object:
        return self._tasks[kind].delay(number)

    def store_due(self, number: int, due: float) -> object:
        return self._tasks["noop"].apply_async((number,), eta=datetime.fromtimestamp(due, UTC))

    def check(self) -> Checked:
        unfinished = self.redis.llen("celery") + self.redis.hlen("unacked")
        failed = 0 if unfinished else sum(1 for _ in self.redis.scan_iter("celery-task-meta-*"))
        return Checked(jobs=unfinished + failed, unfinished=unfinished, completed=None, flawed=failed, last=None)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        Running.lane = Lane(*lane)
        warnings.simplefilter("ignore", SecurityWarning)  # told to root
        ready = threading.Event()
        signals.worker_ready.connect(lambda **_: ready.set(), weak=False)
        arguments = ("--quiet", "worker", "--pool=threads", f"--concurrency={slots}", "--loglevel=ERROR")
        self._thread = threading.Thread(target=self._app.worker_main, args=(arguments,), daemon=True)
        self._thread.start()
        if not ready.wait(READY_SECONDS):
            raise TimeoutError(f"expected a worker within {READY_SECONDS:g} s, got none")

    def stop(self) -> None:
        state.should_stop = 0  # the exit status of its command
        self._thread.join()


def make(dsn: str) -> Runner:
    """Make the system of one process."""
    return Celery(dsn)
