"""Nodes of both libraries share the jobs of one queue, and each job runs once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync import Oban
from tests.interop.work import PEER, Ran

BATCH = 500


def drain(start_peer: Any, dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], jobs: int) -> None:
    """Have two nodes of ours and one of theirs drain a queue that both filled."""
    theirs = start_peer(queues={"both": 10})
    with Oban(dsn=dsn, node="ours", queues={"both": 10}), Oban(dsn=dsn, name="second", node="too", queues={"both": 10}):
        oban = Oban.get_instance()
        for n in range(0, jobs, BATCH):
            oban.enqueue_many(Ran.new({"n": n + m}, queue="both") for m in range(0, BATCH, 2))
            fields = {"worker": f"{PEER}.Ran", "queue": "both"}
            theirs.call("enqueue", *({**fields, "args": {"n": n + m}} for m in range(1, BATCH, 2)))
        unended = "SELECT count(*) FROM oban_jobs WHERE state <> 'completed'"
        eventually(lambda: db.execute(unended).fetchone() == (0,), jobs / 50 + 60)
    assert db.execute("SELECT count(*), count(DISTINCT job) FROM ran").fetchone() == (jobs, jobs)
    assert db.execute("SELECT count(DISTINCT args), max(attempt) FROM oban_jobs").fetchone() == (jobs, 1)
    nodes = {node for (node,) in db.execute("SELECT DISTINCT attempted_by[1] FROM oban_jobs")}
    assert nodes == {"ours", "too", "theirs"}


def test_a_fleet_of_both_runs_every_job_once(
    start_peer: Any, dsn: str, db: psycopg.Connection, ran: None, eventually: Callable[..., Any]
) -> None:
    drain(start_peer, dsn, db, eventually, 2_000)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_fleet_of_both_runs_many_jobs_once(
    start_peer: Any, dsn: str, db: psycopg.Connection, ran: None, eventually: Callable[..., Any]
) -> None:
    drain(start_peer, dsn, db, eventually, 20_000)
