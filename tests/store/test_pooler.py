"""Behind a pooler that shares sessions, nothing of ours outlives a transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban
from oban_sync.errors import DatabaseRefused
from oban_sync.store.connection import Link
from tests.chaos import pooler

pytestmark = pytest.mark.skipif(pooler.program() is None, reason=pooler.MISSING)


@pytest.fixture
def through(dsn: str) -> Iterator[str]:
    """The way through a PgBouncer in transaction mode that shares two sessions."""
    with pooler.pooled(dsn, sessions=2) as found:
        yield found


def ask(through: str, query: str) -> set[Any]:
    """Ask each session of the server by holding them at the same time."""
    with ExitStack() as held:
        connections = [held.enter_context(psycopg.connect(through, prepare_threshold=None)) for _ in range(2)]
        return {connection.execute(query).fetchone()[0] for connection in connections}


def test_a_link_knows_that_a_pooler_stands_between(dsn: str, through: str) -> None:
    for way, pooled in ((dsn, False), (through, True)):
        link = Link(way, name="test")
        assert link.execute("SELECT 1") == [(1,)]
        assert link.pooled is pooled
        link.close()


def test_links_leave_no_statement_and_no_setting_in_a_session_that_others_use(through: str) -> None:
    links = [Link(through, name=f"test {number}", lock_timeout="7s") for number in range(4)]
    for _ in range(5):
        for number, link in enumerate(links):
            assert link.execute("SELECT %s::int", (number,)) == [(number,)]
            assert link.execute_all([("SELECT %s::int + 1", (number,)), ("SELECT 'x'", None)]) == [
                [(number + 1,)],
                [("x",)],
            ]
    assert ask(through, "SELECT count(*) FROM pg_prepared_statements") == {0}
    assert ask(through, "SELECT current_setting('lock_timeout')") == {"0"}
    for link in links:
        assert link.execute("SELECT current_setting('lock_timeout')") == [("7s",)]
        with link.transaction() as connection:
            assert connection.execute("SELECT current_setting('lock_timeout')").fetchone() == ("7s",)
        link.close()


def test_what_a_link_does_together_is_one_transaction(through: str, db: psycopg.Connection) -> None:
    link = Link(through, name="test")
    with pytest.raises(DatabaseRefused):
        link.execute_all([("INSERT INTO oban_jobs (worker) VALUES ('together')", None), ("SELECT 1 / 0", None)])
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
    assert link.execute("SELECT 1") == [(1,)]
    link.close()


def test_threads_enqueue_through_it(through: str, db: psycopg.Connection) -> None:
    oban, failures = Oban(dsn=through, name="pooler"), []

    def enqueue() -> None:
        try:
            for number in range(30):
                oban.enqueue(Job("pooler", args={"number": number}))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=enqueue) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    oban.stop()
    assert failures == []
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (180,)


def test_a_statement_of_another_session_is_not_looked_for_twice(dsn: str) -> None:
    """A pooler that tells the true process of a session, and yet changes it, shows by a statement that is not there."""
    link = Link(dsn, name="test")
    for _ in range(2):
        assert link.execute("SELECT 5") == [(5,)]
    link.connect().pgconn.exec_(b"DEALLOCATE ALL")
    with pytest.raises(DatabaseRefused):
        link.execute("SELECT 5")
    for _ in range(2):
        assert link.execute("SELECT 5") == [(5,)]
        link.connect().pgconn.exec_(b"DEALLOCATE ALL")
    link.close()
