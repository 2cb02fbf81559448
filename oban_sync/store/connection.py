"""How we connect: the pool for callers, and links, the raw connections that threads of ours keep for themselves.

A link connects when it is used, never through the pool, so that jobs which hold every pooled connection cannot keep a
lease from being renewed. What goes wrong in PostgreSQL arrives as one of two errors of ours.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.types.string import TextLoader
from psycopg_pool import ConnectionPool

from oban_sync import clock
from oban_sync.errors import ConfigError, DatabaseRefused, DatabaseUnavailable
from oban_sync.store.absence import named

__all__ = ["KEEPALIVE", "ConnectionPool", "Link", "Params", "Row", "create_pool", "pool_source"]

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
PING_SECONDS = 3.0
_DATA_CLASSES = ("22", "23", "54", "P0")  # the last: limits such as the size of an index row, and triggers
_LOST_PLANS = ("0A000", "26000", "42P05")
"""Refusals of a statement that this session prepared, before a migration or in another session of a pooler's."""
_OTHERS_PLANS = ("26000", "42P05")
"""Of these, the ones that come from sharing sessions with others."""
_AS_TEXT = ("json", "jsonb", "timestamp", "timestamptz")
_SETTINGS = """
SELECT pooled, set_config('datestyle', 'ISO, YMD', pooled), set_config('lock_timeout', %s, pooled)
FROM (SELECT pg_backend_pid() <> %s AS pooled) AS way
"""
"""For the session; behind a pooler for the transaction only, since others use that session next."""

_pools: weakref.WeakKeyDictionary[ConnectionPool, int] = weakref.WeakKeyDictionary()  # with the process that made it


