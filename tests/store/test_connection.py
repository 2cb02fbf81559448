"""A link lives on after what PostgreSQL refuses."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from oban_sync.errors import DatabaseRefused, DatabaseUnavailable
from oban_sync.store import connection
from oban_sync.store.connection import Link, create_pool


def test_a_link_prepares_anew_after_a_migration(dsn: str, db: psycopg.Connection) -> None:
    """PostgreSQL refuses a prepared statement whose columns changed, for as long as the session lasts."""
    db.execute("CREATE TABLE changing (n smallint)")
    link = Link(dsn, name="oban_sync:test")
    try:
        assert link.execute("SELECT n FROM changing") == []
        db.execute("ALTER TABLE changing ALTER n TYPE bigint")
        with pytest.raises(DatabaseRefused, match="cached plan"):
            link.execute("SELECT n FROM changing")
        assert link.execute("SELECT n FROM changing") == []
    finally:
        link.close()
        db.execute("DROP TABLE changing")


def test_a_pool_lends_no_connection_that_postgresql_has_ended(dsn: str, db: psycopg.Connection) -> None:
    with create_pool(dsn, min_size=2, max_size=2) as pool:
        pool.wait()
        with pool.connection() as one, pool.connection() as other:
            ended = [one.info.backend_pid, other.info.backend_pid]
        db.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", (ended,))
        with pool.connection() as lent:
            assert lent.execute("SELECT pg_backend_pid()").fetchone() not in [(pid,) for pid in ended]


def test_what_is_done_meanwhile_is_done_after_postgresql_was_asked(
    dsn: str, db: psycopg.Connection, eventually: Callable[..., object]
) -> None:
    link = Link(dsn, name="oban_sync:test")
    asked = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"

    def wait_until_it_works() -> None:
        eventually(lambda: db.execute(asked).fetchone())

    try:
        calls = [("SELECT 'locked' FROM pg_advisory_xact_lock(4711)", None), ("SELECT 'answered'", None)]
        assert link.execute_all(calls, meanwhile=wait_until_it_works) == [[("locked",)], [("answered",)]]
    finally:
        link.close()


def test_a_link_that_waits_for_news_waits_for_no_answer(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a watchdog would break a connection on which nothing is notified for a while."""
    link, waits = Link(dsn, name="oban_sync:test"), []

    def readable(*_: object) -> bool:
        waits.append(link.waiting())
        return True

    try:
        link.listen(["news"])
        monkeypatch.setattr(connection, "_readable", readable)
        assert link.notifications(60, 0) == []
        assert waits == [0.0]
    finally:
        link.close()


def test_the_first_statement_of_a_link_is_watched_too(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(dsn, name="oban_sync:test")
    rows = connection._rows

    def silent(cursor: psycopg.Cursor[object]) -> object:
        assert link.waiting() > 0
        link.interrupt()
        cursor.execute("SELECT 1")
        return rows(cursor)

    try:
        with monkeypatch.context() as watched:
            watched.setattr(connection, "_rows", silent)
            with pytest.raises(DatabaseUnavailable):
                link.connect()
        assert (link.connected, link.waiting()) == (False, 0.0)
        assert link.execute("SELECT 1") == [(1,)]
    finally:
        link.close()
