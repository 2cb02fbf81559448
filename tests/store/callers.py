"""Callers with a transaction of their own: each kind of handle that `conn=` takes, as its users hold it.

A caller is a function from a DSN to a context that gives a `Case`: the handle, and how its owner goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import django.conf
import django.db
import psycopg
import psycopg2
import psycopg2.extras
import sqlalchemy as sa
from django.db import transaction
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row, namedtuple_row, tuple_row
from sqlalchemy import orm

ORDERS = "CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, note text NOT NULL)"


class Undo(Exception):
    """Raised by a caller to have a block rolled back."""


@dataclass
class Case:
    """One caller in the middle of its work.

    Attributes:
        conn: What it passes as `conn=`.
        query: Runs SQL of its own in the same transaction and gives the rows as tuples.
        commit: Ends the transaction well.
        rollback: Ends it badly.
        savepoint: Makes a block that raises nothing and is rolled back by `Undo`.
        settings: Everything that must be afterwards as it was before.
        add: Writes an object of its own that is called so.
        rows_left: Reads what its cursor still holds; it held the numbers from 3 to 5.
    """

    conn: Any
    query: Callable[[str], list[tuple[Any, ...]]]
    commit: Callable[[], Any] = lambda: None
    rollback: Callable[[], Any] = lambda: None
    savepoint: Callable[[], AbstractContextManager[Any]] | None = None
    settings: Callable[[], Any] = lambda: None
    add: Callable[[str], Any] | None = None
    rows_left: Callable[[], list[int]] | None = None

    def order(self, note: str) -> None:
        """Write an order in the caller's own way."""
        if self.add is not None:
            self.add(note)
        else:
            self.query(f"INSERT INTO orders (note) VALUES ('{note}') RETURNING id")


Caller = Callable[[str], AbstractContextManager[Case]]
TRANSACTIONAL: dict[str, Caller] = {}
AUTOCOMMIT: dict[str, Caller] = {}


def caller(kinds: dict[str, Caller], *names: str) -> Callable[[Callable[..., Iterator[Case]]], Any]:
    """Register a generator of cases under a name, or under several that it is given as its second argument."""

    def register(generate: Callable[..., Iterator[Case]]) -> Any:
        make = contextmanager(generate)
        for name in names or (generate.__name__,):
            kinds[name] = (lambda dsn, name=name: make(dsn, name)) if names else make
        return generate

    return register


# psycopg -------------------------------------------------------------------------------------------------------------


@caller(
    TRANSACTIONAL,
    "psycopg connection",
    "psycopg ClientCursor factory",
    "psycopg RawCursor factory",
    "psycopg dict_row factory",
    "psycopg isolation level",
)
def psycopg_connection(dsn: str, name: str) -> Iterator[Case]:
    options: dict[str, Any] = {
        "psycopg connection": {},
        "psycopg ClientCursor factory": {"cursor_factory": psycopg.ClientCursor},
        "psycopg RawCursor factory": {"cursor_factory": psycopg.RawCursor},
        "psycopg dict_row factory": {"row_factory": dict_row},
        "psycopg isolation level": {},
    }[name]
    with psycopg.connect(dsn, **options) as connection:
        if name == "psycopg isolation level":
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            connection.deferrable = True
        yield _psycopg(connection, connection)


@caller(TRANSACTIONAL, "psycopg cursor", "psycopg dict_row cursor", "psycopg namedtuple_row ClientCursor")
def psycopg_cursor(dsn: str, name: str) -> Iterator[Case]:
    with psycopg.connect(dsn) as connection:
        if name == "psycopg cursor":
            yield _psycopg(connection, connection.cursor())
        elif name == "psycopg dict_row cursor":
            yield _psycopg(connection, connection.cursor(row_factory=dict_row))
        else:
            yield _psycopg(connection, psycopg.ClientCursor(connection, row_factory=namedtuple_row))


