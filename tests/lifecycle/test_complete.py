"""A transaction that completes its job: effects and end together or not at all, whatever connection carries them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import psycopg
import psycopg2
import pytest
from django.db import connection, transaction
from psycopg_pool import ConnectionPool
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from oban_sync import Cancel, Job, Oban, Record, Snooze, worker
from oban_sync.errors import JobError
from tests.store.callers import django_on

INSERT = "INSERT INTO effects (job) VALUES ({})"

_does: dict[str, Callable[[Job], Any]] = {}


@worker(name="complete.Does", max_attempts=2)
class Does:
    def process(self, job: Job) -> Any:
        return _does["it"](job)


@pytest.fixture(autouse=True)
def effects(db: psycopg.Connection) -> Callable[[], int]:
    db.execute("CREATE TABLE effects (job bigint)")
    return lambda: db.execute("SELECT count(*) FROM effects").fetchone()[0]


@pytest.fixture
def server(dsn: str) -> Iterator[Oban]:
    with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 60}, shutdown_grace_period=5) as oban:
        yield oban


@pytest.fixture
def ends(db: psycopg.Connection, eventually: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    """Run a job that does something, and give its row at its end."""

    def run(what: Callable[[Job], Any]) -> tuple[Any, ...]:
        _does["it"] = what
        job = Does.enqueue()

        def ended() -> Any:
            row = db.execute("SELECT state::text, attempt, errors, meta FROM oban_jobs WHERE id = %s", (job.id,))
            found = row.fetchone()
            return found if found[0] not in ("available", "executing") else None

        return eventually(ended)

    return run


def test_effects_are_there_once_the_job_is_completed(server: Oban, ends: Any, effects: Any) -> None:
    def work(job: Job) -> None:
        with job.transaction() as conn:
            conn.execute("INSERT INTO effects (job) VALUES (%s)", (job.id,))
            assert effects() == 0

    assert ends(work) == ("completed", 1, [], {})
    assert effects() == 1
    assert server._service.producers["default"].ends.refused == 0


def test_an_error_in_the_block_undoes_the_effects_and_fails_the_attempt(server: Oban, ends: Any, effects: Any) -> None:
    def work(job: Job) -> None:
        with job.transaction() as conn:
            conn.execute("INSERT INTO effects (job) VALUES (%s)", (job.id,))
            raise ValueError("no")

    state, _, errors, _ = ends(work)
    assert state == "retryable"
    assert "ValueError: no" in errors[0]["error"]
    assert effects() == 0


def test_a_run_may_try_again_after_an_error_that_it_catches(server: Oban, ends: Any, effects: Any) -> None:
    def work(job: Job) -> None:
        for statement in ("INSERT INTO nowhere VALUES (1)", INSERT.format(1)):
            try:
                with job.transaction() as conn:
                    conn.execute(statement)
            except psycopg.errors.UndefinedTable:
                continue

    assert ends(work)[0] == "completed"
    assert effects() == 1


@pytest.mark.parametrize(
    "change", ["attempt = attempt + 1", "attempted_by = ARRAY['n', 'other']", "state = 'available'"]
)
def test_a_job_that_is_no_longer_ours_undoes_the_effects(
    server: Oban, db: psycopg.Connection, eventually: Any, effects: Any, change: str
) -> None:
    raised: list[BaseException] = []

    def work(job: Job) -> None:
        try:
            with job.transaction() as conn:
                conn.execute(INSERT.format(job.id))
                db.execute(f"UPDATE oban_jobs SET {change}, queue = 'other'")
        except BaseException as error:
            raised.append(error)
            raise

    _does["it"] = work
    Does.enqueue()
    eventually(lambda: server._service.producers["default"].ends.refused == 1)
    assert effects() == 0
    assert [type(error).__name__ for error in raised] == ["LeaseLost"]
    assert db.execute("SELECT errors, completed_at FROM oban_jobs").fetchone() == ([], None)


@pytest.mark.parametrize("after", [Snooze(60), Cancel("no"), Record(1), 7])
def test_what_is_returned_after_the_transaction_is_too_late(
    server: Oban, ends: Any, effects: Any, caplog: pytest.LogCaptureFixture, after: object
) -> None:
    def work(job: Job) -> object:
        with job.transaction() as conn:
            conn.execute(INSERT.format(job.id))
        return after

    assert ends(work) == ("completed", 1, [], {})
    assert effects() == 1
    server.stop()
    assert ("is ignored" in caplog.text) is (after != 7)
    assert "no longer ours" not in caplog.text


def test_what_is_raised_after_the_transaction_is_logged(
    server: Oban, ends: Any, effects: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def work(job: Job) -> None:
        with job.transaction() as conn:
            conn.execute(INSERT.format(job.id))
        raise ValueError("too late")

    assert ends(work) == ("completed", 1, [], {})
    server.stop()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "ValueError: too late" in record.getMessage()
    assert effects() == 1


def test_a_second_transaction_is_refused(server: Oban, ends: Any, effects: Any) -> None:
    raised: list[BaseException] = []

    def work(job: Job) -> None:
        with job.transaction() as conn:
            conn.execute(INSERT.format(1))
        try:
            with job.transaction() as conn:
                conn.execute(INSERT.format(2))
        except JobError as error:
            raised.append(error)

    assert ends(work)[0] == "completed"
    assert effects() == 1
    assert "completed already" in str(raised[0])


def engine(dsn: str, driver: Any = psycopg, **options: Any) -> Engine:
    url = f"postgresql+{driver.__name__}://"
    return create_engine(url, creator=lambda: driver.connect(dsn), poolclass=NullPool, **options)


CALLERS: dict[str, Callable[[str], Any]] = {
    "session": lambda dsn: Session(engine(dsn)),
    "scoped_session": lambda dsn: scoped_session(sessionmaker(engine(dsn, psycopg2))),
    "connection": lambda dsn: engine(dsn, psycopg2).connect(),
    "psycopg": lambda dsn: psycopg.connect(dsn),
    "psycopg in autocommit": lambda dsn: psycopg.connect(dsn, autocommit=True),
    "psycopg2": lambda dsn: psycopg2.connect(dsn),
}


def execute(conn: Any, statement: str) -> None:
    if isinstance(conn, psycopg2.extensions.connection):
        conn.cursor().execute(statement)
    else:
        conn.execute(statement if isinstance(conn, psycopg.Connection) else text(statement))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", CALLERS)
def test_a_handle_of_the_callers_carries_it(
    server: Oban, dsn: str, ends: Any, effects: Any, name: str, fails: bool
) -> None:
    conn = CALLERS[name](dsn)

    def work(job: Job) -> None:
        with job.transaction(conn) as given:
            assert given is conn
            execute(conn, INSERT.format(job.id))
            if fails:
                raise ValueError("no")

    try:
        assert ends(work)[0] == ("retryable" if fails else "completed")
        assert effects() == (0 if fails else 1)
    finally:
        conn.close()


def test_a_transaction_that_the_caller_began_is_committed(server: Oban, dsn: str, ends: Any, effects: Any) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute(INSERT.format(1))

        def work(job: Job) -> None:
            with job.transaction(conn):
                conn.execute(INSERT.format(2))

        assert ends(work)[0] == "completed"
        assert effects() == 2


@pytest.mark.parametrize("nested", [False, True])
def test_djangos_connection_carries_it_unless_a_block_of_the_callers_ends_later(
    server: Oban, dsn: str, ends: Any, effects: Any, nested: bool
) -> None:
    refused: list[BaseException] = []

    def work(job: Job) -> None:
        with django_on(dsn):
            try:
                with transaction.atomic() if nested else nullcontext(), job.transaction(connection):
                    connection.cursor().execute(INSERT.format(job.id))
            except RuntimeError as error:
                refused.append(error)

    assert ends(work)[0] == "completed"
    assert effects() == (0 if nested else 1)
    assert len(refused) == nested


@pytest.mark.parametrize("kind", ["cursor", "autocommit", "engine in autocommit", "nothing"])
def test_a_handle_that_cannot_carry_it_fails_the_attempt_before_anything_is_done(
    server: Oban, dsn: str, ends: Any, effects: Any, kind: str
) -> None:
    plain = psycopg2.connect(dsn)
    session = Session(engine(dsn, psycopg2, isolation_level="AUTOCOMMIT"))
    conn: Any = plain.cursor()
    if kind == "autocommit":
        plain.autocommit = True
        conn = plain
    elif kind != "cursor":
        conn = session if kind.startswith("engine") else object()

    def work(job: Job) -> None:
        with job.transaction(conn):
            raise AssertionError("the block must not begin")

    state, _, errors, _ = ends(work)
    session.close()
    plain.close()
    assert state == "retryable"
    assert "HandleError: expected conn=" in errors[0]["error"]


@pytest.mark.parametrize("given", [False, True])
def test_an_instance_with_an_engine_needs_the_callers_session(dsn: str, ends: Any, effects: Any, given: bool) -> None:
    own = engine(dsn)

    def work(job: Job) -> None:
        with Session(own) as session, job.transaction(session if given else None) as conn:
            conn.execute(text(INSERT.format(job.id)))

    with Oban(engine=own, queues={"default": 1}):
        state, _, errors, _ = ends(work)
    assert state == ("completed" if given else "retryable")
    assert given or "job.transaction(session)" in errors[0]["error"]


def test_a_pool_of_the_callers_lends_the_connection(dsn: str, ends: Any, effects: Any) -> None:
    def work(job: Job) -> None:
        with job.transaction() as conn:
            conn.execute(INSERT.format(job.id))

    with ConnectionPool(dsn, kwargs={"autocommit": True}, open=True) as pool, Oban(pool=pool, queues={"default": 1}):
        assert ends(work)[0] == "completed"
    assert effects() == 1


def test_a_job_that_does_not_run_has_no_transaction() -> None:
    with pytest.raises(JobError, match="expected a running job"):
        Job("w").transaction()
