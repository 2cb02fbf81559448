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


def test_it_logs_with_the_name_of_the_job_as_the_command_does(
    dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with Oban(dsn=dsn, queues={"apart": 1}) as oban:
        made = oban.enqueue(Speaks.new())
        eventually(lambda: db.execute("SELECT 1 FROM oban_jobs WHERE state = 'completed'").fetchone())
    assert f"WARNING shop hello [job {made.id} isolated.Speaks of queue apart]\n" in capfd.readouterr().err
