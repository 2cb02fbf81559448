"""Poison costs only its own job (R6, R7, R9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import poison, side_by_side
from tests.chaos.server import Stage
from tests.chaos.sizes import FULL, SHORT
from tests.chaos.systems import OURS


@pytest.mark.chaos
def test_poison_costs_only_itself_and_imports_nothing(stage: Stage, tmp_path: Path, seed: int) -> None:
    cost, imported = poison.poison(stage, tmp_path, seed, jobs=SHORT.poison)
    stopped = ("left executing", "left waiting", "processes ended")
    assert cost.counts["good completed"] == SHORT.poison, cost
    assert [cost.counts[name] for name in stopped] == [0, 0, 0], cost
    assert cost.counts["longest error"] <= poison.CLIPPED, cost
    assert imported.kept, imported


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_much_poison_costs_only_itself(stage: Stage, tmp_path: Path, seed: int) -> None:
    cost, imported = poison.poison(stage, tmp_path, seed, jobs=FULL.poison)
    assert cost.counts["good completed"] == FULL.poison, cost
    assert imported.kept, imported


@pytest.mark.chaos
def test_an_end_that_cannot_be_stored_costs_only_its_job(stage: Stage, tmp_path: Path) -> None:
    (found,) = poison.unstorable(stage, tmp_path, jobs=SHORT.acks)
    assert found.kept, found


@pytest.mark.chaos
def test_what_cannot_be_meant_is_not_stored(stage: Stage, tmp_path: Path) -> None:
    for found in side_by_side.inputs(stage, tmp_path, OURS):
        assert found.kept, found
    assert stage.states() == {}


@pytest.mark.chaos
@pytest.mark.parametrize("name", ["a job raises: KeyboardInterrupt", "a malformed notification"])
def test_jobs_run_on_after_what_stops_others(stage: Stage, tmp_path: Path, name: str) -> None:
    (found,) = side_by_side.cost(stage, tmp_path, OURS, name)
    assert found.kept, found


@pytest.mark.nightly
@pytest.mark.parametrize("name", side_by_side.CASES)
def test_jobs_run_on_after_whatever_stops_others(stage: Stage, tmp_path: Path, name: str) -> None:
    (found,) = side_by_side.cost(stage, tmp_path, OURS, name)
    assert found.kept, found
