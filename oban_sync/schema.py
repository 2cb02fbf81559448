"""Install and take away the tables that oban_sync, Oban for Python and Oban for Elixir share.

The tables, types and settings are those of Oban; a database that one of them made is taken as it is.
"""

from __future__ import annotations

from typing import Any

from oban_sync.store import schema
from oban_sync.store.statements import Statements

__all__ = ["install", "install_sql", "uninstall", "uninstall_sql"]


def install(pool: Any, prefix: str = "public") -> None:
    """Create the tables, or bring them to the newest version. A second call changes nothing.

    Indexes on a table with rows are built while it is used. Two processes may call this at once.

    Args:
        pool: A `psycopg_pool.ConnectionPool`, or a psycopg connection in autocommit.
        prefix: Schema that holds the tables; created where it is missing.

    Raises:
        ConfigError: The prefix is no plain identifier.
        HandleError: The connection is not in autocommit.
        DatabaseUnavailable: PostgreSQL cannot be reached.
        DatabaseRefused: PostgreSQL refused a statement: rights are missing, most of the time.
    """
    schema.install(pool, Statements(prefix))


def uninstall(pool: Any, prefix: str = "public") -> None:
    """Drop the tables with every job in them; the schema stays. A second call changes nothing."""
    schema.uninstall(pool, Statements(prefix))


def install_sql(prefix: str = "public") -> str:
    """Give the installation as one script for Alembic, Django or psql, which may run it in one transaction.

    Example:
        >>> "CREATE TABLE IF NOT EXISTS" in install_sql()
        True
    """
    return schema.script(schema.VERSIONS, Statements(prefix))


def uninstall_sql(prefix: str = "public") -> str:
    """Give the script that drops what `install_sql` creates."""
    return schema.script(("uninstall",), Statements(prefix))
