"""Rows in the states that steps of a life find, and a connection to take the steps on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements


@pytest.fixture
def link(dsn: str) -> Iterator[Link]:
    link = Link(dsn, name="oban_sync:test")
    yield link
    link.close()


@pytest.fixture
def statements() -> Statements:
    return Statements()


@pytest.fixture
def executing(db: psycopg.Connection) -> Callable[..., list[int]]:
    """Insert jobs that an owner runs."""

    def insert(owner: str, count: int = 1, *, age: float = 3600, attempt: int = 1, max_attempts: int = 20) -> list[int]:
        rows = db.execute(
            """
            INSERT INTO oban_jobs (worker, state, attempt, max_attempts, attempted_by, attempted_at)
            SELECT 'w', 'executing', %s, %s, ARRAY['node', %s::text],
                timezone('UTC', clock_timestamp()) - make_interval(secs => %s)
            FROM generate_series(1, %s) RETURNING id
            """,
            (attempt, max_attempts, owner, age, count),
        )
        return [id for (id,) in rows.fetchall()]

    return insert


@pytest.fixture
def rows(db: psycopg.Connection) -> Callable[..., list[tuple[Any, ...]]]:
    """Columns of jobs in the order of their ids."""

    def select(columns: str, *ids: int) -> list[tuple[Any, ...]]:
        chosen = "WHERE id = ANY (%s)" if ids else ""
        return db.execute(
            f"SELECT {columns} FROM oban_jobs {chosen} ORDER BY id", (list(ids),) if ids else ()
        ).fetchall()

    return select
