"""A job that ends with its own work: one transaction commits its effects and completes it, or neither happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oban_sync.errors import LeaseLost
from oban_sync.store import transactions
from oban_sync.store.handles import adapt
from oban_sync.store.source import Source
from oban_sync.store.statements import Statements


@contextmanager
def transaction(
    id: int, attempt: int, conn: Any, *, source: Source, statements: Statements, owner: str
) -> Iterator[Any]:
    """Lend a transaction whose commit also completes a job that this owner holds.

    Args:
        id: The job's.
        attempt: The attempt that runs.
        conn: A handle of the caller's; None: a psycopg connection of the pool.
        source: Where that comes from.
        statements: The tables of the job.
        owner: Who runs it.

    Raises:
        LeaseLost: Another node may hold the job by now; nothing was done.
        HandleError: There is no such connection, or `conn` cannot carry the transaction.
    """
    if conn is None:
        with source.transaction() as connection:
            yield connection
            _complete(connection, statements, id, attempt, owner)
        return
    with transactions.ending(conn):
        yield conn
        _complete(conn, statements, id, attempt, owner)


def _complete(conn: Any, statements: Statements, id: int, attempt: int, owner: str) -> None:
    if not adapt(conn).execute(statements["complete_job"], (id, attempt, owner)):
        raise LeaseLost(
            f"expected job {id} to be ours in attempt {attempt}, but another node took it or its row was changed: "
            f"what this transaction did was rolled back"
        )
