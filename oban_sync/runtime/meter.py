"""What a node knows of its own jobs: how many ended, how long they waited and ran. Told at the end of each job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from oban_sync import telemetry
from oban_sync.runtime import threads
from oban_sync.sketch import Sketch, gauge

Series = tuple[str, str, str]


class Meter:
    """Collects the ends of jobs until they are taken.

    Args:
        name: Name of the instance.
        mine: Says whether a job, by its owner, is of this node.
    """

    def __init__(self, name: str, mine: Callable[[str], bool]) -> None:
        self._id = f"oban-metrics-{name}-{id(self)}"
        self._mine = mine
        self._lock = threads.Lock()
        self._times = self._none()  # under _lock
        telemetry.attach(self._id, ("oban.job.stop", "oban.job.exception"), self._ended)

    def take(self) -> list[dict[str, Any]]:
        """Give what was collected since the last call, as the dashboards read it."""
        with self._lock:
            times, self._times = self._times, self._none()
        return [
            {"series": series, "state": state, "queue": queue, "worker": worker, "value": value}
            for (state, queue, worker), (ran, waited) in times.items()
            for series, value in (
                ("exec_time", ran.value()),
                ("wait_time", waited.value()),
                ("exec_count", gauge(ran.size)),
            )
        ]

    def close(self) -> None:
        """Collect no more."""
        telemetry.detach(self._id)

    def _ended(self, _: str, meta: dict[str, Any]) -> None:
        job = meta["job"]
        if not self._mine(job.attempted_by[-1]):
            return
        with self._lock:
            ran, waited = self._times[str(meta["state"]), job.queue, job.worker]
            ran.add(meta["duration"])
            waited.add(meta["queue_time"])

    @staticmethod
    def _none() -> dict[Series, tuple[Sketch, Sketch]]:
        return defaultdict(lambda: (Sketch(), Sketch()))
