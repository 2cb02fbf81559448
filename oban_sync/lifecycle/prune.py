"""The last step: jobs that ended long enough ago are deleted, a small batch at a time.

Each batch goes on where the one before stopped looking, along the index of its state. So a batch costs the same
however many jobs wait to be deleted, and whatever else is kept.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

from oban_sync import clock, telemetry
from oban_sync.config import Retention
from oban_sync.errors import DatabaseRefused
from oban_sync.job import ENDED
from oban_sync.store import filters
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

BATCH = 1_000
BATCH_SECONDS = (0.02, 0.06)
"""A batch that takes less is doubled, one that takes more is halved."""
FIRST = "-infinity"
AFRESH_SECONDS = 3600.0
"""Pause between two looks at everything, for rows that others held when their turn was."""


@dataclass(slots=True)
class Sweep:
    """Jobs of one state that are kept equally long.

    Attributes:
        state: Their state.
        age: Seconds that they are kept.
        queues: Queues that it is for, or is not for.
        only: Whether it is for these queues and not for all others.
        since: Where the next batch begins to look: the time at which a job ended.
    """

    state: str
    age: float
    queues: list[str]
    only: bool
    since: str = FIRST


class Pruned(NamedTuple):
    """What one batch did: jobs it looked at, those of them that it deleted, and where the next one begins."""

    looked: int
    deleted: int
    since: str


def sweeps(retention: Retention) -> list[Sweep]:
    """Say what to delete: for each state the queues with ages of their own, and all the others."""
    found = []
    for state in ENDED:
        own = {queue: ages[state] for queue, ages in retention.queues.items()}
        ages = {age: [queue for queue in own if own[queue] == age] for age in own.values() if age is not None}
        found += [Sweep(state, age, queues, True) for age, queues in ages.items()]
        everywhere = retention.ages[state]
        if everywhere is not None:
            found.append(Sweep(state, everywhere, list(own), False))
    return found


def prune(link: Link, statements: Statements, sweep: Sweep, *, limit: int) -> Pruned:
    """Delete from the next `limit` jobs of a sweep those that it is for."""
    params = {"since": sweep.since, "age": sweep.age, "queues": sweep.queues, "only": sweep.only, "limit": limit}
    with telemetry.span("oban.pruner.prune") as collector:
        ((looked, deleted, last),) = link.execute(filters.ended(statements, "prune_jobs", sweep.state), params)
        collector.add({"pruned_count": deleted})
    return Pruned(looked, deleted, last or sweep.since)


class Pruner:
    """Deletes what a policy lets go, one batch a call; for one thread.

    Args:
        retention: How long which jobs are kept.
    """

    def __init__(self, retention: Retention) -> None:
        self._sweeps = sweeps(retention)
        self._most = retention.limit
        self._limit = min(BATCH, self._most)
        self._at = 0
        self._afresh_at = 0.0
        self.deleted = 0

    def step(self, link: Link, statements: Statements) -> bool:
        """Delete one batch and say whether more may be left.

        Raises:
            DatabaseUnavailable: The connection broke; the next call goes on.
            DatabaseRefused: PostgreSQL refused the statement, because of a foreign key of yours perhaps; the next call
                goes on with the next sweep, and this batch is tried again when all had their turn.
        """
        if self._at == 0:
            self._maybe_look_afresh()
        if self._at == len(self._sweeps):
            return self._rest()
        sweep, limit = self._sweeps[self._at], self._limit
        began = clock.monotonic()
        try:
            pruned = prune(link, statements, sweep, limit=limit)
        except DatabaseRefused:
            self._at += 1
            raise
        self.deleted += pruned.deleted
        if pruned.looked < limit:
            self._at += 1
        stuck = pruned.deleted == 0 and pruned.since == sweep.since and pruned.looked == limit
        sweep.since = pruned.since
        self._adapt(clock.monotonic() - began, stuck)
        return True

    def _rest(self) -> bool:
        if self.deleted:
            logger.info("pruned %d jobs", self.deleted)
        self._at = self.deleted = 0
        return False

    def _maybe_look_afresh(self) -> None:
        if clock.monotonic() >= self._afresh_at:
            self._afresh_at = clock.monotonic() + AFRESH_SECONDS
            for sweep in self._sweeps:
                sweep.since = FIRST

    def _adapt(self, seconds: float, stuck: bool) -> None:
        """Choose the size of the next batch; where none got past jobs that ended in one instant, a larger one does."""
        if stuck:
            self._limit *= 2
        elif seconds > BATCH_SECONDS[1]:
            self._limit = max(1, self._limit // 2)
        elif seconds < BATCH_SECONDS[0]:
            self._limit = min(self._most, self._limit * 2)
