"""What a program's end does to the jobs that it runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import psycopg
import pytest

from oban_sync import embedded, schema

PROGRAM = """
import sys, time
from oban_sync import Oban, worker

@worker(name="exit.Nap")
class Nap:
    def process(self, job):
        time.sleep(job.args["seconds"])

oban = Oban(dsn=sys.argv[1], queues={"default": 2})
jobs = oban.enqueue_many(Nap.new({"seconds": 0.5}) for _ in range(2))
with oban._connection() as connection:
    def count(state):
        return connection.execute("SELECT count(*) FROM oban_jobs WHERE state = %s", (state,)).fetchone()[0]
    oban.start()
    deadline = time.monotonic() + 20
    while count("executing") < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
"""


def run(dsn: str, ending: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", PROGRAM + ending, dsn]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("ending", "code", "noise"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise ValueError('end')", 1, "ValueError: end"),
        ("oban.stop()", 0, ""),
        ("oban._config = __import__('dataclasses').replace(oban._config, shutdown_grace_period=0); oban.stop()", 0, ""),
    ],
)
def test_running_jobs_are_finished_and_written(
    dsn: str, db: psycopg.Connection, ending: str, code: int, noise: str
) -> None:
    ended = run(dsn, ending)
    assert ended.returncode == code, ended.stderr
    assert noise in ended.stderr
    assert noise or "Traceback" not in ended.stderr, ended.stderr
    found: list[Any] = db.execute("SELECT state::text, attempt FROM oban_jobs").fetchall()
    assert found == [("completed", 1)] * 2
    assert db.execute("SELECT count(*) FROM oban_producers").fetchone() == (0,)


def test_a_program_that_only_enqueues_ends_at_once(dsn: str, db: psycopg.Connection) -> None:
    code = f"from oban_sync import Job, Oban; Oban(dsn={dsn!r}).enqueue(Job('exit.Nap'))"
    ended = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (1,)


def test_a_program_ends_although_postgresql_is_gone() -> None:
    with embedded.start() as private:
        with psycopg.connect(private.dsn(), autocommit=True) as connection:
            schema.install(connection)
        program = PROGRAM.replace('"seconds": 0.5', '"seconds": 3').replace(
            "queues={", "shutdown_grace_period=1, queues={"
        )
        command = [sys.executable, "-c", program + "print('ready', flush=True); sys.stdin.read()", private.dsn()]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            private.stop()
            _, errors = process.communicate("", timeout=60)
    assert process.returncode == 0
    assert "could not be written" in errors
