"""What Oban does wrong or not at all, and is done right here, where no test of a part shows it by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import set_json_dumps, set_json_loads

from oban_sync import Job, Oban, job, telemetry, worker
from tests.conftest import Events

both = threading.Barrier(2)


@worker(name="gaps.Note")
class Note:
    seen: Any = None

    def process(self, job: Job) -> None:
        Note.seen = job.args


@job(name="gaps.meet")
def meet() -> None:
    both.wait(10)


def test_functions_run_at_the_same_time(dsn: str, events: Events) -> None:
    with Oban(dsn=dsn, queues={"default": 2}):
        meet.enqueue()
        meet.enqueue()
        assert [meta["state"] for meta in events.wait(2, "job.stop")] == ["completed"] * 2


@pytest.fixture
def other_json() -> Iterator[None]:
    """A JSON library that psycopg was given for the whole process, and that reads and writes nothing as it should."""
    set_json_dumps(lambda value: '"other"')
    set_json_loads(lambda text: "other")
    yield
    set_json_dumps(json.dumps)
    set_json_loads(json.loads)


def test_args_are_the_same_whatever_json_library_psycopg_was_given(
    dsn: str, db: psycopg.Connection, other_json: None, events: Events
) -> None:
    args = {"id": UUID(int=1), "at": datetime(2026, 1, 1, tzinfo=UTC), "list": [1, 2.5, None, "ä"]}
    plain = {"id": str(UUID(int=1)), "at": "2026-01-01T00:00:00+00:00", "list": [1, 2.5, None, "ä"]}
    with Oban(dsn=dsn, queues={"default": 1}) as oban:
        Note.enqueue(args, meta={"m": [1]})
        with psycopg.connect(dsn) as connection:
            lent = Note.enqueue(args, conn=connection)
        events.wait(2, "job.stop")
        assert Note.seen == plain
        assert [(found.args, found.meta) for found in oban.list_jobs(order="asc")] == [(plain, {"m": [1]}), (plain, {})]
        assert oban.update_job(lent.id, lambda now: {"args": {**now.args, "more": 1}}).args == {**plain, "more": 1}
    rows = [json.loads(text) for (text,) in db.execute("SELECT args::text FROM oban_jobs ORDER BY id")]
    assert rows == [plain, {**plain, "more": 1}]


def test_ends_are_written_many_at_a_time(dsn: str, events: Events) -> None:
    seen = Events()
    telemetry.attach("acks", ["oban.producer.ack.stop"], seen)
    with Oban(dsn=dsn, queues={"default": {"limit": 5, "paused": True}}) as oban:
        oban.enqueue_many(Note.new() for _ in range(300))
        oban.resume_queue("default")
        events.wait(300, "job.stop")
    telemetry.detach("acks")
    counts = [meta["count"] for _, meta in seen.seen]
    assert sum(counts) == 300
    assert len(counts) < 150


def test_a_queue_may_have_quotes_in_its_name(dsn: str, events: Events, eventually: Callable[..., Any]) -> None:
    """Notifications alone wake it, and reach it too."""
    name = """a "b" \\ {c} 'd' %s \t ä"""
    with Oban(dsn=dsn, queues={name: 1, "plain": 1}, stager={"interval": 600}) as oban:
        oban.enqueue(Note.new(queue=name))
        events.wait(1, "job.stop")
        oban.enqueue(Note.new(queue=name, scheduled_in=0.01))
        events.wait(2, "job.stop")
        oban.pause_queue(name)
        eventually(lambda: oban.check_queue(name).paused)
        waiting = oban.enqueue(Note.new(queue=name))
        oban.enqueue(Note.new(queue="plain"))
        events.wait(3, "job.stop")
        assert oban.get_job(waiting.id).state == "available"
        oban.resume_queue(name)
        events.wait(4, "job.stop")
