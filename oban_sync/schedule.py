"""Rules for when a job is due: what `schedule_in`, `scheduled_in` and `scheduled_at` may be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from oban_sync import clock
from oban_sync.errors import JobError, WorkerError

LAST_YEAR = 9999
KEYS = ("schedule_in", "scheduled_in", "scheduled_at")


def delay_seconds(value: float | timedelta, *, name: str = "schedule_in") -> float:
    """Check a delay and give it in seconds.

    Raises:
        JobError: It is no number or timedelta, negative, not finite, or ends after the year 9999.

    Example:
        >>> delay_seconds(timedelta(minutes=5))
        300.0
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = _number(value, name)
    else:
        raise JobError(f"expected {name} to be seconds or a timedelta, got {type(value).__name__} {value!r}")
    if not math.isfinite(seconds) or seconds < 0:
        raise JobError(f"expected {name} to be zero or more seconds, got {value!r}")
    after(seconds, name=name)
    return seconds


def timeout_seconds(value: float | timedelta | None, *, name: str = "timeout") -> float | None:
    """Check a timeout and give it in seconds; None and infinity are none.

    Raises:
        WorkerError: It is no number or timedelta, or not above 0.

    Example:
        >>> timeout_seconds(timedelta(minutes=1))
        60.0
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds is None or seconds == math.inf:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise WorkerError(f"expected {name} to be None, or seconds or a timedelta above 0, got {value!r}")
    return float(seconds)


def after(seconds: float, *, name: str = "schedule_in") -> datetime:
    """Give the instant that many seconds from now, aware and in UTC.

    Raises:
        JobError: It lies after the year 9999.
    """
    try:
        return clock.now() + timedelta(seconds=seconds)
    except OverflowError:
        raise JobError(f"expected {name} to end by the year {LAST_YEAR}, got {seconds:g} seconds") from None


def instant(value: datetime, *, name: str = "scheduled_at") -> datetime:
    """Check an instant and give it in UTC.

    Raises:
        JobError: It is no datetime, naive, or outside what UTC can write.

    Example:
        >>> from datetime import timezone
        >>> instant(datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))).isoformat()
        '2026-01-01T10:00:00+00:00'
    """
    if not isinstance(value, datetime):
        raise JobError(f"expected {name} to be an aware datetime, got {type(value).__name__} {value!r}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise JobError(
            f"expected {name} to be an aware datetime, got the naive {value.isoformat()}, which does not say where: "
            f"write datetime(..., tzinfo=UTC) for UTC, or datetime(..., tzinfo=ZoneInfo('Europe/Paris')) for local time"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise JobError(f"expected {name} between the years 1 and {LAST_YEAR} in UTC, got {value.isoformat()}") from None


def only_one(given: dict[str, object]) -> None:
    """Refuse more than one of the keys that say when.

    Raises:
        JobError: Two or three of them are given.
    """
    named = [f"{key}={value!r}" for key, value in given.items() if value is not None]
    if len(named) > 1:
        raise JobError(f"expected one of schedule_in, scheduled_in and scheduled_at, got {' and '.join(named)}")


def _number(value: float, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise JobError(f"expected {name} to end by the year {LAST_YEAR}, got a number too large for seconds") from None
