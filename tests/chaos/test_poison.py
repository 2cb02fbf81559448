"""Poison costs only its own job (R6, R7, R9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import poison
from tests.chaos.server import Stage
from tests.chaos.sizes import FULL, SHORT


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
