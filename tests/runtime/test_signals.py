"""Queues are paused, resumed, scaled, started and stopped while they run, here and on other nodes, and running jobs
are asked to stop wherever they run."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync import Cancel, Job, Oban, QueueInfo, Snooze, telemetry, worker
from oban_sync.errors import ConfigError, SchemaMissing
from oban_sync.runtime import scheduler
from oban_sync.runtime.signals import Signal, read
from tests.conftest import Events

going = threading.Event()


@worker(name="signals.Note")
class Note:
    def process(self, job: Job) -> None:
        """Only that it runs matters."""


@worker(name="signals.Hold")
class Hold:
    """Runs until it is cancelled, or `going` is set."""

    def process(self, job: Job) -> Any:
        while not going.wait(0.01):
            if job.cancelled():
                return Cancel("asked to")
        return None


@worker(name="signals.Gives")
class Gives:
    """Fails or snoozes once it is cancelled."""

    def process(self, job: Job) -> Snooze:
        while not job.cancelled() and not going.is_set():
            going.wait(0.01)
        if job.args["raises"]:
            raise ValueError("broke off")
        return Snooze(60)


@pytest.fixture(autouse=True)
def held() -> Iterator[None]:
    going.clear()
    yield
    going.set()


@pytest.fixture
def here(dsn: str) -> Iterator[Oban]:
    options = {"a": {"limit": 2, "colour": "red"}, "b": 1}
    with Oban(dsn=dsn, node="here", queues=options, stager={"interval": 600}) as oban:
        yield oban
        going.set()


@pytest.fixture
def there(dsn: str, here: Oban) -> Iterator[Oban]:
    """Another node, under the name by which signals find nodes."""
    with Oban(dsn=dsn, node="there", queues={"a": 2}, stager={"interval": 600}) as oban:
        yield oban
        going.set()


@pytest.fixture
def shutdowns() -> Iterator[Events]:
    """The ends of queues."""
    seen = Events()
    telemetry.attach("shutdowns", ["oban.queue.shutdown"], seen)
    yield seen
    telemetry.detach("shutdowns")


def send(db: psycopg.Connection, payload: Any) -> None:
    """Send a signal as Oban's nodes encode theirs."""
    packed = base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()
    db.execute("SELECT pg_notify('public.oban_signal', %s)", (packed,))


def paused(oban: Oban) -> dict[str, bool]:
    return {info.queue: info.paused for info in oban.check_all_queues()}


def rows(db: psycopg.Connection) -> dict[tuple[str, str], tuple[int, bool]]:
    """Give limit and pause of each queue, as its row says them."""
    found = db.execute(
        "SELECT node, queue, (meta->>'local_limit')::int, (meta->>'paused')::bool FROM oban_producers"
    ).fetchall()
    return {(node, queue): (limit, stands) for node, queue, limit, stands in found}


def state(db: psycopg.Connection, job: Job) -> str:
    return db.execute("SELECT state::text FROM oban_jobs WHERE id = %s", (job.id,)).fetchone()[0]


# Payloads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signal", "payload"),
    [
        (Signal("pause", "mail"), {"action": "pause", "queue": "mail", "ident": "any"}),
        (Signal("resume"), {"action": "resume", "queue": "*", "ident": "any"}),
        (Signal("resume", settled=True), {"action": "resume", "queue": "*", "ident": "any", "settled": True}),
        (Signal("scale", "a", "Oban.n", limit=3), {"action": "scale", "queue": "a", "ident": "Oban.n", "limit": 3}),
        (
            Signal("start", "a", limit=3, paused=False),
            {"action": "start", "queue": "a", "ident": "any", "limit": 3, "paused": False},
        ),
        (Signal("stop", "a"), {"action": "stop", "queue": "a", "ident": "any"}),
    ],
    ids=str,
)
def test_a_signal_has_the_keys_of_obans_and_no_other(signal: Signal, payload: dict[str, Any]) -> None:
    assert json.loads(signal.encode()) == payload
    assert signal.encode().startswith("{")  # by which Oban knows a payload that is not compressed
    assert read(payload) == signal


def test_keys_that_oban_leaves_out_have_their_meaning() -> None:
    assert read({"action": "pkill", "job_id": 5}) == Signal("pkill", job_id=5)
    assert read({"action": "pause"}) == Signal("pause", "*", "any")
    assert read({"action": "scale", "queue": "a", "local_limit": 7, "colour": "red"}).limit == 7


