"""The steward thread: takes part in elections, and does what one node of a cluster does for all, while its node leads.

It has a connection of its own, so that jobs are staged at their instant whatever it does. Pruning takes a batch a turn,
so that an election is never late.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime

from oban_sync import clock, instances, periodic
from oban_sync.config import Config
from oban_sync.errors import DatabaseRefused, DatabaseUnavailable
from oban_sync.lifecycle import cron, lead, rescue
from oban_sync.lifecycle.prune import Pruner
from oban_sync.periodic import Periodic
from oban_sync.runtime import threads
from oban_sync.runtime.duties import Duty
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

ELECTION_SECONDS = 2.0
"""Pause between two elections: a leader may miss two before its lease ends."""
BOOT_SECONDS = 15.0
"""A node that leads so soon after its start found no leader alive: one that died is followed within 8 seconds."""
MINUTE = 60.0
RETRY_SECONDS = 1.0
"""Pause after periodic jobs could not be enqueued: well below the time for which a tick may be late."""


class Steward:
    """Leads, or waits for its turn, for one node.

    Args:
        name: Name of its thread.
        config: Options of the instance.
        link: Its own connection.
        statements: Its tables.
    """

    def __init__(self, name: str, config: Config, *, link: Link, statements: Statements) -> None:
        self._config = config
        self._link = link
        self._statements = statements
        self._inbox = threads.Inbox()
        self._rules = cron.Rules(config.timezone, config.catch_up, config.catch_up_window, config.max_args_bytes)
        self._started_at = clock.monotonic()
        self._since: str | None = None  # this and what follows: the steward thread only
        self._term: cron.Term | None = None
        self._remembers = False
        self._offset = 0.0  # the database's clock minus ours
        self._leads_until = 0.0
        self._pruner = None if config.retention is None else Pruner(config.retention)
        self._election = Duty(ELECTION_SECONDS, self._elect)
        self._periodic = Duty(MINUTE, self._tick)
        self._duties = self._made()
        self.thread = threads.spawn(f"{name}-steward", self._work)

    def leads(self) -> bool:
        """Say whether this node leads; true only until its lease ends, whatever hinders it from asking."""
        return clock.monotonic() < self._leads_until

    def contend(self) -> None:
        """Have it take part in an election now, since a leader resigned."""
        self._inbox.put("contend")

    def stop(self) -> None:
        """Have it resign and end."""
        self._inbox.put("stop")

    def _made(self) -> list[Duty]:
        """Give the duties in the order of their haste."""
        duties = [self._periodic, Duty(self._config.refresh_interval, self._refresh)]
        if self._config.retention is not None:
            self._pruning = Duty(self._config.retention.interval, self._prune)
            duties.append(self._pruning)
        return duties

    def _work(self) -> None:
        while self._listen():
            for duty in (self._election, *self._duties):
                if clock.monotonic() >= duty.due and (duty is self._election or self.leads()):
                    duty.due = clock.monotonic() + duty.seconds
                    self._guarded(duty)
        self._resign()
        self._link.close()

    def _listen(self) -> bool:
        """Wait for the next duty or a message; say whether to go on."""
        duties = [self._election, *(self._duties if self.leads() else ())]
        messages = self._inbox.take(min(duty.due for duty in duties) - clock.monotonic())
        if "contend" in messages:
            self._election.due = 0.0
        return "stop" not in messages

    def _guarded(self, duty: Duty) -> None:
        try:
            duty.act()
            duty.failing = False
        except Exception as error:
            if not duty.failing:
                threads.report(logger, "a duty of the leader failed, and is done again", error)
            duty.failing = True

    def _elect(self) -> None:
        sent = clock.monotonic()
        led = self.leads()
        term = lead.elect(
            self._link, self._statements, name=self._config.name, node=self._config.node, since=self._since
        )
        self._offset = term.now - (sent + clock.monotonic()) / 2
        if term.since != self._since:
            self._begin_term(term.since)
        self._since = term.since
        self._leads_until = 0.0 if term.since is None else sent + lead.LEASE
        if self.leads() != led:
            logger.info("node %s %s", self._config.node, "leads" if self.leads() else "leads no more")
        if not self._remembers:
            cron.remember(self._link, self._statements, self._entries())
            self._remembers = True

    def _begin_term(self, since: str | None) -> None:
        boot = clock.monotonic() - self._started_at < BOOT_SECONDS
        self._term = None if since is None else cron.Term(datetime.fromisoformat(since).replace(tzinfo=UTC), boot=boot)
        self._periodic.due = 0.0

    def _tick(self) -> None:
        """Enqueue periodic jobs, and come back at the next minute of the database's clock."""
        assert self._term is not None  # noqa: S101 - this node leads
        entries = self._entries()
        now = clock.monotonic() + self._offset
        if entries:
            self._periodic.due = clock.monotonic() + RETRY_SECONDS
            until, _ = cron.tick(self._link, self._statements, entries, rules=self._rules, term=self._term)
            self._term = replace(self._term, evaluated=until)
            now = until.timestamp()
        self._periodic.due = clock.monotonic() + MINUTE - now % MINUTE

    def _entries(self) -> list[Periodic]:
        """Give the periodic jobs for this instance; that of another may run in this process, on another database."""
        name = self._config.name
        return [entry for entry in periodic.every() if entry.oban == name or not instances.runs(entry.oban)]

    def _prune(self) -> None:
        assert self._pruner is not None  # noqa: S101 - made with the duty
        if self._pruner.step(self._link, self._statements):
            self._pruning.due = 0.0

    def _refresh(self) -> None:
        rescue.forget_lost(self._link, self._statements, max_age=self._config.refresh_age)

    def _resign(self) -> None:
        self._leads_until = 0.0
        if self._since is None:
            return
        try:
            lead.resign(self._link, self._statements, name=self._config.name, node=self._config.node, since=self._since)
        except (DatabaseUnavailable, DatabaseRefused) as error:
            logger.info("did not resign, since PostgreSQL does not answer: %s", error)
