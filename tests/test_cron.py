"""When periodic jobs are due: every form of an expression, and the days on which clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from oban_sync import cron
from oban_sync.errors import ConfigError, ObanError


def day_of(zone: str, date: str) -> tuple[datetime, datetime]:
    """The ends of a local day, the first a moment before its midnight."""
    first = datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone))
    last = (first.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone))
    moment = timedelta(microseconds=1)
    return first.astimezone(UTC) - moment, last.astimezone(UTC) - moment


def local_ticks(expression: str, zone: str, date: str) -> list[str]:
    """The ticks of a local day as its clocks show them, with the offset from UTC."""
    ticks = cron.parse({"expr": expression, "timezone": zone}).ticks(*day_of(zone, date))
    return [tick.astimezone(ZoneInfo(zone)).strftime("%H:%M%z") for tick in ticks]


def ticks(expression: str, start: str, days: int) -> list[str]:
    after = datetime.fromisoformat(start).replace(tzinfo=UTC) - timedelta(microseconds=1)
    return [f"{tick:%m-%d %H:%M}" for tick in cron.parse(expression).ticks(after, after + timedelta(days=days))]


# Days on which clocks are set ----------------------------------------------------------------------------------------

NEW_YORK, LONDON, LORD_HOWE = "America/New_York", "Europe/London", "Australia/Lord_Howe"


@pytest.mark.parametrize(
    ("zone", "date", "expression", "expected"),
    [
        # 02:00 to 03:00 is skipped
        (NEW_YORK, "2026-03-08", "30 2 * * *", ["03:00-0400"]),
        (NEW_YORK, "2026-03-08", "0,20,40 2 * * *", ["03:00-0400"]),
        (NEW_YORK, "2026-03-08", "*/20 2 * * *", ["03:00-0400"]),
        (NEW_YORK, "2026-03-08", "30 1-3 * * *", ["01:30-0500", "03:00-0400", "03:30-0400"]),
        (NEW_YORK, "2026-03-08", "0 2,3 * * *", ["03:00-0400"]),
        (NEW_YORK, "2026-03-08", "0 12 * * *", ["12:00-0400"]),
        # 01:00 to 02:00 comes twice
        (NEW_YORK, "2026-11-01", "30 1 * * *", ["01:30-0400"]),
        (NEW_YORK, "2026-11-01", "*/30 1 * * *", ["01:00-0400", "01:30-0400"]),
        (NEW_YORK, "2026-11-01", "0 0-3 * * *", ["00:00-0400", "01:00-0400", "02:00-0500", "03:00-0500"]),
        (NEW_YORK, "2026-11-01", "0 2 * * *", ["02:00-0500"]),
        # 01:00 to 02:00 is skipped
        (LONDON, "2026-03-29", "15 1 * * *", ["02:00+0100"]),
        (LONDON, "2026-03-29", "59 0 * * *", ["00:59+0000"]),
        (LONDON, "2026-03-29", "0 2 * * *", ["02:00+0100"]),
        # 01:00 to 02:00 comes twice
        (LONDON, "2026-10-25", "15 1 * * *", ["01:15+0100"]),
        (LONDON, "2026-10-25", "0 2 * * *", ["02:00+0000"]),
        # 02:00 to 02:30 is skipped
        (LORD_HOWE, "2026-10-04", "15 2 * * *", ["02:30+1100"]),
        (LORD_HOWE, "2026-10-04", "45 2 * * *", ["02:45+1100"]),
        (
            LORD_HOWE,
            "2026-10-04",
            "*/15 2,3 * * *",
            [f"{at}+1100" for at in ("02:30", "02:45", "03:00", "03:15", "03:30", "03:45")],
        ),
        # 01:30 to 02:00 comes twice
        (LORD_HOWE, "2026-04-05", "45 1 * * *", ["01:45+1100"]),
        (LORD_HOWE, "2026-04-05", "15,45 1,2 * * *", ["01:15+1100", "01:45+1100", "02:15+1030", "02:45+1030"]),
        (LORD_HOWE, "2026-04-05", "*/15 3 * * *", [f"03:{at}+1030" for at in ("00", "15", "30", "45")]),
        # midnight is skipped
        ("Africa/Cairo", "2026-04-24", "0 0 * * *", ["01:00+0300"]),
        # no day is set
        (NEW_YORK, "2026-07-01", "30 2 * * *", ["02:30-0400"]),
    ],
)
def test_each_local_time_comes_once_and_a_skipped_one_at_the_jump(
    zone: str, date: str, expression: str, expected: list[str]
) -> None:
    assert local_ticks(expression, zone, date) == expected


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        (NEW_YORK, "2026-03-08", 23),
        (NEW_YORK, "2026-11-01", 25),
        (LONDON, "2026-03-29", 23),
        (LONDON, "2026-10-25", 25),
        (LORD_HOWE, "2026-10-04", 23.5),
        (LORD_HOWE, "2026-04-05", 24.5),
    ],
)
def test_a_job_of_every_minute_runs_in_every_minute_whatever_clocks_show(zone: str, date: str, hours: float) -> None:
    found = cron.parse({"expr": "* * * * *", "timezone": zone}).ticks(*day_of(zone, date))
    assert len(found) == hours * 60
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=1)}


def test_a_job_of_every_hour_runs_in_both_hours_of_the_same_name() -> None:
    assert local_ticks("0 * * * *", NEW_YORK, "2026-11-01")[:4] == [
        "00:00-0400",
        "01:00-0400",
        "01:00-0500",
        "02:00-0500",
    ]
    assert local_ticks("0 * * * *", NEW_YORK, "2026-03-08")[:3] == ["00:00-0500", "01:00-0500", "03:00-0400"]


@pytest.mark.parametrize("expression", ["* * * * *", "*/7 * * * *", "30 1 * * *", "15 2,3 * * *", "0 */2 * * *"])
@pytest.mark.parametrize("zone", [NEW_YORK, LONDON, LORD_HOWE, "Africa/Cairo", "UTC"])
def test_ticks_are_the_same_however_the_time_is_cut(zone: str, expression: str) -> None:
    """A leader asks minute by minute; who catches up asks for days."""
    rule = cron.parse({"expr": expression, "timezone": zone})
    for date in ("2026-03-07", "2026-03-28", "2026-04-04", "2026-04-23", "2026-10-03", "2026-10-24", "2026-10-31"):
        start = datetime.fromisoformat(date).replace(tzinfo=UTC)
        whole = rule.ticks(start, start + timedelta(days=2))
        step = timedelta(minutes=47)
        cut = [tick for n in range(2 * 1440 // 47 + 1) for tick in rule.ticks(start + n * step, start + (n + 1) * step)]
        assert [tick for tick in cut if tick <= start + timedelta(days=2)] == whole
        assert whole == sorted(set(whole))


# Expressions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "days", "expected"),
    [
        ("0 0 29 2 *", 4 * 366, ["02-29 00:00"]),
        ("0 0 13 * FRI", 366, ["09-13 00:00", "12-13 00:00"]),
        (
            "0 0 1,15 * MON",
            366,
            ["01-01 00:00", "01-15 00:00", "04-01 00:00", "04-15 00:00", "07-01 00:00", "07-15 00:00"],
        ),
        ("0 12 * jan sun", 366, ["01-07 12:00", "01-14 12:00", "01-21 12:00", "01-28 12:00"]),
        ("0 12 * 1 7", 366, ["01-07 12:00", "01-14 12:00", "01-21 12:00", "01-28 12:00"]),
        ("0 12 1-7 Jan 0", 366, ["01-07 12:00"]),
        ("0 12 1-7 JAN 5-7", 366, ["01-05 12:00", "01-06 12:00", "01-07 12:00"]),
        ("30 8 1-9/4 2 *", 366, ["02-01 08:30", "02-05 08:30", "02-09 08:30"]),
        ("30-30/7 8-08/2 1-1/3 jan-1/2 mon-1/2", 366, ["01-01 08:30"]),
        ("0 20/2 1 1 *", 366, ["01-01 20:00", "01-01 22:00"]),
        ("*/20,5 7 1 1 *", 366, ["01-01 07:00", "01-01 07:05", "01-01 07:20", "01-01 07:40"]),
        ("0 0 31 * *", 366, [f"{month:02}-31 00:00" for month in (1, 3, 5, 7, 8, 10, 12)]),
        ("@yearly", 366, ["01-01 00:00"]),
        ("@Annually", 366, ["01-01 00:00"]),
        ("@monthly", 60, ["01-01 00:00", "02-01 00:00"]),
        ("@weekly", 14, ["01-07 00:00", "01-14 00:00"]),
        ("@daily", 2, ["01-01 00:00", "01-02 00:00"]),
        ("@hourly", 1, ["01-01 00:00", *(f"01-01 {hour:02}:00" for hour in range(1, 24))]),
        ("@MIDNIGHT", 2, ["01-01 00:00", "01-02 00:00"]),
    ],
)
def test_an_expression_means_these_ticks_from_2024_on(expression: str, days: int, expected: list[str]) -> None:
    assert ticks(expression, "2024-01-01", days) == expected


def test_the_next_tick_may_be_years_away() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert cron.parse("* * 29 2 MON").next(start) == datetime(2044, 2, 29, tzinfo=UTC)
    assert cron.parse("@hourly").next(start) == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert cron.parse("0 9 * * *").next(start, "Europe/Paris") == datetime(2026, 1, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "expected cron to have 5 fields"),
        ("* * * *", "expected cron to have 5 fields (minute, hour, day, month, weekday) or to be one of @annually"),
        ("* * * * * *", "expected cron to have 5 fields"),
        ("@boot", "expected cron to have 5 fields (minute, hour, day, month, weekday) or to be one of @annually"),
        ("60 * * * *", "expected the minute of cron as *, */n, a, a-b, a-b/n or a list of these, with values"),
        ("* 24 * * *", "expected the hour of cron"),
        ("* * 0 * *", "expected the day of cron"),
        ("* * L * *", "got 'L' in '* * L * *'"),
        ("* * * 13 *", "expected the month of cron"),
        ("* * * MON-1/2 *", "expected the month of cron"),
        ("* * * * 1-1/0", "expected the weekday of cron"),
        ("0 0 31 2-2/3 *", "expected cron with a day that comes"),
        ("* * * FEB-JAN *", "expected the month of cron"),
        ("* * * * 8", "expected the weekday of cron"),
        ("* * * * 5#2", "expected the weekday of cron"),
        ("* * * * 5L", "expected the weekday of cron"),
        ("* * * * MONDAY", "expected the weekday of cron"),
        ("MON * * * *", "expected the minute of cron"),
        ("*/0 * * * *", "expected the minute of cron"),
        ("5-1 * * * *", "expected the minute of cron"),
        ("1,,2 * * * *", "expected the minute of cron"),
        ("-1 * * * *", "expected the minute of cron"),
        ("١ * * * *", "expected the minute of cron"),
        ("0 0 31 2 *", "expected cron with a day that comes, got '0 0 31 2 *': no month of it has that day"),
        ("0 0 31 4,6,9,11 *", "expected cron with a day that comes"),
        ("0 0 30,31 FEB MON", "expected cron with a day that comes"),
        (5, "expected cron to be an expression, or a mapping with expr, got 5"),
        ({}, "expected cron to be an expression, or a mapping with expr, got {}"),
        ({"expr": None}, "expected cron to be an expression, or a mapping with expr"),
        (
            {"expr": "@daily", "zone": "UTC"},
            "expected options of cron out of expr, timezone, catch_up, window, got zone",
        ),
        ({"expr": "@daily", "timezone": "Paris"}, "expected timezone to be the name of one, such as Europe/Paris"),
        ({"expr": "@daily", "timezone": "../x"}, "expected timezone to be the name of one"),
        ({"expr": "@daily", "timezone": 5}, "expected timezone to be the name of one"),
        ({"expr": "@daily", "catch_up": "some"}, "expected cron.catch_up to be one of skip, once, all, got 'some'"),
        ({"expr": "@daily", "window": 0}, "expected cron.window to be seconds above zero, got 0"),
    ],
)
def test_what_is_no_schedule_or_never_due_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cron.parse(given)
    assert message in str(caught.value)
    assert isinstance(caught.value, (ObanError, ValueError))


@pytest.mark.parametrize("expression", ["@reboot", "@Reboot"])
def test_a_start_of_the_cluster_is_at_no_time(expression: str) -> None:
    found = cron.parse(expression)
    assert found.at_start
    assert found.ticks(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)) == []
    assert found.next(datetime(2024, 1, 1, tzinfo=UTC)) is None
    assert not cron.parse("@daily").at_start


def test_a_schedule_has_the_name_that_every_oban_gives_it() -> None:
    assert cron.parse("0 0 * * *").name("app.Worker") == "cf17045b"
    assert cron.parse({"expr": "@daily", "timezone": "Europe/London"}).name("app.Worker") == "a7a96da5"
    assert cron.parse({"expr": "@daily", "catch_up": "all"}).name("w") == cron.parse("@daily").name("w")


# Missed ticks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("skip", []),
        ("once", ["05:00"]),
        ("all", ["03:00", "04:00", "05:00"]),
        ({"catch_up": "all", "window": 5400}, ["05:00"]),
        ({"catch_up": "once", "window": 60}, []),
    ],
)
def test_what_is_done_about_missed_ticks(catch_up: Any, expected: list[str]) -> None:
    own = catch_up if isinstance(catch_up, dict) else {"catch_up": catch_up}
    rule = cron.parse({"expr": "@hourly", **own})
    last, now = datetime(2026, 1, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, 5, 30, tzinfo=UTC)
    assert [f"{tick:%H:%M}" for tick in rule.due(last, now, "UTC", "skip", 86_400)] == expected
    if len(own) == 1:
        assert cron.parse("@hourly").due(last, now, "UTC", own["catch_up"], 86_400) == rule.due(
            last, now, "UTC", "", 86_400
        )


@pytest.mark.parametrize("catch_up", ["skip", "once", "all"])
def test_ticks_of_the_last_minute_are_never_missed(catch_up: str) -> None:
    last, now = datetime(2026, 1, 1, 2, 0, tzinfo=UTC), datetime(2026, 1, 1, 2, 2, 5, tzinfo=UTC)
    found = cron.parse("* * * * *").due(last + timedelta(minutes=1), now, "UTC", catch_up, 86_400)
    assert found == [datetime(2026, 1, 1, 2, 2, tzinfo=UTC)]
    assert len(cron.parse("* * * * *").due(last, now - timedelta(seconds=5.1), "UTC", "skip", 86_400)) == 1
