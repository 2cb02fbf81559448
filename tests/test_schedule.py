"""When a job is due: what may be said about it, and what the database makes of it."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from oban_sync import Job, JobState, Oban, schedule, worker
from oban_sync.errors import JobError, ObanError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DELAYS = ("schedule_in", "scheduled_in")


@worker(name="schedule.Later", scheduled_in=60)
class Later:
    def process(self, job: Job) -> None:
        pass


class Nowhere(tzinfo):
    def utcoffset(self, when: datetime | None) -> None:
        return None


@pytest.mark.parametrize("key", DELAYS)
@pytest.mark.parametrize(
    ("given", "seconds"),
    [(90, 90), (1.5, 1.5), (0, 0), (timedelta(minutes=5), 300), (timedelta(0), 0), (timedelta(days=400), 34_560_000)],
)
@freeze_time(NOON)
def test_a_delay_is_seconds_or_a_timedelta_from_now(key: str, given: Any, seconds: float) -> None:
    job = Job("w", **{key: given})
    assert job.delay == seconds
    assert job.scheduled_at == NOON + timedelta(seconds=seconds)
    assert job.state is JobState.SCHEDULED


@pytest.mark.parametrize(
    ("given", "utc"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 12)),
        (datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Europe/Paris")), datetime(2026, 3, 1, 11)),
        (datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris")), datetime(2026, 7, 1, 10)),
        (datetime(2026, 10, 25, 2, 30, fold=0, tzinfo=ZoneInfo("Europe/Paris")), datetime(2026, 10, 25, 0, 30)),
        (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")), datetime(2026, 10, 25, 1, 30)),
        (datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Asia/Kathmandu")), datetime(2026, 3, 1, 6, 15)),
        (datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=-14))), datetime(2026, 3, 2, 2)),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59)),
        (datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 1)),
    ],
)
def test_an_aware_instant_is_kept_in_utc(given: datetime, utc: datetime, oban: Oban, db: Any) -> None:
    job = oban.enqueue(Job("w", scheduled_at=given))
    assert job.scheduled_at == utc.replace(tzinfo=UTC)
    assert job.scheduled_at is not None
    assert job.scheduled_at.tzinfo is UTC
    assert job.scheduled_at.timestamp() == given.timestamp()
    assert job.state is JobState.SCHEDULED
    assert db.execute("SELECT scheduled_at, state::text FROM oban_jobs").fetchone() == (utc, "scheduled")


def test_the_database_reads_an_instant_the_same_in_any_time_zone_of_its_own(oban: Oban, dsn: str) -> None:
    with psycopg.connect(dsn, options="-c timezone=Asia/Tokyo -c datestyle=German", autocommit=True) as connection:
        given = datetime(2026, 3, 4, 12, tzinfo=ZoneInfo("America/Lima"))
        at, soon = oban.enqueue_many(Job("w", scheduled_at=given), Job("w", scheduled_in=60), conn=connection)
        rows = connection.execute(
            "SELECT extract(epoch FROM scheduled_at)::float8 FROM oban_jobs ORDER BY id"
        ).fetchall()
        utc = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert rows[0] == (given.timestamp(),)
    assert at.scheduled_at == given
    assert soon.scheduled_at is not None
    assert rows[1] == (pytest.approx(soon.scheduled_at.timestamp()),)
    assert utc is not None
    assert 0 < rows[1][0] - utc[0] <= 60


@pytest.mark.parametrize("naive", [datetime(2026, 3, 1, 12), datetime(2026, 3, 1, tzinfo=Nowhere())])
def test_a_naive_instant_is_refused_with_both_ways_to_write_it(naive: datetime) -> None:
    with pytest.raises(JobError) as caught:
        Job("w", scheduled_at=naive)
    assert "naive 2026-03-01" in str(caught.value)
    assert "tzinfo=UTC" in str(caught.value)
    assert "tzinfo=ZoneInfo(" in str(caught.value)
    assert isinstance(caught.value, ObanError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "given", ["2026-03-01T12:00:00Z", 1_772_366_400, 0.5, date(2026, 3, 1), True, timedelta(1), NOON.time()]
)
def test_what_is_no_datetime_is_refused_as_an_instant(given: Any) -> None:
    with pytest.raises(JobError, match=f"expected scheduled_at to be an aware datetime, got {type(given).__name__}"):
        Job("w", scheduled_at=given)


@pytest.mark.parametrize(
    "given",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_an_instant_outside_of_the_calendar_in_utc_is_refused(given: datetime) -> None:
    with pytest.raises(JobError, match="between the years 1 and 9999 in UTC"):
        Job("w", scheduled_at=given)


@pytest.mark.parametrize("key", DELAYS)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (-1, "zero or more seconds, got -1"),
        (-0.001, "zero or more seconds"),
        (timedelta(seconds=-1), "zero or more seconds"),
        (math.nan, "zero or more seconds, got nan"),
        (math.inf, "zero or more seconds, got inf"),
        (-math.inf, "zero or more seconds, got -inf"),
        (1e300, "end by the year 9999"),
        (300_000_000_000, "end by the year 9999"),
        (timedelta.max, "end by the year 9999"),
        (10**400, "a number too large for seconds"),
        (True, "seconds or a timedelta, got bool True"),
        (False, "seconds or a timedelta, got bool False"),
        ("60", "seconds or a timedelta, got str '60'"),
        (Decimal(60), "seconds or a timedelta, got Decimal"),
        (NOON, "seconds or a timedelta, got datetime"),
        ([60], "seconds or a timedelta, got list"),
    ],
    ids=repr,
)
def test_a_delay_that_cannot_be_is_refused_by_its_name(key: str, given: Any, words: str) -> None:
    with pytest.raises(JobError, match=f"^expected {key} to ") as caught:
        Job("w", **{key: given})
    assert words in str(caught.value)


@freeze_time("9999-12-31 23:00:00")
def test_a_delay_ends_with_the_calendar() -> None:
    assert Job("w", scheduled_in=3599).scheduled_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(JobError, match="expected scheduled_in to end by the year 9999, got 3600 seconds"):
        Job("w", scheduled_in=3600)


@pytest.mark.parametrize(
    "given",
    [
        {"schedule_in": 1, "scheduled_in": 1},
        {"schedule_in": 0, "scheduled_at": NOON},
        {"scheduled_in": 60, "scheduled_at": NOON},
        {"schedule_in": 1, "scheduled_in": 1, "scheduled_at": NOON},
    ],
)
def test_two_ways_at_once_are_refused_with_what_was_given(given: dict[str, Any]) -> None:
    with pytest.raises(JobError, match=r"^expected one of schedule_in, scheduled_in and scheduled_at, got") as caught:
        Job("w", **given)
    for key, value in given.items():
        assert f"{key}={value!r}" in str(caught.value)


def test_none_is_as_if_not_given() -> None:
    job = Job("w", schedule_in=None, scheduled_in=None, scheduled_at=None)
    assert (job.state, job.scheduled_at, job.delay) == (JobState.AVAILABLE, None, None)
    assert Job("w", schedule_in=None, scheduled_in=5).delay == 5


def test_what_a_call_says_replaces_all_that_its_worker_says() -> None:
    assert Later.new().delay == 60
    assert Later.new(schedule_in=5).delay == 5
    assert Later.new(scheduled_at=NOON).scheduled_at == NOON
    assert Later.new(scheduled_in=None).state is JobState.AVAILABLE


@freeze_time("2001-01-01")
def test_a_delay_is_counted_from_the_insert_by_the_database_s_clock(oban: Oban, db: psycopg.Connection[Any]) -> None:
    job = Job("w", scheduled_in=3600)
    assert job.scheduled_at == datetime(
        2001, 1, 1, 1, tzinfo=UTC
    )  # by this computer's clock, until the database decides
    with db.transaction():
        db.execute("SELECT pg_sleep(0.05)")  # the transaction began before
        oban.enqueue(job, conn=db)
        row = db.execute(
            "SELECT scheduled_at, scheduled_at - inserted_at, inserted_at > timezone('UTC', now()),"
            " inserted_at <= timezone('UTC', clock_timestamp()), state::text FROM oban_jobs"
        ).fetchone()
    assert row is not None
    assert row[1:] == (timedelta(hours=1), True, True, "scheduled")
    assert job.scheduled_at == row[0].replace(tzinfo=UTC)
    assert job.inserted_at == job.scheduled_at - timedelta(hours=1)


def test_an_instant_that_has_passed_is_still_scheduled(oban: Oban, db: psycopg.Connection[Any]) -> None:
    oban.enqueue(Job("w", scheduled_at=datetime(2001, 1, 1, tzinfo=UTC)))
    assert db.execute("SELECT state::text FROM oban_jobs").fetchone() == ("scheduled",)


def test_an_instant_that_is_changed_later_is_the_one_that_counts(oban: Oban, db: psycopg.Connection[Any]) -> None:
    for job in (Job("w"), Job("w", scheduled_in=60)):
        job.scheduled_at = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
        assert job.delay is None
        oban.enqueue(job)
        assert (job.scheduled_at, job.state) == (datetime(2026, 3, 1, 3, tzinfo=UTC), JobState.SCHEDULED)
    rows = db.execute("SELECT scheduled_at, state::text FROM oban_jobs").fetchall()
    assert rows == [(datetime(2026, 3, 1, 3), "scheduled")] * 2
    job = Job("w")
    job.scheduled_at = datetime(2026, 3, 1, 12)
    with pytest.raises(JobError, match="naive"):
        oban.enqueue(job)


@settings(max_examples=100, deadline=None, database=None)
@given(value=st.one_of(st.floats(), st.integers(), st.timedeltas(), st.none(), st.text(), st.datetimes()))
def test_any_value_is_a_delay_or_a_job_error(value: Any) -> None:
    try:
        seconds = schedule.delay_seconds(value)
    except JobError:
        return
    assert 0 <= seconds < 300_000_000_000


@settings(max_examples=100, deadline=None, database=None)
@given(value=st.datetimes(timezones=st.timezones()))
def test_any_aware_datetime_is_the_same_instant_in_utc_or_a_job_error(value: datetime) -> None:
    try:
        instant = schedule.instant(value)
    except JobError as error:
        assert value.year in (1, 9999), error  # noqa: PT017
        return
    assert instant.utcoffset() == timedelta(0)
    assert instant.timestamp() == value.timestamp()
