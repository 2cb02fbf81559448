"""What a running job learns of itself: whether it should stop, how long it has, and whether it is still ours."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, ClassVar

import psycopg
import pytest

from oban_sync import Cancel, Job, Oban, worker
from oban_sync.lifecycle.run import Place
from oban_sync.runtime.context import House, Run
from oban_sync.runtime.watch import Watch

Eventually = Callable[..., Any]


@worker(name="context.Long")
class Long:
    """Runs until it is asked to stop, or the test ends."""

    begun, release = threading.Event(), threading.Event()
    seen: ClassVar[list[object]] = []

    def process(self, job: Job) -> Any:
        self.begun.set()
        self.seen[:] = [job.deadline, job.lease_lost]
        while not self.release.wait(0.01):
            match job.args["how"]:
                case "check":
                    job.check()
                case "cancel" if job.cancelled():
                    return Cancel("as you wish")
                case "ignore" if job.cancelled():
                    return "done anyway"
                case "lease" if job.lease_lost:
                    return Cancel("lost")
        return None


@pytest.fixture
def server(dsn: str) -> Iterator[Oban]:
    Long.begun.clear()
    Long.release.clear()
    with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 60}, shutdown_grace_period=5) as oban:
        yield oban
        Long.release.set()


def producer(server: Oban) -> Any:
    assert server._service is not None
    return server._service.producers["default"]


def row(db: psycopg.Connection, job: Job) -> Any:
    return db.execute("SELECT state::text, attempt, errors FROM oban_jobs WHERE id = %s", (job.id,)).fetchone()


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [("check", "cancelled", "asked to stop"), ("cancel", "cancelled", "as you wish"), ("ignore", "completed", None)],
)
def test_a_running_job_decides_itself_what_a_cancel_does(
    server: Oban, db: psycopg.Connection, eventually: Eventually, how: str, state: str, reason: str | None
) -> None:
    job = Long.enqueue({"how": how})
    assert Long.begun.wait(10)
    assert producer(server).cancel([job.id, -1]) == [job.id]
    eventually(lambda: row(db, job)[0] == state)
    assert Long.seen == [None, False]
    _, attempt, errors = row(db, job)
    assert attempt == 1
    assert [reason in error["error"] for error in errors] == ([True] if reason else [])
    assert producer(server).cancel([job.id]) == []


def test_a_cancel_reaches_a_job_that_no_thread_has_begun(
    server: Oban, db: psycopg.Connection, eventually: Eventually
) -> None:
    blocking = Long.enqueue({"how": "check"})
    assert Long.begun.wait(10)
    queue = producer(server).queue
    owner, waiting = producer(server).place.owner, Long.enqueue({"how": "check"})
    db.execute(
        "UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_by = ARRAY['n', %s] WHERE id = %s",
        (owner, waiting.id),
    )
    queue.put([(waiting.id, waiting.worker, 1, 20, 0, "{}", "{}", [])], 0)
    queue.employ()
    assert producer(server).cancel([waiting.id]) == [waiting.id]
    eventually(lambda: row(db, waiting) == ("cancelled", 0, []))
    assert row(db, blocking)[0] == "executing"


def test_a_job_learns_that_the_lease_may_be_lost(
    server: Oban, db: psycopg.Connection, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server._service is not None
    job = Long.enqueue({"how": "lease"})
    assert Long.begun.wait(10)
    monkeypatch.setattr("oban_sync.runtime.heartbeat.FREE_LEASE", -1.0)
    eventually(lambda: row(db, job)[0] == "cancelled")


def test_a_job_outside_of_a_run_is_asked_nothing() -> None:
    job = Job("w")
    job.check()
    assert (job.cancelled(), job.deadline, job.lease_lost) == (False, None, False)


def test_a_copy_of_a_running_job_is_not_the_job_that_runs() -> None:
    house = House(lambda: None, lambda *_: nullcontext(), Watch("test"), Place("default", "n", "o"))
    job = Job("w")
    job._context = Run(None, house, (1, "w", 1))
    assert job.lease_lost
    assert not copy.deepcopy(job).lease_lost
