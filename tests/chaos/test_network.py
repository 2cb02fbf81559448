"""Whatever a network does, leases are kept, jobs run, and their ends are exact (R10 to R13, R20, R24)."""

from __future__ import annotations

from pathlib import Path

import pytest

from oban_sync import pace
from tests.chaos.scenarios import network
from tests.chaos.server import Stage


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(network.SILENCES[0], marks=pytest.mark.chaos),
        pytest.param(network.SILENCES[1], marks=pytest.mark.nightly),
    ],
)
def test_a_silent_network_is_noticed(stage: Stage, tmp_path: Path, fault: str) -> None:
    (found,) = network.silent(stage, tmp_path, fault=fault)
    assert found.counts["connections made anew"] == len(network.ROLES), found
    assert found.counts["completed"] == 21, found
    assert found.counts["starts of a job that ran meanwhile"] == 1, found


@pytest.mark.nightly
def test_a_lost_notification_costs_only_latency(stage: Stage, tmp_path: Path) -> None:
    (found,) = network.deaf(stage, tmp_path, jobs=20)
    assert found.counts["started"] == 20, found
    assert found.counts["warnings that LISTEN is dead"] == 1, found


@pytest.mark.parametrize(
    "cuts",
    [
        pytest.param(10, marks=pytest.mark.chaos),
        pytest.param(500, marks=[pytest.mark.nightly, pytest.mark.timeout(1200)]),
    ],
)
def test_repeating_an_ack_is_safe(stage: Stage, tmp_path: Path, seed: int, cuts: int) -> None:
    (found,) = network.cut(stage, tmp_path, seed, cuts=cuts)
    assert found.kept, found
    assert found.counts["repeated acks that changed nothing"] > 0, found


@pytest.mark.parametrize(
    "seconds", [pytest.param(4, marks=pytest.mark.chaos), pytest.param(60, marks=pytest.mark.nightly)]
)
def test_jobs_that_hold_the_whole_pool_starve_nobody(stage: Stage, tmp_path: Path, seconds: float) -> None:
    (found,) = network.saturated(stage, tmp_path, seconds=seconds)
    assert found.counts["starts"] == found.counts["connections held"] == 10, found
    assert found.counts["acked meanwhile"] > 5, found


@pytest.mark.parametrize(
    ("delay", "jobs", "seconds"),
    [pytest.param(0.4, 2_000, 2, marks=pytest.mark.chaos), pytest.param(2, 50_000, 60, marks=pytest.mark.nightly)],
)
def test_slow_acks_push_back(stage: Stage, tmp_path: Path, delay: float, jobs: int, seconds: float) -> None:
    (found,) = network.slow(stage, tmp_path, delay=delay, jobs=jobs, seconds=seconds)
    assert network.LIMIT < found.counts["most executing"] <= network.LIMIT + pace.MAX_READY, found
    assert found.counts["completed"] == jobs, found
    assert found.counts["rescued"] == 0, found


@pytest.mark.parametrize(
    ("faults", "jobs"),
    [pytest.param(5, 200, marks=pytest.mark.chaos), pytest.param(60, 4_000, marks=pytest.mark.nightly)],
)
def test_a_bad_network_loses_nothing(stage: Stage, tmp_path: Path, seed: int, faults: int, jobs: int) -> None:
    (found,) = network.broken(stage, tmp_path, seed, faults=faults, jobs=jobs)
    assert found.counts["lost"] == 0, found
    assert found.counts["completed"] == jobs, found
    assert found.counts["ran twice"] == 0, found


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(0.5, marks=pytest.mark.chaos),
        pytest.param(12, marks=pytest.mark.nightly),
        pytest.param(120, marks=[pytest.mark.nightly, pytest.mark.timeout(300)]),
    ],
)
def test_work_resumes_after_an_outage(stage: Stage, tmp_path: Path, seconds: float) -> None:
    (found,) = network.away(stage, tmp_path, seconds=seconds)
    assert found.counts["lost"] == 0, found
    assert found.counts["starts"] == 5, found
    assert found.counts["log lines"] <= 2 + seconds / 10, found
