"""The options that choose jobs, and what they mean as filters."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
import orjson

from oban_sync import clock
from oban_sync.errors import FilterError
from oban_sync.job import STATES
from oban_sync.store.rows import TIMES

Command = TypeVar("Command", bound=Callable[..., Any])

_AGO = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def options(command: Command) -> Command:
    """Give a command the options that choose jobs."""
    choices = [
        click.option(
            "--state", multiple=True, type=click.Choice(list(STATES)), help="One of these states; repeatable."
        ),
        click.option("--queue", multiple=True, help="One of these queues; repeatable."),
        click.option("--worker", multiple=True, help="One of these workers; repeatable."),
        click.option("--tag", "tags", multiple=True, help="All of these tags; repeatable."),
        click.option("--args", metavar="JSON", help='Args that hold this: {"user": {"id": 7}}.'),
        click.option("--meta", metavar="JSON", help="The same for meta."),
    ]
    for name in TIMES:
        event = name.removesuffix("_at")
        since = f"{event.capitalize()} at this time or later: 2026-01-31T08:00 (UTC, or +02:00), or 15m, 2h, 7d ago."
        choices.append(click.option(f"--{event}-after", metavar="TIME", help=since))
        choices.append(click.option(f"--{event}-before", metavar="TIME", help=f"{event.capitalize()} before it."))
    for option in reversed(choices):
        command = option(command)
    return command


def filters(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the values of those options into filters.

    Raises:
        FilterError: One of them cannot be read.
    """
    found: dict[str, Any] = {name: list(given[name]) for name in ("state", "queue", "worker", "tags") if given[name]}
    for name in ("args", "meta"):
        if given[name] is not None:
            found[name] = _object(name, given[name])
    for name in TIMES:
        event = name.removesuffix("_at")
        start, before = (_instant(f"--{event}-{side}", given[f"{event}_{side}"]) for side in ("after", "before"))
        if start or before:
            found[name] = (start, before)
    return found


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FilterError(f"expected --{name} to be a JSON object, got {text[:80]!r}: {error}") from None
    if not isinstance(value, dict):
        raise FilterError(f"expected --{name} to be a JSON object, got {text[:80]!r}")
    return value


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if ago := _AGO.fullmatch(text):
            return clock.now() - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise FilterError(f"expected {option} to be like 2026-01-31T08:00, or 15m, 2h, 7d ago, got {text!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
