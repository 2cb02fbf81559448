"""When a periodic job is due: cron expressions and time zones, without clocks and databases.

An expression has five fields: minute, hour, day, month, weekday. A day must match both of its fields, as in every Oban:
`0 0 13 * FRI` is Friday the 13th. Each local time comes once, also where clocks are set: a time that is skipped is due
at the jump, and one that comes twice is due at its first, except that a job of every hour goes on hour by hour.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from cronsim import CronSim, CronSimError

from oban_sync.errors import ConfigError

NICKNAMES = {
    "@annually": "0 0 1 1 *",
    "@yearly": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@midnight": "0 0 * * *",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"
"""Due when the cluster starts, and at no time of any clock."""
CATCH_UP = ("skip", "once", "all")
WINDOW = 86_400.0
RECENT = timedelta(seconds=60)
"""How late a tick may be enqueued that nobody is to catch up on: while one leader follows another."""
_FIELDS = ("minute", "hour", "day", "month", "weekday")
_VALUE = r"(\d{1,2}|[A-Za-z]{3})"
_PART = re.compile(rf"(\*|{_VALUE}(-{_VALUE})?)(/[1-9]\d?)?", re.ASCII)
_STEPPED = re.compile(rf"{_VALUE}-{_VALUE}/\d+", re.ASCII)
_MONTHS, _DAYS = "jan feb mar apr may jun jul aug sep oct nov dec", "sun mon tue wed thu fri sat"
_NUMBERS = {
    name: str(number) for names, first in ((_MONTHS, 1), (_DAYS, 0)) for number, name in enumerate(names.split(), first)
}
_KEYS = ("expr", "timezone", "catch_up", "window")
_SHIFT = timedelta(hours=3)
"""More than any zone sets its clocks back."""
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """When a job is due.

    Attributes:
        expression: As it was given.
        timezone: Name of the zone whose clocks it goes by; None: that of the instance.
        catch_up: Which missed ticks are enqueued late: skip, once, all; None: as the instance says.
        window: Seconds for which ticks are caught up on; None: as the instance says.
    """

    expression: str
    timezone: str | None = None
    catch_up: str | None = None
    window: float | None = None

    @property
    def at_start(self) -> bool:
        """Whether it is due when the cluster starts, and at no time."""
        return self.expression.lower() == REBOOT

    def name(self, worker: str) -> str:
        """Give the name by which every Oban knows this schedule of a worker: eight hexadecimal digits."""
        options = {"timezone": self.timezone} if self.timezone else {}
        key = f"{self.expression}:{worker}:".encode() + orjson.dumps(options)
        return hashlib.sha256(key).hexdigest()[:8]

    def ticks(self, after: datetime, until: datetime, timezone: str = "UTC") -> list[datetime]:
        """Give the instants at which it is due, later than one instant and not later than another, in UTC.

        Example:
            >>> day = datetime(2026, 3, 8, tzinfo=UTC)
            >>> nightly = parse({"expr": "30 2 * * *", "timezone": "America/New_York"})
            >>> [tick.isoformat() for tick in nightly.ticks(day, day + timedelta(days=1))]  # 02:30 is skipped
            ['2026-03-08T07:00:00+00:00']
        """
        zone = zone_of(self.timezone or timezone)
        found: set[datetime] = set()
        if self.at_start:
            return []
        for local in self._local(_start(after, zone)):
            instants = self._instants(local, zone)
            if instants[0] > until:
                break
            found.update(instant for instant in instants if after < instant <= until)
        return sorted(found)

    def next(self, after: datetime, timezone: str = "UTC") -> datetime | None:
        """Give the first instant after another at which it is due, in UTC; None: when the cluster starts."""
        if self.at_start:
            return None
        zone = zone_of(self.timezone or timezone)
        for local in self._local(_start(after, zone)):
            latest = self._instants(local, zone)[-1]
            if latest > after:
                return self.ticks(after, latest, timezone)[0]
        raise AssertionError("a schedule that was parsed has ticks")

    def due(self, after: datetime, now: datetime, timezone: str, catch_up: str, window: float) -> list[datetime]:
        """Give the ticks since the last one that are to be enqueued now.

        Args:
            after: The newest tick that was enqueued, or an instant until which there is none left to enqueue.
            now: Until when ticks are due.
            timezone: Zone of the instance.
            catch_up: What the instance says.
            window: What the instance says, in seconds.
        """
        rule = self.catch_up or catch_up
        reach = RECENT if rule == "skip" else max(RECENT, timedelta(seconds=self.window or window))
        ticks = self.ticks(max(after, now - reach), now, timezone)
        if rule != "once":
            return ticks
        return [tick for tick in ticks if tick > now - RECENT] or ticks[-1:]

    def _local(self, start: datetime) -> Iterator[datetime]:
        """Give the local times that match, without a zone, from a local time on."""
        *fields, weekday = _fields(self.expression)
        expression = " ".join([*fields, "*"])
        days = _weekdays(weekday)
        times = CronSim(expression, start)
        while True:
            time = next(times)
            if time.isoweekday() % 7 in days:
                yield time
            else:
                times = CronSim(expression, time.replace(hour=23, minute=59))

    def _instants(self, local: datetime, zone: ZoneInfo) -> list[datetime]:
        """Give the instants of a local time: one, or both of a time that comes twice for a job of every hour."""
        first = local.replace(tzinfo=zone).astimezone(UTC)
        while first.astimezone(zone).replace(tzinfo=None) != local:  # no clock shows it
            local += _MINUTE
            first = local.replace(tzinfo=zone).astimezone(UTC)
        second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
        return [first, second] if second != first and _fields(self.expression)[1] == "*" else [first]


def parse(given: object) -> Cron:
    """Check a schedule as `@worker` and `@job` take it.

    Args:
        given: An expression or nickname, or a mapping with `expr` and perhaps `timezone`, `catch_up`, `window`.

    Raises:
        ConfigError: It is none, or is never due.

    Example:
        >>> parse("*/15 9-17 * * mon-fri").next(datetime(2026, 1, 2, 18, tzinfo=UTC)).isoformat()
        '2026-01-05T09:00:00+00:00'
    """
    options = {"expr": given} if isinstance(given, str) else given
    if not isinstance(options, Mapping) or not isinstance(options.get("expr"), str):
        raise ConfigError(f"expected cron to be an expression, or a mapping with expr, got {given!r}")
    if unknown := options.keys() - set(_KEYS):
        raise ConfigError(f"expected options of cron out of {', '.join(_KEYS)}, got {', '.join(map(str, unknown))}")
    _check(options["expr"])
    timezone, catch_up, window = (options.get(key) for key in _KEYS[1:])
    return Cron(
        options["expr"],
        None if timezone is None else zone_of(timezone).key,
        None if catch_up is None else check_catch_up("cron.catch_up", catch_up),
        None if window is None else _seconds(window),
    )


def zone_of(name: Any) -> ZoneInfo:
    """Find a time zone by its name.

    Raises:
        ConfigError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        raise ConfigError(
            f"expected timezone to be the name of one, such as Europe/Paris, got {name!r}; "
            f"where the system has no zones at all, install tzdata"
        ) from None


