"""Our own connections: from a pool, a DSN or an engine, and never from a parent process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from psycopg_pool import ConnectionPool, NullConnectionPool

from oban_sync import Job, Oban, job
from oban_sync.errors import ConfigError, DatabaseUnavailable
from oban_sync.store.source import Source
from tests.conftest import Events
from tests.store.callers import engine
from tests.store.wiretap import tapped


@job(name="source.work")
def work() -> None:
    pass


@contextmanager
def by_dsn(dsn: str) -> Iterator[dict[str, Any]]:
    yield {"dsn": dsn}


@contextmanager
def by_pool(dsn: str) -> Iterator[dict[str, Any]]:
    with ConnectionPool(dsn, min_size=1, max_size=3, open=True) as pool:
        yield {"pool": pool}


@contextmanager
def by_unopened_pool(dsn: str) -> Iterator[dict[str, Any]]:
    pool = ConnectionPool(dsn, min_size=1, max_size=3, open=False)
    yield {"pool": pool}
    pool.close()


@contextmanager
def by_null_pool(dsn: str) -> Iterator[dict[str, Any]]:
    with NullConnectionPool(dsn, max_size=3, open=True) as pool:
        yield {"pool": pool}


@contextmanager
def by_autocommit_pool(dsn: str) -> Iterator[dict[str, Any]]:
    options = {"autocommit": True, "row_factory": psycopg.rows.dict_row}
    with ConnectionPool(dsn, min_size=1, max_size=3, kwargs=options, open=True) as pool:
        yield {"pool": pool}


@contextmanager
def by_engine_over_psycopg(dsn: str) -> Iterator[dict[str, Any]]:
    with engine(dsn, "psycopg") as made:
        yield {"engine": made}


@contextmanager
def by_engine_over_psycopg2(dsn: str) -> Iterator[dict[str, Any]]:
    with engine(dsn, "psycopg2") as made:
        yield {"engine": made}


@contextmanager
def by_engine_with_creator(dsn: str) -> Iterator[dict[str, Any]]:
    made = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    yield {"engine": made}
    made.dispose()


@contextmanager
def by_psycopg2_engine_with_creator(dsn: str) -> Iterator[dict[str, Any]]:
    made = sa.create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(dsn))
    yield {"engine": made}
    made.dispose()


@contextmanager
def by_engine_and_dsn(dsn: str) -> Iterator[dict[str, Any]]:
    with engine(dsn, "psycopg2") as made:
        yield {"engine": made, "dsn": dsn}


KINDS = [value for name, value in list(globals().items()) if name.startswith("by_")]


def named(kind: Any) -> str:
    return str(kind.__name__).removeprefix("by_").replace("_", " ")


each = pytest.mark.parametrize("given", KINDS, ids=named)


def ask(connection: Any, sql: str) -> Any:
    """Run SQL on what a source lends, which is a psycopg or a SQLAlchemy connection."""
    if isinstance(connection, psycopg.Connection):
        with psycopg.Cursor(connection, row_factory=psycopg.rows.tuple_row) as cursor:
            return cursor.execute(sql).fetchone()
    return tuple(connection.exec_driver_sql(sql).fetchone())


INSERT = "INSERT INTO oban_leaders VALUES ('{}', 'node', now(), now()) RETURNING name"


@pytest.mark.parametrize("given", [kind for kind in KINDS if kind is not by_autocommit_pool], ids=named)
def test_a_lent_connection_commits_at_the_end_of_its_block_and_rolls_back_when_it_fails(
    given: Any, dsn: str, db: Any
) -> None:
    with given(dsn) as arguments:
        oban = Oban(**arguments, name="source")
        with oban._connection() as connection:
            ask(connection, INSERT.format("kept"))
            assert db.execute("SELECT name FROM oban_leaders").fetchall() == []
        with pytest.raises(ZeroDivisionError), oban._connection() as connection:
            ask(connection, INSERT.format(1 / bool(ask(connection, INSERT.format("undone")) == ())))
        oban.stop()
    assert db.execute("SELECT name FROM oban_leaders").fetchall() == [("kept",)]


@each
def test_a_client_enqueues_and_goes_on_after_a_failure(given: Any, dsn: str, db: Any) -> None:
    with given(dsn) as arguments:
        oban = Oban(**arguments, name="source")
        oban.enqueue(Job("a"))
        refused = Job("c")
        refused.queue = ""  # nobody checked that
        with pytest.raises(Exception, match="queue_length"):
            oban.enqueue_many(Job("b"), refused)
        oban.enqueue_many(Job("d"), Job("e"))
        oban.stop()
        oban.enqueue(Job("f")) if "pool" not in arguments else None
        oban.stop()
    workers = [row[0] for row in db.execute("SELECT worker FROM oban_jobs ORDER BY id").fetchall()]
    assert workers == ["a", "d", "e", "f"][: len(workers)]
    assert len(workers) >= 3


@each
def test_a_server_runs_jobs_over_connections_of_its_own(given: Any, dsn: str, db: Any, events: Events) -> None:
    with given(dsn) as arguments, Oban(**arguments, name="source", queues={"default": 2}) as oban:
        done = oban.enqueue(work.new())
        assert [meta["job"].id for meta in events.wait(1, "stop")] == [done.id]
        names = db.execute("SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()")
        assert len([name for (name,) in names.fetchall() if name.startswith("oban_sync:")]) >= 3


@each
def test_a_caller_s_connections_come_back_as_they_were_lent(given: Any, dsn: str) -> None:
    with given(dsn) as arguments:
        oban = Oban(**arguments, name="source")
        states = []
        for _ in range(2):
            with oban._connection() as connection:
                driver = connection if isinstance(connection, psycopg.Connection) else connection.connection
                states.append((driver.autocommit, getattr(connection, "row_factory", None)))
            oban.enqueue(Job("w"))
            with pytest.raises(ValueError, match="args"):
                oban.enqueue(Job("w", args={"a": {1}}))
        assert states[0] == states[1]
        oban.stop()


def test_a_pool_of_the_caller_s_stays_open_and_one_of_our_own_is_closed(dsn: str) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=2, open=True) as pool:
        oban = Oban(pool=pool, name="source")
        oban.enqueue(Job("w"))
        oban.stop()
        assert not pool.closed
        oban.enqueue(Job("w"))
    with pytest.raises(DatabaseUnavailable, match="closed"):
        oban.enqueue(Job("w"))

    own = Oban(dsn=dsn, name="source")
    own.enqueue(Job("w"))
    opened = own._source._pool
    own.stop()
    assert opened is not None
    assert opened.closed


def test_a_pool_is_closed_behind_those_who_are_about_to_ask_it(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who asks psycopg's pool while it is closed would wait for its whole timeout."""
    source = Source(dsn=dsn)
    asking, go_on = threading.Event(), threading.Event()
    pool = source._pool
    assert pool is not None
    getconn = pool.getconn

    def slowly(timeout: float | None = None) -> Any:
        asking.set()
        assert go_on.wait(20)
        assert not pool.closed
        return getconn(timeout)

    monkeypatch.setattr(pool, "getconn", slowly)
    with ThreadPoolExecutor(2) as threads:
        caller = threads.submit(lambda: _answer(source))
        assert asking.wait(20)
        closing = threads.submit(source.close)
        while source._pool is pool:  # until the close is under way
            time.sleep(0.001)
        assert not pool.closed
        go_on.set()
        assert caller.result(20) == (1,)
        closing.result(20)
    assert pool.closed
    assert _answer(source) == (1,)  # on another pool
    source.close()


