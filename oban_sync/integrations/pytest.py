"""Fixtures for the tests of programs that enqueue jobs; pytest finds them by itself where oban_sync is installed.

| fixture | what it is |
|---|---|
| `oban_inline` | the testing mode `inline` for the length of a test |
| `oban_manual` | the testing mode `manual` for the length of a test |
| `oban_dsn` | a database of the test's own with the tables installed |
| `oban_server_dsn` | the server that has them: embedded; override it, in scope `session`, to use another |
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from oban_sync import embedded, schema, testing

__all__ = ["oban_dsn", "oban_inline", "oban_manual", "oban_server_dsn", "oban_template"]


@pytest.fixture
def oban_inline() -> Iterator[None]:
    """Run each job where it is enqueued, without a database."""
    with testing.mode("inline"):
        yield


@pytest.fixture
def oban_manual() -> Iterator[None]:
    """Store jobs by this process's clock, and run none until the test drains a queue."""
    with testing.mode("manual"):
        yield


@pytest.fixture(scope="session")
def oban_server_dsn() -> Iterator[str]:
    """A PostgreSQL on which databases may be made; by itself one from the extra `embedded`."""
    with embedded.start() as server:
        yield server.dsn()


@pytest.fixture(scope="session")
def oban_template(oban_server_dsn: str) -> Iterator[str]:
    """The name of a database with the tables installed, to copy from."""
    with psycopg.connect(oban_server_dsn, autocommit=True) as connection:
        name = f"oban_template_{uuid.uuid4().hex[:12]}"
        connection.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(make_conninfo(oban_server_dsn, dbname=name), autocommit=True) as inside:
            schema.install(inside)
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def oban_dsn(oban_server_dsn: str, oban_template: str) -> Iterator[str]:
    """A connection string of a database of this test's own, which goes with the test."""
    with psycopg.connect(oban_server_dsn, autocommit=True) as connection:
        name = f"oban_test_{uuid.uuid4().hex[:12]}"
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {oban_template}")
        yield make_conninfo(oban_server_dsn, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
