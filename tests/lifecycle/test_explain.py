"""Why a job is not running: each reason as the rows show it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import psycopg
import pytest

from oban_sync import Job, JobState, Oban
from oban_sync.errors import JobError, JobNotFound
from oban_sync.lifecycle.finding import Finding
from oban_sync.store.statements import OWNER_MARK, Statements

MINE = f"{OWNER_MARK}-0000-8000-8000-000000000001"


@pytest.fixture
def node(db: psycopg.Connection) -> Callable[..., str]:
    """Have the rows say that a node runs a queue; gives the owner."""

    def add(queue: str = "mail", *, ago: float = 0, meta: str = '{"local_limit": 2, "oban_sync": "1"}') -> str:
        owner = str(uuid.UUID(f"{OWNER_MARK}{uuid.uuid4().hex[8:]}"))
        db.execute(
            "INSERT INTO oban_producers (uuid, name, node, queue, meta, updated_at)"
            " VALUES (%s, 'Oban', 'web.1', %s, %s, timezone('UTC', clock_timestamp()) - make_interval(secs => %s))",
            (owner, queue, meta, ago),
        )
        return owner

    return add


def reasons(oban: Oban, job: Job) -> dict[str, Finding]:
    return {finding.name: finding for finding in oban.explain_job(job)}


def executing(db: psycopg.Connection, job: Job, owner: str) -> None:
    db.execute(
        "UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_by = %s,"
        " attempted_at = timezone('UTC', clock_timestamp()) WHERE id = %s",
        (["web.1", owner], job.id),
    )


def test_a_job_that_is_not_there_is_told_so(oban: Oban) -> None:
    with pytest.raises(JobNotFound, match="none of id 7"):
        oban.explain_job(7)
    with pytest.raises(JobError, match="expected a job that was enqueued, or its id"):
        oban.explain_job(Job("a.Worker"))


def test_a_queue_that_no_node_runs(oban: Oban, node: Callable[..., str]) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    node("other")
    (reason,) = oban.explain_job(job)
    assert (reason.name, reason.level) == ("no_node", "wrong")
    assert reason.says == "no node runs queue mail"
    assert "oban-sync start --queues mail:10" in reason.advice


def test_a_queue_whose_node_fell_silent(oban: Oban, node: Callable[..., str]) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    node(ago=30)
    reason = reasons(oban, job)["no_node"]
    assert reason.says.startswith("no node runs queue mail: web.1 fell silent")
    assert reason.evidence["silent"]["web.1"] >= 30


def test_a_job_that_is_not_due(oban: Oban, node: Callable[..., str]) -> None:
    node()
    job = oban.enqueue(Job("a.Worker", queue="mail", scheduled_in=3600))
    (reason,) = oban.explain_job(job)
    assert (reason.name, reason.level) == ("not_due", "note")
    assert 3590 < reason.evidence["due_seconds"] <= 3600
    assert reason.says.startswith("it is due in ")


def test_a_job_that_is_due_and_staged_by_nobody(oban: Oban, db: psycopg.Connection) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail", scheduled_in=3600))
    db.execute("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '2 hours'")
    assert list(reasons(oban, job)) == ["not_staged", "no_node"]


def test_a_job_that_is_never_due(oban: Oban, db: psycopg.Connection, node: Callable[..., str]) -> None:
    node()
    job = oban.enqueue(Job("a.Worker", queue="mail", scheduled_in=3600))
    db.execute("UPDATE oban_jobs SET scheduled_at = 'infinity'")
    assert reasons(oban, job)["not_due"].says == "its time is never"


def test_a_failed_attempt_is_named(oban: Oban, db: psycopg.Connection, node: Callable[..., str]) -> None:
    node()
    job = oban.enqueue(Job("a.Worker", queue="mail", scheduled_in=60))
    db.execute("UPDATE oban_jobs SET state = 'retryable', attempt = 3")
    assert reasons(oban, job)["not_due"].says.startswith("attempt 3 of 20 failed; it is due in ")


def test_a_queue_paused_on_every_node(oban: Oban, node: Callable[..., str]) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    node(meta='{"local_limit": 2, "oban_sync": "1", "paused": true}')
    reason = reasons(oban, job)["paused"]
    assert (reason.evidence["durable"], reason.evidence["nodes"]) == (False, ["web.1"])
    assert reason.advice == "oban-sync queues resume mail"
    node()
    assert "paused" not in reasons(oban, job)


def test_a_queue_paused_wherever_it_starts(oban: Oban) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    oban.pause_queue("mail", durable=True)
    assert reasons(oban, job)["paused"].says == "queue mail is paused wherever it starts"


def test_a_node_that_was_resumed_by_itself_fetches_despite_a_durable_pause(
    oban: Oban, node: Callable[..., str], db: psycopg.Connection
) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    oban.pause_queue("mail", durable=True)
    node(meta='{"local_limit": 2, "oban_sync": "1", "paused": true}')
    node(ago=60)
    reason = reasons(oban, job)["paused"]
    assert (reason.says, reason.evidence["nodes"]) == ("queue mail is paused wherever it starts", ["web.1"])
    node()
    assert list(reasons(oban, job)) == ["next"]


def test_jobs_that_come_first(oban: Oban, node: Callable[..., str]) -> None:
    node()
    oban.enqueue_many(Job("a.Worker", queue="mail", priority=priority) for priority in (0, 0, 5, 5))
    job = oban.enqueue(Job("a.Worker", queue="mail", priority=5))
    oban.enqueue_many(Job("a.Worker", queue=queue, priority=0) for queue in ("other", "other"))
    reason = reasons(oban, job)["behind"]
    assert (reason.evidence["ahead"], reason.evidence["higher_priority"], reason.evidence["limit"]) == (4, 2, 2)
    assert reason.says == "4 jobs of its queue come first, 2 by a higher priority; 0 of 2 slots are taken on 1 node"


def test_slots_that_are_all_taken(oban: Oban, db: psycopg.Connection, node: Callable[..., str]) -> None:
    owner = node()
    for _ in range(2):
        executing(db, oban.enqueue(Job("a.Worker", queue="mail")), owner)
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    assert reasons(oban, job)["busy"].says == "it is the next; 2 of 2 slots are taken on 1 node"


def test_a_job_that_should_begin_now(oban: Oban, db: psycopg.Connection, node: Callable[..., str]) -> None:
    node()
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    assert reasons(oban, job)["next"].level == "ok"
    db.execute("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '1 minute'")
    assert reasons(oban, job)["next"].level == "wrong"


def test_a_worker_that_nobody_knew(oban: Oban, db: psycopg.Connection, node: Callable[..., str]) -> None:
    node()
    job = oban.enqueue(Job("a.Worker", queue="mail", scheduled_in=60, meta={"unknown_worker": 2}))
    found = oban.explain_job(job)
    assert [reason.name for reason in found] == ["unknown_worker", "not_due"]
    assert found[0].says == "the node that took it did not know its worker a.Worker, 2 times so far"


def test_a_last_attempt_that_is_spent(oban: Oban, db: psycopg.Connection, node: Callable[..., str]) -> None:
    node()
    job = oban.enqueue(Job("a.Worker", queue="mail", max_attempts=3))
    db.execute("UPDATE oban_jobs SET attempt = 3")
    (reason,) = oban.explain_job(job)
    assert (reason.name, reason.says) == ("spent", "its attempts are used up: 3 of 3")


def test_a_suspended_job(oban: Oban, db: psycopg.Connection) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    db.execute("UPDATE oban_jobs SET state = 'suspended'")
    assert list(reasons(oban, job)) == ["suspended"]


def test_a_job_that_runs_and_one_that_was_asked_to_stop(
    oban: Oban, db: psycopg.Connection, node: Callable[..., str]
) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    executing(db, job, node())
    assert reasons(oban, job)["running"].says.startswith("it runs on node web.1 since ")
    oban.cancel_job(job)
    assert "cancel_attempted_at" in reasons(oban, job)["cancelling"].evidence


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2026-01-31T09:00:00.49", "running"),  # of a run before
        ("2026-01-31T09:00:00.5", "cancelling"),
        ("2026-01-31T09:00:00.500001", "cancelling"),
        ("soon", "running"),
        (7, "running"),
    ],
)
def test_a_wish_for_the_end_of_a_run_before_is_not_one_for_this(
    oban: Oban, db: psycopg.Connection, node: Callable[..., str], statements: Statements, asked: object, found: str
) -> None:
    job, owner = oban.enqueue(Job("a.Worker", queue="mail", meta={"cancel_attempted_at": asked})), node()
    executing(db, job, owner)
    db.execute("UPDATE oban_jobs SET attempted_at = '2026-01-31 09:00:00.5'")
    assert list(reasons(oban, job)) == [found]
    ((*_, told),) = db.execute(statements["select_held_jobs"], {"owner": owner})
    assert bool(told) == (found == "cancelling")


@pytest.mark.parametrize(
    ("ago", "owner", "advice"),
    [
        (30, "", "it takes such jobs back within seconds"),
        (None, MINE, "it takes such jobs back within seconds"),
        (None, "theirs", "no node judges it"),
    ],
)
def test_a_job_whose_node_died(
    oban: Oban, db: psycopg.Connection, node: Callable[..., str], ago: float | None, owner: str, advice: str
) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    executing(db, job, owner if ago is None else node(ago=ago))
    (reason,) = oban.explain_job(job)
    assert (reason.name, reason.level) == ("orphaned", "wrong")
    assert advice in reason.advice


@pytest.mark.parametrize("state", ["completed", "cancelled", "discarded"])
def test_a_job_that_ended(oban: Oban, db: psycopg.Connection, state: str) -> None:
    job = oban.enqueue(Job("a.Worker", queue="mail"))
    db.execute(
        f"UPDATE oban_jobs SET state = '{state}', {state}_at = now(), attempt = 1,"
        """ errors = '[{"attempt": 1, "error": "Traceback\\nValueError: no"}]'"""
    )
    (reason,) = oban.explain_job(job)
    assert (reason.name, reason.evidence["state"], reason.evidence["error"]) == ("ended", state, "ValueError: no")
    assert (f"oban-sync jobs retry {job.id}" in reason.advice) == (state != JobState.COMPLETED)


def test_it_sees_the_rows_of_a_transaction_of_the_callers(oban: Oban, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        job = oban.enqueue(Job("a.Worker", queue="mail"), conn=connection)
        assert [reason.name for reason in oban.explain_job(job, conn=connection)] == ["no_node"]
        with pytest.raises(JobNotFound):
            oban.explain_job(job)
