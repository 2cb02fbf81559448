"""A job that one library stores is run by the other, and each reads what the other wrote of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban
from oban_sync.job import JobState
from tests.interop.conftest import Peer
from tests.interop.work import PEER, Ends, Hold, Ran

RECORDED = {"text": "ä", "list": [1, -2, 2.5, True, None], "nested": {"n": 2**40}}
FIELDS = ("worker", "queue", "args", "meta", "tags", "priority", "max_attempts", "attempt", "state")


def test_theirs_run_here(
    theirs: Peer, ours: Oban, ran: None, db: psycopg.Connection, states: Any, eventually: Callable[..., Any]
) -> None:
    fields = {"queue": "ours", "args": {"n": [1, "ä", None]}, "meta": {"a": 1}, "tags": ["B", "a"], "priority": 3}
    made = theirs.call("enqueue", *({"worker": f"{PEER}.Ran", **fields} for _ in range(3)))
    ids = [job["id"] for job in made]
    eventually(lambda: states(*ids) == ["completed"] * 3)
    assert sorted(db.execute("SELECT job, node FROM ran").fetchall()) == [(id, "ours") for id in ids]
    found = ours.get_job(ids[0])
    assert (found.args, found.meta, found.tags, found.priority) == ({"n": [1, "ä", None]}, {"a": 1}, ["a", "b"], 3)
    assert found.attempted_by[0] == "ours"


def test_ours_run_there(
    theirs: Peer, ours: Oban, ran: None, db: psycopg.Connection, states: Any, eventually: Callable[..., Any]
) -> None:
    made = ours.enqueue_many(Ran.new({"n": n}, queue="theirs", meta={"a": 1}, tags=["B", "a"]) for n in range(3))
    ids = [job.id for job in made]
    eventually(lambda: states(*ids) == ["completed"] * 3)
    assert sorted(db.execute("SELECT job, node FROM ran").fetchall()) == [(id, "theirs") for id in ids]
    read, found = theirs.call("get_job", ids[1]), ours.get_job(ids[1])
    assert {name: read[name] for name in FIELDS} == {name: getattr(found, name) for name in FIELDS}
    assert [datetime.fromisoformat(read[name]) for name in ("inserted_at", "attempted_at", "completed_at")] == [
        found.inserted_at,
        found.attempted_at,
        found.completed_at,
    ]


def test_scheduled_jobs_of_one_are_staged_and_run_by_the_other(
    theirs: Peer, ours: Oban, ran: None, states: Any, eventually: Callable[..., Any]
) -> None:
    here = theirs.call("enqueue", {"worker": f"{PEER}.Ran", "queue": "ours", "scheduled_in": 0.2})[0]
    there = ours.enqueue(Ran.new(queue="theirs", scheduled_in=0.2))
    assert (here["state"], there.state) == ("scheduled", "scheduled")
    eventually(lambda: states(here["id"], there.id) == ["completed"] * 2)


@pytest.mark.parametrize("queue", ["ours", "theirs"])
def test_what_one_side_writes_of_an_end_is_read_by_the_other(
    theirs: Peer, ours: Oban, states: Any, eventually: Callable[..., Any], queue: str
) -> None:
    ways = [
        {"how": "record", "value": RECORDED},
        {"how": "snooze"},
        {"how": "cancel"},
        {"how": "raise", "by": queue},
    ]
    ids = [job.id for job in ours.enqueue_many(Ends.new(way, queue=queue, meta={"kept": 1}) for way in ways)]
    eventually(lambda: states(*ids) == ["completed", "scheduled", "cancelled", "retryable"])
    record, snoozed, cancelled, raised = (ours.get_job(id) for id in ids)
    assert record.recorded == theirs.call("recorded", ids[0]) == RECORDED
    assert (snoozed.attempt, snoozed.meta) == (0, {"kept": 1, "snoozed": 1, "why": "later"})
    assert snoozed.scheduled_at > datetime.now(UTC) + timedelta(minutes=50)
    assert "no need" in cancelled.errors[0]["error"]
    assert f"ValueError: broken by {queue}" in raised.errors[0]["error"]
    assert all(job.meta["kept"] == 1 for job in (record, cancelled, raised))
    for found in (snoozed, cancelled, raised):
        read = theirs.call("get_job", found.id)
        assert (read["errors"], read["meta"], read["attempt"]) == (found.errors, found.meta, found.attempt)
        assert [sorted(error) for error in found.errors] == [["at", "attempt", "error"]] * len(found.errors)
        assert [datetime.fromisoformat(error["at"]).tzinfo for error in found.errors] == [UTC] * len(found.errors)


def test_a_second_attempt_on_the_other_side_ends_what_the_first_began(
    theirs: Peer, ours: Oban, db: psycopg.Connection, states: Any, eventually: Callable[..., Any]
) -> None:
    """The errors of both stand in one row, and its last attempt discards it."""
    ids = [ours.enqueue(Ends.new({"how": "raise", "by": "both"}, queue=queue)).id for queue in ("ours", "theirs")]
    eventually(lambda: states(*ids) == ["retryable"] * 2)
    ours.update_job(ids[0], {"queue": "theirs"})
    theirs.call("update_job", ids[1], {"queue": "ours"})
    ours.retry_job(ids[0])
    theirs.call("retry_job", ids[1])
    eventually(lambda: states(*ids) == ["discarded"] * 2)
    for job in ours.list_jobs(ids=ids):
        assert [error["attempt"] for error in job.errors] == [1, 2]
        assert theirs.call("get_job", job.id)["errors"] == job.errors


def test_verbs_for_jobs_of_one_work_on_jobs_of_the_other(theirs: Peer, ours: Oban, states: Any) -> None:
    here = [
        job["id"] for job in theirs.call("enqueue", *({"worker": f"{PEER}.Ran", "queue": "idle"} for _ in range(3)))
    ]
    there = [job.id for job in ours.enqueue_many(Ran.new(queue="idle") for _ in range(3))]
    assert ours.cancel_many_jobs(here[:2]) == theirs.call("cancel_many_jobs", there[:2]) == 2
    assert states(*here, *there) == ["cancelled", "cancelled", "available"] * 2
    assert ours.retry_many_jobs(here[:1]) == theirs.call("retry_many_jobs", there[:1]) == 1
    ours.update_job(here[0], {"priority": 5, "tags": ["x"], "scheduled_in": 60})
    theirs.call("update_job", there[0], {"priority": 5, "tags": ["x"], "scheduled_in": 60})
    assert ours.delete_many_jobs(here[1:]) == theirs.call("delete_many_jobs", there[1:]) == 2
    assert states(*here, *there) == ["scheduled", "scheduled"]
    mine, read = theirs.call("get_job", here[0]), ours.get_job(there[0])
    assert (mine["priority"], mine["tags"], read.priority, read.tags) == (5, ["x"], 5, ["x"])


UNIQUE = {"uniq": True, "uniq_key": "8f1", "uniq_bmp": [0, 1, 2, 3, 4, 5]}


def test_columns_and_keys_of_others_stay_as_they_are(
    theirs: Peer, ours: Oban, db: psycopg.Connection, states: Any, eventually: Callable[..., Any]
) -> None:
    """Such as Oban Pro's: a column that is made of `meta`, one of its own, and the keys of unique jobs."""
    db.execute("ALTER TABLE oban_jobs ADD COLUMN uniq_key text GENERATED ALWAYS AS (meta ->> 'uniq_key') STORED")
    db.execute("ALTER TABLE oban_jobs ADD COLUMN partition_key text DEFAULT 'p'")
    jobs = [
        *(Ends.new({"how": how, "by": "", "value": 1}, meta=UNIQUE, queue="ours") for how in ("snooze", "raise", "")),
        *(Ends.new({"how": how, "by": "", "value": 1}, meta=UNIQUE, queue="theirs") for how in ("snooze", "raise", "")),
    ]
    ids = [job.id for job in ours.enqueue_many(jobs)]
    eventually(lambda: states(*ids) == ["scheduled", "retryable", "completed"] * 2)
    rows = db.execute("SELECT uniq_key, partition_key, meta @> %s FROM oban_jobs", [psycopg.types.json.Jsonb(UNIQUE)])
    assert rows.fetchall() == [("8f1", "p", True)] * 6
    assert ours.retry_many_jobs(ids[:2]) == theirs.call("retry_many_jobs", ids[3:5]) == 2
    eventually(lambda: states(*ids[:2], *ids[3:5]) == ["scheduled", "discarded"] * 2)
    assert {job.meta["uniq_key"] for job in ours.list_jobs()} == {"8f1"}
    assert [job.meta["uniq_bmp"] for job in ours.list_jobs(ids=[ids[0], ids[3]])] == [[], []]
    db.execute("ALTER TABLE oban_jobs DROP COLUMN uniq_key, DROP COLUMN partition_key")


def test_a_job_of_theirs_without_validation_is_read_by_us(ours: Oban, db: psycopg.Connection) -> None:
    """Rows may hold what neither library would store."""
    (id,) = db.execute("INSERT INTO oban_jobs (worker, queue) VALUES (' ', 'idle') RETURNING id").fetchone()
    assert (ours.get_job(id).worker, ours.get_job(id).state) == (" ", JobState.AVAILABLE)
    assert isinstance(ours.get_job(id), Job)
    assert Hold.new().worker == f"{PEER}.Hold"