def _answer(source: Source) -> Any:
    with source.connection() as connection:
        return connection.execute("SELECT 1").fetchone()


def test_an_instance_connects_to_nothing_before_it_is_used() -> None:
    before = threading.active_count()
    Oban(dsn="host=/nowhere", name="source")
    assert threading.active_count() == before


@pytest.mark.parametrize("count", [1, 500])
def test_without_conn_jobs_are_one_round_trip(count: int, dsn: str) -> None:
    with tapped(dsn) as tap, Oban.create_pool(tap.dsn, max_size=1) as pool:  # a pool with room opens a second one
        oban = Oban(pool=pool, name="source")
        oban.enqueue(Job("connects"))
        jobs = [Job("w") for _ in range(count)]
        assert tap.round_trips(lambda: oban.enqueue_many(jobs)) == 1


def test_threads_that_are_first_at_once_share_one_pool(dsn: str, db: Any) -> None:
    oban = Oban(dsn=dsn, name="source")
    barrier, failures = threading.Barrier(16), []

    def enqueue() -> None:
        try:
            barrier.wait()
            oban.enqueue(Job("w"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=enqueue) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (16,)
    oban.stop()
    mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while db.execute(mine).fetchone() != (0,):
        db.execute("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected one of pool=, dsn= and engine=, got none"),
        ({"pool": 1, "dsn": "x"}, "got pool and dsn"),
        ({"pool": 1, "engine": 1}, "got pool and engine"),
        ({"pool": 1, "dsn": "x", "engine": 1}, "got pool and dsn and engine"),
        ({"pool": "dbname=x"}, "expected pool= to be a psycopg_pool.ConnectionPool, got str"),
        ({"pool": psycopg.Connection}, "expected pool= to be a psycopg_pool.ConnectionPool, got type"),
        ({"dsn": 5}, "expected dsn= to be a str, got int"),
        ({"dsn": "what is this"}, "expected dsn= to be a libpq connection string or postgresql:// URI"),
        ({"dsn": "postgres://u:secret@h/x?nonsense=1"}, "expected dsn= to be a libpq connection string"),
        ({"engine": "postgresql://"}, "expected engine= to be a SQLAlchemy Engine, got str"),
        (
            {"engine": sa.create_engine("sqlite://")},
            "expected engine= for PostgreSQL over psycopg or psycopg2, got one for sqlite",
        ),
    ],
)
def test_what_gives_no_connections_is_refused_in_these_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Source(**given)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_engine_whose_connections_do_not_tell_asks_for_a_dsn(dsn: str) -> None:
    class Tells:
        """A driver that is neither psycopg nor psycopg2."""

        driver_connection = object()

    class Engine:
        class dialect:  # noqa: N801
            name, driver, is_async = "postgresql", "pg8000", False

        def begin(self) -> None: ...

        @contextmanager
        def connect(self) -> Iterator[Any]:
            yield type("Connection", (), {"connection": Tells})

    oban = Oban(engine=Engine(), name="source", queues={"default": 1})
    with pytest.raises(ConfigError, match="got one over pg8000: pass dsn= for the connections of the queues"):
        oban.start()


