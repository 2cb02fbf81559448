"""What `conn=` takes: every kind of handle in one table, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool
from sqlalchemy import orm

from oban_sync import Job, Oban, embedded, instances, job, schema
from oban_sync.errors import HandleClosed, HandleError
from oban_sync.lifecycle import bulk, enqueue
from oban_sync.store import handles
from oban_sync.store.handles import AutocommitWarning
from oban_sync.store.statements import Statements
from tests.conftest import Events
from tests.store import callers
from tests.store.callers import AUTOCOMMIT, TRANSACTIONAL, TWOPHASE, Caller, Case
from tests.store.wiretap import tapped

EVERY = {**TRANSACTIONAL, **AUTOCOMMIT}
DRIVERS = ("psycopg", "psycopg2")


@job(name="handles.ship", queue="shipping")
def ship(order: str) -> None:
    pass


# Fixtures ------------------------------------------------------------------------------------------------------------


@contextmanager
def shop(server: str, template: str) -> Iterator[str]:
    """A database with a table of orders beside the jobs, and a rule that no queue is called so."""
    name = f"oban_sync_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        dsn = make_conninfo(server, dbname=name)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(callers.ORDERS)
            connection.execute("ALTER TABLE oban_jobs ADD CONSTRAINT known_queue CHECK (queue <> 'no such queue')")
        yield dsn
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def shop_dsn(server_dsn: str, template: str) -> Iterator[str]:
    with shop(server_dsn, template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def shop_db(shop_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shop_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def dsn(shop_dsn: str, shop_db: psycopg.Connection[Any]) -> str:
    """The one database of this module, without rows."""
    shop_db.execute("WITH jobs AS (DELETE FROM oban_jobs) DELETE FROM orders")
    return shop_dsn


@pytest.fixture
def db(dsn: str, shop_db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A connection in autocommit, to look at the rows with."""
    return shop_db


@pytest.fixture(scope="module")
def client(shop_dsn: str) -> Iterator[Oban]:
    oban = Oban(dsn=shop_dsn, name="shop")
    yield oban
    oban.stop()


@pytest.fixture
def oban(client: Oban) -> Oban:
    """A client of the default name; tests of other modules had that name before."""
    instances.register("Oban", client)
    return client