WRONG = [
    None,
    [],
    5,
    "pause",
    {},
    {"action": "explode"},
    {"action": ["pause"]},
    {"action": "pause", "queue": 5},
    {"action": "pause", "queue": ""},
    {"action": "pause", "queue": "x" * 200},
    {"action": "pause", "ident": None},
    {"action": "scale", "queue": "a"},
    {"action": "scale", "queue": "a", "limit": 0},
    {"action": "scale", "queue": "a", "limit": True},
    {"action": "scale", "queue": "a", "limit": 2**31},
    {"action": "scale", "queue": "a", "limit": "5"},
    {"action": "start", "queue": "*", "limit": 5},
    {"action": "start", "queue": "a", "limit": 5, "paused": "no"},
    {"action": "start", "queue": "a"},
    {"action": "stop"},
    {"action": "pkill"},
    {"action": "pkill", "job_id": "5"},
    {"action": "pkill", "job_id": 2**63},
]


@pytest.mark.parametrize("payload", WRONG, ids=str)
def test_what_is_no_signal_is_refused(payload: Any) -> None:
    with pytest.raises(ValueError, match="expected a signal"):
        read(payload)


def test_a_node_survives_what_is_no_signal_and_counts_it(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    for payload in WRONG:
        send(db, payload)
    db.execute("SELECT pg_notify('public.oban_signal', 'no such thing')")
    send(db, {"action": "stop", "queue": "no such queue"})
    send(db, {"action": "pause", "ident": "Oban.elsewhere"})
    send(db, {"action": "pause", "queue": "b"})
    eventually(lambda: paused(here) == {"a": False, "b": True})
    assert here._service is not None
    assert here._service._notifier.ignored == len(WRONG) + 1


# Pause and resume ----------------------------------------------------------------------------------------------------


def test_a_paused_queue_fetches_nothing_until_it_is_resumed(
    here: Oban, db: psycopg.Connection, events: Events, eventually: Callable[..., Any]
) -> None:
    running = here.enqueue(Hold.new(queue="a"))
    eventually(lambda: here.check_queue("a").running == [running.id])
    here.pause_queue("a")
    assert paused(here) == {"a": True, "b": False}
    waiting = here.enqueue(Note.new(queue="a"))
    here.enqueue(Note.new(queue="b"))
    events.wait(1, "job.stop")
    assert (state(db, waiting), state(db, running)) == ("available", "executing")
    here.resume_queue("a")
    assert paused(here) == {"a": False, "b": False}
    events.wait(2, "job.stop")


def test_a_queue_is_paused_on_all_nodes_or_on_one(
    here: Oban, there: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    here.pause_queue("a")
    eventually(lambda: paused(there) == {"a": True})
    there.resume_queue("a")
    eventually(lambda: paused(here) == {"a": False, "b": False} and paused(there) == {"a": False})
    here.pause_queue("a", node="there")
    eventually(lambda: paused(there) == {"a": True})
    assert paused(here) == {"a": False, "b": False}
    here.pause_queue("b", node="here")
    assert paused(here) == {"a": False, "b": True}
    eventually(lambda: rows(db) == {("here", "a"): (2, False), ("here", "b"): (1, True), ("there", "a"): (2, True)})


def test_all_queues_are_paused_and_resumed(here: Oban, there: Oban, eventually: Callable[..., Any]) -> None:
    there.pause_all_queues()
    eventually(lambda: paused(here) == {"a": True, "b": True})
    assert paused(there) == {"a": True}
    here.resume_all_queues(node="there")
    eventually(lambda: paused(there) == {"a": False})
    assert paused(here) == {"a": True, "b": True}
    here.resume_all_queues()
    assert paused(here) == {"a": False, "b": False}


def test_a_client_commands_the_nodes(oban: Oban, here: Oban, eventually: Callable[..., Any]) -> None:
    oban.pause_queue("a", node="here")
    eventually(lambda: paused(here) == {"a": True, "b": False})
    oban.scale_queue(queue="b", limit=7)
    eventually(lambda: here.check_queue("b").limit == 7)
    assert oban.check_queue("a") is None
    assert oban.check_all_queues() == []


def test_signals_of_obans_nodes_are_obeyed(
    here: Oban, db: psycopg.Connection, shutdowns: Events, eventually: Callable[..., Any]
) -> None:
    send(db, {"action": "pause", "queue": "a", "ident": "any"})
    eventually(lambda: paused(here) == {"a": True, "b": False})
    send(db, {"action": "resume", "queue": "*", "ident": "Oban.here"})
    eventually(lambda: paused(here) == {"a": False, "b": False})
    send(db, {"action": "scale", "queue": "a", "ident": "any", "limit": 5})
    eventually(lambda: here.check_queue("a").limit == 5)
    send(db, {"action": "start", "queue": "c", "limit": 3, "paused": True, "ident": "any"})
    eventually(lambda: paused(here) == {"a": False, "b": False, "c": True})
    send(db, {"action": "stop", "queue": "c", "ident": "any"})
    eventually(lambda: paused(here) == {"a": False, "b": False})
    assert [(meta["queue"], meta["orphaned"]) for meta in shutdowns.wait(1)] == [("c", [])]


# Pauses that outlive a process ---------------------------------------------------------------------------------------


def test_a_durable_pause_holds_wherever_the_queue_starts(
    here: Oban, dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], events: Events
) -> None:
    here.pause_queue("a", durable=True)
    assert paused(here) == {"a": True, "b": False}
    waiting = here.enqueue(Note.new(queue="a"))
    with Oban(dsn=dsn, node="late", name="late", queues={"a": 1, "b": 1}) as late:
        eventually(lambda: paused(late) == {"a": True, "b": False})
        eventually(lambda: rows(db)["late", "a"] == (1, True))
        late.start_queue(queue="c", limit=1, node="late")
        assert state(db, waiting) == "available"
        late.resume_queue("a")
        events.wait(1, "job.stop")
        eventually(lambda: paused(here)["a"] is False)
    with Oban(dsn=dsn, node="later", name="later", queues={"a": 1}) as later:
        later.enqueue(Note.new(queue="a"))
        events.wait(2, "job.stop")
        assert paused(later) == {"a": False}
    assert db.execute("SELECT count(*) FROM oban_sync_queues").fetchone() == (0,)


def test_every_durable_pause_ends_with_all_queues_resumed(oban: Oban, db: psycopg.Connection) -> None:
    oban.pause_queue("a", durable=True)
    oban.pause_queue("a", durable=True)
    oban.pause_queue("b", durable=True)
    oban.resume_queue("a", node="elsewhere")
    assert db.execute("SELECT array_agg(queue ORDER BY queue) FROM oban_sync_queues").fetchone() == (["a", "b"],)
    oban.resume_all_queues()
    assert db.execute("SELECT count(*) FROM oban_sync_queues").fetchone() == (0,)


def kept(db: psycopg.Connection) -> list[str]:
    return [queue for (queue,) in db.execute("SELECT queue FROM oban_sync_queues ORDER BY queue").fetchall()]


def test_a_durable_pause_ends_with_a_resume_by_another_oban(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    for queue in ("a", "b", "nowhere"):
        here.pause_queue(queue, durable=True)
    send(db, {"action": "resume", "queue": "a", "ident": "any"})
    eventually(lambda: kept(db) == ["b", "nowhere"])
    assert paused(here) == {"a": False, "b": True}
    send(db, {"action": "resume", "queue": "*", "ident": "any"})
    eventually(lambda: kept(db) == [])
    eventually(lambda: paused(here) == {"a": False, "b": False})


def test_a_durable_pause_outlives_a_resume_on_one_node_and_what_was_sent_before_it(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    here.pause_queue("a", durable=True)
    here.pause_queue("b", durable=True)
    send(db, {"action": "resume", "queue": "a", "ident": "Oban.here"})
    send(db, {"action": "resume", "queue": "a", "ident": "any", "settled": True})
    eventually(lambda: paused(here) == {"a": False, "b": True})
    send(db, {"action": "resume", "queue": "b", "ident": "any"})
    eventually(lambda: kept(db) == ["a"])


def test_a_durable_pause_ends_although_the_connection_broke_meanwhile(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "RETRY_SECONDS", 0.05)
    here.pause_queue("a", durable=True)
    scheduling = "application_name = 'oban_sync:here:scheduler' AND datname = current_database()"
    eventually(lambda: db.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {scheduling}").fetchone() == (1,))
    db.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {scheduling}")
    send(db, {"action": "resume", "queue": "a", "ident": "any"})
    eventually(lambda: kept(db) == [])


def test_a_durable_pause_ends_although_its_row_was_locked(
    here: Oban, db: psycopg.Connection, dsn: str, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "RETRY_SECONDS", 0.05)
    here.pause_queue("a", durable=True)
    waiting = """
        SELECT FROM pg_stat_activity WHERE application_name = 'oban_sync:here:scheduler'
        AND datname = current_database() AND wait_event_type = 'Lock'
    """
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM oban_sync_queues FOR UPDATE")
        send(db, {"action": "resume", "queue": "a", "ident": "any"})
        eventually(lambda: db.execute(waiting).fetchone() is not None)
        eventually(lambda: db.execute(waiting).fetchone() is None)  # PostgreSQL refused it
    eventually(lambda: kept(db) == [])


def recheck(oban: Oban) -> None:
    """Have the queues look for what they may not have heard, as after a time without a connection that listens."""
    assert oban._service is not None
    oban._service.producers.recheck()


def test_a_queue_that_was_resumed_on_one_node_runs_on_after_a_time_without_notifications(
    here: Oban, events: Events
) -> None:
    here.pause_queue("a", durable=True)
    here.resume_queue("a", node="here")
    recheck(here)
    here.enqueue(Note.new(queue="a"))
    events.wait(1, "job.stop")
    assert paused(here) == {"a": False, "b": False}


def test_the_begin_and_the_end_of_a_durable_pause_are_found_that_were_not_heard(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    db.execute("INSERT INTO oban_sync_queues (queue, paused_at) VALUES ('a', now())")
    recheck(here)
    eventually(lambda: paused(here) == {"a": True, "b": False} and rows(db)["here", "a"] == (2, True))
    db.execute("DELETE FROM oban_sync_queues")
    recheck(here)
    eventually(lambda: paused(here) == {"a": False, "b": False} and rows(db)["here", "a"] == (2, False))


def test_queues_run_where_the_table_of_durable_pauses_is_not_installed(
    dsn: str, db: psycopg.Connection, events: Events
) -> None:
    db.execute("DROP TABLE oban_sync_queues")
    with Oban(dsn=dsn, queues={"a": 1}) as oban:
        oban.resume_queue("a")
        oban.pause_queue("a")
        with pytest.raises(SchemaMissing, match="'oban_sync_queues' table is missing"):
            oban.pause_queue("a", durable=True)
        oban.resume_all_queues()
        oban.enqueue(Note.new(queue="a"))
        events.wait(1, "job.stop")


# Scale ---------------------------------------------------------------------------------------------------------------


def test_a_queue_is_scaled_while_it_runs(
    here: Oban, there: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    here.pause_queue("a", node="there")
    eventually(lambda: paused(there) == {"a": True})
    jobs = here.enqueue_many(Hold.new(queue="a") for _ in range(5))
    eventually(lambda: len(here.check_queue("a").running) == 2)
    here.scale_queue(queue="a", limit=4, node="here")
    assert here.check_queue("a").limit == 4
    eventually(lambda: len(here.check_queue("a").running) == 4)
    here.scale_queue(queue="a", limit=1)
    eventually(lambda: there.check_queue("a").limit == 1)
    eventually(lambda: rows(db)["here", "a"] == (1, False) and rows(db)["there", "a"] == (1, True))
    assert len(here.check_queue("a").running) == 4
    going.set()
    eventually(lambda: all(state(db, job) == "completed" for job in jobs))


# Start and stop ------------------------------------------------------------------------------------------------------


def test_a_queue_starts_and_stops_while_a_node_runs(
    here: Oban, there: Oban, db: psycopg.Connection, events: Events, eventually: Callable[..., Any]
) -> None:
    job = here.enqueue(Note.new(queue="c"))
    here.start_queue(queue="c", limit=3)
    assert here.check_queue("c").limit == 3
    events.wait(1, "job.stop")
    eventually(lambda: there.check_queue("c") is not None)
    eventually(lambda: rows(db).get(("here", "c")) == rows(db).get(("there", "c")) == (3, False))
    owner = db.execute("SELECT attempted_by[2] FROM oban_jobs WHERE id = %s", (job.id,)).fetchone()[0]
    assert owner in {here.check_queue("c").uuid, there.check_queue("c").uuid}
    here.start_queue(queue="c", limit=9)
    assert here.check_queue("c").limit == 3
    there.stop_queue("c")
    assert there.check_queue("c") is None
    eventually(lambda: here.check_queue("c") is None)
    eventually(lambda: not {("here", "c"), ("there", "c")} & rows(db).keys())
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 2981 AND granted"
    eventually(
        lambda: (
            db.execute(
                locks + " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchone()
            == (3,)
        )
    )
    again = here.enqueue(Note.new(queue="c"))
    here.start_queue(queue="c", limit=1, node="here")
    events.wait(2, "job.stop")
    assert state(db, again) in ("executing", "completed")
    assert there.check_queue("c") is None


def test_a_queue_that_stops_keeps_its_jobs_until_they_end(
    dsn: str, db: psycopg.Connection, shutdowns: Events, eventually: Callable[..., Any]
) -> None:
    with Oban(dsn=dsn, node="here", queues={"a": 2, "b": 1}, shutdown_grace_period=0.05) as oban:
        job = oban.enqueue(Hold.new(queue="a"))
        eventually(lambda: oban.check_queue("a").running == [job.id])
        oban.stop_queue("a")
        (told,) = shutdowns.wait(1)
        assert (told["queue"], told["orphaned"], told["elapsed"] >= 50_000_000) == ("a", [job.id], True)  # nanoseconds
        assert oban.check_queue("a") is None
        eventually(lambda: rows(db) == {("here", "a"): (2, True), ("here", "b"): (1, False)})
        assert db.execute("SELECT meta ? 'shutdown_started_at' FROM oban_producers WHERE queue = 'a'").fetchone() == (
            True,
        )
        oban.start_queue(queue="a", limit=1)
        other = oban.enqueue(Hold.new(queue="a"))
        eventually(lambda: oban.check_queue("a").running == [other.id])
        assert db.execute("SELECT count(*) FROM oban_producers WHERE queue = 'a'").fetchone() == (2,)
        oban.cancel_many_jobs(state="executing")
        eventually(lambda: state(db, job) == state(db, other) == "cancelled")
        eventually(lambda: db.execute("SELECT count(*) FROM oban_producers WHERE queue = 'a'").fetchone() == (1,))


def test_a_stop_gives_back_what_is_not_begun_and_waits_for_what_runs(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    job = here.enqueue(Hold.new(queue="a"))
    eventually(lambda: here.check_queue("a").running == [job.id])
    threading.Timer(0.1, going.set).start()
    here.stop_queue("a")
    assert state(db, job) == "completed"


@worker(name="signals.StopsItself")
class StopsItself:
    def process(self, job: Job) -> None:
        Oban.get_instance("Oban").stop_queue(job.queue)


def test_a_job_may_stop_the_queue_that_runs_it(here: Oban, db: psycopg.Connection, eventually: Any) -> None:
    job = here.enqueue(StopsItself.new(queue="a"))
    eventually(lambda: state(db, job) == "completed")
    assert here.check_queue("a") is None


def test_a_node_without_queues_left_can_start_some(here: Oban, events: Events) -> None:
    here.stop_queue("a")
    here.stop_queue("b")
    assert here.check_all_queues() == []
    here.start_queue(queue="a", limit=1, paused=True)
    here.enqueue(Note.new(queue="a"))
    assert paused(here) == {"a": True}
    here.resume_queue("a")
    events.wait(1, "job.stop")


# What a queue says of itself -----------------------------------------------------------------------------------------


def test_a_queue_tells_its_state(here: Oban, db: psycopg.Connection, eventually: Callable[..., Any]) -> None:
    jobs = here.enqueue_many(Hold.new(queue="a") for _ in range(2))
    eventually(lambda: here.check_queue("a").running == [job.id for job in jobs])
    info = here.check_queue("a")
    uuid, started = db.execute("SELECT uuid::text, started_at FROM oban_producers WHERE queue = 'a'").fetchone()
    assert info == QueueInfo(
        limit=2,
        meta={"colour": "red"},
        node="here",
        paused=False,
        queue="a",
        running=[job.id for job in jobs],
        started_at=info.started_at,
        uuid=uuid,
    )
    assert abs((info.started_at.replace(tzinfo=None) - started).total_seconds()) < 60
    assert [found.queue for found in here.check_all_queues()] == ["a", "b"]
    assert here.check_queue("c") is None


# Cancelling what runs ------------------------------------------------------------------------------------------------


def test_a_running_job_is_asked_to_stop_on_whatever_node_runs_it(
    oban: Oban, there: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    jobs = oban.enqueue_many(Hold.new(queue="a") for _ in range(4))
    eventually(lambda: all(state(db, job) == "executing" for job in jobs))
    oban.cancel_job(jobs[0])
    eventually(lambda: state(db, jobs[0]) == "cancelled")
    assert [state(db, job) for job in jobs[1:]] == ["executing"] * 3
    assert oban.cancel_many_jobs(queue="a", state="executing") == 3
    eventually(lambda: all(state(db, job) == "cancelled" for job in jobs))
    assert all("cancel_attempted_at" in job.meta for job in oban.list_jobs())


@pytest.mark.parametrize("raises", [True, False])
def test_a_job_that_was_asked_to_stop_is_not_tried_again(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any], raises: bool
) -> None:
    job = here.enqueue(Gives.new({"raises": raises}, queue="a"))
    eventually(lambda: state(db, job) == "executing")
    here.cancel_job(job)
    eventually(lambda: state(db, job) == "cancelled")
    found = here.get_job(job.id)
    assert (found.attempt, found.cancelled_at is not None, len(found.errors)) == (1, True, int(raises))


def test_a_job_that_is_fetched_while_it_is_cancelled_hears_of_it(
    here: Oban, db: psycopg.Connection, events: Events, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here.pause_queue("a", node="here")
    job = here.enqueue(Hold.new(queue="a"))
    queue, missed, fetched = here._service.producers["a"].queue, threading.Event(), threading.Event()
    cancel = queue.cancel

    def late(ids: Any) -> list[int]:
        found = cancel(ids)
        missed.set()
        fetched.wait(20)
        return found

    monkeypatch.setattr(queue, "cancel", late)
    canceller = threading.Thread(target=here._service.producers.cancel, args=([job.id],))
    canceller.start()
    assert missed.wait(20)
    here.resume_queue("a", node="here")
    eventually(lambda: queue.running())
    here.enqueue(Note.new(queue="a"))
    events.wait(1, "job.stop")
    fetched.set()
    canceller.join()
    eventually(lambda: state(db, job) == "cancelled")


def test_a_cancel_that_is_rolled_back_asks_nobody(
    oban: Oban, here: Oban, dsn: str, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    first, second = oban.enqueue_many(Hold.new(queue="a") for _ in range(2))
    eventually(lambda: state(db, first) == state(db, second) == "executing")
    with psycopg.connect(dsn) as connection:
        oban.cancel_job(first, conn=connection)
        connection.rollback()
    oban.cancel_job(second)
    eventually(lambda: state(db, second) == "cancelled")
    assert state(db, first) == "executing"


def test_a_cancel_whose_signal_is_lost_is_found_by_the_row(
    here: Oban, db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    job = here.enqueue(Hold.new(queue="a"))
    eventually(lambda: state(db, job) == "executing")
    db.execute(
        "UPDATE oban_jobs SET meta = meta || "
        "jsonb_build_object('cancel_attempted_at', timezone('UTC', clock_timestamp()))"
    )
    listening = "application_name LIKE 'oban_sync:here:notif%' AND datname = current_database()"
    db.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")
    eventually(lambda: state(db, job) == "cancelled")


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda oban: oban.pause_queue(""),
        lambda oban: oban.pause_queue("*"),
        lambda oban: oban.pause_queue(5),
        lambda oban: oban.resume_queue("x" * 200),
        lambda oban: oban.pause_queue("a", node=""),
        lambda oban: oban.pause_queue("a", node="here", durable=True),
        lambda oban: oban.scale_queue(queue="a", limit=0),
        lambda oban: oban.scale_queue(queue="a", limit=2**31),
        lambda oban: oban.start_queue(queue="a", limit="many"),
        lambda oban: oban.start_queue(queue="a", limit=1, paused="perhaps"),
        lambda oban: oban.stop_queue(None),
        lambda oban: oban.check_queue("*"),
    ],
)
def test_an_argument_that_cannot_work_is_refused(oban: Oban, call: Callable[[Oban], Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        call(oban)


def test_a_node_that_runs_no_queues_starts_none(dsn: str, here: Oban, eventually: Callable[..., Any]) -> None:
    with Oban(dsn=dsn, node="web", name="web", leadership=True) as web:
        web.start_queue(queue="c", limit=1)
        eventually(lambda: here.check_queue("c") is not None)
        assert web.check_all_queues() == []
