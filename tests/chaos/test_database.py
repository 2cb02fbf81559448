"""A database that refuses, fails over, or holds old snapshots loses nothing (R10, R21, R22)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import standby
from tests.chaos.scenarios import database, failover
from tests.chaos.server import Stage

SHORT, AT_NIGHT = pytest.mark.chaos, pytest.mark.nightly


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        pytest.param("disk_full", 4, marks=SHORT),
        *[pytest.param(name, 30, marks=AT_NIGHT) for name in database.REFUSALS],
    ],
)
def test_refusals_back_off_and_lose_nothing(stage: Stage, tmp_path: Path, name: str, seconds: float) -> None:
    (found,) = database.refusing(stage, tmp_path, name=name, seconds=seconds, jobs=40)
    assert found.counts["lost"] == 0, found
    assert found.counts["completed"] == found.counts["runs"] == 40, found


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [pytest.param(5, 100, marks=SHORT), pytest.param(600, 500, marks=[AT_NIGHT, pytest.mark.timeout(1200)])],
)
def test_jobs_flow_behind_an_old_snapshot(stage: Stage, tmp_path: Path, seconds: float, rate: int) -> None:
    (found,) = database.snapshot(stage, tmp_path, seconds=seconds, rate=rate)
    assert found.counts["unended"] == 0, found
    assert found.counts["dead rows"] > 0, found
    assert found.counts["warnings that name the session"] == (seconds > 360), found


@pytest.mark.skipif(standby.binaries() is None, reason=standby.MISSING)
@pytest.mark.parametrize(
    "jobs", [pytest.param(300, marks=SHORT), pytest.param(5_000, marks=[AT_NIGHT, pytest.mark.timeout(600)])]
)
def test_a_promoted_standby_loses_nothing(tmp_path: Path, jobs: int) -> None:
    (found,) = failover.promote(tmp_path, jobs=jobs, long_seconds=15)
    assert found.counts["lost"] == 0, found
    assert found.counts["effects missing or doubled"] == 0, found
    assert found.counts["starts of long jobs"] == 5, found


@pytest.mark.nightly
@pytest.mark.skipif(standby.binaries() is None, reason=standby.MISSING)
def test_a_postgresql_that_was_dead_costs_no_job_a_second_start(tmp_path: Path) -> None:
    (found,) = failover.outage(tmp_path, seconds=20)
    assert found.counts["lost"] == 0, found
    assert found.counts["starts"] == 8, found
