"""Jobs are staged at their instant, by whomever they were scheduled, and never early."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, worker
from tests.conftest import Events


@worker(name="scheduler.Note")
class Note:
    def process(self, job: Job) -> None:
        """Only its time matters."""


@pytest.fixture
def server(dsn: str) -> Iterator[Oban]:
    """A node that by itself looks for due jobs once in ten minutes."""
    with Oban(dsn=dsn, queues={"default": 5}, stager={"interval": 600}) as oban:
        yield oban


def early(db: psycopg.Connection) -> int:
    found = db.execute("SELECT count(*) FROM oban_jobs WHERE attempted_at < scheduled_at").fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize(
    "when",
    [
        {"schedule_in": 0.2},
        {"scheduled_in": timedelta(milliseconds=150)},
        {"schedule_in": 0},
        {"scheduled_at": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
    ids=str,
)
def test_a_scheduled_job_runs_at_its_instant(
    server: Oban, events: Events, db: psycopg.Connection, when: dict[str, Any]
) -> None:
    assert Note.enqueue(**when).state == "scheduled"
    events.wait(1, "stop")
    assert early(db) == 0


def test_earlier_jobs_announced_later_do_not_wait(server: Oban, events: Events) -> None:
    for delay in (3600, 9, 0.3, 0.1):
        Note.enqueue({"delay": delay}, schedule_in=delay)
    found = events.wait(2, "start")
    assert [meta["job"].args["delay"] for meta in found] == [0.1, 0.3]


def test_a_job_that_another_process_schedules_is_on_time(server: Oban, dsn: str, events: Events, db: Any) -> None:
    code = f"from oban_sync import Oban, Job; Oban(dsn={dsn!r}).enqueue(Job('scheduler.Note', scheduled_in=0.2))"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
    events.wait(1, "stop")
    assert early(db) == 0


def test_a_node_stages_for_queues_that_other_nodes_run(dsn: str, events: Events) -> None:
    with (
        Oban(dsn=dsn, name="a", queues={"one": 1}, stager={"interval": 600}),
        Oban(dsn=dsn, name="b", queues={"two": 1}, stager={"interval": 600}),
    ):
        Oban(dsn=dsn, name="client").enqueue_many(
            Note.new(queue=queue, schedule_in=0.1) for queue in ("one", "two") for _ in range(5)
        )
        events.wait(10, "stop")


def test_a_burst_beyond_the_limit_is_staged_whole(dsn: str, events: Events, oban: Oban) -> None:
    oban.enqueue_many(Note.new(schedule_in=0.05) for _ in range(50))
    with Oban(dsn=dsn, name="server", queues={"default": 10}, stager={"interval": 600, "limit": 7}):
        events.wait(50, "stop")


def test_jobs_that_nobody_announced_run_at_the_next_look(dsn: str, db: psycopg.Connection, events: Events) -> None:
    with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 0.2}):
        db.execute(
            "INSERT INTO oban_jobs (worker, state) SELECT 'scheduler.Note', state::oban_job_state"
            " FROM unnest(ARRAY['scheduled', 'available']) AS state"
        )
        events.wait(2, "stop")


def test_a_job_that_is_never_due_keeps_no_other_waiting(server: Oban, db: psycopg.Connection, events: Events) -> None:
    db.execute("INSERT INTO oban_jobs (worker, state, scheduled_at) VALUES ('w', 'scheduled', 'infinity')")
    Note.enqueue(schedule_in=0.1)
    events.wait(1, "stop")


def test_threads_are_named_after_instance_queue_and_role(server: Oban) -> None:
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("oban-")}
    assert names >= {"oban-Oban-scheduler", "oban-Oban-notifier", "oban-Oban-heartbeat", "oban-Oban-default-producer"}