def check_catch_up(name: str, value: Any) -> str:
    """Check what is to be done about missed ticks.

    Raises:
        ConfigError: It is not skip, once or all.
    """
    if value not in CATCH_UP:
        raise ConfigError(f"expected {name} to be one of {', '.join(CATCH_UP)}, got {value!r}")
    return str(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ConfigError(f"expected cron.window to be seconds above zero, got {value!r}")
    return float(value)


def _start(after: datetime, zone: ZoneInfo) -> datetime:
    """Give the local time from which to look for ticks after an instant; around a shift that is some hours before."""
    local = after.astimezone(zone)
    near = (after - _SHIFT).astimezone(zone).utcoffset() != (after + _SHIFT).astimezone(zone).utcoffset()
    return local.replace(tzinfo=None, fold=0) - (_SHIFT if near else timedelta(0))


@cache
def _fields(expression: str) -> tuple[str, ...]:
    return tuple(",".join(map(_plain, field.split(","))) for field in _written(expression))


def _written(expression: str) -> list[str]:
    return NICKNAMES.get(expression.lower(), expression).split()


def _plain(part: str) -> str:
    """Give a range of one value, such as 5-5/2, as that value; cronsim takes it for 5/2."""
    stepped = _STEPPED.fullmatch(part)
    if stepped is None:
        return part
    first, last = (_number(value) for value in stepped.groups())
    return first if first == last else part


def _number(value: str) -> str:
    return _NUMBERS.get(value.lower(), value.lstrip("0") or "0")


@cache
def _weekdays(field: str) -> frozenset[int]:
    """Give the weekdays that a field names; Sunday is 0."""
    days = CronSim(f"0 0 * * {field}", datetime(2026, 1, 1, 12))
    return frozenset(next(days).isoweekday() % 7 for _ in range(7))


def _check(expression: str) -> None:
    if expression.lower() == REBOOT:
        return
    fields = _written(expression)
    if len(fields) != len(_FIELDS):
        raise ConfigError(
            f"expected cron to have 5 fields ({', '.join(_FIELDS)}) or to be one of {', '.join(NICKNAMES)}, "
            f"{REBOOT}, "
            f"got {expression!r}"
        )
    for at, (name, field) in enumerate(zip(_FIELDS, fields, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[at] = field
        if not all(_PART.fullmatch(part) for part in field.split(",")) or not _parses(alone):
            raise ConfigError(
                f"expected the {name} of cron as *, */n, a, a-b, a-b/n or a list of these, "
                f"with values that it can have, got {field!r} in {expression!r}"
            )
    if not _parses([*_fields(expression)[:4], "*"]):
        raise ConfigError(f"expected cron with a day that comes, got {expression!r}: no month of it has that day")


def _parses(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), datetime(2026, 1, 1))
    except CronSimError:
        return False
    return True
