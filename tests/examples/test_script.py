from __future__ import annotations

import psycopg

from tests.examples.commands import Command

SCRIPT = "docs/examples/script.py"
PRINTED = {"queue has 5 letters", "thread has 6 letters", "transaction has 11 letters"}


def test_the_script_runs_its_jobs_on_the_database_that_is_named(empty_dsn):
    with Command("-W", "error", SCRIPT, OBAN_DSN=empty_dsn) as script:
        assert script.end() == 0, script.output
        assert set(script.output.splitlines()) == PRINTED
    with psycopg.connect(empty_dsn) as db:
        rows = db.execute("SELECT worker, state::text, attempt, count(*) FROM oban_jobs GROUP BY 1, 2, 3").fetchall()
    assert rows == [("examples.Measure", "completed", 1, 3)]


def test_the_script_brings_its_own_postgresql():
    with Command("-W", "error", SCRIPT, OBAN_DSN=None) as script:
        assert script.end() == 0, script.output
        assert set(script.output.splitlines()) == PRINTED
