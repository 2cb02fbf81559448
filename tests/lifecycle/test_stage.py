"""One look at the waiting jobs makes the due ones available, whatever the others hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from oban_sync.lifecycle import stage
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements


def test_a_job_that_is_due_at_the_end_of_time_delays_no_other(
    link: Link, statements: Statements, db: psycopg.Connection, rows: Callable[..., Any]
) -> None:
    """Servers before PostgreSQL 17 refuse to subtract from infinity."""
    db.execute(
        "INSERT INTO oban_jobs (worker, state, scheduled_at) "
        "VALUES ('w', 'scheduled', 'infinity'), ('w', 'retryable', '2000-01-01'), ('w', 'scheduled', '-infinity')"
    )
    staged = stage.stage(link, statements, limit=10)
    assert (staged.queues, staged.next_in) == ({"default": 2}, None)
    assert rows("state::text") == [("scheduled",), ("available",), ("available",)]
