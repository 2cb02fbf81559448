"""Transactions of the caller's that end with a block: committed at its end, rolled back by what it raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from oban_sync.errors import HandleError
from oban_sync.store.handles import adapt


def ending(conn: Any) -> AbstractContextManager[Any]:
    """Give a block at whose end the transaction of a handle is committed; what it raises rolls it back.

    Args:
        conn: A SQLAlchemy Session or Connection, a psycopg or psycopg2 connection, Django's connection, or anything
            with `execute`, `commit` and `rollback`.

    Raises:
        HandleError: It cannot carry a transaction that we end.
    """
    if isinstance(conn, psycopg.Connection) and _idle(conn):
        adapt(conn)
        return conn.transaction()
    if hasattr(conn, "ensure_connection") and hasattr(conn, "alias"):
        return _atomic(conn)
    return _committed(conn)


@contextmanager
def _committed(conn: Any) -> Iterator[None]:
    if not all(callable(getattr(conn, name, None)) for name in ("commit", "rollback")):
        raise HandleError(
            f"expected conn= with commit() and rollback(), such as a Session or a connection, "
            f"got a {type(conn).__name__}: nothing was done"
        )
    if _autocommits(conn):
        raise HandleError(
            f"expected conn= with a transaction, got a {type(conn).__name__} in autocommit, which would store each "
            f"statement by itself: nothing was done"
        )
    adapt(conn)
    try:
        yield
        conn.commit()
    except BaseException:
        conn.rollback()
        raise


def _atomic(conn: Any) -> AbstractContextManager[Any]:
    """Open Django's own block; it refuses to be inside of another, whose end would come later than ours."""
    from django.db import transaction

    adapt(conn)
    block: AbstractContextManager[Any] = transaction.atomic(using=conn.alias, durable=True)
    return block


def _idle(conn: psycopg.Connection[Any]) -> bool:
    return not conn.closed and conn.info.transaction_status == TransactionStatus.IDLE


def _autocommits(conn: Any) -> bool:
    """Say whether statements on a handle commit by themselves, asking the driver's connection below SQLAlchemy's."""
    connection = conn
    if hasattr(conn, "get_bind"):
        connection = conn.connection()
    raw = getattr(connection, "connection", None)
    driver = getattr(raw, "driver_connection", connection)
    return getattr(driver, "autocommit", False) is True
