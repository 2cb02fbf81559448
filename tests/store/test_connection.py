"""A link lives on after what PostgreSQL refuses."""

from __future__ import annotations

import psycopg
import pytest

from oban_sync.errors import DatabaseRefused
from oban_sync.store.connection import Link


def test_a_link_prepares_anew_after_a_migration(dsn: str, db: psycopg.Connection) -> None:
    """PostgreSQL refuses a prepared statement whose columns changed, for as long as the session lasts."""
    db.execute("CREATE TABLE changing (n smallint)")
    link = Link(dsn, name="oban_sync:test")
    try:
        assert link.execute("SELECT n FROM changing") == []
        db.execute("ALTER TABLE changing ALTER n TYPE bigint")
        with pytest.raises(DatabaseRefused, match="cached plan"):
            link.execute("SELECT n FROM changing")
        assert link.execute("SELECT n FROM changing") == []
    finally:
        link.close()
        db.execute("DROP TABLE changing")
