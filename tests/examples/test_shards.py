from __future__ import annotations

import psycopg

from oban_sync import embedded
from tests.examples.commands import Command

SCRIPT = "docs/examples/shards.py"
PRINTED = {"letter to Ada", "picture of Grace"}


def test_each_job_is_stored_and_run_on_the_server_that_is_named_for_it(empty_dsn: str) -> None:
    with embedded.start() as other:
        with Command("-W", "error", SCRIPT, MAIL_DSN=empty_dsn, MEDIA_DSN=other.dsn()) as script:
            assert script.end() == 0, script.output
            assert set(script.output.splitlines()) == PRINTED
        assert jobs(empty_dsn) == [("examples.Letter", "completed")]
        assert jobs(other.dsn()) == [("examples.Picture", "completed")]


def test_the_shards_bring_their_own_postgresql() -> None:
    with Command("-W", "error", SCRIPT, MAIL_DSN=None, MEDIA_DSN=None) as script:
        assert script.end() == 0, script.output
        assert set(script.output.splitlines()) == PRINTED


def jobs(dsn: str) -> list[tuple[str, str]]:
    with psycopg.connect(dsn) as db:
        return db.execute("SELECT worker, state::text FROM oban_jobs").fetchall()
