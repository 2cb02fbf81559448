"""How we connect: the pool for callers, and links, the raw connections that threads of ours keep for themselves.

A link connects when it is used, never through the pool, so that jobs which hold every pooled connection cannot keep a
lease from being renewed. What goes wrong in PostgreSQL arrives as one of two errors of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import tuple_row
from psycopg.types.string import TextLoader
from psycopg_pool import ConnectionPool

from oban_sync.errors import DatabaseRefused, DatabaseUnavailable

Row = tuple[Any, ...]
Params = Mapping[str, Any] | Sequence[Any] | None

KEEPALIVE: dict[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq options by which a connection to a silent host ends after some 10 s instead of never."""
_DATA_CLASSES = ("22", "23")
_AS_TEXT = ("json", "jsonb", "timestamp", "timestamptz")


class Link:
    """A connection of one thread's own, in autocommit, made when it is used and made anew after it broke.

    Args:
        conninfo: libpq connection string.
        name: Its `application_name`.
        kwargs: More options of `psycopg.connect`; a `prepare_threshold` of None turns prepared statements off.
    """

    def __init__(self, conninfo: str, *, name: str, kwargs: Mapping[str, Any] | None = None) -> None:
        self._conninfo = conninfo
        self._kwargs = {**KEEPALIVE, **(kwargs or {}), "application_name": name, "autocommit": True}
        self._kwargs.setdefault("prepare_threshold", 0)
        self._kwargs.pop("row_factory", None)
        self._connection: psycopg.Connection[Row] | None = None
        self._cursors: list[psycopg.Cursor[Row]] = []

    @property
    def connected(self) -> bool:
        """Whether it holds a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.closed

    def connect(self) -> psycopg.Connection[Row]:
        """Give the connection, making one where there is none.

        Raises:
            DatabaseUnavailable: PostgreSQL cannot be reached.
        """
        if self._connection is None or self._connection.closed:
            with _translated():
                self._connection = psycopg.connect(self._conninfo, **self._kwargs)
                self._connection.execute("SET datestyle = 'ISO, YMD'")  # timestamps are read as text
            self._cursors = [_text_cursor(self._connection) for _ in range(2)]
        return self._connection

    def execute(self, sql: str, params: Params = None) -> list[Row]:
        """Run one statement in a transaction of its own and give its rows; JSON and timestamps stay text.

        Raises:
            DatabaseUnavailable: The connection is gone; the next call makes a new one.
            DatabaseRefused: PostgreSQL refused the statement.
        """
        with self._guarded():
            return _rows(self._cursors[0].execute(sql, params))

    def execute_pair(self, first: tuple[str, Params], second: tuple[str, Params]) -> tuple[list[Row], list[Row]]:
        """Run two statements in one round trip and one transaction, and give the rows of each.

        Raises:
            DatabaseUnavailable: As for `execute`.
            DatabaseRefused: One of them was refused; nothing of either was done.
        """
        with self._guarded() as connection:
            with connection.pipeline():
                for cursor, (sql, params) in zip(self._cursors, (first, second), strict=True):
                    cursor.execute(sql, params)
            return _rows(self._cursors[0]), _rows(self._cursors[1])

    def close(self) -> None:
        """Close the connection; a later use makes a new one."""
        connection, self._connection, self._cursors = self._connection, None, []
        if connection is not None:
            connection.close()

    @contextmanager
    def _guarded(self) -> Iterator[psycopg.Connection[Row]]:
        connection = self.connect()
        try:
            with _translated():
                yield connection
        except DatabaseUnavailable:
            self.close()
            raise
        except DatabaseRefused:
            if connection.closed:
                self.close()
            raise


def create_pool(
    conninfo: str, *, min_size: int = 1, max_size: int = 10, timeout: float = 30.0, **options: Any
) -> ConnectionPool:
    """Make a pool that opens itself at its first use in this process.

    Args:
        conninfo: libpq connection string or URI.
        min_size: Connections kept open.
        max_size: Most connections at once.
        timeout: Seconds to wait for a free one.
        **options: More options of `psycopg_pool.ConnectionPool`.
    """
    kwargs = {**KEEPALIVE, **options.pop("kwargs", {})}
    return ConnectionPool(
        conninfo, min_size=min_size, max_size=max_size, timeout=timeout, kwargs=kwargs, open=False, **options
    )


def pool_source(pool: ConnectionPool) -> tuple[str, dict[str, Any]]:
    """Give the connection string and options from which a pool makes its connections."""
    conninfo = pool.conninfo() if callable(pool.conninfo) else pool.conninfo
    kwargs = getattr(pool, "kwargs", None) or {}
    return conninfo, dict(kwargs() if callable(kwargs) else kwargs)


def identity() -> int:
    """Give the process that a connection made now would belong to."""
    return os.getpid()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        message = str(error).strip() or type(error).__name__
        if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
            raise DatabaseUnavailable(message) from error
        raise DatabaseRefused(message, data=error.sqlstate[:2] in _DATA_CLASSES) from error


def _text_cursor(connection: psycopg.Connection[Row]) -> psycopg.Cursor[Row]:
    cursor = psycopg.Cursor(connection, row_factory=tuple_row)
    for kind in _AS_TEXT:
        cursor.adapters.register_loader(kind, TextLoader)
    return cursor


def _rows(cursor: psycopg.Cursor[Row]) -> list[Row]:
    return cursor.fetchall() if cursor.description is not None else []
