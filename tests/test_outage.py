"""PostgreSQL goes away under load and comes back: nothing is lost, nothing of what was acknowledged runs again."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from oban_sync import Job, Oban, embedded, schema, worker
from oban_sync.errors import DatabaseUnavailable
from tests import nodes_work

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


def test_an_enqueue_over_a_connection_that_broke_is_our_error_and_then_works(
    private: embedded.Server, eventually: Callable[..., Any]
) -> None:
    with ConnectionPool(private.dsn(), min_size=1) as pool:
        oban = Oban(pool=pool)
        oban.enqueue(Count.new({"n": 0}))
        private.restart("immediate")
        with pytest.raises(DatabaseUnavailable):
            oban.enqueue(Count.new({"n": 1}))

        def enqueued() -> int | None:
            with suppress(DatabaseUnavailable):  # once for each connection that the pool had
                return oban.enqueue(Count.new({"n": 2})).id
            return None

        assert eventually(enqueued)


def test_an_enqueue_after_a_restart_takes_no_connection_from_before(private: embedded.Server) -> None:
    oban = Oban(dsn=private.dsn())
    for n in range(2):
        assert oban.enqueue(Count.new({"n": n})).id is not None
        private.restart("immediate")
    assert oban.enqueue(Count.new({"n": 2})).id is not None
    oban.stop()


def test_a_node_has_the_pool_replace_its_broken_connections(
    private: embedded.Server, eventually: Callable[..., Any]
) -> None:
    with Oban.create_pool(private.dsn(), min_size=3, max_size=3) as pool:
        pool.wait()
        with Oban(pool=pool, queues={"default": 1}) as oban:
            private.restart("immediate")
            eventually(lambda: pool.get_stats().get("connections_lost", 0) >= 3)
            for n in range(4):
                assert oban.enqueue(Count.new({"n": n})).id is not None


def test_a_node_ends_in_time_although_postgresql_is_silent(
    private: embedded.Server, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    Oban(dsn=private.dsn()).enqueue_many(nodes_work.Sleep.new({"seconds": 3600}, queue=q) for q in ("a", "b", "c"))
    queues = ["--queues", "a:1,b:1,c:1", "--import", "tests.nodes_work", "--grace", "1"]
    command = [sys.executable, "-m", "oban_sync", "start", "--dsn", private.dsn(), *queues]
    with (tmp_path / "log").open("w") as log:
        node = subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=log, stderr=log)
    with psycopg.connect(private.dsn(), autocommit=True) as connection:
        find = "SELECT count(*) FROM oban_jobs WHERE state = 'executing'"
        eventually(lambda: connection.execute(find).fetchone() == (3,))
        pids = [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity").fetchall()]
    silenced = [private.pid, *pids]
    for pid in silenced:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=8) == 0, (tmp_path / "log").read_text()
    finally:
        node.kill()
        for pid in silenced:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_server_process_that_falls_silent_costs_no_job(
    private: embedded.Server, eventually: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The heartbeat and the queue get new connections; the lease of a healthy job is kept by the new heartbeat."""
    entered, release = threading.Event(), threading.Event()

    @worker(name="outage.Wait")
    class Wait:
        def process(self, job: Job) -> None:
            entered.set()
            release.wait()

    roles = "SELECT pid FROM pg_stat_activity WHERE application_name ~ '^oban_sync:.*:(heartbeat|default|scheduler)$'"
    beat = "SELECT max(updated_at) FROM oban_producers"
    with (
        Oban(dsn=private.dsn(), queues={"default": 2}) as oban,
        psycopg.connect(private.dsn(), autocommit=True) as connection,
    ):
        oban.enqueue(Wait.new())
        assert entered.wait(20)
        silenced = [pid for (pid,) in connection.execute(roles).fetchall()]
        assert len(silenced) == 3
        for pid in silenced:
            os.kill(pid, signal.SIGSTOP)
        try:
            last = connection.execute(beat).fetchone()
            eventually(lambda: connection.execute(beat).fetchone() != last, timeout=60)
            job = oban.enqueue(Count.new({"n": 1}))
            done = "SELECT FROM oban_jobs WHERE id = %s AND state = 'completed'"
            eventually(lambda: connection.execute(done, (job.id,)).fetchone() is not None, timeout=60)
        finally:
            for pid in silenced:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            release.set()
    assert connection_states(private) == [("completed", 1)]
    assert "PostgreSQL was silent for 10 s on the connection oban_sync:" in caplog.text


def connection_states(server: embedded.Server) -> list[Any]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        return connection.execute("SELECT DISTINCT state::text, attempt FROM oban_jobs").fetchall()


def test_a_start_that_fails_leaves_no_thread(dsn: str, tmp_path: Path, eventually: Callable[..., Any]) -> None:
    oban = Oban(dsn=dsn, name="unstarted", queues={"default": 1}, notifier={"dsn": f"host={tmp_path}"})
    with pytest.raises(DatabaseUnavailable):
        oban.start()
    oban.stop()
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("oban-unstarted")])
