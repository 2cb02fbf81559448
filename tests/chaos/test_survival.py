"""Nothing is lost and nothing doubled when processes and PostgreSQL die (R1 to R3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import survival
from tests.chaos.server import Stage
from tests.chaos.sizes import FULL, SHORT


@pytest.mark.chaos
def test_nothing_is_lost_and_nothing_doubled_in_a_storm(tmp_path: Path, seed: int) -> None:
    size = SHORT.storm
    lost, doubled = survival.storm(tmp_path, seed, size)
    assert lost.counts["lost"] == 0, lost
    assert lost.counts["completed"] == size.jobs, lost
    assert doubled.counts["effects"] == doubled.counts["jobs"] > 0, doubled
    assert doubled.counts["missing or doubled"] == 0, doubled


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", FULL.seeds)
def test_nothing_is_lost_and_nothing_doubled_in_a_long_storm(tmp_path: Path, seed: int) -> None:
    lost, doubled = survival.storm(tmp_path, seed, FULL.storm)
    assert lost.counts["lost"] == 0, lost
    assert doubled.kept, doubled


@pytest.mark.chaos
def test_orphans_run_again(stage: Stage, tmp_path: Path, seed: int) -> None:
    for found in survival.orphans(stage, tmp_path, seed, kills=SHORT.kills, lone=SHORT.lone):
        assert found.counts["orphans"] >= 12, found
        assert found.counts["run again"] == found.counts["orphans"], found


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_orphans_of_many_kills_run_again(stage: Stage, tmp_path: Path, seed: int) -> None:
    for found in survival.orphans(stage, tmp_path, seed, kills=FULL.kills, lone=FULL.lone):
        assert found.counts["run again"] == found.counts["orphans"], found
