"""huey with its Redis storage and a consumer of threads; every job stores its result.

The consumer runs in this process, as in that of its command.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from huey import RedisHuey
from huey.utils import Error

from benchmarks.agent import Checked, LaneArgs, Runner
from benchmarks.systems.redis_queue import JOBS, RedisQueue, Running
from benchmarks.tally import Lane


class Huey(RedisQueue):
    """One process, which is a client until `start`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "wait", "idle", "sleep", "short")

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._huey = RedisHuey("benchmarks", url=dsn, store_none=True)
        self._tasks = {kind: self._huey.task()(body) for kind, body in JOBS.items()}

    def store(self, number: int, kind: str = "noop") -> object:
        return self._tasks[kind](number)

    def store_due(self, number: int, due: float) -> object:
        return self._tasks["noop"].schedule((number,), eta=datetime.fromtimestamp(due, UTC))

    def check(self) -> Checked:
        """Count what waits and what has a result; a job that runs is nowhere, so that what was sent counts too."""
        waiting, ended = self._huey.pending_count() + self._huey.scheduled_count(), self._huey.result_count()
        unfinished = max(waiting, self.sent() - ended)
        failed = 0 if unfinished else sum(isinstance(result, Error) for result in self._results())
        return Checked(jobs=waiting + ended, unfinished=unfinished, completed=ended - failed, flawed=failed, last=None)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - one way for all modes
        Running.lane = Lane(*lane)
        self._consumer = self._huey.create_consumer(workers=slots, worker_type="thread")
        self._consumer.start()

    def stop(self) -> None:
        self._consumer.stop(graceful=True)

    def _results(self) -> list[object]:
        return [self._huey.serializer.deserialize(text) for text in self._huey.all_results().values()]


def make(dsn: str) -> Runner:
    """Make the system of one process."""
    return Huey(dsn)
