"""Jobs are retried, cancelled, deleted and updated, one or many, alone or in the caller's transaction."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Job, JobState, Oban
from oban_sync.errors import ArgsError, FilterError, JobError, JobNotFound
from oban_sync.lifecycle import control, query
from oban_sync.store import handles
from oban_sync.store.statements import Statements
from tests.store.callers import AUTOCOMMIT, TRANSACTIONAL

EVERY_STATE = [str(state) for state in JobState]
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def every(db: psycopg.Connection) -> dict[str, int]:
    """A job in each state, by state."""
    rows = db.execute(
        "INSERT INTO oban_jobs (worker, state, attempt, max_attempts, meta, scheduled_at, attempted_at, completed_at, "
        "cancelled_at, discarded_at) "
        "SELECT 'w', state::oban_job_state, 3, 3, '{\"uniq_bmp\": [1]}', '2020-01-01', '2020-01-01', '2020-01-01', "
        "'2020-01-01', '2020-01-01' FROM unnest(%s::text[]) AS state RETURNING state::text, id",
        (EVERY_STATE,),
    )
    return dict(rows.fetchall())


def states(oban: Oban, every: dict[str, int]) -> dict[str, str]:
    return {state: str(job.state) if (job := oban.get_job(id)) else "gone" for state, id in every.items()}


def heard(listener: psycopg.Connection, count: int) -> list[tuple[str, str]]:
    """Give so many notifications."""
    found = [(note.channel, note.payload) for note in listener.notifies(timeout=10, stop_after=count)]
    return sorted(found)


@pytest.fixture
def listener(dsn: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for channel in ("insert", "signal", "sync_due"):
            connection.execute(f'LISTEN "public.oban_{channel}"')
        yield connection


# Retry ---------------------------------------------------------------------------------------------------------------


def test_a_retry_makes_every_job_available_that_neither_is_nor_runs(oban: Oban, every: dict[str, int]) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    assert oban.retry_many_jobs(list(every.values())) == len(EVERY_STATE) - 2
    assert states(oban, every) == dict.fromkeys(every, "available") | {"executing": "executing"}
    again = oban.get_job(every["discarded"])
    assert (again.attempt, again.max_attempts, again.meta) == (3, 4, {"uniq_bmp": []})
    assert again.completed_at is again.cancelled_at is again.discarded_at is None
    assert again.scheduled_at > before
    for state in ("available", "executing"):
        left = oban.get_job(every[state])
        assert (left.max_attempts, left.meta, left.completed_at) == (3, {"uniq_bmp": [1]}, PAST)


def test_a_retry_wakes_the_queue(oban: Oban, listener: psycopg.Connection) -> None:
    job = oban.enqueue(Job("w", queue='a "b"', scheduled_in=3600))
    assert oban.retry_job(job) is None
    assert heard(listener, 1) == [("public.oban_insert", '{"queue" : "a \\"b\\""}')]
    assert oban.get_job(job.id).meta == {}


def test_an_attempt_is_added_only_where_none_is_left(oban: Oban) -> None:
    job = oban.enqueue(Job("w", max_attempts=5, scheduled_in=60))
    oban.retry_job(job.id)
    assert oban.get_job(job.id).max_attempts == 5


# Cancel --------------------------------------------------------------------------------------------------------------


def test_a_cancel_ends_what_waits_and_marks_what_runs(
    oban: Oban, every: dict[str, int], listener: psycopg.Connection
) -> None:
    assert oban.cancel_many_jobs(list(every.values())) == 5
    waiting = ("available", "scheduled", "retryable", "suspended")
    assert states(oban, every) == {state: "cancelled" if state in waiting else state for state in every}
    for state in waiting:
        job = oban.get_job(every[state])
        assert job.cancelled_at > PAST
        assert datetime.fromisoformat(job.meta["cancel_attempted_at"]).replace(tzinfo=UTC) == job.cancelled_at
    running = oban.get_job(every["executing"])
    assert "cancel_attempted_at" in running.meta
    assert running.cancelled_at == PAST
    assert "cancel_attempted_at" not in oban.get_job(every["completed"]).meta
    signal = f'{{"action" : "pkill", "job_id" : {every["executing"]}}}'
    assert heard(listener, 1) == [("public.oban_signal", signal)]


# Delete --------------------------------------------------------------------------------------------------------------


def test_a_delete_leaves_what_runs(oban: Oban, every: dict[str, int]) -> None:
    assert oban.delete_many_jobs(list(every.values())) == len(EVERY_STATE) - 1
    assert states(oban, every) == dict.fromkeys(every, "gone") | {"executing": "executing"}
    assert oban.delete_many_jobs(list(every.values())) == 0


# One, many, and by filters -------------------------------------------------------------------------------------------


def test_a_verb_for_one_job_takes_it_or_its_id(oban: Oban) -> None:
    first, second = oban.enqueue_many(Job("w"), Job("w"))
    assert oban.cancel_job(first) is oban.cancel_job(second.id) is None
    assert oban.count_jobs(state="cancelled") == 2
    assert oban.delete_job(first) is oban.delete_job(second.id) is oban.delete_job(10**9) is None
    assert oban.count_jobs() == 0


def test_filters_choose_jobs_and_narrow_a_list(oban: Oban) -> None:
    jobs = oban.enqueue_many(Job("w", queue=queue, scheduled_in=60) for queue in ("a", "a", "b", "b", "b"))
    assert oban.cancel_many_jobs(queue="a", state="scheduled") == 2
    assert oban.cancel_many_jobs(queue="a", state="scheduled") == 0
    assert oban.retry_many_jobs((job for job in jobs), state="cancelled") == 2
    assert oban.delete_many_jobs([jobs[0].id, jobs[2]], queue="b") == 1
    assert [job.id for job in oban.list_jobs()] == [jobs[0].id, jobs[1].id, jobs[3].id, jobs[4].id]
    assert oban.delete_many_jobs([]) == 0


@pytest.mark.parametrize("verb", ["retry_many_jobs", "cancel_many_jobs", "delete_many_jobs"])
def test_nothing_chosen_is_not_everything(oban: Oban, every: dict[str, int], verb: str) -> None:
    with pytest.raises(FilterError, match="which would be all jobs; nothing was written"):
        getattr(oban, verb)()
    for wrong in (Job("w"), 5, "5", {"ids": [5]}, [Job("w")], [None], ["5"]):
        with pytest.raises(JobError, match="nothing was written"):
            getattr(oban, verb)(wrong)
    assert states(oban, every) == {state: state for state in every}


@pytest.mark.parametrize("verb", ["retry_job", "cancel_job", "delete_job"])
def test_a_job_that_was_not_enqueued_is_refused(oban: Oban, verb: str) -> None:
    for wrong in (Job("w"), None, 0, "5", 2**63):
        with pytest.raises(ValueError, match="expected a job that was enqueued, or its id"):
            getattr(oban, verb)(wrong)


# Update --------------------------------------------------------------------------------------------------------------


def test_every_field_that_may_change_changes(oban: Oban) -> None:
    job = oban.enqueue(Job("w", args={"a": 1}, tags=["x"], meta={"m": 1}))
    changes = {
        "args": {"b": [1, None]},
        "max_attempts": 7,
        "meta": {"n": "%s"},
        "priority": 9,
        "queue": "it's",
        "tags": ["Z ", "y"],
        "worker": "v",
    }
    updated = oban.update_job(job, changes)
    assert updated is job
    stored = oban.get_job(job.id)
    for name, value in {**changes, "tags": ["y", "z"]}.items():
        assert getattr(stored, name) == getattr(job, name) == value
    assert (stored.state, stored.scheduled_at) == ("available", job.scheduled_at)


def test_what_is_not_named_stays_to_the_digit(oban: Oban, db: psycopg.Connection) -> None:
    job = oban.enqueue(Job("w"))
    exact = '{"big": 123456789012345678901234567890.000}'
    db.execute("UPDATE oban_jobs SET args = %s", (exact,))
    assert oban.update_job(job.id, {"priority": 1}).priority == 1
    assert db.execute("SELECT args::text FROM oban_jobs").fetchone() == (exact,)


def test_a_function_gets_the_row_as_it_is_now(oban: Oban) -> None:
    job = oban.enqueue(Job("w", tags=["a"]))
    oban.update_job(job.id, {"tags": ["b"]})
    assert oban.update_job(job, lambda now: {"tags": [*now.tags, "c"]}).tags == ["b", "c"]


def test_the_state_follows_the_time(oban: Oban, listener: psycopg.Connection) -> None:
    job = oban.enqueue(Job("w"))
    assert heard(listener, 1) == [("public.oban_insert", '{"queue" : "default"}')]
    later = oban.update_job(job, {"scheduled_in": timedelta(hours=1)})
    assert later.state == "scheduled"
    assert timedelta(minutes=59) < later.scheduled_at - later.inserted_at < timedelta(minutes=61)
    assert oban.update_job(job, {"priority": 2}).state == "scheduled"
    assert oban.update_job(job, {"scheduled_at": PAST}).state == "available"
    assert heard(listener, 1) == [("public.oban_insert", '{"queue" : "default"}')]
    assert oban.update_job(job, {"schedule_in": 5}).state == "scheduled"
    assert [channel for channel, _ in heard(listener, 1)] == ["public.oban_sync_due"]


@pytest.mark.parametrize("state", ["executing", "retryable", "suspended", "completed"])
def test_a_time_leaves_other_states_alone(oban: Oban, every: dict[str, int], state: str) -> None:
    updated = oban.update_job(every[state], {"scheduled_in": 60, "max_attempts": 5})
    assert updated.state == state
    assert updated.scheduled_at > datetime.now(UTC)


def test_many_are_updated_all_or_none(oban: Oban) -> None:
    jobs = oban.enqueue_many(Job("w", args={"n": n}) for n in range(3))
    given = [jobs[2].id, jobs[0], jobs[2].id]
    updated = oban.update_many_jobs(given, lambda job: {"priority": job.args["n"] + 1})
    assert [(job.id, job.priority) for job in updated] == [(jobs[2].id, 3), (jobs[0].id, 1), (jobs[2].id, 3)]
    with pytest.raises(JobError, match="priority must be between 0 and 9"):
        oban.update_many_jobs(jobs, lambda job: {"priority": job.args["n"] * 9})
    with pytest.raises(JobNotFound, match=r"found none of id \[1000000000\]; nothing was written"):
        oban.update_many_jobs([*jobs, 10**9], {"priority": 7})
    assert [job.priority for job in oban.list_jobs()] == [1, 0, 3]
    assert oban.update_many_jobs([], {"priority": 7}) == []


def test_filters_choose_what_is_updated(oban: Oban) -> None:
    jobs = oban.enqueue_many(Job("w", queue=queue) for queue in ("a", "b", "b"))
    assert [job.id for job in oban.update_many_jobs(None, {"priority": 5}, queue="b")] == [jobs[1].id, jobs[2].id]
    assert [job.id for job in oban.update_many_jobs([jobs[2], 10**9, jobs[0]], {"priority": 6}, queue="b")] == [
        jobs[2].id
    ]
    assert [job.priority for job in oban.list_jobs()] == [0, 5, 6]
    with pytest.raises(FilterError, match="which would be all jobs"):
        oban.update_many_jobs(None, {"priority": 5})


WRONG: list[Any] = [
    {"state": "completed"},
    {"id": 5},
    {"colour": "red"},
    {"priority": 10},
    {"max_attempts": 0},
    {"queue": ""},
    {"worker": None},
    {"tags": "a"},
    {"args": None},
    {"args": {"a": {1, 2}}},
    {"meta": []},
    {"scheduled_at": datetime(2020, 1, 1)},
    {"scheduled_in": -1},
    {"scheduled_in": 1, "scheduled_at": PAST},
    ["priority"],
    lambda job: None,
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: "function" if callable(changes) else str(changes))
def test_a_change_that_cannot_be_stored_changes_nothing(oban: Oban, changes: Any) -> None:
    job = oban.enqueue(Job("w", args={"a": 1}))
    before = oban.get_job(job.id)
    with pytest.raises(JobError):
        oban.update_job(job, changes)
    after = oban.get_job(job.id)
    assert all(
        getattr(after, name) == getattr(before, name) == getattr(job, name) for name in ("args", "queue", "tags")
    )
    assert (after.scheduled_at, after.state) == (before.scheduled_at, before.state)


def test_an_attempt_counts_for_max_attempts(oban: Oban, every: dict[str, int]) -> None:
    with pytest.raises(JobError, match="attempt must be between 0 and max_attempts"):
        oban.update_job(every["retryable"], {"max_attempts": 2})


def test_args_have_the_size_that_they_may_have_at_enqueue(dsn: str) -> None:
    small = Oban(dsn=dsn, max_args_bytes=100)
    job = small.enqueue(Job("w"))
    with pytest.raises(ArgsError, match="at most 100 bytes"):
        small.update_job(job, {"args": {"a": "x" * 100}})
    small.stop()


def test_updates_of_one_row_wait_for_each_other(oban: Oban) -> None:
    job = oban.enqueue(Job("w", args={"n": 0}))
    threads = [
        threading.Thread(target=lambda: oban.update_job(job.id, lambda now: {"args": {"n": now.args["n"] + 1}}))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert oban.get_job(job.id).args == {"n": 8}


def test_an_error_of_the_function_is_the_callers(oban: Oban) -> None:
    job = oban.enqueue(Job("w"))
    with pytest.raises(ZeroDivisionError):
        oban.update_job(job, lambda now: {"priority": 1 // 0})
    assert oban.update_job(job, {"priority": 1}).priority == 1  # the row is not locked any more


# In the caller's transaction -----------------------------------------------------------------------------------------


def everything(oban: Oban, conn: Any, jobs: list[Job]) -> None:
    """Do every verb to a job of its own."""
    oban.cancel_job(jobs[0], conn=conn)
    oban.retry_job(jobs[1], conn=conn)
    oban.delete_job(jobs[2], conn=conn)
    assert oban.update_job(jobs[3].id, lambda job: {"tags": [*job.tags, "%s"]}, conn=conn).tags == ["%s"]
    with pytest.raises(JobNotFound):
        oban.update_many_jobs([jobs[4], 10**9], {"priority": 9}, conn=conn)
    assert oban.cancel_many_jobs(queue="many", args={"to": "100%"}, conn=conn) == 1


def done(oban: Oban) -> list[tuple[str, list[str]]]:
    return [(str(job.state), job.tags) for job in oban.list_jobs()]


@pytest.fixture
def five(oban: Oban) -> list[Job]:
    jobs = [Job("w", scheduled_in=60) for _ in range(5)]
    return oban.enqueue_many(*jobs, Job("w", queue="many", args={"to": "100%"}))


BEFORE = [("scheduled", [])] * 5 + [("available", [])]
AFTER = [
    ("cancelled", []),
    ("available", []),
    ("scheduled", ["%s"]),
    ("scheduled", []),
    ("cancelled", []),
]


@pytest.mark.parametrize("name", sorted(TRANSACTIONAL))
def test_verbs_are_part_of_the_callers_transaction(oban: Oban, five: list[Job], dsn: str, name: str) -> None:
    for end, expected in (("rollback", BEFORE), ("commit", AFTER)):
        with TRANSACTIONAL[name](dsn) as case:
            case.query("SELECT 1")
            settings = case.settings()
            everything(oban, case.conn, five)
            assert case.settings() == settings
            assert done(oban) == BEFORE
            getattr(case, end)()
        assert done(oban) == expected


@pytest.mark.parametrize("name", sorted(AUTOCOMMIT))
@pytest.mark.filterwarnings("ignore::oban_sync.store.handles.AutocommitWarning")
def test_verbs_on_a_connection_in_autocommit_are_done_at_once(oban: Oban, five: list[Job], dsn: str, name: str) -> None:
    with AUTOCOMMIT[name](dsn) as case:
        everything(oban, case.conn, five)
    assert done(oban) == AFTER


def test_nothing_is_notified_where_the_transaction_will_be_prepared(
    oban: Oban, every: dict[str, int], db: psycopg.Connection, listener: psycopg.Connection, statements: Statements
) -> None:
    quiet = replace(handles.adapt(db), quiet=True)
    chosen = query.choose(list(every.values()), {})
    control.update(quiet, statements, chosen, {"scheduled_in": 1}, jobs=None, partial=False, max_bytes=100)
    assert control.cancel(quiet, statements, chosen) == 5
    assert control.retry(quiet, statements, chosen) == 7
    db.execute("SELECT pg_notify('public.oban_insert', 'the only one')")
    assert heard(listener, 1) == [("public.oban_insert", "the only one")]
