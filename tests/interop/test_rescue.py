"""Neither library takes back jobs that a living node of the other runs, and each takes those of the other's dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync import Oban
from oban_sync.lifecycle import rescue
from oban_sync.runtime import heartbeat
from tests.interop import work
from tests.interop.conftest import Peer
from tests.interop.work import PEER, Hold

DEAD = "11111111-2222-4333-8444-555555555555"


def abandoned(db: psycopg.Connection, *, age: float = 0) -> int:
    """Insert a job that no living node runs, begun so many seconds ago."""
    return db.execute(
        """
        INSERT INTO oban_jobs (worker, queue, state, attempt, attempted_by, attempted_at)
        SELECT 'gone', 'nobody', 'executing', 1, ARRAY['gone', %s::text],
            timezone('UTC', clock_timestamp()) - make_interval(secs => %s)
        RETURNING id
        """,
        (DEAD, age),
    ).fetchone()[0]


def long_run(start_peer: Any, dsn: str, db: psycopg.Connection, states: Any, eventually: Any, after: float) -> None:
    """Run a job until their lifeline takes back one that began later, which nobody renews."""
    theirs = start_peer(queues={"theirs": 1}, lifeline={"interval": 0.2, "rescue_after": after})
    eventually(lambda: theirs.call("leads"), 40)
    work.going.clear()
    with Oban(dsn=dsn, node="ours", queues={"ours": 1}) as ours:
        job = ours.enqueue(Hold.new(queue="ours"))
        eventually(lambda: states(job.id) == ["executing"])
        began = ours.get_job(job.id).attempted_at
        gone = abandoned(db)
        eventually(lambda: states(gone) == ["available"], after + 60)
        assert states(job.id) == ["executing"]
        work.going.set()
        eventually(lambda: states(job.id) == ["completed"])
        found = ours.get_job(job.id)
        assert (found.attempt, found.errors, found.attempted_at) == (1, [], began)
        assert "rescued" not in found.meta


def test_their_lifeline_leaves_our_long_jobs_alone(
    start_peer: Any, dsn: str, db: psycopg.Connection, states: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "RENEW_AGE", 0.3)
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.2)
    long_run(start_peer, dsn, db, states, eventually, 2.5)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_their_lifeline_leaves_our_long_jobs_alone_at_our_own_pace(
    start_peer: Any, dsn: str, db: psycopg.Connection, states: Any, eventually: Any
) -> None:
    long_run(start_peer, dsn, db, states, eventually, 100.0)


def test_we_leave_their_living_jobs_alone_and_take_those_of_their_dead(
    theirs: Peer,
    dsn: str,
    db: psycopg.Connection,
    states: Any,
    eventually: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "JUDGE_AFTER", (0.0, 0.0))
    options = {"queues": {"ours": 1}, "lifeline": {"interval": 0.1, "rescue_after": 0.5}}
    with Oban(dsn=dsn, node="ours", **options) as ours:
        job = ours.enqueue(Hold.new(queue="theirs"))
        eventually(lambda: states(job.id) == ["executing"])
        unknown = abandoned(db, age=7200)
        db.execute(
            "UPDATE oban_jobs SET attempted_by = ARRAY['gone', gen_random_uuid()::text] WHERE id = %s", (unknown,)
        )
        gone = abandoned(db, age=3600)
        db.execute(
            """
            INSERT INTO oban_producers (uuid, name, node, queue, updated_at)
            VALUES (%s, 'Oban', 'gone', 'nobody', timezone('UTC', clock_timestamp()) - interval '70 s')
            """,
            (DEAD,),
        )
        eventually(lambda: states(gone) == ["available"])
        assert states(job.id, unknown) == ["executing"] * 2
        theirs.call("go")
        eventually(lambda: states(job.id) == ["completed"])
        assert (ours.get_job(job.id).attempt, ours.get_job(job.id).meta) == (1, {})


def test_a_job_of_their_killed_node_is_rescued_by_their_lifeline_and_run_by_us(
    start_peer: Any, dsn: str, states: Any, eventually: Callable[..., Any]
) -> None:
    """What Oban takes back by age, whoever held it, we run as any other job."""
    first = start_peer(queues={"both": 1}, node="first", leadership=False)
    (job,) = first.call("enqueue", {"worker": f"{PEER}.Hold", "queue": "both"})
    eventually(lambda: states(job["id"]) == ["executing"])
    first.kill()
    work.going.set()
    start_peer(queues={"theirs": 1}, node="second", lifeline={"interval": 0.2, "rescue_after": 1.0})
    with Oban(dsn=dsn, node="ours", queues={"both": 1}) as ours:
        eventually(lambda: states(job["id"]) == ["completed"], 40)
        found = ours.get_job(job["id"])
        assert (found.attempt, found.attempted_by[0], found.meta["rescued"]) == (2, "ours", 1)
