"""Deadlines of jobs: whatever the code does, its end is recorded, its slot opens, and no other job is struck."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, Snooze, job, telemetry, worker
from oban_sync.errors import JobInterrupted, WorkerError
from oban_sync.lifecycle.run import Place, run
from oban_sync.runtime.context import House
from oban_sync.runtime.queue import Queue
from oban_sync.runtime.watch import Watch
from oban_sync.worker import JobTimeoutError
from tests.conftest import Events

Eventually = Callable[..., Any]

release = threading.Event()
notes: list[str] = []


def sleep_in_c() -> None:
    time.sleep(2.5)


def loop() -> None:
    while True:
        pass


def swallow() -> None:
    while not release.is_set():
        try:
            while not release.is_set():
                pass
        except BaseException:
            notes.append("swallowed")


def clean_up() -> None:
    try:
        loop()
    finally:
        notes.append("cleaned up")


def wait_for_a_lock() -> None:
    release.wait(20)


def end_at_the_deadline() -> None:
    time.sleep(0.5)


def raise_its_own() -> None:
    try:
        loop()
    except JobInterrupted:
        raise ValueError("of its own") from None


def nest() -> None:
    with nullcontext(), threading.Lock():
        try:
            try:
                loop()
            except Exception:
                notes.append("no Exception")
        finally:
            list(map(str, range(10)))


def generate() -> None:
    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            notes.append("closed")

    sum(numbers())


def check(job: Job) -> None:
    while True:
        time.sleep(0.01)
        assert job.deadline is not None
        job.check()


CASES: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (
        sleep_in_c,
        loop,
        swallow,
        clean_up,
        wait_for_a_lock,
        end_at_the_deadline,
        raise_its_own,
        nest,
        generate,
    )
}


@worker(name="watch.Late", timeout=0.5)
class Late:
    def process(self, job: Job) -> Any:
        if job.args["how"] == "check":
            return check(job)
        return CASES[job.args["how"]]()

    def backoff(self, job: Job) -> float:
        return 3600


@worker(name="watch.Prompt")
class Prompt:
    def process(self, job: Job) -> None:
        assert job.deadline is None


@pytest.fixture
def server(dsn: str) -> Iterator[Oban]:
    release.clear()
    notes.clear()
    with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 60}, shutdown_grace_period=10) as oban:
        yield oban
        release.set()


def row(db: psycopg.Connection, job: Job) -> Any:
    return db.execute("SELECT state::text, attempt, errors FROM oban_jobs WHERE id = %s", (job.id,)).fetchone()


@pytest.mark.parametrize("name", [*CASES, "check"])
def test_a_job_past_its_deadline_is_recorded_and_its_slot_is_open(
    server: Oban, db: psycopg.Connection, eventually: Eventually, events: Events, name: str
) -> None:
    late, next_one = Late.enqueue({"how": name}), Prompt.enqueue()
    eventually(lambda: row(db, next_one)[0] == "completed")
    state, attempt, errors = row(db, late)
    assert attempt == 1
    if name == "end_at_the_deadline":
        assert state in ("completed", "retryable")
        return
    expected = "ValueError: of its own" if name == "raise_its_own" else "JobTimeoutError: job"
    assert state == "retryable"
    assert len(errors) == 1
    assert expected in errors[0]["error"] or "was left at" in errors[0]["error"]
    assert ("was left at" in errors[0]["error"]) is (name in ("sleep_in_c", "swallow", "wait_for_a_lock"))
    assert notes == {"clean_up": ["cleaned up"], "generate": ["closed"], "swallow": ["swallowed"]}.get(name, [])
    (failed,) = events.wait(1, "exception")
    assert failed["error_type"] == ("ValueError" if name == "raise_its_own" else "JobTimeoutError")
    release.set()
    server.stop()
    assert row(db, late) == (state, attempt, errors)
    assert len(events.wait(1, "exception")) == 1
    assert len(events.wait(1, "job.stop")) == 1


def test_stuck_threads_are_replaced_again_and_again(
    server: Oban, db: psycopg.Connection, eventually: Eventually
) -> None:
    late = [Late.enqueue({"how": "wait_for_a_lock"}, max_attempts=1) for _ in range(3)]
    last = Prompt.enqueue()
    eventually(lambda: row(db, last)[0] == "completed")
    assert [row(db, job)[0] for job in late] == ["discarded"] * 3
    release.set()
    server.stop()
    assert [row(db, job)[0] for job in late] == ["discarded"] * 3
    assert server.running is False


@worker(name="watch.Racing")
class Racing:
    """Ends about when its time does."""

    def process(self, job: Job) -> Any:
        until = time.perf_counter() + job.args["seconds"]
        while time.perf_counter() < until:
            pass
        return Snooze(1) if job.args["snooze"] else None

    def timeout(self, job: Job) -> float:
        return 0.0002


@worker(name="watch.Untimed")
class Untimed:
    """Must never be struck."""

    def process(self, job: Job) -> None:
        sum(range(200))


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Collect no garbage: what is raised in the callbacks of other tests' objects is reported as nobody's."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_no_exception_ever_hits_another_job(eventually: Eventually) -> None:
    """Half of 10,000 jobs on 4 threads end about at their deadlines, and the others have none."""
    watch = Watch("test")
    place = Place("default", "node", "owner")
    stamp = "2026-01-01 00:00:00"
    rows = []
    for id in range(10_000):
        name, args = ("watch.Untimed", "{}")
        if id % 2:
            name, args = "watch.Racing", f'{{"seconds": {0.00005 * (id % 9)}, "snooze": {str(id % 4 == 1).lower()}}}'
        rows.append((id, name, 1, 20, 0, args, "{}", [], stamp, stamp, stamp, None))
    struck: list[str] = []

    def note(event: str, meta: dict[str, Any]) -> None:
        struck.append(meta["error_type"])

    telemetry.attach("racing", ["oban.job.exception"], note)
    house = House(lambda: 0, lambda *_: nullcontext(), watch, place)
    queue = Queue("test-queue", 4, lambda row, context: run(row, context, place), lambda: None, house)
    queue.put(rows, 0)
    queue.employ()
    eventually(lambda: queue.in_hand() == 10_000 and not queue.running() and not queue.ready(), timeout=60)
    outcomes = queue.take().outcomes
    queue.close()
    watch.stop()
    telemetry.detach("racing")
    ended = {outcome.id: outcome for outcome in outcomes}
    assert len(ended) == 10_000
    assert {ended[id].state for id in range(0, 10_000, 2)} == {"completed"}
    late = [outcome for outcome in outcomes if outcome.state == "retryable"]
    assert late, "some must have been struck"
    assert len(late) < 5_000, "and some must have ended in time"
    assert all("JobTimeoutError" in outcome.error for outcome in late)
    assert set(struck) == {"JobTimeoutError"}
    assert len(struck) == len(late)


@job(name="watch.function", timeout=0.1)
def function() -> None:
    loop()


@worker(name="watch.Odd")
class Odd:
    def process(self, job: Job) -> None:
        """Must not be called."""
        notes.append("called")

    def timeout(self, job: Job) -> Any:
        return {"zero": 0, "text": "1", "bool": True, "nan": float("nan")}[job.args["how"]]


@pytest.mark.parametrize("how", ["zero", "text", "bool", "nan"])
def test_a_timeout_that_is_none_fails_the_attempt(
    server: Oban, db: psycopg.Connection, eventually: Eventually, how: str
) -> None:
    odd = Odd.enqueue({"how": how})
    eventually(lambda: row(db, odd)[0] == "retryable")
    assert "expected timeout() of worker watch.Odd to be None, or seconds" in row(db, odd)[2][0]["error"]
    assert notes == []


def test_a_function_may_have_a_timeout(server: Oban, db: psycopg.Connection, eventually: Eventually) -> None:
    late = function.enqueue()
    eventually(lambda: row(db, late)[0] == "retryable")
    assert "JobInterrupted" in row(db, late)[2][0]["error"]
    assert "in loop" in row(db, late)[2][0]["error"], "the traceback says where it was"


def test_a_declared_timeout_is_checked() -> None:
    with pytest.raises(WorkerError, match="expected timeout to be None, or seconds or a timedelta above 0, got -1"):
        worker(timeout=-1)
    with pytest.raises(WorkerError, match="expected one timeout of"):

        @worker(name="watch.Twice", timeout=1)
        class Twice:
            def process(self, job: Job) -> None: ...

            def timeout(self, job: Job) -> float:
                return 1


def test_the_error_is_a_timeout_error() -> None:
    assert issubclass(JobTimeoutError, TimeoutError)
    assert not issubclass(JobInterrupted, Exception)
