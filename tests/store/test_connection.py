"""A link lives on after what PostgreSQL refuses."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from oban_sync.errors import DatabaseRefused
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
        with pool.connection() as connection:
            assert connection.execute("SELECT pg_backend_pid()").fetchone() not in [(pid,) for pid in ended]


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
