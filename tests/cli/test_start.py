"""What `oban-sync start` would run is shown without running it."""

from __future__ import annotations

import json
from pathlib import Path

from psycopg import Connection

from tests.cli.test_commands import START, command, refused


def test_a_dry_run_checks_everything_and_runs_nothing(dsn: str, db: Connection, tmp_path: Path) -> None:
    arguments = [*START, "--dsn", dsn, "--dry-run", "--import", "tests.cron_work", "--node", "web.1"]
    done = command(*arguments, "--pool-max-size", "7", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["queues"], found["node"], found["pool_max_size"]) == ({"a": 1}, "web.1", 7)
    assert found["periodic"] == ["cron.everyMinute"]
    assert "nodes.Effect" in found["workers"]
    assert db.execute("SELECT count(*) FROM oban_producers").fetchone() == (0,)
    lines = command(*arguments, cwd=tmp_path).stdout.splitlines()
    assert lines[:2] == ["would run", "queues         a:1"]


def test_a_dry_run_looks_at_the_database(empty_dsn: str) -> None:
    assert "run `oban-sync install --dsn ...` first" in refused(command(*START, "--dsn", empty_dsn, "--dry-run"))
