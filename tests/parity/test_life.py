"""What Oban does of its own accord in the life of a job and of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, current_job, telemetry, worker
from oban_sync.lifecycle import stage
from tests.conftest import Events


@worker(name="parity.Note")
class Note:
    def process(self, job: Job) -> None: ...


@worker(name="parity.Fail")
class Fail:
    def process(self, job: Job) -> None:
        raise ValueError("it always does")


@pytest.fixture
def server(dsn: str) -> Iterator[Oban]:
    with Oban(dsn=dsn, queues={"default": 2}, stager={"interval": 0.1}) as oban:
        yield oban


def test_the_current_job_is_known_to_handlers_of_its_events(server: Oban, eventually: Callable[..., Any]) -> None:
    seen: list[tuple[str, int]] = []
    names = ["oban.job.start", "oban.job.stop", "oban.job.exception"]
    telemetry.attach("parity", names, lambda name, meta: seen.append((name, current_job().id)))
    first, second = server.enqueue(Note.new()), server.enqueue(Fail.new())
    eventually(lambda: len(seen) == 4)
    telemetry.detach("parity")
    start, stop, exception = names
    assert sorted(seen) == sorted([(start, first.id), (stop, first.id), (start, second.id), (exception, second.id)])
    assert current_job() is None


def test_an_entry_of_errors_has_the_keys_of_oban(server: Oban, events: Events, eventually: Callable[..., Any]) -> None:
    job = server.enqueue(Fail.new())
    events.wait(1, "job.exception")
    (error,) = eventually(lambda: server.get_job(job.id).errors)
    assert error.keys() == {"attempt", "at", "error"}
    assert error["attempt"] == 1
    assert abs(datetime.fromisoformat(error["at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert error["error"].startswith("Traceback (most recent call last):")
    assert error["error"].rstrip().endswith("ValueError: it always does")


def test_a_job_without_attempts_left_is_not_run(server: Oban, db: psycopg.Connection, events: Events) -> None:
    spent = db.execute(
        "INSERT INTO oban_jobs (worker, attempt, max_attempts) VALUES ('parity.Note', 3, 3) RETURNING id"
    ).fetchone()
    later = server.enqueue(Note.new(priority=9))
    assert [meta["job"].id for meta in events.wait(1, "job.stop")] == [later.id]
    assert server.get_job(spent[0]).state in ("available", "discarded")


def test_queues_run_while_nothing_can_be_staged(
    dsn: str, db: psycopg.Connection, events: Events, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """They look for jobs that nobody told them of, too."""
    tries = []

    def refuse(*_: Any, **__: Any) -> None:
        tries.append(None)
        raise RuntimeError("nothing is staged in this test")

    with monkeypatch.context() as broken:
        broken.setattr(stage, "stage", refuse)
        with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 0.05}) as oban:
            scheduled = oban.enqueue(Note.new(scheduled_in=0.01))
            eventually(lambda: len(tries) > 2)
            (id,) = db.execute("INSERT INTO oban_jobs (worker) VALUES ('parity.Note') RETURNING id").fetchone()
            assert events.wait(1, "job.stop")[0]["job"].id == id
            broken.undo()
            assert events.wait(2, "job.stop")[1]["job"].id == scheduled.id


def test_a_connection_is_lent(oban: Oban) -> None:
    with oban._connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
