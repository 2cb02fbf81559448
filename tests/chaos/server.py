"""The PostgreSQL of a scenario: a database with the tables of the queue and of the ledger, and a view of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from oban_sync import Job, Oban, embedded, schema
from tests.chaos import ledger

OUTAGE_SECONDS = 60.0
ENDED = ("completed", "cancelled", "discarded")


class Stage:
    """Where a scenario plays.

    Args:
        dsn: A database of its own, with the queue's tables.
        server: The server, where the scenario may restart it.
    """

    def __init__(self, dsn: str, server: embedded.Server | None = None) -> None:
        self.dsn = dsn
        self._server = server
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._oban = Oban(dsn=dsn)
        self.ask(ledger.TABLES)

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement that may be repeated, also over an outage."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(self.dsn, autocommit=True)
                cursor = self._connection.execute(query, values or None)
                return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                self._connection = None
                time.sleep(0.1)

    def one(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Give the only value that a statement gives."""
        ((value,),) = self.ask(query, values)
        return value

    def enqueue(self, jobs: Iterable[Job]) -> list[int]:
        """Store jobs in one transaction, and give their ids."""
        return [int(job.id or 0) for job in self._oban.enqueue_many(list(jobs))]

    def wait(self, probe: Callable[[], object], seconds: float = 60.0) -> bool:
        """Wait until a function gives something true; say whether it did."""
        deadline = time.monotonic() + seconds
        while not probe():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def need(self, probe: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait for what a scenario cannot go on without.

        Raises:
            TimeoutError: It did not come; says what the tables hold.
        """
        if not self.wait(probe, seconds):
            jobs = self.ask("SELECT state::text, count(*) FROM oban_jobs GROUP BY 1")
            ran = self.one("SELECT count(*) FROM ledger")
            raise TimeoutError(f"expected {probe} to hold in {seconds} s; jobs by state: {jobs}, runs: {ran}")

    def states(self) -> dict[str, int]:
        """Count the jobs of each state."""
        return dict(self.ask("SELECT state::text, count(*) FROM oban_jobs GROUP BY 1"))

    def unended(self) -> int:
        """Count the jobs that have not ended."""
        return int(self.one("SELECT count(*) FROM oban_jobs WHERE state::text <> ALL (%s)", (list(ENDED),)))

    def restart(self) -> None:
        """Let PostgreSQL crash and recover."""
        assert self._server is not None, "this scenario needs a server of its own"
        self._server.restart("immediate")

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Have PostgreSQL, and all that serves others, answer nobody for the block."""
        assert self._server is not None, "this scenario needs a server of its own"
        others = self.ask("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        stopped = [self._server.pid, *(pid for (pid,) in others)]
        _send(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            _send(stopped, signal.SIGCONT)

    def close(self) -> None:
        self._oban.stop()
        if self._connection is not None:
            self._connection.close()


def _send(processes: Iterable[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


@contextmanager
def stage(dsn: str) -> Iterator[Stage]:
    """Play in a database of a server that others use."""
    found = Stage(dsn)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def private() -> Iterator[Stage]:
    """Play on a server of one's own."""
    with embedded.start() as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            schema.install(connection)
        found = Stage(server.dsn(), server)
        try:
            yield found
        finally:
            found.close()