@caller(TRANSACTIONAL, "psycopg cursor being read", "psycopg ServerCursor being read")
def psycopg_cursor_being_read(dsn: str, name: str) -> Iterator[Case]:
    with psycopg.connect(dsn) as connection:
        cursor = connection.cursor() if name == "psycopg cursor being read" else connection.cursor("theirs")
        cursor.execute("SELECT generate_series(1, 5)")
        assert cursor.fetchmany(2) == [(1,), (2,)]
        case = _psycopg(connection, cursor)
        case.rows_left = lambda: [row[0] for row in cursor.fetchall()]
        yield case
        cursor.close()


@caller(TRANSACTIONAL, "psycopg autocommit in conn.transaction()", "psycopg in conn.transaction()")
def psycopg_block(dsn: str, name: str) -> Iterator[Case]:
    with psycopg.connect(dsn, autocommit="autocommit" in name) as connection:
        block = connection.transaction()
        block.__enter__()
        case = _psycopg(connection, connection)
        case.commit = lambda: block.__exit__(None, None, None)
        case.rollback = lambda: _raised_through(block)
        yield case


@caller(TRANSACTIONAL, "psycopg pipeline", "psycopg autocommit pipeline in conn.transaction()")
def psycopg_pipeline(dsn: str, name: str) -> Iterator[Case]:
    with psycopg.connect(dsn, autocommit="autocommit" in name) as connection, connection.pipeline():
        case = _psycopg(connection, connection)
        if connection.autocommit:
            block = connection.transaction()
            block.__enter__()
            case.commit = lambda: block.__exit__(None, None, None)
            case.rollback = lambda: _raised_through(block)
        yield case


@caller(AUTOCOMMIT, "psycopg autocommit", "psycopg autocommit cursor", "psycopg autocommit pipeline")
def psycopg_autocommit(dsn: str, name: str) -> Iterator[Case]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        if name.endswith("pipeline"):
            with connection.pipeline() as pipeline:
                case = _psycopg(connection, connection)
                case.commit = pipeline.sync  # that is where its statements commit
                yield case
        else:
            yield _psycopg(connection, connection.cursor() if name.endswith("cursor") else connection)


def _psycopg(connection: psycopg.Connection[Any], handle: Any) -> Case:
    def query(sql: str) -> list[tuple[Any, ...]]:
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        cursor.execute(sql)
        return cursor.fetchall() if gives_rows(sql) else []

    def settings() -> Any:
        return (
            connection.autocommit,
            connection.isolation_level,
            connection.read_only,
            connection.deferrable,
            connection.row_factory,
            connection.cursor_factory,
            connection.server_cursor_factory,
            connection.prepare_threshold,
            connection.info.pipeline_status,
            getattr(handle, "row_factory", None),
            query("SELECT count(*) FROM pg_prepared_statements"),
            connection.info.transaction_status,
        )

    return Case(
        conn=handle,
        query=query,
        commit=connection.commit,
        rollback=connection.rollback,
        savepoint=lambda: _undone(connection.transaction()),
        settings=settings,
    )


# psycopg2 ------------------------------------------------------------------------------------------------------------


@caller(
    TRANSACTIONAL,
    "psycopg2 connection",
    "psycopg2 cursor",
    "psycopg2 cursor being read",
    "psycopg2 named cursor being read",
    "psycopg2 DictCursor",
    "psycopg2 RealDictConnection",
    "psycopg2 isolation level",
)
def psycopg2_handle(dsn: str, name: str) -> Iterator[Case]:
    factory = psycopg2.extras.RealDictCursor if name == "psycopg2 RealDictConnection" else None
    connection = psycopg2.connect(dsn, cursor_factory=factory)
    if name == "psycopg2 isolation level":
        connection.set_session(isolation_level="REPEATABLE READ")
    case = _psycopg2(connection, connection)
    if "cursor" in name.lower() and factory is None:
        kind = psycopg2.extras.DictCursor if name == "psycopg2 DictCursor" else None
        case.conn = cursor = connection.cursor("theirs" if "named" in name else None, cursor_factory=kind)
        if "being read" in name:
            cursor.execute("SELECT generate_series(1, 5)")
            assert cursor.fetchmany(2) == [(1,), (2,)]
            case.rows_left = lambda: [row[0] for row in cursor.fetchall()]
    yield case
    connection.close()


