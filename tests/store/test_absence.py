"""Where tables or parts of them are missing, every verb says so in one sentence with the command that makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import psycopg2
import pytest
import sqlalchemy
from sqlalchemy import orm

from oban_sync import Job, Oban, cron, testing
from oban_sync.errors import DatabaseRefused, SchemaMissing
from oban_sync.lifecycle.cron import Rules, Term, tick
from oban_sync.periodic import Periodic
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

Verb = Callable[..., Any]

JOBS: dict[str, Verb] = {
    "enqueue": lambda oban, **way: oban.enqueue(Job("w"), **way),
    "enqueue_many": lambda oban, **way: oban.enqueue_many([Job("w") for _ in range(1000)], **way),
    "get_job": lambda oban, **way: oban.get_job(1, **way),
    "list_jobs": lambda oban, **way: oban.list_jobs(queue="mail", **way),
    "count_jobs": lambda oban, **way: oban.count_jobs(**way),
    "retry_job": lambda oban, **way: oban.retry_job(1, **way),
    "retry_many_jobs": lambda oban, **way: oban.retry_many_jobs(state="discarded", **way),
    "cancel_job": lambda oban, **way: oban.cancel_job(1, **way),
    "delete_job": lambda oban, **way: oban.delete_job(1, **way),
    "update_job": lambda oban, **way: oban.update_job(1, {"priority": 1}, **way),
    "explain_job": lambda oban, **way: oban.explain_job(1, **way),
    "overview": lambda oban, **way: oban.overview(**way),
}
"""Verbs that take `conn=`."""
OTHERS: dict[str, Verb] = {
    "diagnose": lambda oban: oban.diagnose(),
    "all_enqueued": lambda oban: testing.all_enqueued(oban=oban),
    "drain_queue": lambda oban: testing.drain_queue("mail", oban),
    "reset_oban": lambda oban: testing.reset_oban(oban),
}


def told(oban: Oban, verbs: dict[str, Verb], says: str, **way: Any) -> None:
    """Check what each of these verbs raises."""
    for name, verb in verbs.items():
        with pytest.raises(SchemaMissing) as caught:
            verb(oban, **way)
        assert says in str(caught.value), name
        assert isinstance(caught.value, DatabaseRefused), name
        if (connection := way.get("conn")) is not None:
            connection.rollback()


@pytest.fixture
def absent(empty_dsn: str) -> Iterator[Oban]:
    """A client of a database without tables."""
    oban = Oban(dsn=empty_dsn, name="absent")
    yield oban
    oban.stop()


def test_without_tables_every_verb_names_the_table_and_the_command(absent: Oban) -> None:
    says = "The 'oban_jobs' table is missing in schema 'public'"
    told(absent, {**JOBS, **OTHERS}, says)
    told(absent, JOBS, f"{says}: run `oban-sync install --dsn ...` first")


def test_in_a_schema_that_is_not_there_the_command_names_it(empty_dsn: str) -> None:
    oban = Oban(dsn=empty_dsn, name="absent", prefix="jobs")
    says = "The 'oban_jobs' table is missing in schema 'jobs'"
    told(oban, {**JOBS, **OTHERS}, says)
    told(oban, JOBS, f"{says}: run `oban-sync install --dsn ... --prefix jobs` first")
    oban.stop()


@pytest.mark.parametrize("driver", [psycopg, psycopg2], ids=lambda driver: driver.__name__)
def test_every_kind_of_connection_is_told_the_same(empty_dsn: str, absent: Oban, driver: Any) -> None:
    engine = sqlalchemy.create_engine(
        f"postgresql+{driver.__name__}://", creator=lambda: driver.connect(empty_dsn), poolclass=sqlalchemy.NullPool
    )
    says = "The 'oban_jobs' table is missing in schema 'public'"
    with driver.connect(empty_dsn) as connection, orm.Session(engine) as session:
        told(absent, JOBS, says, conn=connection)
        told(absent, JOBS, says, conn=session)
    connection.close()
    other = Oban(engine=engine, name="engine")
    told(other, JOBS, says)
    other.stop()


def test_a_table_that_alone_is_missing_is_named(oban: Oban, dsn: str, db: psycopg.Connection) -> None:
    db.execute("DROP TABLE oban_producers, oban_sync_crons, oban_sync_queues")
    oban.enqueue(Job("w"))
    told(oban, {"overview": JOBS["overview"]}, "The 'oban_producers' table is missing")
    told(oban, {"pause": lambda oban: oban.pause_queue("a", durable=True)}, "The 'oban_sync_queues' table is missing")
    nightly = cron.parse("@daily")
    entry = Periodic(nightly.name("w"), "w", nightly, "Oban", lambda: Job("w"))
    link = Link(dsn, name="oban_sync:test")
    with pytest.raises(SchemaMissing, match="The 'oban_sync_crons' table is missing in schema 'public': run"):
        tick(link, Statements(), [entry], rules=Rules(), term=Term(datetime.now(UTC)))
    link.close()


def test_a_column_or_function_that_is_missing_is_named(oban: Oban, db: psycopg.Connection) -> None:
    db.execute("ALTER TABLE oban_jobs RENAME COLUMN scheduled_at TO due_at")
    verbs = {name: JOBS[name] for name in ("enqueue", "enqueue_many", "retry_job", "explain_job")}
    told(oban, verbs, "The tables lack what oban_sync needs: column ")
    told(oban, verbs, "scheduled_at")
    told(oban, verbs, "run `oban-sync install --dsn ...` first")
    db.execute("ALTER TABLE oban_jobs RENAME COLUMN due_at TO scheduled_at")  # another test gets this database


def test_what_a_trigger_of_the_users_lacks_is_not_taken_for_ours(oban: Oban, db: psycopg.Connection) -> None:
    job = oban.enqueue(Job("w"))
    for body, says in (("NEW.nothing := 1;", "nothing"), ("INSERT INTO audit VALUES (1);", "audit")):
        db.execute(
            f"CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$"
        )
        db.execute("CREATE OR REPLACE TRIGGER audit BEFORE UPDATE ON oban_jobs FOR EACH ROW EXECUTE FUNCTION audit()")
        with pytest.raises(DatabaseRefused, match=says) as caught:
            oban.cancel_job(job)
        assert not isinstance(caught.value, SchemaMissing)
