"""Runs commands of `oban-sync` in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from oban_sync.cli import main


def ran(dsn: str, *arguments: object, status: int = 0, answer: str | None = None) -> Result:
    """Run a command on a database, and check its exit status."""
    done = CliRunner().invoke(main, [*map(str, arguments), "--dsn", dsn], input=answer)
    assert done.exit_code == status, (done.output, done.exception)
    return done


def rows(dsn: str, *arguments: object, status: int = 0) -> list[Any]:
    """Run a command with --json, and read what it printed."""
    return [json.loads(line) for line in ran(dsn, *arguments, "--json", status=status).stdout.splitlines()]
