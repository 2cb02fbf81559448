"""Threads outlive errors that their work did not expect."""

from __future__ import annotations

import logging

import pytest

from oban_sync.errors import DatabaseRefused, DatabaseUnavailable
from oban_sync.runtime import threads


def test_a_thread_begins_anew_after_an_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(threads, "AGAIN_SECONDS", 0.01)
    begun: list[int] = []

    def work() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise ValueError("not expected")

    assert threads.join_all([threads.spawn("test-thread", work)]) == []
    assert len(begun) == 3
    assert caplog.text.count("thread test-thread failed, and goes on") == 2


def test_that_postgresql_is_away_is_said_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threads, "_said_at", [float("-inf")])
    log = logging.getLogger("test")
    for what in ("a heartbeat failed", "not listening", "queue default pauses"):
        threads.report(log, what, DatabaseUnavailable("connection refused"))
    threads.report(log, "queue default pauses", DatabaseRefused("disk full", data=False))
    threads.report(log, "queue default pauses", ValueError("a fault of ours"))
    assert caplog.messages == [
        "a heartbeat failed: connection refused",
        "queue default pauses: disk full",
        "queue default pauses: a fault of ours",
    ]
    monkeypatch.setattr(threads, "QUIET_SECONDS", 0.0)
    threads.report(log, "not listening", DatabaseUnavailable("connection refused"))
    assert caplog.messages[3:] == ["not listening: connection refused"]