@pytest.fixture
def listener(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that hears of jobs to run from now on."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute('LISTEN "public.oban_insert"')
        yield connection


@pytest.fixture(scope="module")
def node(shop_dsn: str) -> Iterator[Oban]:
    """A node that hears of jobs of the queue `instant` by notification, and else looks once a minute."""
    with Oban(dsn=shop_dsn, name="instant", queues={"instant": 5}, stager={"interval": 60}) as oban:
        yield oban


@pytest.fixture(scope="module")
def twophase_dsn() -> Iterator[str]:
    """A server of its own that takes PREPARE TRANSACTION, which others refuse as they come."""
    if os.environ.get("OBAN_SYNC_TEST_DSN"):
        pytest.skip("a server that is given need not have max_prepared_transactions")
    with embedded.start(settings={"max_prepared_transactions": "5"}) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            schema.install(connection)
            connection.execute(callers.ORDERS)
        yield server.dsn()


def each(kinds: dict[str, Caller]) -> Any:
    return pytest.mark.parametrize("caller", [pytest.param(make, id=name) for name, make in kinds.items()])


def stored(db: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in db.execute("SELECT args ->> 'order' FROM oban_jobs ORDER BY id").fetchall()]


def orders(db: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in db.execute("SELECT note FROM orders ORDER BY id").fetchall()]


def in_chunks(case: Case, jobs: list[Job]) -> list[Job]:
    """Enqueue by a statement a job, as gigabytes of them are."""
    return enqueue.enqueue(jobs, handles.adapt(case.conn), Statements(), max_bytes=10**6, chunk_bytes=1)


# In a transaction ----------------------------------------------------------------------------------------------------


@each(TRANSACTIONAL)
def test_a_job_is_there_once_its_transaction_commits_with_the_callers_own_object(
    caller: Caller, dsn: str, db: Any, oban: Oban
) -> None:
    with caller(dsn) as case:
        case.order("books")
        inserted = oban.enqueue(ship.new("books"), conn=case.conn)
        assert inserted.id is not None
        case.query("INSERT INTO orders (note) VALUES ('pens')")
        transactions = "SELECT xmin::text FROM oban_jobs UNION SELECT xmin::text FROM orders WHERE note = 'pens'"
        assert len(case.query(transactions)) == 1
        assert (stored(db), orders(db)) == ([], [])  # nothing was committed before its owner did

        case.commit()
        assert (stored(db), sorted(orders(db))) == (["books"], ["books", "pens"])
        assert db.execute("SELECT id FROM oban_jobs").fetchone() == (inserted.id,)


@each(TRANSACTIONAL)
def test_a_job_goes_with_its_transaction_when_that_rolls_back(caller: Caller, dsn: str, db: Any, oban: Oban) -> None:
    with caller(dsn) as case:
        case.order("books")
        oban.enqueue(ship.new("books"), conn=case.conn)
        case.rollback()
        assert (stored(db), orders(db)) == ([], [])


@each(TRANSACTIONAL)
def test_a_job_goes_with_its_savepoint_and_the_outer_work_stays(caller: Caller, dsn: str, db: Any, oban: Oban) -> None:
    with caller(dsn) as case:
        assert case.savepoint is not None
        case.order("books")
        oban.enqueue(ship.new("books"), conn=case.conn)
        with case.savepoint():
            case.order("pens")
            oban.enqueue(ship.new("pens"), conn=case.conn)
            raise callers.Undo
        oban.enqueue(ship.new("lamps"), conn=case.conn)
        case.commit()
        assert (stored(db), orders(db)) == (["books", "lamps"], ["books"])


@each(EVERY)
def test_many_jobs_get_rising_ids_in_the_order_in_which_they_were_given(
    caller: Caller, dsn: str, db: Any, oban: Oban
) -> None:
    with caller(dsn) as case:
        names = ["c", "a", "b"]
        jobs = oban.enqueue_many((ship.new(name, priority=3 - at) for at, name in enumerate(names)), conn=case.conn)
        case.commit()
    ids = [inserted.id for inserted in jobs]
    assert ids == sorted(ids)
    assert [inserted.args["order"] for inserted in jobs] == names
    rows = db.execute("SELECT id, args ->> 'order', priority FROM oban_jobs ORDER BY id").fetchall()
    assert rows == [(ids[0], "c", 3), (ids[1], "a", 2), (ids[2], "b", 1)]


@each(EVERY)
def test_nothing_of_the_callers_is_changed_by_an_enqueue(caller: Caller, dsn: str, oban: Oban) -> None:
    with caller(dsn) as case:
        if case.add is not None:
            case.add("pending")
        own = "SELECT name, setting FROM pg_settings WHERE source = 'session' OR name = 'transaction_isolation'"
        session = "SELECT pg_backend_pid(), current_user"
        before = case.query(own), case.query(session), case.settings()
        oban.enqueue(ship.new("books"), conn=case.conn)
        oban.enqueue_many([ship.new("pens"), ship.new("lamps")], conn=case.conn)
        assert (case.query(own), case.query(session), case.settings()) == before
        case.rollback()


@each({name: make for name, make in TRANSACTIONAL.items() if "being read" in name})
def test_a_cursor_that_is_being_read_keeps_its_rows(caller: Caller, dsn: str, db: Any, oban: Oban) -> None:
    with caller(dsn) as case:
        oban.enqueue_many([ship.new("books"), ship.new("pens")], conn=case.conn)
        in_chunks(case, [ship.new("lamps"), ship.new("maps")])
        assert case.rows_left is not None
        assert case.rows_left() == [3, 4, 5]
        case.commit()
        assert stored(db) == ["books", "pens", "lamps", "maps"]


def test_a_handle_on_an_idle_connection_begins_its_transaction_and_leaves_it_open(
    dsn: str, db: Any, oban: Oban
) -> None:
    with psycopg.connect(dsn) as connection:
        oban.enqueue(ship.new("books"), conn=connection)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        connection.rollback()
    assert stored(db) == []


# Without a transaction -----------------------------------------------------------------------------------------------


@each(AUTOCOMMIT)
def test_in_autocommit_a_job_is_there_at_once(caller: Caller, dsn: str, db: Any, oban: Oban) -> None:
    with caller(dsn) as case:
        oban.enqueue(ship.new("books"), conn=case.conn)
        if "pipeline" in repr(case.conn):
            case.commit()
        assert stored(db) == ["books"]


def test_in_autocommit_a_block_of_psycopg_s_holds_the_job_until_its_end(dsn: str, db: Any, oban: Oban) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.transaction():
            oban.enqueue(ship.new("books"), conn=connection)
            assert stored(db) == []
        assert stored(db) == ["books"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_engine_in_autocommit_warns_at_the_line_that_enqueues(driver: str, dsn: str, db: Any, oban: Oban) -> None:
    with callers.engine(dsn, driver, isolation_level="AUTOCOMMIT") as engine:
        for open_handle in (lambda: orm.Session(engine), engine.connect):
            with open_handle() as handle:
                with pytest.warns(AutocommitWarning, match="not with your transaction") as caught:
                    oban.enqueue(ship.new("books"), conn=handle)
                assert [warning.filename for warning in caught] == [__file__]
                with pytest.warns(AutocommitWarning) as caught:
                    ship.enqueue("pens", conn=handle)
                assert [warning.filename for warning in caught] == [__file__]
                handle.rollback()
    assert stored(db) == ["books", "pens"] * 2


@pytest.mark.parametrize("driver", DRIVERS)
def test_chunks_on_an_engine_in_autocommit_are_one_transaction(driver: str, dsn: str, db: Any) -> None:
    with callers.engine(dsn, driver, isolation_level="AUTOCOMMIT") as engine, engine.connect() as connection:
        with pytest.warns(AutocommitWarning):
            handle = handles.adapt(connection)
        fails = [ship.new("books"), ship.new("pens", queue="no such queue")]
        with pytest.raises(sa.exc.IntegrityError):
            enqueue.enqueue(fails, handle, Statements(), max_bytes=10**6, chunk_bytes=1)
        assert stored(db) == []
        works = [ship.new("books"), ship.new("pens")]
        enqueue.enqueue(works, handle, Statements(), max_bytes=10**6, chunk_bytes=1)
        assert stored(db) == ["books", "pens"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_instance_on_an_engine_in_autocommit_does_not_warn_of_its_own_connections(
    driver: str, dsn: str, db: Any
) -> None:
    with callers.engine(dsn, driver, isolation_level="AUTOCOMMIT") as engine:
        Oban(engine=engine, name="autocommit").enqueue_many([ship.new("books"), ship.new("pens")])
    assert stored(db) == ["books", "pens"]


# Prepared transactions -----------------------------------------------------------------------------------------------


@each(TWOPHASE)
def test_a_job_follows_a_transaction_that_is_committed_in_two_phases(caller: Caller, twophase_dsn: str) -> None:
    oban = Oban(dsn=twophase_dsn, name="twophase")
    with psycopg.connect(twophase_dsn, autocommit=True) as db, caller(twophase_dsn) as case:
        case.query("DELETE FROM oban_jobs")
        case.order("books")
        oban.enqueue(ship.new("books"), conn=case.conn)
        case.commit()
        assert stored(db) == ["books"]
    with psycopg.connect(twophase_dsn, autocommit=True) as db, caller(twophase_dsn) as case:
        oban.enqueue_many([ship.new("pens"), ship.new("lamps")], conn=case.conn)
        with case.savepoint():  # type: ignore[misc]
            oban.enqueue(ship.new("maps"), conn=case.conn)
            raise callers.Undo
        in_chunks(case, [ship.new("cups"), ship.new("pots")])
        assert stored(db) == ["books"]
        case.rollback()
        assert stored(db) == ["books"]
    oban.stop()


# Large inputs --------------------------------------------------------------------------------------------------------


@each(TRANSACTIONAL)
def test_chunks_are_part_of_the_callers_transaction(caller: Caller, dsn: str, db: Any) -> None:
    with caller(dsn) as case:
        jobs = in_chunks(case, [ship.new("books"), ship.new("pens"), ship.new("lamps")])
        assert stored(db) == []
        case.commit()
        assert [inserted.id for inserted in jobs] == sorted(inserted.id for inserted in jobs)
        assert stored(db) == ["books", "pens", "lamps"]
    with caller(dsn) as case:
        in_chunks(case, [ship.new("maps"), ship.new("cups")])
        case.rollback()
        assert stored(db) == ["books", "pens", "lamps"]


@each(EVERY)
def test_a_chunk_that_fails_takes_the_others_along_and_nothing_else(caller: Caller, dsn: str, db: Any) -> None:
    with caller(dsn) as case:
        case.query("INSERT INTO orders (note) VALUES ('books')")
        refused = [ship.new("books"), ship.new("pens"), ship.new("lamps", queue="no such queue")]
        with pytest.raises(Exception, match="known_queue"):
            in_chunks(case, refused)
        assert [unsaved.id for unsaved in refused] == [None, None, None]
        case.query("INSERT INTO orders (note) VALUES ('maps')")
        in_chunks(case, [ship.new("maps"), ship.new("cups")])
        case.commit()
        assert (stored(db), orders(db)) == (["maps", "cups"], ["books", "maps"])


# Round trips and notifications ---------------------------------------------------------------------------------------


@each({name: make for name, make in EVERY.items() if "pipeline" not in name})
def test_jobs_are_one_round_trip_until_copy_is_faster(caller: Caller, dsn: str, oban: Oban) -> None:
    with tapped(dsn) as tap, caller(tap.dsn) as case:
        case.query("SELECT 1")  # BEGIN is the caller's
        for count in (1, bulk.FEWEST - 1):
            jobs = [ship.new(str(at)) for at in range(count)]
            assert tap.round_trips(lambda jobs=jobs: oban.enqueue_many(jobs, conn=case.conn)) == 1
        case.rollback()


def test_ten_thousand_jobs_are_four_round_trips_and_one_notification_a_queue(dsn: str, db: Any, listener: Any) -> None:
    with tapped(dsn) as tap, Oban.create_pool(tap.dsn, max_size=1) as pool:  # a pool with room opens a second one
        oban = Oban(pool=pool, name="tapped")
        oban.enqueue(ship.new("connects"))
        jobs = [ship.new(str(at), queue=f"queue {at % 3}") for at in range(10_000)]
        assert tap.round_trips(lambda: oban.enqueue_many(jobs)) == 4
        assert tap.round_trips(lambda: oban.enqueue(ship.new("one"))) == 1
    assert [inserted.id for inserted in jobs] == [
        row[0]
        for row in db.execute("SELECT id FROM oban_jobs WHERE queue LIKE 'queue%' ORDER BY (args ->> 'order')::int")
    ]
    assert notified(listener) == ["queue 0", "queue 1", "queue 2", "shipping", "shipping"]


@each({name: make for name, make in EVERY.items() if "isolation level" not in name})
def test_a_transaction_notifies_each_queue_once_and_only_of_jobs_to_run_now(
    caller: Caller, dsn: str, oban: Oban, listener: Any
) -> None:
    with caller(dsn) as case:
        many = [
            ship.new("a"),
            ship.new("b", queue="mail"),
            ship.new("c"),
            ship.new("d", queue="later", scheduled_in=60),
        ]
        oban.enqueue_many(many, conn=case.conn)
        case.commit()
    assert notified(listener) == ["mail", "shipping"]


def notified(db: Any) -> list[str]:
    """Give the queues that were notified so far, sorted."""
    db.execute("SELECT pg_notify('public.oban_insert', '{\"queue\": \"~ end\"}')")
    queues = []
    for notification in db.notifies(timeout=20):
        queues.append(json.loads(notification.payload)["queue"])
        if queues[-1] == "~ end":
            return sorted(queues[:-1])
    raise AssertionError(f"no end of {queues}")


# From the commit to the run ------------------------------------------------------------------------------------------


@each(EVERY)
def test_a_job_starts_when_its_transaction_commits_and_never_when_it_rolls_back(
    caller: Caller, dsn: str, db: Any, oban: Oban, node: Oban, events: Events
) -> None:
    with caller(dsn) as case:
        if caller not in AUTOCOMMIT.values():
            undone = oban.enqueue(ship.new("undone", queue="instant"), conn=case.conn)
            case.rollback()
            assert db.execute("SELECT 1 FROM oban_jobs WHERE id = %s", (undone.id,)).fetchone() is None
    with caller(dsn) as case:
        done = oban.enqueue(ship.new("done", queue="instant"), conn=case.conn)
        case.commit()
        # The node looks by itself once a minute only: what wakes it is the commit.
        assert [meta["job"].id for meta in events.wait(1, "stop")] == [done.id]
    assert [meta["job"].args["order"] for _, meta in events.seen] == ["done", "done"]


# What is refused -----------------------------------------------------------------------------------------------------

Opened = AbstractContextManager[Any]
REFUSED: dict[str, tuple[Callable[[str], Opened], type[Exception], tuple[str, ...]]] = {}


def refused(error: type[Exception], *words: str) -> Callable[[Callable[[str], Iterator[Any]]], None]:
    def register(open_handle: Callable[[str], Iterator[Any]]) -> None:
        REFUSED[open_handle.__name__.replace("_", " ").strip()] = (contextmanager(open_handle), error, words)

    return register


@refused(HandleClosed, "closed", "psycopg.Connection")
def closed_psycopg_connection(dsn: str) -> Iterator[Any]:
    with psycopg.connect(dsn) as connection:
        pass
    yield connection


@refused(HandleClosed, "closed", "psycopg.Connection")
def cursor_of_a_closed_psycopg_connection(dsn: str) -> Iterator[Any]:
    with psycopg.connect(dsn) as connection:
        cursor = connection.cursor()
    yield cursor


@refused(HandleClosed, "closed", "psycopg2.extensions.connection")
def closed_psycopg2_connection(dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(dsn)
    connection.close()
    yield connection


@refused(HandleClosed, "closed")
def closed_wrapper(dsn: str) -> Iterator[Any]:
    class Wrapper(callers.GivesResult):
        closed = True

    yield Wrapper(None)


@refused(HandleClosed, "closed", "Connection")
def closed_SQLAlchemy_connection(dsn: str) -> Iterator[Any]:  # noqa: N802
    with callers.engine(dsn, "psycopg") as engine:
        with engine.connect() as connection:
            pass
        yield connection


@refused(HandleClosed, "closed", "Session")
def closed_SQLAlchemy_session(dsn: str) -> Iterator[Any]:  # noqa: N802
    with callers.engine(dsn, "psycopg2") as engine:
        with orm.Session(engine, close_resets_only=False) as session:
            pass
        yield session


@refused(HandleError, "binds=", "session.connection(bind_arguments=")
def session_with_binds_only(dsn: str) -> Iterator[Any]:
    with callers.engine(dsn, "psycopg") as engine, orm.Session(binds={callers.Order: engine}) as session:
        yield session


@refused(HandleError, "Engine", "begin()")
def SQLAlchemy_engine(dsn: str) -> Iterator[Any]:  # noqa: N802
    with callers.engine(dsn, "psycopg") as engine:
        yield engine


@refused(HandleError, "sessionmaker", "begin()")
def SQLAlchemy_sessionmaker(dsn: str) -> Iterator[Any]:  # noqa: N802
    with callers.engine(dsn, "psycopg") as engine:
        yield orm.sessionmaker(engine)


@refused(HandleError, "PostgreSQL", "sqlite")
def SQLAlchemy_session_on_SQLite(dsn: str) -> Iterator[Any]:  # noqa: N802
    engine = sa.create_engine("sqlite://")
    with orm.Session(engine) as session:
        yield session
    engine.dispose()


@refused(HandleError, "PostgreSQL", "sqlite")
def SQLAlchemy_connection_on_SQLite(dsn: str) -> Iterator[Any]:  # noqa: N802
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@refused(HandleError, "PostgreSQL", "SQLite")
def sqlite3_connection(dsn: str) -> Iterator[Any]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


@refused(HandleError, "PostgreSQL", "SQLite")
def sqlite3_cursor(dsn: str) -> Iterator[Any]:
    connection = sqlite3.connect(":memory:")
    yield connection.cursor()
    connection.close()


@refused(HandleError, "asynchronous", "AsyncConnection", "psycopg2 connection", "blocks")
def psycopg_AsyncConnection(dsn: str) -> Iterator[Any]:  # noqa: N802
    connection = asyncio.run(psycopg.AsyncConnection.connect(dsn))
    yield connection
    asyncio.run(connection.close())


@refused(HandleError, "asynchronous", "AsyncCursor", "blocks")
def psycopg_AsyncCursor(dsn: str) -> Iterator[Any]:  # noqa: N802
    connection = asyncio.run(psycopg.AsyncConnection.connect(dsn))
    yield connection.cursor()
    asyncio.run(connection.close())


@refused(HandleError, "asynchronous", "blocks")
def psycopg2_connection_in_asynchronous_mode(dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(dsn, async_=True)
    psycopg2.extras.wait_select(connection)
    yield connection
    connection.close()


@refused(HandleError, "asynchronous", "Awaits")
def object_with_an_async_execute(dsn: str) -> Iterator[Any]:
    class Awaits:
        async def execute(self, sql: str, params: Any) -> Any: ...

    yield Awaits()


@refused(HandleError, "asynchronous", "GivesCoroutine")
def object_whose_execute_gives_a_coroutine(dsn: str) -> Iterator[Any]:
    class GivesCoroutine:
        def execute(self, sql: str, params: Any) -> Any:
            return asyncio.sleep(0)

    yield GivesCoroutine()


@refused(HandleError, "fetchall", "GivesNothing")
def object_whose_execute_gives_nothing(dsn: str) -> Iterator[Any]:
    class GivesNothing:
        def execute(self, sql: str, params: Any) -> None:
            pass

    yield GivesNothing()


@refused(HandleError, "the class Connection", "psycopg or psycopg2 connection")
def class_of_a_connection(dsn: str) -> Iterator[Any]:
    yield psycopg.Connection


@refused(HandleError, "got int", "SQLAlchemy Session")
def number(dsn: str) -> Iterator[Any]:
    yield 5


@refused(HandleError, "got str", "execute(sql, params)")
def dsn_itself(dsn: str) -> Iterator[Any]:
    yield dsn


@refused(HandleError, "got object", "Django connection")
def plain_object(dsn: str) -> Iterator[Any]:
    yield object()


@refused(HandleError, "got bool")
def false(dsn: str) -> Iterator[Any]:
    yield False


@refused(HandleError, "got ConnectionPool")
def psycopg_pool(dsn: str) -> Iterator[Any]:
    with ConnectionPool(dsn, open=False, min_size=1) as pool:
        yield pool


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_carry_a_job_is_refused_with_what_to_pass_instead(kind: str, dsn: str, db: Any, oban: Oban) -> None:
    open_handle, error, words = REFUSED[kind]
    with open_handle(dsn) as handle:
        with pytest.raises(error) as caught:
            oban.enqueue(ship.new("books"), conn=handle)
        assert isinstance(caught.value, TypeError)
        assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
        with pytest.raises(error):
            oban.enqueue_many([ship.new("books"), ship.new("pens")], conn=handle)
    assert stored(db) == []


@pytest.mark.parametrize("kind", ["AsyncSession", "async_scoped_session", "AsyncConnection", "AsyncEngine"])
def test_asynchronous_handles_of_sqlalchemy_are_refused(kind: str, dsn: str, db: Any, oban: Oban) -> None:
    asynchronous = pytest.importorskip("sqlalchemy.ext.asyncio", exc_type=ImportError, reason="needs greenlet")
    engine = asynchronous.create_async_engine(callers.url(dsn, "psycopg"))
    session = asynchronous.AsyncSession(engine)
    handle = {
        "AsyncSession": session,
        "async_scoped_session": asynchronous.async_scoped_session(lambda: session, scopefunc=lambda: 1),
        "AsyncConnection": engine.connect(),
        "AsyncEngine": engine,
    }[kind]
    with pytest.raises(HandleError, match=f"asynchronous {kind}.*cannot await"):
        oban.enqueue(ship.new("books"), conn=handle)
    assert stored(db) == []


def test_a_session_with_binds_only_has_a_way_that_its_error_names(dsn: str, db: Any, oban: Oban) -> None:
    with callers.engine(dsn, "psycopg") as engine, orm.Session(binds={callers.Order: engine}) as session:
        session.add(callers.Order(note="books"))
        oban.enqueue(ship.new("books"), conn=session.connection(bind_arguments={"mapper": callers.Order}))
        assert stored(db) == []
        session.commit()
    assert (stored(db), orders(db)) == (["books"], ["books"])


def test_a_session_that_was_closed_to_be_used_again_is_open(dsn: str, db: Any, oban: Oban) -> None:
    with callers.engine(dsn, "psycopg") as engine, orm.Session(engine) as session:
        session.close()
        oban.enqueue(ship.new("books"), conn=session)
        session.commit()
    assert stored(db) == ["books"]


def test_none_as_conn_is_no_handle_and_stores_the_job_at_once(dsn: str, db: Any, oban: Oban) -> None:
    oban.enqueue(ship.new("books"), conn=None)
    assert stored(db) == ["books"]


def test_a_transaction_that_already_failed_says_so_in_the_drivers_words(dsn: str, db: Any, oban: Oban) -> None:
    with psycopg.connect(dsn) as connection:
        with suppress(psycopg.Error):
            connection.execute("SELECT 1 / 0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            oban.enqueue(ship.new("books"), conn=connection)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            enqueue.enqueue(
                [ship.new("a"), ship.new("b")], handles.adapt(connection), Statements(), max_bytes=99, chunk_bytes=1
            )
        connection.rollback()
    assert stored(db) == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_sqlalchemy_s_logging_of_the_statement_does_no_harm(driver: str, dsn: str, db: Any, oban: Oban) -> None:
    logger = logging.getLogger("sqlalchemy.engine")
    with callers.engine(dsn, driver) as engine, orm.Session(engine) as session:
        logger.setLevel(logging.INFO)
        try:
            oban.enqueue(ship.new("100 % books"), conn=session)
        finally:
            logger.setLevel(logging.NOTSET)
        session.commit()
    assert stored(db) == ["100 % books"]


# Libraries that are not there ----------------------------------------------------------------------------------------

WITHOUT = """
import sys, warnings
warnings.simplefilter("error")
sys.modules.update(dict.fromkeys(sys.argv[2].split(","), None))
from oban_sync import Job, Oban
oban = Oban(dsn=sys.argv[1])
oban.enqueue(Job("shop.ship", args={"order": "books"}))
if "sqlalchemy" not in sys.modules:
    from sqlalchemy import create_engine, orm
    import psycopg
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(sys.argv[1]))
    with orm.Session(engine) as session:
        oban.enqueue(Job("shop.ship", args={"order": "pens"}), conn=session)
        session.commit()
    engine.dispose()
oban.stop()
"""


@pytest.mark.parametrize(
    ("missing", "expected"), [("greenlet,psycopg2,django", ["books", "pens"]), ("sqlalchemy,psycopg2", ["books"])]
)
def test_no_library_is_needed_that_the_caller_does_not_use(
    missing: str, expected: list[str], dsn: str, db: Any
) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, dsn, missing], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert stored(db) == expected


def test_a_module_of_the_users_whose_name_begins_like_ours_is_outside(dsn: str, oban: Oban) -> None:
    module: dict[str, Any] = {"__name__": "oban_sync_shop", "oban": oban, "ship": ship}
    exec(compile("def go(conn): oban.enqueue(ship.new('books'), conn=conn)", "shop.py", "exec"), module)  # noqa: S102
    with (
        callers.engine(dsn, "psycopg", isolation_level="AUTOCOMMIT") as engine,
        engine.connect() as connection,
        pytest.warns(AutocommitWarning) as caught,
    ):
        module["go"](connection)
    assert [warning.filename for warning in caught] == ["shop.py"]
