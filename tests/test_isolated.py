"""What a child process takes over from its node: how it logs, and how large args may be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, worker


@worker(name="isolated.Speaks", isolation="process", queue="apart")
class Speaks:
    def process(self, job: Job) -> None:
        logging.getLogger("shop").warning("hello")


@worker(name="isolated.Enqueues", isolation="process", queue="apart", max_attempts=1)
class Enqueues:
    def process(self, job: Job) -> None:
        Speaks.enqueue({"text": "x" * job.args["size"]}, queue="idle")


def test_it_logs_with_the_name_of_the_job_as_the_command_does(
    dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with Oban(dsn=dsn, queues={"apart": 1}) as oban:
        made = oban.enqueue(Speaks.new())
        eventually(lambda: db.execute("SELECT 1 FROM oban_jobs WHERE state = 'completed'").fetchone())
    assert f"WARNING shop hello [job {made.id} isolated.Speaks of queue apart]\n" in capfd.readouterr().err


@pytest.mark.parametrize(("most", "size", "state"), [(2_000_000, 1_500_000, "completed"), (100, 150, "discarded")])
def test_its_jobs_may_be_as_large_as_those_of_the_node(
    dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], most: int, size: int, state: str
) -> None:
    ended = "SELECT state::text FROM oban_jobs WHERE worker = 'isolated.Enqueues' AND state::text = ANY (%s)"
    with Oban(dsn=dsn, queues={"apart": 1}, max_args_bytes=most) as oban:
        oban.enqueue(Enqueues.new({"size": size}))
        (found,) = eventually(lambda: db.execute(ended, [["completed", "discarded"]]).fetchone())
    assert found == state
    stored = db.execute("SELECT count(*) FROM oban_jobs WHERE queue = 'idle'").fetchone()
    assert stored == (1 if state == "completed" else 0,)
