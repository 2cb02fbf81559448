"""Lives of jobs from enqueue to their end, on real threads and a real PostgreSQL."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync import Cancel, Job, JobState, Oban, Record, Snooze, Worker, current_job, job, schema, worker
from oban_sync.errors import SchemaMissing
from tests.conftest import Events

_behaviours: dict[str, Callable[[Job], Any]] = {}


@worker(name="lives.Does")
class Does:
    """Does what the test of its name put into `_behaviours`."""

    def process(self, job: Job) -> Any:
        return _behaviours[job.args["do"]](job)

    def backoff(self, job: Job) -> float:
        return job.meta.get("backoff", 300)


@worker(name="lives.Default")
class Default:
    def process(self, job: Job) -> Any:
        raise LookupError("always")


@job(name="lives.add", queue="default")
def add(a: int, *rest: int, start: int = 0, **named: int) -> Record:
    return Record(start + a + sum(rest) + sum(named.values()))


@pytest.fixture
def do() -> Iterator[Callable[..., Job]]:
    """Enqueue a job that does what a function does."""

    def enqueue(behaviour: Callable[[Job], Any], **overrides: Any) -> Job:
        name = f"{behaviour.__qualname__}-{len(_behaviours)}"
        _behaviours[name] = behaviour
        return Does.enqueue({"do": name}, **overrides)

    yield enqueue
    _behaviours.clear()


@pytest.fixture
def server(dsn: str) -> Iterator[Oban]:
    """A running node with one queue of three, in which only events start jobs: it polls once a minute."""
    with Oban(dsn=dsn, queues={"default": 3}, stager={"interval": 60}, shutdown_grace_period=5) as oban:
        yield oban


def row(db: psycopg.Connection, job: Job, *columns: str) -> tuple[Any, ...]:
    found = db.execute(f"SELECT {', '.join(columns)} FROM oban_jobs WHERE id = %s", (job.id,)).fetchone()
    assert found is not None
    return found


@pytest.fixture
def ended(db: psycopg.Connection, eventually: Callable[..., Any]) -> Callable[[Job], str]:
    """Wait until a job runs no more, and give its state."""

    def wait(job: Job) -> str:
        def state() -> str | None:
            found: str = row(db, job, "state::text", "attempted_at IS NOT NULL")[0]
            return found if row(db, job, "attempted_at")[0] and found not in ("available", "executing") else None

        return eventually(state)

    return wait


def test_a_job_completes(server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection) -> None:
    job = do(lambda job: None, tags=["b", "a"], priority=2, meta={"k": [1]})
    assert job.id
    assert job.state == JobState.AVAILABLE
    assert ended(job) == "completed"
    found = row(db, job, "attempt", "errors", "completed_at >= attempted_at", "attempted_by[1]", "tags", "meta")
    assert found == (1, [], True, server._service._config.node, ["a", "b"], {"k": [1]})


def test_a_job_sees_itself(server: Oban, do: Callable[..., Job], ended: Any) -> None:
    seen: list[Job | None] = []
    job = do(lambda job: seen.extend([job, current_job()]), tags=["x"], meta={"a": 1})
    assert ended(job) == "completed"
    assert seen[0] is seen[1]
    assert current_job() is None
    assert seen[0] is not None
    assert (seen[0].id, seen[0].attempt, seen[0].state, seen[0].tags, seen[0].meta, seen[0].errors) == (
        job.id,
        1,
        "executing",
        ["x"],
        {"a": 1},
        [],
    )
    assert seen[0].inserted_at == job.inserted_at
    assert seen[0].scheduled_at == job.scheduled_at
    assert not seen[0].cancelled()


def test_a_job_that_raises_is_retried_with_its_error(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection
) -> None:
    def fail(job: Job) -> None:
        raise ValueError("no \0 good \ud800")

    job = do(fail)
    assert ended(job) == "retryable"
    errors, wait = row(db, job, "errors", "extract(epoch FROM scheduled_at - attempted_at)::float8")
    assert len(errors) == 1
    assert errors[0]["attempt"] == 1
    assert "ValueError: no \ufffd good \\ud800" in errors[0]["error"]
    assert "Traceback" in errors[0]["error"]
    assert 300 <= wait < 310


@pytest.mark.parametrize("name", ["id", "attempt", "scheduled_at", "attempted_at"])
@pytest.mark.parametrize("value", [None, 7, "x"])
def test_what_a_worker_writes_over_its_job_changes_nothing(
    server: Oban, do: Callable[..., Job], ended: Any, name: str, value: Any, eventually: Callable[..., Any]
) -> None:
    assert ended(do(lambda job: setattr(job, name, value))) == "completed"
    assert server._service is not None
    queue = server._service.producers["default"].queue
    eventually(lambda: queue.in_hand() == 0)


def test_the_default_backoff_is_that_of_oban(server: Oban, ended: Any, db: psycopg.Connection) -> None:
    job = Default.enqueue()
    assert ended(job) == "retryable"
    assert 17 <= row(db, job, "extract(epoch FROM scheduled_at - attempted_at)::float8")[0] < 19


def test_a_retry_runs_at_its_instant_and_sees_its_errors(
    server: Oban, do: Callable[..., Job], ended: Any, events: Events
) -> None:
    seen: list[Any] = []

    def fail_once(job: Job) -> None:
        seen.append(job.errors)
        if job.attempt == 1:
            raise ValueError("first")

    job = do(fail_once, meta={"backoff": 0.05})
    events.wait(1, "stop")
    assert ended(job) == "completed"
    assert seen[0] == []
    assert [error["attempt"] for error in seen[1]] == [1]


def test_the_last_failed_attempt_discards(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection
) -> None:
    def fail(job: Job) -> None:
        raise ValueError("no")

    job = do(fail, max_attempts=1)
    assert ended(job) == "discarded"
    assert row(db, job, "discarded_at IS NOT NULL", "jsonb_array_length(errors)") == (True, 1)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("base")])
def test_exceptions_beyond_exception_fail_only_their_job(
    server: Oban, do: Callable[..., Job], ended: Any, error: BaseException
) -> None:
    def fail(job: Job) -> None:
        raise error

    bad, good = do(fail), do(lambda job: None)
    assert (ended(bad), ended(good)) == ("retryable", "completed")


def test_errors_that_cannot_be_shown_fail_only_their_job(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection
) -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    def fail(job: Job) -> None:
        raise Unshowable

    bad = do(fail)
    assert ended(bad) == "retryable"
    assert "Unshowable" in row(db, bad, "errors")[0][0]["error"]


def test_what_a_job_raised_does_not_wait_for_the_garbage_collector(
    server: Oban, do: Callable[..., Job], ended: Any
) -> None:
    raised: list[weakref.ref[BaseException]] = []

    class Heavy(Exception):
        def __init__(self) -> None:
            raised.append(weakref.ref(self))

    def fail(job: Job) -> None:
        raise Heavy from Heavy()

    gc.disable()
    try:
        assert ended(do(fail)) == "retryable"
        assert [error() for error in raised] == [None, None]
    finally:
        gc.enable()


def test_a_long_error_is_clipped(server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection) -> None:
    def fail(job: Job) -> None:
        raise ValueError("x" * 1_000_000)

    bad = do(fail)
    assert ended(bad) == "retryable"
    assert len(row(db, bad, "errors")[0][0]["error"]) < 17_000


@pytest.mark.parametrize("wrong", ["soon", float("nan"), -5, 10**400, None])
def test_a_backoff_that_makes_no_sense_does_not_stop_the_retry(
    server: Oban, do: Callable[..., Job], ended: Any, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: Job) -> None:
        raise ValueError("no")

    monkeypatch.setattr(Does, "backoff", lambda self, job: wrong)
    job = do(fail)
    assert ended(job) in ("retryable", "completed", "discarded")


def test_snooze_runs_again_without_counting_the_attempt(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection, events: Events
) -> None:
    def snooze_twice(job: Job) -> Any:
        return Snooze(0.02, {"seen": job.attempt}) if job.meta.get("snoozed", 0) < 2 else None

    job = do(snooze_twice, max_attempts=2)
    events.wait(3, "stop")
    assert ended(job) == "completed"
    assert row(db, job, "attempt", "meta") == (1, {"snoozed": 2, "seen": 1})


def test_a_snooze_beyond_all_time_is_clamped(server: Oban, do: Callable[..., Job], ended: Any, db: Any) -> None:
    job = do(lambda job: Snooze(10**10))
    assert ended(job) == "scheduled"
    assert row(db, job, "scheduled_at < now() + interval '101 years'")[0]


def test_cancel_ends_with_its_reason(server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection) -> None:
    job = do(lambda job: Cancel("not \0 needed"))
    assert ended(job) == "cancelled"
    errors, at = row(db, job, "errors", "cancelled_at IS NOT NULL")
    assert (errors[0]["error"], at) == ("not \ufffd needed", True)


def test_record_keeps_the_result(server: Oban, ended: Any, db: psycopg.Connection) -> None:
    job = add.enqueue(1, 2, 3, start=10, extra=5)
    assert job.args == {"a": 1, "rest": (2, 3), "start": 10, "extra": 5}
    assert ended(job) == "completed"
    assert Job("x", meta=row(db, job, "meta")[0]).recorded == 21


@pytest.mark.parametrize("result", [{"any": "thing"}, object(), float("nan"), b"\0", "text", 0])
def test_any_other_result_completes(server: Oban, do: Callable[..., Job], ended: Any, result: Any) -> None:
    assert ended(do(lambda job: result)) == "completed"


def test_a_coroutine_as_result_fails_with_the_reason(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection
) -> None:
    async def later() -> None:
        """Never awaited."""

    job = do(lambda job: later())
    assert ended(job) == "retryable"
    assert "coroutine that nothing would await" in row(db, job, "errors")[0][0]["error"]


def test_an_unknown_worker_costs_no_attempt(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection
) -> None:
    unknown = server.enqueue(Job("antigravity.Nothing", max_attempts=1))
    good = do(lambda job: None)
    assert (ended(unknown), ended(good)) == ("scheduled", "completed")
    attempt, meta, errors = row(db, unknown, "attempt", "meta", "errors")
    assert (attempt, meta) == (0, {"unknown_worker": 1})
    assert "'antigravity.Nothing' is not registered" in errors[0]["error"]


def test_priorities_order_what_waits(dsn: str, do: Callable[..., Job], events: Events, oban: Oban) -> None:
    ran: list[int] = []
    for priority in (5, 0, 9, 1):
        do(lambda job: ran.append(job.priority), priority=priority)
    with Oban(dsn=dsn, queues={"default": 1}):
        events.wait(4, "stop")
    assert ran == [0, 1, 5, 9]


def test_a_queue_runs_no_more_than_its_limit(server: Oban, do: Callable[..., Job], events: Events) -> None:
    running, most, lock = [0], [0], threading.Lock()
    gate = threading.Barrier(3)

    def count(job: Job) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(10)
        with lock:
            running[0] -= 1

    for _ in range(12):
        do(count)
    events.wait(12, "stop")
    assert most[0] == 3


def test_only_named_queues_run(server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection) -> None:
    other, mine = do(lambda job: None, queue="other"), do(lambda job: None)
    assert ended(mine) == "completed"
    assert row(db, other, "state::text") == ("available",)


def test_telemetry_handlers_that_raise_harm_nobody(server: Oban, do: Callable[..., Job], ended: Any) -> None:
    from oban_sync import telemetry

    def explode(event: str, meta: dict[str, Any]) -> None:
        raise SystemExit(event)

    telemetry.attach("explodes", telemetry.EVENTS, explode)
    try:
        assert ended(do(lambda job: None)) == "completed"
    finally:
        telemetry.detach("explodes")


POISON = {
    "deep": "repeat('[', 3000) || repeat(']', 3000)",
    "digits": "repeat('9', 5000)",
    "array": "'[1, 2]'",
    "scalar": "'5'",
}


@pytest.mark.parametrize("kind", POISON)
def test_a_row_that_cannot_be_read_costs_only_its_own_job(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection, kind: str
) -> None:
    args = POISON[kind] if kind in ("array", "scalar") else f"('{{\"x\": ' || {POISON[kind]} || '}}')"
    found = db.execute(f"INSERT INTO oban_jobs (worker, args) VALUES ('lives.Does', {args}::jsonb) RETURNING id")
    poison = Job("poison")
    poison.id = found.fetchone()[0]
    good = do(lambda job: None)
    assert (ended(good), ended(poison)) == ("completed", "retryable")
    assert row(db, poison, "errors")[0][0]["error"]


@pytest.mark.parametrize("column", ["inserted_at", "scheduled_at"])
@pytest.mark.parametrize("value", ["-infinity", "0044-03-15 BC"])
def test_a_date_that_python_cannot_hold_costs_only_its_own_job(
    server: Oban, do: Callable[..., Job], ended: Any, db: psycopg.Connection, column: str, value: str
) -> None:
    found = db.execute(f"INSERT INTO oban_jobs (worker, args, {column}) VALUES ('x', '{{}}', '{value}') RETURNING id")
    poison = Job("poison")
    poison.id = found.fetchone()[0]
    good = do(lambda job: None)
    assert (ended(good), ended(poison)) == ("completed", "retryable")


def test_start_and_stop_are_idempotent(dsn: str, do: Callable[..., Job], events: Events) -> None:
    oban = Oban(dsn=dsn, queues={"default": 2})
    oban.stop()
    assert oban.start() is oban.start()
    do(lambda job: None)
    events.wait(1, "stop")
    oban.stop()
    oban.stop()
    assert not oban.running
    with oban:
        do(lambda job: None)
        events.wait(2, "stop")
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("oban-")] == []


def test_stop_waits_for_running_jobs_and_gives_back_the_rest(
    dsn: str, do: Callable[..., Job], events: Events, db: psycopg.Connection
) -> None:
    release = threading.Event()
    oban = Oban(dsn=dsn, queues={"default": 1}, shutdown_grace_period=10).start()
    first, second = do(lambda job: release.wait(10)), do(lambda job: None)
    events.wait(1, "start")
    threading.Timer(0.2, release.set).start()
    oban.stop()
    assert row(db, first, "state::text", "attempt") == ("completed", 1)
    assert row(db, second, "state::text", "attempt") == ("available", 0)
    assert db.execute("SELECT count(*) FROM oban_producers").fetchone() == (0,)


def test_a_job_that_outlives_a_stop_keeps_its_lease_and_is_written(
    dsn: str, do: Callable[..., Job], events: Events, db: psycopg.Connection, ended: Any, eventually: Any
) -> None:
    release = threading.Event()
    oban = Oban(dsn=dsn, queues={"default": 1}, shutdown_grace_period=0).start()
    job = do(lambda job: release.wait(10))
    events.wait(1, "start")
    oban.stop()
    assert row(db, job, "state::text", "attempt") == ("executing", 1)
    with Oban(dsn=dsn, queues={"default": 1}):
        release.set()
        assert ended(job) == "completed"
    eventually(lambda: db.execute("SELECT count(*) FROM oban_producers").fetchone() == (0,))


def test_a_job_may_stop_the_node_that_runs_it(
    dsn: str, do: Callable[..., Job], db: psycopg.Connection, eventually: Any
) -> None:
    oban = Oban(dsn=dsn, queues={"default": 1}, shutdown_grace_period=None).start()
    job = do(lambda job: oban.stop())
    eventually(lambda: row(db, job, "state::text")[0] == "completed")
    assert not oban.running
    eventually(lambda: db.execute("SELECT count(*) FROM oban_producers").fetchone() == (0,))


def test_a_missing_schema_gives_one_clear_sentence(empty_dsn: str) -> None:
    with pytest.raises(SchemaMissing, match=r"run `oban-sync install --dsn \.\.\.` first") as caught:
        Oban(dsn=empty_dsn, queues={"default": 1}).start()
    assert isinstance(caught.value, RuntimeError)


def test_a_client_starts_no_threads(dsn: str) -> None:
    before = threading.active_count()
    with Oban(dsn=dsn) as oban:
        assert not oban.running
        assert threading.active_count() == before


@pytest.mark.parametrize("prefix", ["Jobs", "select", "_x" * 24])
def test_a_prefix_keeps_its_jobs_apart(
    dsn: str, db: psycopg.Connection, do: Callable[..., Job], events: Events, prefix: str
) -> None:
    schema.install(db, prefix)
    other = Oban(dsn=dsn, name="elsewhere", queues={"default": 2})
    with Oban(dsn=dsn, prefix=prefix, queues={"default": 2}, stager={"interval": 60}), other:
        do(lambda job: None)
        do(lambda job: None, schedule_in=0.1)
        events.wait(2, "stop")
    found = db.execute(f'SELECT state::text, count(*) FROM "{prefix}".oban_jobs GROUP BY 1').fetchall()
    assert found == [("completed", 2)]
    assert db.execute("SELECT count(*) FROM public.oban_jobs").fetchone() == (0,)


@worker(name="lives.Unimplemented")
class Unimplemented(Worker):
    """Has no process of its own."""


def test_a_worker_without_process_fails_with_the_reason(server: Oban, ended: Any, db: psycopg.Connection) -> None:
    job = Unimplemented.enqueue()
    assert ended(job) == "retryable"
    assert "Worker must implement process method" in row(db, job, "errors")[0][0]["error"]
