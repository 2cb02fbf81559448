"""Nodes of Oban for Python on the same tables (R25)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.servers import Missing
from tests.chaos import systems
from tests.chaos.scenarios import mixed
from tests.chaos.server import Stage
from tests.chaos.sizes import FULL, SHORT


@pytest.fixture(scope="module")
def peer() -> systems.System:
    try:
        return systems.peer()
    except Missing as missing:
        pytest.skip(f"Oban for Python cannot be had here: {missing}")


@pytest.mark.chaos
def test_a_mixed_fleet_completes_everything_once(stage: Stage, tmp_path: Path, seed: int, peer: systems.System) -> None:
    (found,) = mixed.fleet_of_two(stage, tmp_path, seed, peer, jobs=SHORT.shared, long=SHORT.long)
    assert found.kept, found


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_mixed_fleet_completes_much_once(stage: Stage, tmp_path: Path, seed: int, peer: systems.System) -> None:
    (found,) = mixed.fleet_of_two(stage, tmp_path, seed, peer, jobs=FULL.shared, long=FULL.long)
    assert found.kept, found
