"""Install and take away the tables. How, and why so, is told in migrations/README.md."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from oban_sync import clock
from oban_sync.errors import HandleError, ObanError, SchemaMissing
from oban_sync.store.absence import missing
from oban_sync.store.connection import Link, translated
from oban_sync.store.statements import LOCK_CLASS, Statements

VERSIONS = ("v01", "v02", "v03")
_TURN_SECONDS = 300.0
_INDEX = re.compile(r"CREATE INDEX CONCURRENTLY IF NOT EXISTS (\w+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a migration, with what its header says about how to run it."""

    sql: str
    alone: bool
    unless: str | None

    @property
    def builds_index(self) -> bool:
        """Whether it is a CREATE INDEX CONCURRENTLY."""
        return " CONCURRENTLY " in self.sql

    @property
    def index(self) -> str | None:
        """Name of the index that it builds."""
        found = _INDEX.search(self.sql)
        return None if found is None else found[1]

    def plain(self) -> Step:
        """The same without CONCURRENTLY, for a table without rows or a script in one transaction."""
        return Step(self.sql.replace(" CONCURRENTLY ", " "), alone=False, unless=self.unless)


def steps(folder: str, statements: Statements) -> list[Step]:
    """Read the statements of one folder of migrations in order."""
    found = sorted(files("oban_sync.store").joinpath("migrations", folder).iterdir(), key=lambda file: file.name)
    return [_step(file.read_text(encoding="utf-8"), statements) for file in found if file.name.endswith(".sql")]


def install(pool: ConnectionPool | psycopg.Connection[Any], statements: Statements) -> None:
    """Bring the schema to the newest version, with all indexes; a second call changes nothing."""
    with _turn(pool, statements) as connection:
        if _version(connection, statements) == len(VERSIONS) and not lacking_indexes(connection, statements):
            return
        cleaned = False
        for folder in VERSIONS:
            for step in steps(folder, statements):
                if step.builds_index and not cleaned:
                    _drop_invalid(connection, statements)
                    cleaned = True
                _run(connection, step, statements)


def uninstall(pool: ConnectionPool | psycopg.Connection[Any], statements: Statements) -> None:
    """Drop the tables and all that belongs to them; the schema itself stays."""
    with _turn(pool, statements) as connection:
        for step in steps("uninstall", statements):
            _run(connection, step, statements)


def script(folders: tuple[str, ...], statements: Statements) -> str:
    """Write the statements of some folders as one script that may run in one transaction."""
    parts = []
    for folder in folders:
        for step in steps(folder, statements):
            sql = step.plain().sql
            if step.unless:
                sql = f"DO $unless$ BEGIN IF NOT ({step.unless}) THEN\n{sql};\nEND IF; END $unless$"
            parts.append(sql + ";\n")
    return "\n".join(parts)


def verify(link: Link, statements: Statements, *, crons: bool = False) -> None:
    """Check that the tables are there, with that of periodic jobs where there are some.

    Raises:
        SchemaMissing: One of them is not.
        DatabaseUnavailable: PostgreSQL cannot be reached.
    """
    lacking = link.execute(statements["verify_structure"], {"prefix": statements.prefix, "crons": crons})
    if lacking:
        raise SchemaMissing(missing(lacking[0][0], statements.prefix, link.connect().info.dbname))


def version(link: Link, statements: Statements, *, noted: bool) -> int:
    """Give the newest version of the tables that is installed; 0: none of ours, or nobody noted it."""
    return int(link.execute(statements["select_schema_version"])[0][0] or 0) if noted else 0


def lacking_indexes(connection: psycopg.Connection[Any], statements: Statements) -> list[str]:
    """Name the indexes that the newest version has and these tables have not, neither those nor others like them."""
    return [
        name
        for folder in VERSIONS
        for step in steps(folder, statements)
        if (name := step.index) and not _has_index(connection, statements, name, step.unless)
    ]


def _has_index(connection: psycopg.Connection[Any], statements: Statements, name: str, unless: str | None) -> bool:
    there = connection.execute(statements["select_index"], {"name": name}).fetchone() == (True,)
    return there or (unless is not None and bool(_scalar(connection, f"SELECT {unless}")))


def _step(text: str, statements: Statements) -> Step:
    header = [line[2:].strip() for line in text.splitlines() if line.startswith("--")]
    unless = next((line.removeprefix("unless:") for line in header if line.startswith("unless:")), None)
    return Step(
        sql=statements.render(text),
        alone="outside a transaction" in header,
        unless=None if unless is None else statements.render(unless.strip()),
    )


def _run(connection: psycopg.Connection[Any], step: Step, statements: Statements) -> None:
    if step.unless is not None and _scalar(connection, f"SELECT {step.unless}"):
        return
    if step.builds_index and not _scalar(connection, _has_rows(statements)):
        step = step.plain()
    connection.execute(step.sql)


def _drop_invalid(connection: psycopg.Connection[Any], statements: Statements) -> None:
    for (name,) in connection.execute(statements["select_invalid_indexes"]).fetchall():
        connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _has_rows(statements: Statements) -> str:
    return statements.render("SELECT EXISTS (SELECT FROM {schema}.oban_jobs)")


def _version(connection: psycopg.Connection[Any], statements: Statements) -> int:
    if _scalar(connection, statements.render("SELECT to_regclass('{schema}.oban_sync_migrations')")) is None:
        return 0
    return int(_scalar(connection, statements["select_schema_version"]) or 0)


def _scalar(connection: psycopg.Connection[Any], sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    return None if row is None else row[0]


@contextmanager
def _turn(
    source: ConnectionPool | psycopg.Connection[Any], statements: Statements
) -> Iterator[psycopg.Connection[Any]]:
    """Hold, on a connection in autocommit, the lock under which one process at a time changes this schema."""
    with translated(), _autocommit(source) as connection:
        key = f"({LOCK_CLASS + 1}, hashtext('{statements.prefix}'))"
        deadline = clock.monotonic() + _TURN_SECONDS
        while not _scalar(connection, f"SELECT pg_try_advisory_lock{key}"):
            if clock.monotonic() > deadline:
                raise ObanError(f"another process is changing schema '{statements.prefix}' since {_TURN_SECONDS:g} s")
            time.sleep(0.05)
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.execute(f"SELECT pg_advisory_unlock{key}")


@contextmanager
def _autocommit(source: ConnectionPool | psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    if isinstance(source, psycopg.Connection):
        if not source.autocommit:
            raise HandleError("expected a pool, or a connection in autocommit, got one that is not: nothing was done")
        yield source
        return
    if source.closed:
        source.open()
    with source.connection() as connection:
        before = connection.autocommit
        connection.set_autocommit(True)
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.set_autocommit(before)
