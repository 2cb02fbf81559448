"""A queue's threads take jobs one after another, and a crew of another size takes over without losing any."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, worker
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.lifecycle.run import Place
from oban_sync.runtime.context import House, Run
from oban_sync.runtime.queue import Queue, Row
from oban_sync.runtime.watch import Watch
from tests.conftest import Events

Eventually = Callable[..., Any]
HOUSE = House(lambda: 0, lambda *_: nullcontext(), Watch("test"), Place("default", "n", "o"))


@worker(name="queue.Note")
class Note:
    def process(self, job: Job) -> None:
        """Only that it runs matters."""


def rows(count: int, first: int = 0) -> list[Row]:
    return [(id, "w", 1) for id in range(first, first + count)]


def test_every_row_runs_once_whatever_the_size_of_the_crew(eventually: Eventually) -> None:
    ran: list[int] = []
    outcomes: list[Outcome] = []

    def run(row: Row, _: Run) -> Outcome:
        ran.append(row[0])
        return Outcome(row[0], 1, "completed")

    queue = Queue("test-queue", 2, run, lambda: None, HOUSE)
    for size, first in ((5, 0), (1, 1000), (7, 2000)):
        queue.put(rows(1000, first), 0)
        queue.employ()
        queue.resize(size)
    eventually(lambda: outcomes.extend(queue.take().outcomes) or len(outcomes) == 3000)
    assert sorted(ran) == sorted(outcome.id for outcome in outcomes)
    assert len(set(ran)) == 3000
    assert queue.in_hand() == 0
    queue.close()


def test_a_larger_crew_works_beside_threads_that_are_stuck(eventually: Eventually) -> None:
    release = threading.Event()
    ran: list[int] = []

    def run(row: Row, _: Run) -> Outcome:
        if row[0] < 2:
            release.wait(20)
        ran.append(row[0])
        return Outcome(row[0], 1, "completed")

    queue = Queue("test-queue", 2, run, lambda: None, HOUSE)
    queue.put(rows(2), 0)
    queue.employ()
    eventually(lambda: len(queue.running()) == 2)
    queue.put(rows(3, 10), 0)
    queue.employ()
    assert ran == []
    queue.resize(4)
    eventually(lambda: sorted(ran) == [10, 11, 12])
    assert [job.id for job in sorted(queue.running())] == [0, 1]
    release.set()
    eventually(lambda: queue.running() == [])
    assert sorted(outcome.id for outcome in queue.take().outcomes) == [0, 1, 10, 11, 12]
    queue.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_job_that_forks_runs_none_of_the_other_jobs(tmp_path: Path, eventually: Eventually) -> None:
    ran = os.open(tmp_path / "ran", os.O_CREAT | os.O_APPEND | os.O_RDWR)
    children: list[int] = []

    def run(row: Row, _: Run) -> Outcome:
        os.write(ran, b"%d\n" % row[0])
        if row[0] == 3:
            children.append(os.fork())
        return Outcome(row[0], 1, "completed")

    queue = Queue("test-queue", 1, run, lambda: None, HOUSE)
    queue.put(rows(50), 0)
    queue.employ()
    eventually(lambda: queue.in_hand() == 50 and not queue.running() and not queue.ready())
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert sorted(map(int, (tmp_path / "ran").read_text().split())) == list(range(50))
    queue.close()
    os.close(ran)


def test_rows_wait_while_the_system_gives_no_threads(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    queue = Queue("test-queue", 2, lambda row, _: Outcome(row[0], 1, "completed"), lambda: None, HOUSE)
    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refuse)
        for first in (0, 10, 20):
            queue.put(rows(10, first), 0)
            queue.employ()
    assert len(queue.give_back()) == 30
    queue.put(rows(100), 0)
    queue.employ()
    eventually(lambda: len(queue.holds()) == 100 and not queue.running() and not queue.ready())
    queue.close()


def test_rows_of_two_leases_are_not_begun() -> None:
    """One of the two has lapsed, and so may others have the jobs that were fetched under it."""
    leases = [1]
    house = House(lambda: leases[0], lambda *_: nullcontext(), Watch("test"), Place("default", "n", "o"))
    queue = Queue("test-queue", 1, lambda row, _: Outcome(row[0], 1, "completed"), lambda: None, house)
    queue.put(rows(1), 1)
    leases[0] = 2
    queue.put(rows(1, 10), 2)
    assert queue.stale()
    assert len(queue.give_back()) == 2
    queue.put(rows(1, 20), 2)
    assert not queue.stale()
    queue.close()


def test_what_is_not_begun_can_be_given_back() -> None:
    release, began = threading.Event(), threading.Event()

    def run(row: Row, _: Run) -> Outcome:
        began.set()
        release.wait(20)
        return Outcome(row[0], 1, "completed")

    queue = Queue("test-queue", 1, run, lambda: None, HOUSE)
    queue.put(rows(3), 0)
    queue.employ()
    assert began.wait(10)
    assert [(job.id, job.started) for job in queue.give_back()] == [(1, False), (2, False)]
    assert [(job.id, job.started) for job in queue.running()] == [(0, True)]
    release.set()
    queue.close()


def test_scaling_and_pausing_a_running_queue(
    dsn: str, oban: Oban, events: Events, db: psycopg.Connection, eventually: Eventually
) -> None:
    with Oban(dsn=dsn, name="server", queues={"default": 2}) as server:
        assert server._service is not None
        producer = server._service.producers["default"]
        producer.pause()
        eventually(lambda: producer.free() == 0)
        oban.enqueue_many(Note.new() for _ in range(200))
        eventually(lambda: db.execute("SELECT count(*) FROM oban_jobs WHERE state = 'available'").fetchone() == (200,))
        producer.scale(7)
        producer.resume()
        events.wait(100, "stop")
        producer.scale(1)
        events.wait(200, "stop")
        eventually(lambda: db.execute("SELECT count(*) FROM oban_jobs WHERE state = 'completed'").fetchone() == (200,))
        assert producer.ends.refused == 0


@worker(name="queue.Mixed")
class Mixed:
    """Short, until it is told to hold its thread."""

    release = threading.Event()

    def process(self, job: Job) -> None:
        if job.args["long"]:
            self.release.wait(20)


def test_what_is_held_ready_goes_back_when_the_threads_turn_out_to_be_busy(
    dsn: str, oban: Oban, db: psycopg.Connection, eventually: Eventually
) -> None:
    """Short jobs teach the queue to hold some; then long ones take its threads, and others must get the rest."""
    Mixed.release.clear()
    states = "SELECT state::text, count(*) FROM oban_jobs GROUP BY 1 ORDER BY 1"
    oban.enqueue_many([Mixed.new({"long": False}) for _ in range(300)])
    with Oban(dsn=dsn, name="server", queues={"default": 2}, stager={"interval": 60}):
        eventually(lambda: db.execute(states).fetchall() == [("completed", 300)])
        oban.enqueue_many(Mixed.new({"long": n < 2}) for n in range(100))
        expected = [("available", 98), ("executing", 2), ("completed", 300)]
        eventually(lambda: sorted(db.execute(states).fetchall()) == sorted(expected))
        spent = db.execute("SELECT max(attempt) FROM oban_jobs WHERE state = 'available'").fetchone()
        assert spent == (0,)
        Mixed.release.set()
        eventually(lambda: db.execute(states).fetchall() == [("completed", 400)])


def test_prefetch_can_be_turned_off(dsn: str, oban: Oban, db: psycopg.Connection, eventually: Eventually) -> None:
    oban.enqueue_many(Note.new() for _ in range(300))
    with Oban(dsn=dsn, name="server", queues={"default": {"limit": 2, "prefetch": 0}}) as server:
        assert server._service is not None
        queue = server._service.producers["default"].queue
        most = 0

        def drained() -> bool:
            nonlocal most
            most = max(most, queue.in_hand())
            return db.execute("SELECT count(*) FROM oban_jobs WHERE state = 'completed'").fetchone() == (300,)

        eventually(drained)
        assert most <= 2


def test_a_locked_row_does_not_hold_up_its_queue(
    dsn: str, oban: Oban, db: psycopg.Connection, eventually: Eventually
) -> None:
    Mixed.release.clear()
    states = "SELECT state::text, count(*) FROM oban_jobs GROUP BY 1 ORDER BY 1"
    with Oban(dsn=dsn, name="server", queues={"default": 2}, stager={"interval": 60}), psycopg.connect(dsn) as other:
        oban.enqueue(Mixed.new({"long": True}))
        eventually(lambda: db.execute(states).fetchall() == [("executing", 1)])
        other.execute("SELECT FROM oban_jobs FOR UPDATE")
        Mixed.release.set()
        oban.enqueue_many(Mixed.new({"long": False}) for _ in range(100))
        eventually(lambda: db.execute(states).fetchall() == [("completed", 100), ("executing", 1)])
        other.rollback()
        eventually(lambda: db.execute(states).fetchall() == [("completed", 101)])


def counts(db: psycopg.Connection) -> dict[str, int]:
    return dict(db.execute("SELECT state::text, count(*) FROM oban_jobs GROUP BY 1").fetchall())


def test_last_attempts_are_not_held_ready(dsn: str, oban: Oban, db: psycopg.Connection, eventually: Eventually) -> None:
    """A job that no thread has begun must not be discarded when its process dies."""
    oban.enqueue_many(Note.new() for _ in range(300))
    with Oban(dsn=dsn, name="server", queues={"default": 3}):
        eventually(lambda: counts(db) == {"completed": 300})  # runs are known to be short now
        oban.enqueue_many(Note.new(max_attempts=1) for _ in range(500))
        most = 0

        def drained() -> bool:
            nonlocal most
            now = counts(db)
            most = max(most, now.get("executing", 0))
            return now == {"completed": 800}

        eventually(drained)
        assert most <= 3


def test_a_free_thread_is_used_however_few_are_held_ready(
    dsn: str, oban: Oban, db: psycopg.Connection, eventually: Eventually
) -> None:
    Mixed.release.clear()
    with Oban(dsn=dsn, name="server", queues={"default": {"limit": 10, "prefetch": 5}}, stager={"interval": 600}):
        oban.enqueue_many(Mixed.new({"long": False}) for _ in range(100))
        eventually(lambda: counts(db) == {"completed": 100})
        oban.enqueue_many(Mixed.new({"long": n < 9}) for n in range(60))
        eventually(lambda: counts(db) == {"completed": 151, "executing": 9})
        Mixed.release.set()
        eventually(lambda: counts(db) == {"completed": 160})


def test_a_thread_that_cannot_be_had_costs_no_job(
    dsn: str, oban: Oban, db: psycopg.Connection, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, refusals = ThreadPoolExecutor.submit, [RuntimeError("can't start new thread")] * 3

    def scarce(self: ThreadPoolExecutor, *arguments: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return submit(self, *arguments)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", scarce)
    with Oban(dsn=dsn, name="server", queues={"default": 4}, stager={"interval": 600}):
        oban.enqueue_many(Note.new() for _ in range(20))
        eventually(lambda: counts(db) == {"completed": 20})
    assert refusals == []
    assert db.execute("SELECT max(attempt), min(attempt) FROM oban_jobs").fetchone() == (1, 1)


def test_rows_whose_lease_lapsed_are_not_begun() -> None:
    """After a process was stopped for long, others may have its rows: what runs goes on, the rest goes back."""
    lease: list[int | None] = [1]
    entered, release, ran = threading.Event(), threading.Event(), []

    def run(row: Row, _: Run) -> Outcome:
        entered.set()
        release.wait()
        ran.append(row[0])
        return Outcome(row[0], 1, "completed")

    ended = threading.Event()
    queue = Queue("test-queue", 1, run, ended.set, replace(HOUSE, lease=lambda: lease[0]))
    queue.put(rows(3, 1), 1)
    queue.employ()
    assert entered.wait(10)
    assert not queue.stale()
    for now in (None, 2):
        lease[0] = now
        assert queue.stale()
    release.set()
    assert ended.wait(10)
    assert ran == [1]
    assert [job.id for job in queue.give_back()] == [2, 3]
    ended.clear()
    queue.put(rows(1, 7), 2)
    queue.employ()
    assert ended.wait(10)
    assert ran == [1, 7]
    queue.close()
