"""The reporter thread: tells Oban's dashboards what its node did, and how many jobs there are while the node leads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from oban_sync import clock, periodic
from oban_sync.config import Metrics
from oban_sync.lifecycle import metrics
from oban_sync.periodic import Periodic
from oban_sync.runtime import threads
from oban_sync.runtime.meter import Meter
from oban_sync.runtime.producers import Producers, QueueInfo
from oban_sync.sketch import gauge
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)


class Reporter:
    """Reports for one node.

    Args:
        name: Name of its thread.
        options: How often, and what.
        instance: Name of the Oban instance.
        node: Name of the node.
        link: Its own connection.
        statements: Its tables.
        producers: The queues of the node.
        leads: Says whether the node leads.
    """

    def __init__(
        self,
        name: str,
        options: Metrics,
        *,
        instance: str,
        node: str,
        link: Link,
        statements: Statements,
        producers: Producers,
        leads: Callable[[], bool],
    ) -> None:
        self._options = options
        self._about = {"name": instance, "node": node}
        self._link = link
        self._statements = statements
        self._producers = producers
        self._leads = leads
        self._stopping = threads.Event()
        self._meter = Meter(instance, self._is_mine)
        self._many: frozenset[str] = frozenset()  # this and what follows: the reporter thread only
        self._crontab_due = clock.monotonic() + options.cronitor_interval
        self._failing = False
        self.thread = threads.spawn(f"{name}-reporter", self._work)

    def stop(self) -> None:
        """Have it end."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.wait(self._options.interval):
            try:
                self._report()
                self._failing = False
            except Exception as error:
                if not self._failing:
                    threads.report(logger, "metrics are not sent", error)
                self._failing = True
        self._meter.close()
        self._link.close()

    def _report(self) -> None:
        self._send("gossip", "checks", [self._check(info) for info in self._producers.check("*")], {})
        found = self._meter.take() + self._counted()
        self._send("metrics", "metrics", found, {**self._about, "time": int(clock.now().timestamp())})
        if clock.monotonic() >= self._crontab_due:
            self._crontab_due = clock.monotonic() + self._options.cronitor_interval
            self._send("cronitor", "crontab", [_row(entry) for entry in periodic.every()], self._about)

    def _counted(self) -> list[dict[str, Any]]:
        if not self._options.counts_enabled or not self._leads():
            return []
        limit = self._options.estimate_limit
        counts = metrics.count(self._link, self._statements, many=self._many, limit=limit)
        self._many = counts.many
        return [
            {"series": "full_count", "state": state, "queue": queue, "value": gauge(number)}
            for state, queue, number in counts.found
        ]

    def _send(self, channel: str, key: str, items: list[Any], about: dict[str, Any]) -> None:
        name = f"{self._statements.prefix}.oban_{channel}"
        metrics.broadcast(self._link, self._statements, name, key, items, about)

    def _check(self, info: QueueInfo) -> dict[str, Any]:
        return {
            "uuid": info.uuid,
            **self._about,
            "queue": info.queue,
            "local_limit": info.limit,
            "paused": info.paused,
            "running": info.running,
            "started_at": info.started_at.isoformat(),
        }

    def _is_mine(self, owner: str) -> bool:
        return any(producer.place.owner == owner for producer in self._producers.every())


def _row(entry: Periodic) -> list[Any]:
    zone = {"timezone": entry.cron.timezone} if entry.cron.timezone else {}
    return [entry.cron.expression, entry.worker, {**zone, "name": entry.name}]
