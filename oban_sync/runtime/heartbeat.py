"""The heartbeat thread: renews the lease under which this process holds its jobs, on a connection of its own.

A beat is a row's timestamp by the database's clock, and beside it the connection holds a session lock for each owner:
code in C that keeps the interpreter for seconds stops the beats but not the lock, and a killed process frees the lock
at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import orjson

from oban_sync import clock, telemetry
from oban_sync._version import __version__
from oban_sync.errors import DatabaseRefused, DatabaseUnavailable
from oban_sync.lifecycle import rescue
from oban_sync.lifecycle.rescue import FREE_LEASE, HELD_LEASE
from oban_sync.runtime import threads
from oban_sync.runtime.duties import Duty
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
RETRY_SECONDS = 0.5
RENEW_SECONDS = 10.0
"""Pause between two looks for jobs that nodes of other libraries may take for dead soon."""
JUDGE_AFTER = (5.0, 10.0)
"""Seconds after its connection, and after a reconnection, before this node may judge others: after an outage all beats
are old and all locks free, and whoever is back first must not take everybody's jobs."""

POOLED = (
    "the lease of this node goes through a pooler that may share sessions, so it holds no session lock, and jobs of a "
    "process that died run again after 20 s instead of 8. Give a direct way by notifier={'dsn': ...}"
)


Described = tuple[str, dict[str, object]]
"""A queue, and what its row's meta says of it."""


class Heartbeat:
    """Keeps the lease of one node.

    Args:
        name: Name of its thread.
        instance: Name of the Oban instance.
        node: Name of the node.
        owners: Owner to queue and its options.
        link: Its own connection.
        statements: Its tables.
    """

    def __init__(
        self,
        name: str,
        *,
        instance: str,
        node: str,
        owners: Mapping[str, Described],
        link: Link,
        statements: Statements,
    ) -> None:
        self._link = link
        self._statements = statements
        self._instance, self._node = instance, node
        self._inbox = threads.Inbox()
        self._owners = dict(owners)  # this and what follows: the heartbeat thread only (the first beat: who starts it)
        self._new: dict[str, Callable[[], None]] = {}
        self._gone: list[str] = []
        self._held: frozenset[str] = frozenset()
        self._beaten_at = 0.0
        self._lapses = 0
        self._connected_at = 0.0
        self._connections = 0
        self._locks = False
        self._renewing = Duty(RENEW_SECONDS, self._renew)
        self._beat()
        self.thread = threads.spawn(f"{name}-heartbeat", self._work)

    def fresh(self, owner: str | None = None) -> bool:
        """Say whether no other node can have judged this one dead, and this owner is known: jobs may be fetched."""
        return clock.monotonic() - self._beaten_at < FREE_LEASE and (owner is None or owner in self._held)

    def lease(self, owner: str) -> int | None:
        """Number the time for which the lease of this owner has been fresh without a break; None: it is not."""
        return self._lapses if self.fresh(owner) else None

    def add(self, owner: str, described: Described, held: Callable[[], None]) -> None:
        """Have it take up an owner, and call `held`, on its own thread, once nobody can judge that one dead."""
        self._inbox.put(("add", owner, described, held))

    def describe(self, owner: str, described: Described) -> None:
        """Have the row of an owner say this, now."""
        self._inbox.put(("describe", owner, described))

    def forget(self, owner: str) -> None:
        """Have it let go of an owner, which holds no job any more."""
        self._inbox.put(("forget", owner))

    def may_judge(self) -> bool:
        """Say whether this node has been here long enough to judge others."""
        wait = JUDGE_AFTER[0] if self._connections == 1 else JUDGE_AFTER[1]
        return self.fresh() and clock.monotonic() - self._connected_at > wait

    def stop(self) -> None:
        """Have it let go of its owners and end."""
        self._inbox.put(("stop",))

    def _work(self) -> None:
        failures = 0
        while self._listen(RETRY_SECONDS if failures else BEAT_SECONDS):
            try:
                self._beat()
                self._maybe_renew()
                failures = 0
            except Exception as error:
                failures += 1
                if failures == 1:
                    threads.report(logger, "a heartbeat failed", error)
        self._leave()

    def _listen(self, wait: float) -> bool:
        """Take messages, or wait for the next beat; say whether to go on."""
        for kind, *rest in self._inbox.take(wait):
            if kind == "stop":
                return False
            if kind == "add":
                owner, self._owners[owner], self._new[owner] = rest[0], rest[1], rest[2]
                self._locks = False
            elif kind == "describe" and rest[0] in self._owners:
                self._owners[rest[0]] = rest[1]
            elif kind == "forget" and self._owners.pop(rest[0], None):
                self._gone.append(rest[0])
        return True

    def _beat(self) -> None:
        sent = clock.monotonic()
        if not self._link.connected:
            self._locks = False
        if not self._locks:
            self._lock()
        with telemetry.span("oban.refresher.refresh") as collector:
            rows = self._link.execute(self._statements["beat_producers"], {"producers": self._rows()})
            made = sum(new for (new,) in rows) - len(self._new)
            collector.add({"refreshed_count": len(rows) - made, "restored_count": made if self._beaten_at else 0})
        if sent - self._beaten_at >= FREE_LEASE:
            self._lapses += 1  # before the lease is fresh again: others may have taken jobs that no thread has begun
        self._beaten_at = sent
        self._held = frozenset(self._owners)
        while self._new:
            self._new.popitem()[1]()
        self._maybe_forget()

    def _maybe_renew(self) -> None:
        if clock.monotonic() >= self._renewing.due:
            self._renewing.due = clock.monotonic() + self._renewing.seconds
            self._renewing.act()

    def _renew(self) -> None:
        rescue.renew(self._link, self._statements, self._owners)

    def _maybe_forget(self) -> None:
        while self._gone:
            self._link.execute(self._statements["delete_producer"], {"owner": self._gone[-1]})
            if not self._link.pooled:
                self._link.execute(self._statements["unlock_owner"], {"owner": self._gone[-1]})
            self._gone.pop()

    def _lock(self) -> None:
        """Take the session locks; after a broken connection its session may hold them for a while yet."""
        made = not self._link.connected
        self._link.connect()
        if not self._link.pooled:
            ((held,),) = self._link.execute(self._statements["lock_owners"], {"owners": list(self._owners)})
            self._locks = held is not False
        if made:
            if self._link.pooled and not self._connections:
                logger.warning("%s", POOLED)
            self._connections += 1
            self._connected_at = clock.monotonic()

    def _rows(self) -> str:
        return orjson.dumps(
            [
                {
                    "uuid": owner,
                    "name": self._instance,
                    "node": self._node,
                    "queue": queue,
                    "meta": {**meta, "oban_sync": __version__, "lease": HELD_LEASE, "locks": self._locks},
                }
                for owner, (queue, meta) in self._owners.items()
            ]
        ).decode()

    def _leave(self) -> None:
        try:
            for owner in (*self._owners, *self._gone):
                self._link.execute(self._statements["delete_producer"], {"owner": owner})
        except (DatabaseUnavailable, DatabaseRefused) as error:
            logger.info("left without saying so, since PostgreSQL does not answer: %s", error)
        self._link.close()