def test_an_unreachable_server_is_said_to_be_one_by_start() -> None:
    oban = Oban(dsn="host=/nowhere", name="source", queues={"default": 1})
    with pytest.raises(ConnectionError, match="nowhere"):
        oban.start()
    oban.stop()


# Forks ---------------------------------------------------------------------------------------------------------------

FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
import psycopg, psycopg2
from oban_sync import Job, Oban

kind, dsn = sys.argv[1:]

def made():
    from sqlalchemy import create_engine
    from psycopg_pool import ConnectionPool
    if kind == "dsn":
        return {"dsn": dsn}
    if kind == "pool":
        def configure(connection):
            connection.execute("SET application_name = 'configured'")
            connection.commit()
        return {"pool": ConnectionPool(dsn, min_size=3, max_size=6, configure=configure, open=True)}
    driver = {"engine over psycopg": psycopg, "engine over psycopg2": psycopg2}[kind]
    return {"engine": create_engine("postgresql+" + driver.__name__ + "://", creator=lambda: driver.connect(dsn))}

oban = Oban(**made())
backends, wrong = set(), []

def ask(number):
    sql = f"SELECT {number}, pg_backend_pid(), current_setting('application_name')"
    with oban._connection() as connection:
        execute = getattr(connection, "exec_driver_sql", connection.execute)
        answer, backend, application = execute(sql).fetchone()
    if answer != number or (kind == "pool" and application != "configured"):
        wrong.append((number, answer, application))
    backends.add(backend)

def hammer(base, who):
    for number in range(base, base + 60):
        ask(number)
        oban.enqueue(Job(who, args={"number": number}))

def work(who, base):
    workers = [threading.Thread(target=hammer, args=(base + 1000 * i, who)) for i in range(3)]
    for worker in workers:
        worker.start()
    return workers

for number in range(3):
    ask(number)  # the pool has connections, and no thread imports anything while its process forks
    oban.enqueue(Job("before"))
reading, writing = os.pipe()
running = work("parent", 10_000)
child = os.fork()
if child == 0:
    backends.clear()
    wrong.clear()
    for worker in work("child", 50_000):
        worker.join()
    os.write(writing, repr((sorted(backends), wrong)).encode())
    oban.stop()
    sys.exit(0)  # an end with all its destructors: none of them may touch what is the parent's
for worker in running:
    worker.join()
_, status = os.waitpid(child, 0)
ask(1)
hammer(90_000, "after")
theirs, their_wrong = eval(os.read(reading, 100_000).decode())
assert status == 0, status
assert (wrong, their_wrong) == ([], []), (wrong, their_wrong)
assert theirs and not backends & set(theirs), (backends, theirs)
oban.stop()
print("done")
"""


@pytest.mark.parametrize("kind", ["dsn", "pool", "engine over psycopg", "engine over psycopg2"])
def test_a_forked_child_and_its_parent_use_the_database_at_once_on_connections_of_their_own(
    kind: str, dsn: str, db: Any
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, kind, dsn], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
    counts = dict(db.execute("SELECT worker, count(DISTINCT args) FROM oban_jobs GROUP BY worker").fetchall())
    assert counts == {"before": 1, "parent": 180, "child": 180, "after": 60}


def test_a_child_of_a_child_has_connections_of_its_own_too(dsn: str, db: Any) -> None:
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
from oban_sync import Job, Oban
oban = Oban(dsn=sys.argv[1])
for generation in range(3):
    oban.enqueue(Job(f"generation {generation}"))
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        oban.enqueue(Job(f"again {generation}"))
        oban.stop()
        sys.exit(os.waitstatus_to_exitcode(status))
oban.enqueue(Job("last"))
oban.stop()
"""
    done = subprocess.run([sys.executable, "-c", code, dsn], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    workers = [row[0] for row in db.execute("SELECT worker FROM oban_jobs ORDER BY id").fetchall()]
    assert workers == ["generation 0", "generation 1", "generation 2", "last", "again 2", "again 1", "again 0"]
