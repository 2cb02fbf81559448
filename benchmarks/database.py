"""The PostgreSQL to measure on: an embedded one of our own, durable, or the one of a DSN."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks import machine
from oban_sync import embedded

SETTINGS = {"shared_buffers": "1GB", "fsync": "on", "synchronous_commit": "on"}
_TABLES = """
SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


class Databases:
    """A server on which each system gets a database of its own, dropped at the end.

    Args:
        dsn: A database of that server, as a user that may create others.
    """

    def __init__(self, dsn: str) -> None:
        self._connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(dsn, autocommit=True)
        self._dsn = dsn
        self._names: list[str] = []

    def create(self, name: str) -> str:
        """Make a database, and give its DSN."""
        full = f"benchmarks_{os.getpid()}_{name.replace(' ', '_')}"
        self._connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(full)))
        self._names.append(full)
        return make_conninfo(self._dsn, dbname=full)

    def settle(self, dsn: str) -> None:
        """Bring a database into the state it has after a while: statistics made, dead rows gone, pages written."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            tables = [sql.Identifier(*name) for name in connection.execute(_TABLES)]
            connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.SQL(", ").join(tables)))
            connection.execute("CHECKPOINT")  # so that none is likely to fall into the measurement

    def describe(self) -> dict[str, str]:
        """Give its version, and the settings that matter."""
        return {
            "PostgreSQL": self._setting("server_version"),
            "settings": ", ".join(f"{name} = {self._setting(name)}" for name in SETTINGS),
        }

    def postmaster(self) -> int | None:
        """Give the process of the server; None: it is not on this host, or hidden from us."""
        try:
            process = machine.parent_of(self._connection.info.backend_pid)
            return process if machine.name_of(process).startswith("postgres") else None
        except OSError:
            return None

    def close(self) -> None:
        """Drop the databases."""
        for name in self._names:
            self._connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        self._connection.close()

    def _setting(self, name: str) -> str:
        row = self._connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
        assert row is not None
        return str(row[0])


@contextmanager
def databases(dsn: str | None) -> Iterator[Databases]:
    """Connect to a server, or start one of our own for the block."""
    if dsn is None:
        with embedded.start(settings=SETTINGS) as server, databases(server.dsn()) as found:
            yield found
        return
    found = Databases(dsn)
    try:
        yield found
    finally:
        found.close()
