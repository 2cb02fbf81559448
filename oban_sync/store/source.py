"""Where our own connections come from: a DSN, a psycopg pool, or a SQLAlchemy engine.

A source belongs to the process that uses it. After a fork the child makes connections of its own and leaves those of
its parent alone: it does not even close them, since that would say goodbye on the parent's socket.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from oban_sync import clock
from oban_sync.errors import ConfigError, DatabaseUnavailable, HandleError
from oban_sync.store.connection import Link, check_dsn, closed_at_exit, create_pool, pool_source, translated
from oban_sync.store.handles import Handle, adapt, on_engine

CLOSE_SECONDS = 1.0
"""How long a pool that is to be closed stays open for those who are about to take a connection."""

_sources: weakref.WeakSet[Source] = weakref.WeakSet()
_abandoned: list[ConnectionPool] = []  # pools of a parent process, kept so that nothing ever closes them


class Source:
    """Gives connections to one instance.

    Args:
        pool: A psycopg pool of the caller's.
        dsn: A connection string, for a pool of our own, or for connections of our own beside an engine.
        engine: A SQLAlchemy engine over psycopg or psycopg2.

    Raises:
        ConfigError: None or several are given (`engine` and `dsn` go together), or one is of another kind.
    """

    def __init__(
        self,
        *,
        pool: ConnectionPool | None = None,
        dsn: str | None = None,
        engine: Any = None,
    ) -> None:
        given = [name for name, value in (("pool", pool), ("dsn", dsn), ("engine", engine)) if value is not None]
        if len(given) != 1 and given != ["dsn", "engine"]:
            raise ConfigError(f"expected one of pool=, dsn= and engine=, got {' and '.join(given) or 'none'}")
        _check_kinds(pool, dsn, engine)
        self._engine = engine
        self._dsn = dsn
        self._owns_pool = pool is None
        self._pool = pool if pool is not None or dsn is None or engine is not None else create_pool(dsn)
        self._asking: set[object] = set()  # a mark of each call that is about to get a connection of the pool
        self._links: tuple[str, dict[str, Any]] | None = None
        _sources.add(self)

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Lend a connection in a transaction that commits at the end of the block."""
        if self._pool is None:
            with _connected(self._engine) as connection, connection.begin():
                yield connection
        else:
            with ExitStack() as lent:
                with translated():
                    connection = self._lent(lent)
                yield connection

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Lend a psycopg connection in a transaction that only the end of the block commits.

        Raises:
            HandleError: There is an engine instead of a pool.
            DatabaseUnavailable: None can be had.
        """
        if self._pool is None:
            raise HandleError(
                "expected a Session or Connection of the engine, as in job.transaction(session), got none: "
                "an instance with engine= has no psycopg connections of its own"
            )
        with self.connection() as connection, connection.transaction():  # the pool may be one in autocommit
            yield connection

    @contextmanager
    def handle(self, *, timeout: float | None = None) -> Iterator[Handle]:
        """Lend a way to run statements, each a transaction of its own.

        Args:
            timeout: Most seconds to wait for a connection of the pool; None: its own, and so with an engine.
        """
        if self._pool is None:
            with translated(), self.connection() as connection:
                yield on_engine(connection)
            return
        with translated(), ExitStack() as lent:
            connection = self._lent(lent, timeout)
            if connection.autocommit:
                yield adapt(connection, prepare=None)
                return
            connection.set_autocommit(True)  # a flag of the client: spares the round trips of BEGIN and COMMIT
            try:
                yield adapt(connection, prepare=None)
            finally:
                if not connection.closed:
                    connection.set_autocommit(False)

    @contextmanager
    def transaction_handle(self) -> Iterator[Handle]:
        """Lend a way to run statements in one transaction, which commits at the end of the block."""
        if self._pool is None:
            with translated(), self.connection() as connection:
                yield on_engine(connection)
        else:
            with translated(), self.transaction() as connection:
                yield adapt(connection, prepare=None)

    def _lent(self, lent: ExitStack, timeout: float | None = None) -> psycopg.Connection[Any]:
        """Take a connection of the pool, for as long as that stack is open."""
        mark = object()
        self._asking.add(mark)
        try:
            pool = self._pool
            assert pool is not None  # noqa: S101 - the caller looked
            if pool.closed:
                pool.open()  # refused where it was closed before: a pool opens once
            least = pool.timeout if timeout is None else min(timeout, pool.timeout)
            return lent.enter_context(pool.connection(least))
        finally:
            self._asking.discard(mark)

    def link(self, name: str, *, dsn: str | None = None, lock_timeout: str = "0") -> Link:
        """Make a connection for a thread of ours; `dsn` names another way to the same database."""
        conninfo, kwargs = self.link_source() if dsn is None else (dsn, {})
        return Link(conninfo, name=name, kwargs=kwargs, lock_timeout=lock_timeout)

    def link_source(self) -> tuple[str, dict[str, Any]]:
        """Give the connection string and options from which connections of our own are made.

        Raises:
            ConfigError: The engine's connections do not tell how they were made.
        """
        if self._links is None:
            if self._engine is not None and self._dsn is None:
                self._links = _engine_source(self._engine), {}
            else:
                self._links = pool_source(self._pool) if self._pool is not None else (str(self._dsn), {})
        return self._links

    @property
    def pool_size(self) -> int | None:
        """Most connections of the pool; None: there is an engine instead."""
        return None if self._pool is None else self._pool.max_size

    def close(self) -> None:
        """Close the pool, if it is our own; a later use opens another.

        psycopg's pool lets one who asks it while it is closed wait for its whole timeout: those come first.
        """
        if self._owns_pool and self._pool is not None:
            closing, self._pool = self._pool, _another(self._pool)
            asking, deadline = frozenset(self._asking), clock.monotonic() + CLOSE_SECONDS
            while not asking.isdisjoint(self._asking) and clock.monotonic() < deadline:
                time.sleep(0.001)
            closing.close()

    def check(self) -> None:
        """Have the pool replace connections that broke, rather than lend each of them once more."""
        pool = self._pool
        if pool is not None and not pool.closed:
            with translated():
                pool.check()

    def leave_to_parent(self) -> None:
        """Forget, in a process that was just forked, what its parent opened."""
        if self._pool is not None:
            _abandoned.append(self._pool)
            self._pool, self._owns_pool = _another(self._pool), True
            self._asking = set()
        if self._engine is not None:
            self._engine.dispose(close=False)


def _another(pool: ConnectionPool) -> ConnectionPool:
    """Make an unopened pool that connects as another one does, with what its owner does to each connection."""
    copied = ("kwargs", "connection_class", "min_size", "max_size", "timeout", "max_lifetime", "max_idle")
    options: dict[str, Any] = {name: getattr(pool, name) for name in copied}
    options |= {name: getattr(pool, f"_{name}", None) for name in ("configure", "check", "reset")}
    return closed_at_exit(ConnectionPool(pool.conninfo, open=False, **options))


def _after_fork() -> None:
    for source in list(_sources):
        source.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)


def _check_kinds(pool: object, dsn: object, engine: object) -> None:
    if pool is not None and not isinstance(pool, ConnectionPool):
        raise ConfigError(f"expected pool= to be a psycopg_pool.ConnectionPool, got {type(pool).__name__}")
    if dsn is not None:
        check_dsn(dsn)
    if engine is not None and (not hasattr(engine, "dialect") or not hasattr(engine, "begin")):
        raise ConfigError(f"expected engine= to be a SQLAlchemy Engine, got {type(engine).__name__}")
    if engine is not None and (engine.dialect.name != "postgresql" or engine.dialect.is_async):
        kind = "an asynchronous one" if engine.dialect.is_async else f"one for {engine.dialect.name}"
        raise ConfigError(f"expected engine= for PostgreSQL over psycopg or psycopg2, got {kind}")


def _connected(engine: Any) -> AbstractContextManager[Any]:
    from sqlalchemy import exc

    try:
        connected: AbstractContextManager[Any] = engine.connect()
    except (exc.OperationalError, exc.TimeoutError) as error:
        raise DatabaseUnavailable(str(getattr(error, "orig", None) or error).strip()) from error
    return connected


def _engine_source(engine: Any) -> str:
    """Ask a live connection of an engine how it was made; its URL may be empty where the engine has a creator."""
    with _connected(engine) as connection:
        driver = connection.connection.driver_connection
        info: Any = getattr(driver, "info", None)
        parameters = getattr(info, "get_parameters", None) or (lambda: info.dsn_parameters)
        try:
            known = {key: value for key, value in parameters().items() if value}
            password = info.password
        except AttributeError:
            raise ConfigError(
                f"expected engine= over psycopg or psycopg2 to run queues with, got one over {engine.dialect.driver}: "
                f"pass dsn= for the connections of the queues"
            ) from None
    for noise in ("application_name", "fallback_application_name", "client_encoding", "replication"):
        known.pop(noise, None)
    return make_conninfo(**known, **({"password": password} if password else {}))