class Link:
    """A connection of one thread's own, in autocommit, made when it is used and made anew after it broke.

    Args:
        conninfo: libpq connection string.
        name: Its `application_name`.
        kwargs: More options of `psycopg.connect`; a `prepare_threshold` of None turns prepared statements off.
        lock_timeout: How long a statement waits for a lock; "0": for ever.

    Attributes:
        pooled: Whether a pooler such as PgBouncer stands between, as the last connection showed. Then nothing outlives
            a transaction: no prepared statement, no setting, no session lock.
    """

    def __init__(
        self, conninfo: str, *, name: str, kwargs: Mapping[str, Any] | None = None, lock_timeout: str = "0"
    ) -> None:
        self._conninfo = check_dsn(conninfo)
        self._lock_timeout = lock_timeout
        self._kwargs = {**KEEPALIVE, **(kwargs or {}), "application_name": name, "autocommit": True}
        self._kwargs.setdefault("prepare_threshold", 0)
        self._kwargs.pop("row_factory", None)
        self._connection: psycopg.Connection[Row] | None = None
        self._cursors: list[psycopg.Cursor[Row]] = []
        self._busy_since: float | None = None
        self._inode = 0  # of the connection's socket
        self._settings: tuple[str, Params] = (_SETTINGS, ())
        self.pooled = False

    def __str__(self) -> str:
        return str(self._kwargs["application_name"])

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
            with translated():
                return self._begin(psycopg.connect(self._conninfo, **self._kwargs))
        return self._connection

    def _begin(self, connection: psycopg.Connection[Row]) -> psycopg.Connection[Row]:
        """Take a new connection; its first statement is watched as all others are, and may meet a silent server too."""
        self._connection, self._cursors = connection, [_text_cursor(connection)]
        self._inode = os.fstat(connection.fileno()).st_ino
        self._settings = (_SETTINGS, (self._lock_timeout, connection.info.backend_pid))
        self._busy_since = clock.monotonic()
        try:
            ((self.pooled, *_),) = _rows(self._cursors[0].execute(*self._settings, prepare=False))
        except BaseException:
            self.close()
            raise
        finally:
            self._busy_since = None
        if self.pooled:
            connection.prepare_threshold = None
        return connection

    def execute(self, statement: str, params: Params = None) -> list[Row]:
        """Run one statement in a transaction of its own and give its rows; JSON and timestamps stay text.

        Raises:
            DatabaseUnavailable: The connection is gone; the next call makes a new one.
            DatabaseRefused: PostgreSQL refused the statement.
        """
        with self._guarded() as connection:
            if self.pooled:
                return self._together(connection, [self._settings, (statement, params)])[1]
            return _rows(self._cursors[0].execute(statement, params))

    def execute_all(
        self, calls: Sequence[tuple[str, Params]], *, meanwhile: Callable[[], None] | None = None
    ) -> list[list[Row]]:
        """Run statements in one round trip and one transaction, and give the rows of each.

        Args:
            calls: The statements.
            meanwhile: Called before the answers are awaited; by then PostgreSQL has the statements, except behind a
                pooler.

        Raises:
            DatabaseUnavailable: As for `execute`.
            DatabaseRefused: One of them was refused; nothing of any was done.
        """
        if len(calls) == 1 and meanwhile is None:
            return [self.execute(*calls[0])]
        with self._guarded() as connection:
            if self.pooled:
                return self._together(connection, [self._settings, *calls], meanwhile)[1:]
            return self._together(connection, calls, meanwhile)

    def _together(
        self,
        connection: psycopg.Connection[Row],
        calls: Sequence[tuple[str, Params]],
        meanwhile: Callable[[], None] | None = None,
    ) -> list[list[Row]]:
        while len(self._cursors) < len(calls):
            self._cursors.append(_text_cursor(connection))
        pipelined = psycopg.Pipeline.is_supported() and not self.pooled  # PgBouncer before 1.21 hangs on its messages
        with connection.pipeline() if pipelined else connection.transaction():
            for cursor, (statement, params) in zip(self._cursors, calls, strict=False):
                cursor.execute(statement, params)
            if meanwhile is not None:
                meanwhile()
        return [_rows(cursor) for cursor in self._cursors[: len(calls)]]

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Row]]:
        """Lend the connection in a transaction that commits at the end of the block.

        Raises:
            DatabaseUnavailable: As for `execute`.
            DatabaseRefused: As for `execute_all`.
        """
        with self._guarded() as connection, connection.transaction():
            if self.pooled:
                connection.execute(*self._settings)
            yield connection

    def listen(self, channels: Sequence[str]) -> None:
        """Have PostgreSQL send what is notified on these channels.

        Raises:
            DatabaseUnavailable: As for `execute`.
        """
        for channel in channels:
            self.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)).as_string(None))

    def notifications(self, timeout: float, doorbell: int) -> list[tuple[str, str]]:
        """Wait for notifications.

        Args:
            timeout: Seconds to wait.
            doorbell: File descriptor that ends the wait when it can be read.

        Returns:
            (channel, payload) of each that arrived; none at the timeout or the doorbell.

        Raises:
            DatabaseUnavailable: The connection broke; listen again on a new one.
        """
        with self._guarded() as connection:
            pgconn = connection.pgconn
            self._busy_since = None  # where nothing is asked, silence is no fault
            heard = _readable(timeout, pgconn.socket, doorbell)
            self._busy_since = clock.monotonic()
            if not heard:
                self._ping()
            pgconn.consume_input()
            found = []
            while (notify := pgconn.notifies()) is not None:
                found.append((notify.relname.decode(), notify.extra.decode("utf-8", "replace")))
            return found

    def close(self) -> None:
        """Close the connection; a later use makes a new one."""
        connection, self._connection, self._cursors = self._connection, None, []
        if connection is not None:
            connection.close()

    def waiting(self) -> float:
        """Say, on any thread, for how many seconds it has been waiting for PostgreSQL."""
        since = self._busy_since
        return 0.0 if since is None else clock.monotonic() - since

    def interrupt(self) -> None:
        """Break the connection from another thread: what waits on it fails, and the next use makes a new one."""
        connection = self._connection
        with suppress(OSError, psycopg.Error):
            if connection is not None and not connection.closed:
                with socket.socket(fileno=os.dup(connection.fileno())) as ours:
                    if os.fstat(ours.fileno()).st_ino == self._inode:  # not one that took its number meanwhile
                        ours.shutdown(socket.SHUT_RDWR)

    def _ping(self) -> None:
        """Ask a silent server for a sign of life.

        Raises:
            psycopg.OperationalError: It gave none within `PING_SECONDS`.
        """
        pgconn = self.connect().pgconn
        pgconn.send_query(b"")
        deadline = clock.monotonic() + PING_SECONDS
        while True:
            if not pgconn.is_busy():
                if pgconn.get_result() is None:
                    return
                continue  # the next may have come along: waiting for the socket would be in vain
            left = deadline - clock.monotonic()
            if left <= 0 or not _readable(left, pgconn.socket):
                raise psycopg.OperationalError(f"the server gave no sign of life in {PING_SECONDS:g} s")
            pgconn.consume_input()

    @contextmanager
    def _guarded(self) -> Iterator[psycopg.Connection[Row]]:
        connection = self.connect()
        self._busy_since = clock.monotonic()
        try:
            with translated():
                yield connection
        except DatabaseUnavailable:
            self.close()
            raise
        except DatabaseRefused as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state in _OTHERS_PLANS:
                self._kwargs["prepare_threshold"] = None
            if connection.closed or state in _LOST_PLANS:
                self.close()
            raise
        finally:
            self._busy_since = None


