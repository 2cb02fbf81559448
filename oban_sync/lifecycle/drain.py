"""A queue run to its end in the caller's thread and transaction, as tests ask for: each step as queues take it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from oban_sync import clock, schedule
from oban_sync.job import Job
from oban_sync.lifecycle import ack, complete, inline, run
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.store import rows
from oban_sync.store.handles import Handle, Row, adapt
from oban_sync.store.source import Source
from oban_sync.store.statements import Statements, positional

PLACE = "drain"
"""Node and owner of what runs so."""
STATES = ("cancelled", "completed", "discarded", "retryable", "scheduled")


@contextmanager
def lent(source: Source, conn: Any) -> Iterator[Handle]:
    """Lend a way into the caller's transaction, or where `conn` is None a connection of ours."""
    if conn is not None:
        yield adapt(conn)
        return
    with source.handle() as handle:
        yield handle


class Drain:
    """Runs the jobs of one queue, one after the other.

    Args:
        source: Where connections come from. One is lent for a statement at a time: a job may need the only one.
        conn: A transaction of the caller's to work in instead; None: none.
        statements: Tables to work on; they go by the clock of this process.
        queue: The queue.
        until: Waiting jobs that are due by then run too; None: all of them.
    """

    def __init__(
        self, source: Source, conn: Any, statements: Statements, queue: str, *, until: datetime | None
    ) -> None:
        self._source = source
        self._conn = conn
        self._tables = statements
        self._queue = queue
        self._until = None if until is None else schedule.instant(until).replace(tzinfo=None).isoformat()

    def run(self, *, recursion: bool, safety: bool) -> dict[str, int]:
        """Run jobs until there are none.

        Args:
            recursion: Whether jobs that were added meanwhile run too, and failed ones again.
            safety: Whether a failed attempt is no more than written.

        Returns:
            How many runs ended in which state.

        Raises:
            Exception: What a job raised, without `safety`; its attempt is written before.
        """
        summary = dict.fromkeys(STATES, 0)
        for job in self._all() if recursion else self._present():
            id, attempt = job.id or 0, job.attempt  # which the job may write over
            job._context = inline.Here(partial(self._transaction, id, attempt))
            outcome, result = run.run_job(job)
            if self._written(outcome._replace(id=id, attempt=attempt)) or outcome.written:
                summary[outcome.state] += 1
            if not safety:
                inline.raise_failure(outcome, result)
        return summary

    def _all(self) -> Iterator[Job]:
        self._stage()
        while job := self._fetch(None):
            yield job
            self._stage()

    def _present(self) -> Iterator[Job]:
        self._stage()
        left = {row[0] for row in self._execute("select_available_ids", queue=self._queue)}
        while job := self._fetch(sorted(left)):
            left.discard(job.id)
            yield job

    @contextmanager
    def _transaction(self, id: int, attempt: int, conn: Any) -> Iterator[Any]:
        """Lend a transaction that completes a job; in the caller's, a savepoint is one."""
        if self._conn is not None and (conn is None or conn is self._conn):
            with adapt(self._conn).atomic():
                yield self._conn
            return
        statements = self._tables.at(clock.now())
        with complete.transaction(
            id, attempt, conn, source=self._source, statements=statements, owner=PLACE
        ) as connection:
            yield connection

    def _stage(self) -> None:
        self._execute("stage_drained_jobs", queue=self._queue, until=self._until)

    def _fetch(self, ids: list[int] | None) -> Job | None:
        found = self._execute("fetch_drained_job", node=PLACE, owner=PLACE, queue=self._queue, ids=ids)
        return rows.selected(found[0][0]) if found else None

    def _written(self, outcome: Outcome) -> bool:
        """Write the end of a run; say whether the job was still there."""
        (call,) = ack.calls([outcome], self._tables.at(clock.now()), PLACE)
        return bool(self._call(*call))

    def _execute(self, name: str, **params: Any) -> list[Row]:
        return self._call(self._tables.at(clock.now())[name], params)

    def _call(self, statement: str, params: Any) -> list[Row]:
        with lent(self._source, self._conn) as handle:
            return handle.execute(*positional(statement, params))
