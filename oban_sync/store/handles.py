"""What `conn=` may be: any handle on a transaction of the caller's becomes one `execute(sql, params)`.

No adapter commits, rolls back, flushes, or changes a setting of the caller's. A library that is not loaded cannot have
made the handle, so none is imported here.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from oban_sync.errors import HandleClosed, HandleError
from oban_sync.store.absence import named, sqlstates

Row = tuple[Any, ...]
Execute = Callable[[str, Any], list[Row]]
"""A statement and its parameters, a sequence or a mapping, to rows."""

NO_TRANSACTION = "25P01"

_TAKES = (
    "a psycopg or psycopg2 connection or cursor, a SQLAlchemy Session or Connection, a Django connection, "
    "or an object with execute(sql, params)"
)


class AutocommitWarning(UserWarning):
    """A job goes in on its own, since the connection commits each statement by itself."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A way into somebody's transaction.

    Attributes:
        run: Run one statement and give its rows as tuples.
        command: Run one statement that has neither parameters nor rows.
        quiet: Whether NOTIFY must not be used (a transaction that is prepared refuses it).
        copy: Run a COPY from blocks of its lines; None: the handle has no way to.
        alone: Whether each statement is known to be a transaction of its own.
    """

    run: Execute
    command: Callable[[str], object]
    quiet: bool = False
    copy: Callable[[str, Iterable[bytes]], None] | None = None
    alone: bool = False

    def execute(self, sql: str, params: Any) -> list[Row]:
        """Run one statement and give its rows as tuples.

        Raises:
            SchemaMissing: Our tables are not installed, or lack what it needs. Other errors are the driver's.
        """
        with named():
            return self.run(sql, params)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Have several statements succeed or fail as one; in a transaction of the caller's they do already."""
        if self.alone:
            self.command("BEGIN")
            with self._ended_by(["COMMIT"], ["ROLLBACK"]):
                yield
        else:
            yield

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Have several statements succeed or fail as one: within a savepoint, or a transaction where none is open.

        The drivers' own blocks would not do: psycopg's commits what the caller has open where it began on an idle
        connection, and psycopg2 has none for a connection in autocommit.
        """
        savepoint = "SAVEPOINT oban_sync"
        keep, undo = [f"RELEASE {savepoint}"], [f"ROLLBACK TO {savepoint}", f"RELEASE {savepoint}"]
        try:
            self.command(savepoint)
        except Exception as error:
            if NO_TRANSACTION not in sqlstates(error):
                raise  # on a connection in autocommit, the refusal of a SAVEPOINT leaves no mark
            keep, undo = ["COMMIT"], ["ROLLBACK"]
            self.command("BEGIN")
        with self._ended_by(keep, undo):
            yield

    @contextmanager
    def _ended_by(self, keep: Sequence[str], undo: Sequence[str]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(Exception):  # a broken connection has undone it, and the first error says more
                for statement in undo:
                    self.command(statement)
            raise
        for statement in keep:
            self.command(statement)


def adapt(conn: Any, *, prepare: bool | None = False) -> Handle:
    """Find the way into the transaction of a handle.

    Args:
        conn: The handle.
        prepare: Whether a psycopg connection may prepare the statement; None leaves it to the connection.

    Raises:
        HandleClosed: It is closed.
        HandleError: It is asynchronous, not PostgreSQL's, or nothing we know; the message says what to pass.
    """
    if isinstance(conn, type) or conn is None:
        raise _unfit(conn)
    if isinstance(conn, psycopg.AsyncConnection | psycopg.AsyncCursor):
        raise _asynchronous(conn)
    if isinstance(conn, psycopg.Connection):
        return _psycopg(conn, prepare)
    if isinstance(conn, psycopg.Cursor | psycopg.ServerCursor):
        return _psycopg(conn.connection, prepare)
    for adapter in (_sqlalchemy, _psycopg2, _django):
        handle = adapter(conn)
        if handle is not None:
            return handle
    return _anything(conn)


def _psycopg(connection: psycopg.Connection[Any], prepare: bool | None) -> Handle:
    if connection.closed:
        raise _closed(connection)

    def execute(sql: str, params: Any) -> list[Row]:
        # A cursor of our own: the caller's may hold rows yet to be read, or be of a kind that refuses our parameters.
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        return cursor.execute(sql, params, prepare=prepare).fetchall()

    def command(sql: str) -> None:
        cursor = psycopg.Cursor(connection)
        if connection.info.pipeline_status == PipelineStatus.OFF:
            cursor.execute(sql, prepare=False)
            return
        with connection.pipeline() as pipeline:  # its end waits for the answer
            pipeline.sync()  # after an error, nothing is accepted before
            cursor.execute(sql, prepare=False)

    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        return Handle(execute, command)
    alone = connection.autocommit and connection.pgconn.transaction_status == TransactionStatus.IDLE
    return Handle(execute, command, copy=partial(_copy, connection), alone=alone)


def _copy(connection: psycopg.Connection[Any], sql: str, blocks: Iterable[bytes]) -> None:
    with psycopg.Cursor(connection).copy(sql) as sending:
        for block in blocks:
            sending.write(block)


def _sqlalchemy(conn: Any) -> Handle | None:
    if "sqlalchemy" not in sys.modules:
        return None
    from sqlalchemy import Connection, Engine, orm

    if type(conn).__module__.startswith("sqlalchemy.ext.asyncio"):
        raise _asynchronous(conn)
    if isinstance(conn, Engine | orm.sessionmaker):
        raise HandleError(
            f"expected conn= to be a Session or Connection with a transaction of yours, got a {type(conn).__name__}: "
            f"pass what its begin() gives"
        )
    if isinstance(conn, orm.scoped_session):
        conn = conn()
    if isinstance(conn, orm.Session):
        connection, twophase = _connection_of(conn), conn.twophase
    elif isinstance(conn, Connection):
        connection, twophase = conn, False
    else:
        return None
    handle = on_engine(connection, twophase=twophase)
    _warn_of_autocommit(connection)
    return handle


def _connection_of(session: Any) -> Any:
    from sqlalchemy import exc

    try:
        return session.connection()
    except exc.UnboundExecutionError:
        raise HandleError(
            "expected a Session with one bind, got one bound by binds= only, which leaves open what database is meant: "
            "pass conn=session.connection(bind_arguments={'mapper': YourModel})"
        ) from None
    except exc.InvalidRequestError as error:
        if "closed" in str(error):
            raise _closed(session) from error
        raise


def on_engine(connection: Any, *, twophase: bool = False) -> Handle:
    """Find the way into a SQLAlchemy Connection, the caller's or our own.

    Raises:
        HandleClosed: It is closed.
        HandleError: It is not on PostgreSQL over psycopg or psycopg2.
    """
    from sqlalchemy import TwoPhaseTransaction

    if connection.closed:
        raise _closed(connection)
    if connection.dialect.name != "postgresql":
        raise HandleError(f"expected conn= on PostgreSQL, got a SQLAlchemy handle on {connection.dialect.name}")
    if connection.dialect.paramstyle not in ("format", "pyformat"):
        raise HandleError(
            f"expected a SQLAlchemy engine over psycopg or psycopg2, got one over {connection.dialect.driver}"
        )

    def execute(sql: str, params: Sequence[Any]) -> list[Row]:
        return [tuple(row) for row in connection.exec_driver_sql(sql, tuple(params))]

    twophase = twophase or isinstance(connection.get_transaction(), TwoPhaseTransaction)
    return Handle(execute, connection.exec_driver_sql, quiet=twophase)


def _warn_of_autocommit(connection: Any) -> None:
    if getattr(connection.connection.driver_connection, "autocommit", False):
        warnings.warn(
            "conn= is a SQLAlchemy handle whose engine is in AUTOCOMMIT: the job is stored at once, not with your "
            "transaction. Use an engine with another isolation level",
            AutocommitWarning,
            stacklevel=_outside(),
        )


def _psycopg2(conn: Any) -> Handle | None:
    if "psycopg2" not in sys.modules:
        return None
    from psycopg2 import extensions

    connection = conn.connection if isinstance(conn, extensions.cursor) else conn
    if not isinstance(connection, extensions.connection):
        return None
    if connection.closed:
        raise _closed(connection)
    if connection.async_:
        raise _asynchronous(connection)

    def execute(sql: str, params: Sequence[Any]) -> list[Row]:
        with connection.cursor(cursor_factory=extensions.cursor) as cursor:
            cursor.execute(sql, params)
            return [tuple(row) for row in cursor.fetchall()]

    def command(sql: str) -> None:
        with connection.cursor(cursor_factory=extensions.cursor) as cursor:
            cursor.execute(sql)

    return Handle(execute, command)


def _django(conn: Any) -> Handle | None:
    if "django.db" not in sys.modules or not hasattr(conn, "vendor") or not hasattr(conn, "ensure_connection"):
        return None
    if conn.vendor != "postgresql":
        raise HandleError(f"expected conn= on PostgreSQL, got Django's connection to {conn.vendor}")

    def execute(sql: str, params: Sequence[Any]) -> list[Row]:
        with conn.cursor() as cursor:
            cursor.execute(sql, params)
            return [tuple(row) for row in cursor.fetchall()]

    def command(sql: str) -> None:
        with conn.cursor() as cursor:
            cursor.execute(sql)

    return Handle(execute, command)


def _anything(conn: Any) -> Handle:
    if not callable(getattr(conn, "execute", None)):
        raise _unfit(conn)
    if type(conn).__module__.partition(".")[0] in ("sqlite3", "_sqlite3", "aiosqlite"):
        raise HandleError(f"expected conn= on PostgreSQL, got a handle on SQLite: {type(conn).__name__}")
    if inspect.iscoroutinefunction(conn.execute):
        raise _asynchronous(conn)
    if getattr(conn, "closed", False) is True:
        raise _closed(conn)

    def execute(sql: str, params: Sequence[Any]) -> list[Row]:
        result = conn.execute(sql, params)
        if inspect.isawaitable(result):
            getattr(result, "close", lambda: None)()
            raise _asynchronous(conn)
        source = next((where for where in (result, conn) if callable(getattr(where, "fetchall", None))), None)
        if source is None:
            raise HandleError(f"expected {type(conn).__name__}.execute() to give something with fetchall()")
        return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in source.fetchall()]

    return Handle(execute, lambda sql: conn.execute(sql, ()))


def _outside() -> int:
    """Give the stack level of the first caller outside of this package, for warnings to point at."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "oban_sync":
        level, frame = level + 1, frame.f_back
    return level


def _unfit(conn: object) -> HandleError:
    name = conn.__name__ if isinstance(conn, type) else type(conn).__name__
    return HandleError(f"expected conn= to be {_TAKES}, got {'the class ' if isinstance(conn, type) else ''}{name}")


def _asynchronous(conn: object) -> HandleError:
    kind = type(conn).__name__
    return HandleError(
        f"expected conn= to be {_TAKES}, got the asynchronous {kind}: oban_sync blocks and cannot await it"
    )


def _closed(conn: object) -> HandleClosed:
    return HandleClosed(f"expected conn= to be open, got a closed {type(conn).__module__}.{type(conn).__name__}")
