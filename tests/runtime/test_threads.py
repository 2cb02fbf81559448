"""Threads outlive errors that their work did not expect."""

from __future__ import annotations

import pytest

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