def _readable(timeout: float, *files: int) -> bool:
    """Wait until one of the files can be read; select() would refuse numbers from 1,024 on."""
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def check_dsn(dsn: object) -> str:
    """Give a connection string back if it is one; it may hold a password, so no message shows it.

    Raises:
        ConfigError: libpq cannot read it.
    """
    if not isinstance(dsn, str):
        raise ConfigError(f"expected dsn= to be a str, got {type(dsn).__name__}")
    try:
        conninfo_to_dict(dsn)
    except psycopg.Error:
        raise ConfigError("expected dsn= to be a libpq connection string or postgresql:// URI, got neither") from None
    return dsn


def create_pool(conninfo: str, *, check: bool = False, **options: Any) -> ConnectionPool:
    """Make a pool that is opened later, by its first use.

    Args:
        conninfo: libpq connection string or URI.
        check: Whether each connection is tried before it is lent; else only those are on which PostgreSQL said
            something unasked, such as its goodbye.
        **options: More options of `psycopg_pool.ConnectionPool`.
    """
    check_dsn(conninfo)
    sizes = {"min_size": 1, "max_size": 10, "configure": _prepare_nothing_behind_a_pooler, **options}
    kwargs = {**KEEPALIVE, **sizes.pop("kwargs", {})}
    checking = ConnectionPool.check_connection if check else _check_what_was_told
    return closed_at_exit(ConnectionPool(conninfo, kwargs=kwargs, open=False, check=checking, **sizes))


def _check_what_was_told(connection: psycopg.Connection[Any]) -> None:
    """Try a connection on which something waits to be read; a server that is gone has closed it."""
    if _readable(0, connection.pgconn.socket):
        ConnectionPool.check_connection(connection)


def _prepare_nothing_behind_a_pooler(connection: psycopg.Connection[Any]) -> None:
    """Turn prepared statements off where the next statement may meet another session, which does not know them."""
    answer = connection.pgconn.exec_(b"SELECT pg_backend_pid()").get_value(0, 0)  # begins no transaction
    if answer is not None and int(answer) != connection.info.backend_pid:
        connection.prepare_threshold = None


def closed_at_exit(pool: ConnectionPool) -> ConnectionPool:
    """Have this process close a pool when it ends, and give the pool back."""
    _pools[pool] = os.getpid()
    return pool


@atexit.register
def _close_pools() -> None:
    """Close what a program left open: a pool that the interpreter collects waits for threads that run no more."""
    for pool, process in list(_pools.items()):
        if process == os.getpid() and not pool.closed:
            pool.close()


def pool_source(pool: ConnectionPool) -> tuple[str, dict[str, Any]]:
    """Give the connection string and options from which a pool makes its connections."""
    conninfo: Any = pool.conninfo
    kwargs: Any = getattr(pool, "kwargs", None) or {}
    return str(conninfo() if callable(conninfo) else conninfo), dict(kwargs() if callable(kwargs) else kwargs)


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ours.

    Raises:
        DatabaseUnavailable: PostgreSQL cannot be reached, or the connection is gone.
        SchemaMissing: Our tables are not installed, or lack what a statement needs.
        DatabaseRefused: PostgreSQL refused a statement.
    """
    try:
        with named():
            yield
    except psycopg.Error as error:
        message = str(error).strip() or type(error).__name__
        if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
            raise DatabaseUnavailable(message) from error
        data, locked = error.sqlstate[:2] in _DATA_CLASSES, error.sqlstate == "55P03"
        raise DatabaseRefused(message, data=data, locked=locked) from error


def _text_cursor(connection: psycopg.Connection[Row]) -> psycopg.Cursor[Row]:
    cursor = psycopg.Cursor(connection, row_factory=tuple_row)
    for kind in _AS_TEXT:
        cursor.adapters.register_loader(kind, TextLoader)
    return cursor


def _rows(cursor: psycopg.Cursor[Row]) -> list[Row]:
    result = cursor.pgresult
    return cursor.fetchall() if result is not None and result.nfields else []
