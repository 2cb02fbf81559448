"""A batch is checked before a connection is taken, and goes in whole or not at all."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from oban_sync import Job, Oban
from oban_sync.errors import ArgsError, DatabaseUnavailable, JobError


def test_bad_jobs_are_refused_without_a_connection(tmp_path: Path) -> None:
    client = Oban(dsn=f"host={tmp_path}")
    for bad in ([Job("w", args={"x": {1}})], [Job("w"), "job"], Job("w", args={"x": "\0"})):
        with pytest.raises((ArgsError, JobError), match="nothing was written"):
            client.enqueue_many(bad)
    client.stop()


def test_a_job_given_twice_is_refused(oban: Oban, db: psycopg.Connection) -> None:
    job = Job("w")
    with pytest.raises(JobError, match="expected each job once"):
        oban.enqueue_many([job, Job("w"), job])
    assert job.id is None
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
    oban.enqueue(job)


def test_no_jobs_need_no_database(tmp_path: Path) -> None:
    assert Oban(dsn=f"host={tmp_path}").enqueue_many(iter(())) == []


def test_a_database_that_cannot_be_reached_is_our_error(tmp_path: Path) -> None:
    with ConnectionPool(f"host={tmp_path}", open=False, timeout=0.1) as pool:
        pool.open()
        with pytest.raises(DatabaseUnavailable, match=r"couldn't get a connection|PoolTimeout|after 0\.1"):
            Oban(pool=pool).enqueue(Job("w"))


@pytest.mark.parametrize("state", ["executing", "completed", "retryable", "discarded", "cancelled"])
def test_a_job_that_already_runs_or_ran_cannot_be_enqueued(oban: Oban, db: psycopg.Connection, state: str) -> None:
    with pytest.raises(JobError, match="in one of the states available, scheduled, suspended"):
        oban.enqueue(Job("w", state=state))
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
