"""The scheduler thread: stages jobs at the instant they are due, and does the timed duties of a node.

It sleeps until the earliest due time that it knows: from its last look, from an announcement of another process, or
from a retry of its own node. Each `interval` it looks anyway, for jobs that nobody announced.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from random import uniform

from oban_sync import clock
from oban_sync.errors import DatabaseRefused, DatabaseUnavailable
from oban_sync.lifecycle import health, queues, rescue, stage
from oban_sync.runtime import threads
from oban_sync.runtime.duties import Duty
from oban_sync.runtime.heartbeat import Heartbeat
from oban_sync.runtime.lookout import LOOK_SECONDS, Lookout
from oban_sync.runtime.probe import PROBE_SECONDS, Probe
from oban_sync.runtime.producer import Producer
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

CLEAN_SECONDS = 60.0
RETRY_SECONDS = 1.0
JUDGE_SECONDS = 0.5
"""Pause between two looks at whether this node may judge others yet."""
LAPSE_SECONDS = (0.1, 0.3)
"""Time after the end of a lease in which nodes look whether it was renewed, each at a moment of its own."""
"""Pause after which PostgreSQL is told again of what it could not be told."""


class Scheduler:
    """Stages jobs for one node.

    Args:
        name: Name of its thread.
        interval: Longest seconds between two looks.
        limit: Most jobs staged by one statement.
        rescue_interval: Most seconds between two looks for dead nodes.
        rescue_after: Seconds after which a job of another library's dead node is taken.
        link: Its own connection.
        statements: Its tables.
        producers: Queue to producer.
        heartbeat: Knows whether this node may judge others.
        node: Name of the node.
    """

    def __init__(
        self,
        name: str,
        *,
        interval: float,
        limit: int,
        rescue_interval: float,
        rescue_after: float,
        link: Link,
        statements: Statements,
        producers: Mapping[str, Producer],
        heartbeat: Heartbeat,
        node: str,
    ) -> None:
        self._limit, self._rescue_after = limit, rescue_after
        self._link, self._statements = link, statements
        self._producers = producers
        self._heartbeat = heartbeat
        self._inbox = threads.Inbox()
        self._offset = 0.0  # the database's clock minus ours; this and what follows: the scheduler thread only
        self._lifted: set[str] = set()  # queues whose durable pause is to end
        self._lifted_at = 0.0
        self._staging = Duty(interval, self._stage)
        self._lifting = Duty(CLEAN_SECONDS, self._lift)
        self._rescuing = Duty(rescue_interval, self._rescue)
        self.probe = Probe(node, lambda token: link.execute(statements["notify_probe"], (token,)))
        self._duties = [
            self._staging,
            self._rescuing,
            Duty(CLEAN_SECONDS, self._clean),
            self._lifting,
            Duty(PROBE_SECONDS, self.probe.probe),
            Duty(LOOK_SECONDS, Lookout(lambda: health.snapshots(link, statements)).look),
        ]
        self._failing = False
        self.thread = threads.spawn(f"{name}-scheduler", self._work)

    def due_in(self, seconds: float) -> None:
        """Tell it that a job is due in so many seconds from now."""
        self._inbox.put(("monotonic", clock.monotonic() + seconds))

    def due_at(self, epoch: object) -> None:
        """Tell it that a job is due at an instant of the database's clock, in seconds since 1970.

        Raises:
            ValueError: That is no instant.
        """
        if not isinstance(epoch, int | float) or not math.isfinite(epoch):
            raise ValueError(f"expected seconds since 1970, got {epoch!r:.100}")
        self._inbox.put(("epoch", float(epoch)))

    def look(self) -> None:
        """Have it look for due jobs now."""
        self._inbox.put(("monotonic", 0.0))

    def lift(self, queue: str) -> None:
        """Have it end the durable pause of a queue, or with * of every one: another Oban resumed it just now."""
        self._inbox.put(("lift", (queue, clock.monotonic())))

    def stop(self) -> None:
        """Have it end."""
        self._inbox.put(("stop", None))

    def _work(self) -> None:
        while self._listen():
            for duty in self._duties:
                if clock.monotonic() >= duty.due:
                    duty.due = clock.monotonic() + duty.seconds
                    self._guarded(duty.act)
        self._link.close()

    def _listen(self) -> bool:
        """Wait for the next duty or a message; say whether to go on."""
        wait = min(duty.due for duty in self._duties) - clock.monotonic()
        for kind, value in self._inbox.take(wait):
            if kind == "stop":
                return False
            if kind == "lift":
                queue, self._lifted_at = value
                self._lifted.add(queue)
                self._lifting.due = 0.0
            else:
                self._staging.due = min(self._staging.due, value if kind == "monotonic" else value - self._offset)
        return True

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
            self._failing = False
        except Exception as error:
            if not self._failing:
                threads.report(logger, "scheduler failed, and goes on", error)
            self._failing = True
            for producer in self._producers.values():
                producer.look()

    def _stage(self) -> None:
        sent = clock.monotonic()
        staged = stage.stage(self._link, self._statements, limit=self._limit)
        self._offset = staged.now - (sent + clock.monotonic()) / 2
        if staged.next_in is not None:
            self._staging.due = min(self._staging.due, sent + staged.next_in)
        if sum(staged.queues.values()) >= self._limit:
            self._staging.due = 0.0
        elsewhere = []
        for queue, count in staged.queues.items():
            producer = self._producers.get(queue)
            if producer is None or producer.free() < count:
                elsewhere.append(queue)
            if producer is not None:
                producer.search()
        if elsewhere:
            stage.notify(self._link, self._statements, elsewhere)

    def _rescue(self) -> None:
        """Take jobs back from dead nodes, and look again when the next lease has ended."""
        if not self._producers:
            return
        if not self._heartbeat.may_judge():
            self._rescue_in(JUDGE_SECONDS)
            return
        judge = next(iter(self._producers.values())).place.owner
        if rescue.rescue(self._link, self._statements, judge=judge, rescue_after=self._rescue_after):
            for producer in self._producers.values():
                producer.search()
        lapse = rescue.next_lapse(self._link, self._statements)
        if lapse is not None:
            self._rescue_in(lapse + uniform(*LAPSE_SECONDS))  # noqa: S311 - no secret

    def _rescue_in(self, seconds: float) -> None:
        self._rescuing.due = min(self._rescuing.due, clock.monotonic() + seconds)

    def _lift(self) -> None:
        """End durable pauses; a signal that PostgreSQL cannot be told of now is not forgotten."""
        lifted, self._lifted = self._lifted, set()
        if not lifted:
            return
        try:
            queues.let_resume(self._link, self._statements, *lifted, ago=clock.monotonic() - self._lifted_at)
        except (DatabaseUnavailable, DatabaseRefused):
            self._lifted, self._lifting.due = lifted, clock.monotonic() + RETRY_SECONDS
            raise

    def _clean(self) -> None:
        rescue.clean(self._link, self._statements, self._producers)
