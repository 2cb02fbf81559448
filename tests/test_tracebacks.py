"""Exceptions are shown as Python shows them, whatever they are made of."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from oban_sync import tracebacks
from oban_sync.errors import ConfigError
from oban_sync.tracebacks import shown
from tests.chaos import corpus


def caught(act: Callable[[], Any]) -> BaseException:
    """Give what a function raises."""
    try:
        act()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def _cause() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        raise ConfigError("no file") from error


def _handling() -> None:
    try:
        _cause()
    except ConfigError:
        [].index(1)


def _suppressed() -> None:
    try:
        _cause()
    except ConfigError:
        raise LookupError from None


def _noted() -> None:
    error = ValueError("two\nlines")
    error.add_note("first\nsecond")
    raise error


def _endless() -> None:
    _endless()


def _misspelt() -> None:
    jsn = json.dumps
    json.dunps(jsn)  # type: ignore[attr-defined]


def _unknown() -> None:
    corpse  # type: ignore[name-defined] # noqa: B018, F821


PLAIN = (_cause, _handling, _suppressed, _noted, _endless, _misspelt, _unknown, lambda: compile("1 +", "x", "exec"))
"""What Python itself shows well, and at once."""


@pytest.mark.parametrize("act", PLAIN)
def test_an_exception_is_shown_as_python_shows_it(act: Callable[[], Any]) -> None:
    error = caught(act)
    for _ in range(2):  # made, and remembered
        assert shown(error) == "".join(traceback.format_exception(error))


def _grouped() -> None:
    raise ExceptionGroup("both", [caught(_cause), ValueError("second"), ExceptionGroup("inner", [KeyError("third")])])  # type: ignore[list-item]


def test_a_group_is_shown_with_what_is_in_it() -> None:
    text = shown(caught(_grouped))
    assert "ExceptionGroup: both (3 sub-exceptions)\n  +---------------- 1 ----------------\n" in text
    assert "  | oban_sync.errors.ConfigError: no file\n" in text
    assert "direct cause" in text
    assert "  |   | KeyError: 'third'\n" in text


def test_an_exception_that_is_in_its_own_chain_is_shown_once() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    text = shown(ExceptionGroup("a group", [first, second, first]))
    assert text.count("ValueError: first") == text.count("ValueError: second") == 1


def test_of_many_exceptions_the_newest_are_shown() -> None:
    error = ValueError("0")
    for number in range(1, 5000):
        before, error = error, ValueError(str(number))
        error.__context__ = before
    text = shown(error)
    assert text.endswith("ValueError: 4999\n")
    assert text.count("ValueError") == tracebacks.MOST_SHOWN


@pytest.mark.parametrize("name", corpus.ERRORS)
def test_whatever_is_raised_is_shown_with_its_type_and_its_place(name: str) -> None:
    error = caught(lambda: corpus.ERRORS[name](None))
    text = shown(error)
    assert type(error).__name__ in text
    assert "Traceback (most recent call last)" in text


def test_only_so_many_frames_are_remembered() -> None:
    for number in range(tracebacks.REMEMBERED + 10):
        error = caught(lambda: exec(f"raise ValueError({number})"))  # noqa: B023, S102
        assert shown(error).endswith(f"ValueError: {number}\n")
    assert len(tracebacks._frames) <= tracebacks.REMEMBERED
