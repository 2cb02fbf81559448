"""The queues that a node runs, started and stopped while it runs, and what commands and signals do to them.

Nothing here waits, so that the notifier thread may call it. A dict of the running producers is never changed but
replaced, so that any thread may read it.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oban_sync import clock, telemetry
from oban_sync.config import QueueConfig
from oban_sync.runtime import threads
from oban_sync.runtime.heartbeat import Described, Heartbeat
from oban_sync.runtime.producer import Producer

Build = Callable[[str, str, QueueConfig, Callable[[Producer], None]], Producer]
"""Makes the producer of a queue and owner, with its options and what it tells of changes."""


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue as it runs on this node.

    Attributes:
        limit: Jobs that run at once.
        meta: Further options of the queue.
        node: The node.
        paused: Whether it fetches nothing.
        queue: Its name.
        running: Ids of the jobs that run.
        started_at: When it was started.
        uuid: The owner of its jobs; another at each start.
    """

    limit: int
    meta: Mapping[str, Any]
    node: str
    paused: bool
    queue: str
    running: list[int]
    started_at: datetime
    uuid: str


class Producers(Mapping[str, Producer]):
    """The producers of one node by queue.

    Args:
        owners: Owner to queue and options, of those to begin with; the heartbeat holds them already.
        heartbeat: Keeps the leases of the owners.
        build: Makes a producer.
        new_owner: Makes the name of one start of one queue.
    """

    def __init__(
        self,
        owners: Mapping[str, tuple[str, QueueConfig]],
        *,
        heartbeat: Heartbeat,
        build: Build,
        new_owner: Callable[[], str],
    ) -> None:
        self._heartbeat, self._build, self._new_owner = heartbeat, build, new_owner
        self._lock = threads.Lock()
        self._stopping: dict[Producer, float] = {}  # with when they were stopped; this and what follows: under _lock
        self._closed, self._serves = False, bool(owners)
        self._running = {
            queue: build(queue, owner, options, self._changed) for owner, (queue, options) in owners.items()
        }

    def __getitem__(self, queue: str) -> Producer:
        return self._running[queue]

    def __iter__(self) -> Iterator[str]:
        return iter(self._running)

    def __len__(self) -> int:
        return len(self._running)

    def values(self) -> ValuesView[Producer]:
        """Give those that run, as they are now."""
        return self._running.values()

    def items(self) -> ItemsView[str, Producer]:
        """Give queues and producers, as they are now."""
        return self._running.items()

    def every(self) -> list[Producer]:
        """Give those that run and those that were stopped but have jobs that still do."""
        with self._lock:
            return [*self._running.values(), *self._stopping]

    def start(self, queue: str, options: QueueConfig) -> None:
        """Run a queue, as a new owner; one that runs is left as it is, and a node that began with none runs none."""
        with self._lock:
            if self._closed or not self._serves or queue in self._running:
                return
            producer = self._build(queue, self._new_owner(), options, self._changed)
            self._running = {**self._running, queue: producer}
            self._heartbeat.add(producer.place.owner, described(producer), producer.look)  # before any stop forgets it

    def stop(self, queue: str) -> Producer | None:
        """Have a queue fetch nothing more and end with its last job; give it, if it ran."""
        with self._lock:
            producer = self._running.get(queue)
            if producer is None:
                return None
            self._stopping[producer] = clock.monotonic()
            self._running = {name: other for name, other in self._running.items() if other is not producer}
        self._say_stopping(producer)
        producer.stop()
        return producer

    def close(self) -> None:
        """Have every queue fetch nothing more, and start no other."""
        with self._lock:
            self._closed = True
            producers = list(self._running.values())
        for producer in producers:
            self._say_stopping(producer)
            producer.stop()

    def pause(self, queue: str) -> None:
        """Have a queue, or with * every one, fetch nothing."""
        for producer in self._chosen(queue):
            producer.pause()
            self._describe(producer)

    def resume(self, queue: str) -> None:
        """Have a queue, or with * every one, fetch again."""
        for producer in self._chosen(queue):
            producer.resume()
            self._describe(producer)

    def scale(self, queue: str, limit: int) -> None:
        """Have a queue run at most so many jobs at once."""
        for producer in self._chosen(queue):
            producer.scale(limit)
            self._describe(producer)

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Ask jobs to stop, whichever queue has them."""
        ids = list(job_ids)
        for producer in self.every():
            producer.cancel(ids)

    def recheck(self) -> None:
        """Have every queue look for what signals may have told that were lost."""
        for producer in self._running.values():
            producer.recheck()

    def check(self, queue: str) -> list[QueueInfo]:
        """Give the state of a queue, or with * of every one."""
        return [_info(producer) for producer in self._chosen(queue)]

    def _chosen(self, queue: str) -> list[Producer]:
        running = self._running
        return list(running.values()) if queue == "*" else [running[queue]] if queue in running else []

    def _changed(self, producer: Producer) -> None:
        """Take note, on the producer's thread, that it paused by itself or ended."""
        if not producer.ended:
            self._describe(producer)
            return
        self._heartbeat.forget(producer.place.owner)
        with self._lock:
            began = self._stopping.pop(producer, None)
        if began is not None:
            report_shutdown(producer, began)

    def _describe(self, producer: Producer) -> None:
        self._heartbeat.describe(producer.place.owner, described(producer))

    def _say_stopping(self, producer: Producer) -> None:
        queue, meta = described(producer)
        meta |= {"paused": True, "shutdown_started_at": clock.now().isoformat()}
        self._heartbeat.describe(producer.place.owner, (queue, meta))


def report_shutdown(producer: Producer, began: float) -> None:
    """Announce, once, that a stop which began at a monotonic instant waits no longer, and which jobs still run."""
    if producer.reported:
        return
    producer.reported = True
    elapsed = int((clock.monotonic() - began) * 1e9)
    orphaned = sorted(job.id for job in producer.queue.running())
    meta = {"queue": producer.place.queue, "elapsed": elapsed, "orphaned": orphaned}
    telemetry.execute("oban.queue.shutdown", meta)


def described(producer: Producer) -> Described:
    """Give what the row of a queue says."""
    return producer.place.queue, row_meta(producer.options, limit=producer.limit, paused=producer.paused)


def row_meta(options: QueueConfig, *, limit: int, paused: bool) -> dict[str, object]:
    """Give what the meta of a queue's row says."""
    return {**options.meta, "local_limit": limit, "paused": paused}


def _info(producer: Producer) -> QueueInfo:
    return QueueInfo(
        limit=producer.limit,
        meta=dict(producer.options.meta),
        node=producer.place.node,
        paused=producer.paused,
        queue=producer.place.queue,
        running=sorted(job.id for job in producer.queue.running()),
        started_at=producer.started_at,
        uuid=producer.place.owner,
    )
