"""The ledger: who ran which job when, written on connections that no transaction of a job rolls back.

Beside it stands the table of effects, which jobs write in their own transactions.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

TABLES = """
CREATE TABLE IF NOT EXISTS ledger (
    run uuid PRIMARY KEY, job bigint NOT NULL, attempt int NOT NULL, owner text NOT NULL, node text NOT NULL,
    began timestamptz NOT NULL DEFAULT clock_timestamp(), ended timestamptz
);
CREATE TABLE IF NOT EXISTS effects (job bigint NOT NULL, attempt int NOT NULL);
CREATE TABLE IF NOT EXISTS gates (name text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS modules (name text, look int);
CREATE TABLE IF NOT EXISTS clocks (node text, said timestamptz);
"""
BEGAN = "INSERT INTO ledger (run, job, attempt, owner, node) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
ENDED = "UPDATE ledger SET ended = clock_timestamp() WHERE run = %s"
EFFECT = "INSERT INTO effects (job, attempt) VALUES (%s, %s)"

OUTAGE_SECONDS = 60.0
_own = threading.local()


def write(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Execute a statement that may be repeated, at once and for good, also over an outage."""
    deadline = time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            cursor = _connection().execute(statement, values)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            _own.connection = None
            time.sleep(0.1)


@contextmanager
def entered(job: Any) -> Iterator[None]:
    """Enter a run of a job, and its end, however it ends."""
    run = uuid.uuid4()
    node, owner = (*(job.attempted_by or ()), "?", "?")[:2]
    write(BEGAN, run, job.id, job.attempt, owner, node)
    try:
        yield
    finally:
        write(ENDED, run)


def wait_for_gate(name: str) -> None:
    """Wait until the scenario opens a gate."""
    while not write("SELECT 1 FROM gates WHERE name = %s", name):
        time.sleep(0.05)


def _connection() -> psycopg.Connection[tuple[Any, ...]]:
    if getattr(_own, "connection", None) is None:
        _own.connection = psycopg.connect(os.environ["CHAOS_DSN"], autocommit=True)
    connection: psycopg.Connection[tuple[Any, ...]] = _own.connection
    return connection
