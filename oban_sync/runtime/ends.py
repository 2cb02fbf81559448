"""The ends of runs that a queue has not written yet. A group that PostgreSQL did not take stays and is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from oban_sync import clock, telemetry
from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle import ack
from oban_sync.lifecycle.ack import Call
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.store.connection import Link, Row
from oban_sync.store.statements import Statements

KEPT_SECONDS = 2.0
"""Pause between two tries to write ends of runs that could not be written while others could."""


class Ends:
    """Used by the producer's thread alone; `refused` may be read by any.

    Args:
        link: The producer's connection.
        statements: Its tables.
        owner: Owner of its jobs.
        queue: Name of the queue, for telemetry.
        delayed: Told the seconds after which a job that was written is due.

    Attributes:
        refused: Ends whose job somebody else held by then.
    """

    def __init__(
        self, link: Link, statements: Statements, owner: str, queue: str, delayed: Callable[[float], None]
    ) -> None:
        self._link, self._statements, self._owner = link, statements, owner
        self._about = {"queue": queue}
        self._delayed = delayed
        self._unwritten: list[Outcome] = []
        self._kept: list[Outcome] = []  # could not be written while others could; they take up room
        self._kept_until = 0.0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._unwritten) + len(self._kept)

    def __iter__(self) -> Iterator[Outcome]:
        yield from self._unwritten
        yield from self._kept

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Take ends in."""
        self._unwritten += outcomes

    def kept(self) -> int:
        """Count those that could not be written while others could."""
        return len(self._kept)

    def due(self) -> float:
        """Say when to try those again, on the monotonic clock; 0: there are none."""
        return self._kept_until if self._kept else 0.0

    def write(self) -> None:
        """Write what came in.

        Raises:
            DatabaseUnavailable: The connection broke; nothing is lost.
            DatabaseRefused: PostgreSQL refuses writes for a reason that is not in the values.
        """
        if self._unwritten:
            with self._span("ack") as acked:
                written = ack.ack(self._link, self._unwritten, self._statements, self._owner)
                acked.add({"count": len(self._unwritten) - written.refused - len(written.kept)})
            self._written(written)

    def write_kept(self) -> None:
        """Try those again that could not be written, if it is time."""
        if self._kept and clock.monotonic() >= self._kept_until:
            self._kept_until = clock.monotonic() + KEPT_SECONDS
            written = ack.ack_free(self._link, self._kept, self._statements, self._owner)
            self.refused += written.refused
            self._kept = written.kept

    def write_and_fetch(self, fetching: Call, meanwhile: Callable[[], None]) -> list[Row]:
        """Write what came in and fetch, in one round trip; give the fetched rows.

        Args:
            fetching: The statement that fetches.
            meanwhile: Called once PostgreSQL has been told, before its answer is awaited.
        """
        if not self._unwritten:
            meanwhile()
            return self._fetch(fetching)
        calls = ack.calls(self._unwritten, self._statements, self._owner)
        try:
            with self._span("ack") as acked, self._span("get") as got:
                *answers, rows = self._link.execute_all([*calls, fetching], meanwhile=meanwhile)
                acked.add({"count": sum(len(answer) for answer in answers)})
                got.add({"count": len(rows)})
        except DatabaseRefused:
            self.write()  # finds the end that PostgreSQL refuses; the fetch is not to wait for it
            return self._fetch(fetching)
        self._written(ack.Written(ack.refused(self._unwritten, answers), []))
        return rows

    def _fetch(self, fetching: Call) -> list[Row]:
        with self._span("get") as got:
            rows = self._link.execute(*fetching)
            got.add({"count": len(rows)})
        return rows

    def _written(self, written: ack.Written) -> None:
        delays = [outcome.delay for outcome in self._unwritten if outcome.delay is not None]
        self._unwritten = []
        self.refused += written.refused
        self._kept += written.kept
        if delays:
            self._delayed(min(delays))

    def _span(self, what: str) -> telemetry.Collector:
        return telemetry.span(f"oban.producer.{what}", self._about)
