"""Who holds an old snapshot is named, once in a while."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle import health
from oban_sync.lifecycle.finding import Finding
from oban_sync.runtime import lookout
from oban_sync.runtime.lookout import Lookout
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements


@pytest.fixture
def link(dsn: str) -> Iterator[Link]:
    link = Link(dsn, name="test")
    yield link
    link.close()


def test_a_session_is_named_once(
    dsn: str, link: Link, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watching = Lookout(lambda: health.snapshots(link, Statements()))
    with psycopg.connect(dsn, application_name="long report") as report:
        report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        report.execute("SELECT count(*) FROM oban_jobs")
        watching.look()
        assert not caplog.records
        monkeypatch.setattr(health, "HELD_SECONDS", (0.0, 0.0))
        for _ in range(3):
            watching.look()
        (said,) = caplog.messages
        assert f"session {report.info.backend_pid} of long report" in said
        assert "pg_terminate_backend" in said
        monkeypatch.setattr(lookout, "AGAIN_SECONDS", 0.0)
        watching.look()
        assert len(caplog.messages) == 2


def test_a_role_that_may_not_look_hears_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def find() -> Finding:
        raise DatabaseRefused("permission denied", data=False)

    Lookout(find).look()
    assert not caplog.records
