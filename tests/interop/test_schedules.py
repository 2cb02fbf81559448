"""An expression means the same minutes to both libraries, so that it does not matter which of them leads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from oban_sync import cron
from oban_sync.errors import ConfigError

START = datetime(2024, 2, 28, tzinfo=UTC)
MINUTES = 3 * 1440
FIELDS = (
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "JAN FEB MAR APR MAY JUN"),
    (0, 7, "SUN MON TUE WED THU FRI SAT"),
)


def field(random: Random, low: int, high: int, names: str) -> str:
    """Write a field at random, seldom one that cannot be."""

    def value() -> str:
        return random.choice([*names.split(), str(random.randint(low, high + (random.random() < 0.02)))])

    forms = ("*", "*/{n}", "{a}", "{a}-{b}", "{a}-{b}/{n}", "{a}-{a}/{n}", "{a}/{n}", "*,{a}", "{a},{b}-{b}")
    return random.choice(("*", *forms)).format(a=value(), b=value(), n=random.randint(1, 9))


def due(expression: str) -> list[int] | None:
    try:
        ticks = cron.parse(expression).ticks(START - timedelta(minutes=1), START + timedelta(minutes=MINUTES - 1))
    except ConfigError as error:
        return [] if "a day that comes" in str(error) else None  # which theirs take, and never enqueue
    return [int((tick - START).total_seconds() / 60) for tick in ticks]


def test_an_expression_means_the_same_to_both(start_peer: Any) -> None:
    random = Random(0)  # noqa: S311 - no secret
    expressions = [" ".join(field(random, *each) for each in FIELDS) for _ in range(200)]
    expressions += ["@hourly", "@daily", "0 0 29 2 *", "1-1/0 * * * *", "* * * MON-1/2 *"]
    theirs = start_peer(idle=True).call("ticks", expressions, START.isoformat(), MINUTES)
    assert dict(zip(expressions, map(due, expressions), strict=True)) == dict(zip(expressions, theirs, strict=True))
    assert sum(bool(minutes) for minutes in theirs) > 10
    assert None in theirs
