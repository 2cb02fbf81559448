"""What a job may be, and how it shows itself."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oban_sync import Cancel, Job, JobState, Oban, Record, Snooze
from oban_sync.errors import ArgsError, JobError, ObanError
from oban_sync.job import FIELDS, MAX_NAME


class Context:
    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def cancelled(self) -> bool:
        return self.answer


def test_a_new_job_has_the_defaults_of_oban() -> None:
    job = Job("myapp.Email")
    assert (job.worker, job.queue, job.state) == ("myapp.Email", "default", JobState.AVAILABLE)
    assert (job.attempt, job.max_attempts, job.priority) == (0, 20, 0)
    assert (job.args, job.meta, job.errors, job.tags, job.attempted_by, job.extra) == ({}, {}, [], [], [], {})
    times = (job.attempted_at, job.cancelled_at, job.completed_at, job.discarded_at, job.inserted_at, job.scheduled_at)
    assert (job.id, *times) == (None,) * 7


def test_two_jobs_share_no_mutable_default() -> None:
    Job("w").meta["a"] = Job("w").args["b"] = 1  # type: ignore[index]
    Job("w").tags.append("c")
    job = Job("w")
    assert (job.meta, job.args, job.tags) == ({}, {}, [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"queue": ""}, "queue must not be blank"),
        ({"queue": " \t\n"}, "queue must not be blank"),
        ({"worker": ""}, "worker must not be blank"),
        ({"worker": "  "}, "worker must not be blank"),
        ({"worker": None}, "expected worker to be a str, got NoneType None"),
        ({"queue": 5}, "expected queue to be a str, got int 5"),
        ({"queue": b"mail"}, "expected queue to be a str, got bytes"),
        ({"queue": "a\0b"}, "expected queue in Unicode without NUL and lone surrogates, got 'a\\x00b'"),
        ({"worker": "a\ud800"}, "expected worker in Unicode without NUL and lone surrogates"),
        ({"queue": "q" * 128}, "expected queue of at most 127 characters, got 128: qqqq"),
        ({"worker": "w" * 128}, "give it a short name by @worker(name=...)"),
        ({"max_attempts": 0}, "max_attempts must be greater than 0"),
        ({"max_attempts": -5}, "max_attempts must be greater than 0"),
        ({"max_attempts": 32_768}, "max_attempts must be greater than 0 (and at most 32767), got 32768"),
        ({"max_attempts": 2.5}, "expected max_attempts to be an integer, got float 2.5"),
        ({"max_attempts": None}, "expected max_attempts to be an integer, got NoneType"),
        ({"max_attempts": True}, "expected max_attempts to be an integer, got bool True"),
        ({"priority": -1}, "priority must be between 0 and 9"),
        ({"priority": 10}, "priority must be between 0 and 9, got 10"),
        ({"priority": "1"}, "expected priority to be an integer, got str '1'"),
        ({"attempt": -1}, "attempt must be between 0 and max_attempts"),
        ({"attempt": 21}, "attempt must be between 0 and max_attempts (and at most 20), got 21"),
        ({"state": "done"}, "expected state to be one of available, scheduled, executing"),
        ({"state": None}, "expected state to be one of"),
        ({"tags": [5]}, "expected tags to be str, got int 5"),
        ({"tags": ["t" * 256]}, "expected tags of at most 255 characters, got 256"),
        ({"tags": ["a\0"]}, "expected tags in Unicode without NUL"),
        ({"tags": "urgent"}, "expected tags to be a list of str, got str 'urgent'"),
        ({"tags": 5}, "expected tags to be a list of str, got int 5"),
    ],
)
def test_a_field_that_cannot_be_is_refused_in_these_words(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError) as caught:
        Job(**{"worker": "w", **fields})
    assert message in str(caught.value)
    assert isinstance(caught.value, ObanError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "fields",
    [
        {"queue": "q" * MAX_NAME},
        {"worker": "w" * MAX_NAME},
        {"queue": "größe ☃"},
        {"queue": "a b-c.d/e'\"%"},
        {"max_attempts": 1},
        {"max_attempts": 32_767},
        {"priority": 9},
        {"attempt": 20},
        {"tags": ["t" * 255]},
        {"state": "suspended"},
    ],
)
def test_the_ends_of_what_may_be_are_stored(fields: dict[str, Any], oban: Oban, db: Any) -> None:
    job = oban.enqueue(Job(**{"worker": "w", **fields}))
    row = db.execute(
        "SELECT worker, queue, max_attempts, priority, attempt, tags, state::text FROM oban_jobs WHERE id = %s",
        (job.id,),
    ).fetchone()
    assert row == (job.worker, job.queue, job.max_attempts, job.priority, job.attempt, job.tags, job.state)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["Mail", " mail ", "mail"], ["mail"]),
        (["b", "a", "C"], ["a", "b", "c"]),
        (["", "  ", None, "x"], ["x"]),
        (("a", "b"), ["a", "b"]),
        ({"a"}, ["a"]),
        ((tag for tag in ("b", "a")), ["a", "b"]),
        ([], []),
        (["ÄÖ"], ["äö"]),
    ],
)
def test_tags_are_stripped_lowered_sorted_and_without_doubles(given: Any, kept: list[str]) -> None:
    assert Job("w", tags=given).tags == kept


def test_the_list_of_tags_given_is_left_as_it_is() -> None:
    tags = ["B", "a"]
    assert Job("w", tags=tags).tags == ["a", "b"]
    assert tags == ["B", "a"]


@pytest.mark.parametrize("state", list(JobState))
def test_a_state_may_be_named_or_be_a_member(state: JobState) -> None:
    assert Job("w", state=state).state is Job("w", state=state.value).state is state
    assert state == state.value == str(state)


def test_the_states_are_those_of_oban() -> None:
    names = "available cancelled completed discarded executing retryable scheduled suspended"
    assert sorted(JobState) == names.split()


def test_a_time_makes_an_available_job_scheduled_and_leaves_other_states_alone() -> None:
    assert Job("w", scheduled_in=1).state is JobState.SCHEDULED
    assert Job("w", scheduled_in=1, state="suspended").state is JobState.SUSPENDED


@pytest.mark.parametrize("show", [str, repr, "{}".format])
def test_a_job_shows_its_id_worker_queue_and_state(show: Any) -> None:
    job = Job("myapp.Email", id=7, queue="mail", args={"password": "secret"})
    assert show(job) == "Job(id=7, worker='myapp.Email', queue='mail', state='available')"


def test_a_job_takes_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Job("w").colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Job("w", colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Job("w", {})  # type: ignore[misc]


def test_a_job_may_be_copied() -> None:
    job = Job("w", args={"a": [1]}, scheduled_in=60)
    other = copy.deepcopy(job)
    assert (other.args, other.scheduled_at, other.tags) == (job.args, job.scheduled_at, job.tags)
    assert other.args is not job.args


def test_a_job_is_cancelled_only_when_its_run_says_so() -> None:
    job = Job("w")
    assert job.cancelled() is False
    job._context = Context(False)
    assert job.cancelled() is False
    job._context = Context(True)
    assert job.cancelled() is True


def test_the_names_of_fields_are_what_workers_may_override() -> None:
    assert {"queue", "priority", "scheduled_in", "schedule_in", "scheduled_at", "tags", "meta"} <= FIELDS
    assert not {"extra", "_delay", "_context", "cron"} & FIELDS


def test_a_job_is_enqueued_once(oban: Oban, db: Any) -> None:
    job = oban.enqueue(Job("w"))
    with pytest.raises(JobError, match="not enqueued yet"):
        oban.enqueue(job)
    with pytest.raises(JobError, match="not enqueued yet"):
        oban.enqueue_many(Job("w"), job)
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (1,)


@pytest.mark.parametrize("given", [5, "w", {"worker": "w"}, None, object()])
def test_what_is_no_job_is_refused(given: Any, oban: Oban, db: Any) -> None:
    with pytest.raises(JobError, match="expected"):
        oban.enqueue(given)
    with pytest.raises(JobError, match="expected a Job to enqueue, got"):
        oban.enqueue_many([Job("w"), given])
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)


def test_what_the_database_decides_is_written_into_the_job(oban: Oban, db: Any) -> None:
    job = oban.enqueue(Job("w", scheduled_in=60, args={"a": 1}, tags=["x"], meta={"m": 1}))
    row = db.execute("SELECT id, inserted_at, scheduled_at FROM oban_jobs").fetchone()
    assert (job.id, job.inserted_at, job.scheduled_at) == (
        row[0],
        row[1].replace(tzinfo=UTC),
        row[2].replace(tzinfo=UTC),
    )
    assert job.state is JobState.SCHEDULED
    now = oban.enqueue(Job("w"))
    assert now.inserted_at == now.scheduled_at
    assert now.state is JobState.AVAILABLE


# What a worker may return --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 1, 0.5, timedelta(minutes=1)])
def test_a_snooze_takes_seconds_or_a_timedelta(seconds: Any) -> None:
    assert Snooze(seconds).seconds == seconds
    assert Snooze(seconds, meta={"why": "rate"}).meta == {"why": "rate"}


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "60", None, True, timedelta(-1), 1e300])
def test_a_snooze_of_no_time_is_refused_where_it_is_written(seconds: Any) -> None:
    with pytest.raises(JobError, match=r"^expected Snooze's seconds to "):
        Snooze(seconds)


@pytest.mark.parametrize("meta", [[], "text", {"a": {1}}, {1: 2}])
def test_a_snooze_with_meta_that_cannot_be_stored_is_refused(meta: Any) -> None:
    with pytest.raises(ArgsError, match=r"^expected meta"):
        Snooze(5, meta=meta)


def test_snooze_and_cancel_are_values() -> None:
    assert Snooze(5) == Snooze(5) != Snooze(6)
    assert Cancel("spam") == Cancel("spam")
    assert Cancel("spam").reason == "spam"
    with pytest.raises(AttributeError):
        Cancel("spam").reason = "other"  # type: ignore[misc]


def test_a_record_is_encoded_where_it_is_written() -> None:
    assert Record(1).encoded == "g2EB"
    with pytest.raises(JobError, match="got object"):
        Record(object())


def test_a_record_over_its_limit_is_refused() -> None:
    Record("x" * 100, limit=142)
    with pytest.raises(JobError, match="expected a recorded value of at most 141 bytes, got 142"):
        Record("x" * 100, limit=141)
    with pytest.raises(JobError, match="at most 64,000,000 bytes"):
        Record(b"\xff" * 48_000_001)


def test_inserted_at_of_ones_own_is_kept_in_utc(oban: Oban, db: Any) -> None:
    when = datetime(2020, 1, 1, 12, tzinfo=UTC)
    oban.enqueue(Job("w", inserted_at=when))
    assert db.execute("SELECT inserted_at FROM oban_jobs").fetchone() == (datetime(2020, 1, 1, 12),)


# Updates -------------------------------------------------------------------------------------------------------------


def test_an_update_changes_the_object_and_checks_it_as_a_new_one() -> None:
    job = Job("w", scheduled_in=60)
    assert job.update({"tags": [" B", "a"], "args": {"x": 1}, "worker": "v", "priority": 3}) is job
    assert (job.tags, job.args, job.worker, job.priority, job.delay) == (["a", "b"], {"x": 1}, "v", 3, 60)
    assert job.update({"scheduled_in": 90}).delay == 90
    at = datetime(2040, 1, 1, tzinfo=UTC)
    assert (job.update({"scheduled_at": at}).scheduled_at, job.delay, job.state) == (at, None, "scheduled")
    assert Job("w").update({"schedule_in": timedelta(minutes=1)}).state == "scheduled"


@pytest.mark.parametrize(
    "changes",
    [{"queue": " "}, {"priority": 10}, {"state": "completed"}, {"id": 1}, {"scheduled_in": 1, "schedule_in": 1}],
    ids=str,
)
def test_an_update_that_is_refused_changes_nothing(changes: dict[str, Any]) -> None:
    job = Job("w", id=7)
    with pytest.raises(JobError):
        job.update({"tags": ["a"], **changes})
    with pytest.raises(JobError, match="expected changes in a mapping, got list"):
        job.update(["tags"])  # type: ignore[arg-type]
    assert (job.tags, job.queue, job.state, job.id, job.scheduled_at) == ([], "default", "available", 7, None)
