"""What the heartbeat does beside its beats: jobs of long runs are kept from nodes that go by the age of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, worker
from oban_sync.lifecycle import rescue
from oban_sync.runtime import heartbeat

going = threading.Event()


@worker(name="heartbeat.Hold")
class Hold:
    def process(self, job: Job) -> None:
        going.wait(60)


def test_a_long_run_is_renewed_until_it_ends_though_its_node_stops(
    dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "RENEW_AGE", 0.2)
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.1)
    going.clear()
    with Oban(dsn=dsn, queues={"default": 1}, shutdown_grace_period=0.0) as oban:
        job = oban.enqueue(Hold.new())
        eventually(lambda: oban.get_job(job.id).state == "executing")
        began = oban.get_job(job.id).attempted_at
        db.execute("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'oban', 'other')")

        def renewed() -> Any:
            return db.execute("SELECT meta ->> 'renewed_at' FROM oban_jobs").fetchone()[0]

        first = eventually(renewed)
    eventually(lambda: renewed() > first)
    going.set()
    with Oban(dsn=dsn, name="reader") as reader:
        eventually(lambda: reader.get_job(job.id).state == "completed")
        assert (reader.get_job(job.id).attempted_at, reader.get_job(job.id).attempt) == (began, 1)