@caller(AUTOCOMMIT, "psycopg2 autocommit", "psycopg2 autocommit cursor")
def psycopg2_autocommit(dsn: str, name: str) -> Iterator[Case]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    yield _psycopg2(connection, connection.cursor() if name.endswith("cursor") else connection)
    connection.close()


def _psycopg2(connection: Any, handle: Any) -> Case:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if gives_rows(sql) else []

    def settings() -> Any:
        own = (connection.autocommit, connection.isolation_level, connection.readonly, connection.deferrable)
        return own, connection.cursor_factory, connection.encoding, connection.info.transaction_status

    return Case(
        conn=handle,
        query=query,
        commit=connection.commit,
        rollback=connection.rollback,
        savepoint=lambda: _savepoint(query),
        settings=settings,
    )


# SQLAlchemy ----------------------------------------------------------------------------------------------------------


class Base(orm.DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    note: orm.Mapped[str]


def url(dsn: str, driver: str) -> sa.URL:
    """Write a DSN of libpq's as a URL of SQLAlchemy's."""
    parts = conninfo_to_dict(dsn)
    return sa.URL.create(
        f"postgresql+{driver}",
        username=parts.pop("user", None),
        password=parts.pop("password", None),
        database=parts.pop("dbname", None),
        query={key: str(value) for key, value in parts.items()},
    )


@contextmanager
def engine(dsn: str, driver: str, **options: Any) -> Iterator[sa.Engine]:
    """An engine that closes its connections."""
    made = sa.create_engine(url(dsn, driver), **options)
    try:
        yield made
    finally:
        made.dispose()


_DRIVERS = ("psycopg", "psycopg2")
_SESSIONS = tuple(
    f"SQLAlchemy {kind} over {driver}"
    for driver in _DRIVERS
    for kind in ("Session", "scoped_session", "sessionmaker.begin()", "Session in begin_nested()")
)


@caller(TRANSACTIONAL, *_SESSIONS)
def sqlalchemy_session(dsn: str, name: str) -> Iterator[Case]:
    kind, driver = name.removeprefix("SQLAlchemy ").rsplit(" over ", 1)
    with engine(dsn, driver) as made:
        maker = orm.sessionmaker(made)
        if kind == "scoped_session":
            registry = orm.scoped_session(maker)
            yield _session(registry(), registry)
            registry.remove()
        elif kind == "sessionmaker.begin()":
            block = maker.begin()
            session = block.__enter__()
            case = _session(session, session)
            case.commit = lambda: block.__exit__(None, None, None)
            case.rollback = lambda: _raised_through(block)
            yield case
            session.close()
        else:
            with maker() as session:
                case = _session(session, session)
                if kind.endswith("begin_nested()"):
                    session.begin_nested()
                yield case


@caller(TRANSACTIONAL, *[f"SQLAlchemy Connection over {driver}" for driver in _DRIVERS])
def sqlalchemy_connection(dsn: str, name: str) -> Iterator[Case]:
    with engine(dsn, name.rsplit(" ", 1)[1]) as made, made.connect() as connection:
        yield _connection(connection)


@caller(TRANSACTIONAL, *[f"SQLAlchemy Connection in begin_nested() over {driver}" for driver in _DRIVERS])
def sqlalchemy_nested_connection(dsn: str, name: str) -> Iterator[Case]:
    with engine(dsn, name.rsplit(" ", 1)[1]) as made, made.connect() as connection:
        outer, _ = connection.begin(), connection.begin_nested()
        case = _connection(connection)
        case.commit, case.rollback = outer.commit, outer.rollback
        yield case


@caller(TRANSACTIONAL, "SQLAlchemy Session on a Connection")
def sqlalchemy_joined_session(dsn: str, name: str) -> Iterator[Case]:
    with engine(dsn, "psycopg") as made, made.connect() as connection, orm.Session(connection) as session:
        connection.begin()
        case = _session(session, session)
        case.commit = lambda: (session.commit(), connection.commit())
        case.rollback = lambda: (session.rollback(), connection.rollback())
        yield case


@contextmanager
def twophase_session(dsn: str, driver: str) -> Iterator[Case]:
    with engine(dsn, driver) as made, orm.Session(made, twophase=True) as session:
        yield _session(session, session)


@contextmanager
def twophase_connection(dsn: str, driver: str) -> Iterator[Case]:
    with engine(dsn, driver) as made, made.connect() as connection:
        outer = connection.begin_twophase()
        case = _connection(connection)
        case.commit, case.rollback = outer.commit, outer.rollback
        yield case


TWOPHASE: dict[str, Caller] = {
    f"SQLAlchemy {kind} twophase over {driver}": (lambda dsn, make=make, driver=driver: make(dsn, driver))
    for kind, make in (("Session", twophase_session), ("Connection", twophase_connection))
    for driver in _DRIVERS
}


def _session(session: Any, handle: Any) -> Case:
    def settings() -> Any:
        # What is pending stays pending: nothing was flushed. Nothing that was loaded is stale: nothing was expired.
        pending = [order.note for order in session.new]
        loaded = [sa.inspect(order).expired for order in session.identity_map.values()]
        nested = session.in_nested_transaction()
        return pending, loaded, nested, session.connection().get_isolation_level(), session.autoflush

    return Case(
        conn=handle,
        query=lambda sql: _rows(session.connection(), sql),
        commit=lambda: (session.commit(), session.in_transaction() and session.commit()),
        rollback=lambda: (session.rollback(), session.in_transaction() and session.rollback()),
        savepoint=lambda: _undone(session.begin_nested()),
        settings=settings,
        add=lambda note: session.add(Order(note=note)),
    )


def _connection(connection: Any) -> Case:
    def settings() -> Any:
        nested = connection.in_nested_transaction()
        return nested, connection.get_isolation_level(), connection.get_execution_options()

    return Case(
        conn=connection,
        query=lambda sql: _rows(connection, sql),
        commit=connection.commit,
        rollback=connection.rollback,
        savepoint=lambda: _undone(connection.begin_nested()),
        settings=settings,
        add=lambda note: connection.execute(sa.insert(Order).values(note=note)),
    )


def _rows(connection: sa.Connection, sql: str) -> list[tuple[Any, ...]]:
    result = connection.exec_driver_sql(sql)
    return [tuple(row) for row in result] if gives_rows(sql) else []


# Django --------------------------------------------------------------------------------------------------------------


@contextmanager
def django_on(dsn: str) -> Iterator[None]:
    """Point Django's default database at a DSN."""
    if not django.conf.settings.configured:
        django.conf.settings.configure(DATABASES={"default": {}}, USE_TZ=True, INSTALLED_APPS=[])
        django.setup()
    parts = conninfo_to_dict(dsn)
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    found = {name: str(parts.pop(key, "") or "") for name, key in names.items()}
    databases = {"default": {"ENGINE": "django.db.backends.postgresql", **found, "OPTIONS": parts}}
    handler = django.db.connections
    handler.settings = handler.configure_settings(databases)
    if hasattr(handler._connections, "default"):
        del handler["default"]
    yield
    handler["default"].close()
    del handler["default"]


@caller(TRANSACTIONAL, "Django transaction.atomic", "Django transaction.atomic nested")
def django_atomic(dsn: str, name: str) -> Iterator[Case]:
    with django_on(dsn):
        block, inner = transaction.atomic(), transaction.atomic()
        block.__enter__()
        case = _django(django.db.connection)
        if name.endswith("nested"):
            inner.__enter__()
            case.commit = lambda: (inner.__exit__(None, None, None), block.__exit__(None, None, None))
            case.rollback = lambda: (_raised_through(inner), _raised_through(block))
        else:
            case.commit = lambda: block.__exit__(None, None, None)
            case.rollback = lambda: _raised_through(block)
        yield case


@caller(TRANSACTIONAL, "Django without autocommit")
def django_manual(dsn: str, name: str) -> Iterator[Case]:
    with django_on(dsn):
        transaction.set_autocommit(False)
        case = _django(django.db.connections["default"])
        case.commit, case.rollback = transaction.commit, transaction.rollback
        yield case
        transaction.rollback()


@caller(AUTOCOMMIT, "Django connection", "Django connections['default']")
def django_autocommit(dsn: str, name: str) -> Iterator[Case]:
    with django_on(dsn):
        yield _django(django.db.connection if name == "Django connection" else django.db.connections["default"])


def _django(connection: Any) -> Case:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if gives_rows(sql) else []

    def settings() -> Any:
        connection.ensure_connection()
        driver = connection.connection
        own = (connection.get_autocommit(), connection.in_atomic_block, list(connection.savepoint_ids))
        return own, connection.needs_rollback, driver.autocommit, driver.isolation_level, driver.info.transaction_status

    return Case(conn=connection, query=query, savepoint=lambda: _undone(transaction.atomic()), settings=settings)


# Objects with execute(sql, params) -----------------------------------------------------------------------------------


class GivesResult:
    """A house's own database class: execute gives a result."""

    def __init__(self, connection: Any, row_factory: Any = None) -> None:
        self._connection, self._row_factory = connection, row_factory

    def execute(self, sql: str, params: Any) -> Any:
        return self._connection.cursor(row_factory=self._row_factory).execute(sql, params)


class LikeCursor:
    """Another: execute gives nothing, and the rows are fetched from the object itself."""

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()

    def execute(self, sql: str, params: Any) -> None:
        self._cursor.execute(sql, params)

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()


@caller(
    TRANSACTIONAL,
    "wrapper that gives a result",
    "wrapper with dict rows",
    "wrapper like a cursor",
    "wrapper over psycopg2 like a cursor",
)
def wrapper(dsn: str, name: str) -> Iterator[Case]:
    connection: Any
    if "psycopg2" in name:
        connection = psycopg2.connect(dsn)
        case = _psycopg2(connection, LikeCursor(connection))
    else:
        connection = psycopg.connect(dsn)
        made = {
            "wrapper that gives a result": lambda: GivesResult(connection, tuple_row),
            "wrapper with dict rows": lambda: GivesResult(connection, dict_row),
            "wrapper like a cursor": lambda: LikeCursor(connection),
        }[name]()
        case = _psycopg(connection, made)
    yield case
    connection.close()


@caller(AUTOCOMMIT, "wrapper in autocommit", "wrapper over psycopg2 in autocommit")
def wrapper_autocommit(dsn: str, name: str) -> Iterator[Case]:
    connection: Any
    if "psycopg2" in name:
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        yield _psycopg2(connection, LikeCursor(connection))
    else:
        connection = psycopg.connect(dsn, autocommit=True)
        yield _psycopg(connection, GivesResult(connection, dict_row))
    connection.close()


def gives_rows(sql: str) -> bool:
    return sql.startswith("SELECT") or "RETURNING" in sql


# Blocks --------------------------------------------------------------------------------------------------------------


@contextmanager
def _savepoint(query: Callable[[str], Any]) -> Iterator[None]:
    query("SAVEPOINT theirs")
    try:
        yield
    except Undo:
        query("ROLLBACK TO SAVEPOINT theirs")
    else:
        query("RELEASE SAVEPOINT theirs")


@contextmanager
def _undone(block: Any) -> Iterator[None]:
    with suppress(Undo), block:
        yield


def _raised_through(block: Any) -> None:
    """Leave a block as an exception of its owner does."""
    try:
        if not block.__exit__(Undo, Undo(), None):
            raise Undo
    except Undo:
        pass
