"""PostgreSQL goes away under load and comes back: nothing is lost, nothing of what was acknowledged runs again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, embedded, schema, worker

JOBS = 2000
_lock = threading.Lock()
_runs: dict[int, int] = {}


@worker(name="outage.Count")
class Count:
    def process(self, job: Job) -> None:
        with _lock:
            _runs[job.args["n"]] = _runs.get(job.args["n"], 0) + 1


@pytest.fixture
def private() -> Iterator[embedded.Server]:
    """A server that this test may stop."""
    with embedded.start() as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            schema.install(connection)
        yield server


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_under_load_loses_nothing(
    private: embedded.Server, mode: str, eventually: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    _runs.clear()
    caplog.set_level(logging.WARNING)
    oban = Oban(dsn=private.dsn(), queues={"default": 5}, stager={"interval": 0.5})
    oban.enqueue_many(Count.new({"n": n}) for n in range(JOBS))
    with oban:
        for share in (4, 2):
            eventually(lambda share=share: len(_runs) > JOBS // share)
            private.restart(mode)
        eventually(lambda: len(_runs) == JOBS, timeout=60)

        def completed() -> bool:
            with psycopg.connect(private.dsn()) as connection:
                found = connection.execute("SELECT state::text, count(*), max(attempt) FROM oban_jobs GROUP BY 1")
                return found.fetchall() == [("completed", JOBS, 1)]

        eventually(completed, timeout=60)
    assert set(_runs.values()) == {1}
    assert len(caplog.records) < 40, [record.message for record in caplog.records]
