"""A node that does not hear itself says so once, polls, and goes on to listen."""

from __future__ import annotations

import logging

import pytest

from oban_sync.runtime.probe import Probe


def test_who_hears_itself_is_not_deaf(caplog: pytest.LogCaptureFixture) -> None:
    probe = Probe("me", lambda token: probe.hear(token))
    for _ in range(3):
        probe.probe()
        assert not probe.deaf
    assert not caplog.records


def test_what_was_sent_before_it_listened_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    probe = Probe("me", lambda token: None)
    probe.probe()
    probe.listen()
    probe.probe()
    assert not probe.deaf
    assert not caplog.records
    probe.lose()
    assert probe.deaf
    probe.listen()
    assert not probe.deaf


def test_who_does_not_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[str] = []
    probe = Probe("me", sent.append)
    probe.probe()
    probe.hear("another node")
    assert not probe.deaf
    for _ in range(3):
        probe.probe()
        assert probe.deaf
    assert sent == ["me"] * 4
    assert [(record.levelno, "notifier={'dsn': ...}" in record.message) for record in caplog.records] == [
        (logging.WARNING, True)
    ]
    probe.hear("me")
    assert not probe.deaf
