"""A living node keeps its jobs, and one that lost them changes nothing (R4, R5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import leases
from tests.chaos.server import Stage
from tests.chaos.sizes import FULL, SHORT


@pytest.mark.chaos
def test_healthy_jobs_are_never_rescued(tmp_path: Path, seed: int) -> None:
    (found,) = leases.healthy(tmp_path, seed, seconds=SHORT.healthy_seconds, each=SHORT.healthy)
    assert found.kept, found


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_jobs_of_many_leases_are_never_rescued(tmp_path: Path, seed: int) -> None:
    (found,) = leases.healthy(tmp_path, seed, seconds=FULL.healthy_seconds, each=FULL.healthy)
    assert found.kept, found


@pytest.mark.chaos
def test_an_owner_that_lost_its_jobs_changes_nothing(stage: Stage, tmp_path: Path, seed: int) -> None:
    (found,) = leases.lost(stage, tmp_path, seed, each=SHORT.late, stopped=SHORT.late_seconds)
    assert found.kept, found


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_an_owner_that_was_stopped_past_its_lease_changes_nothing(stage: Stage, tmp_path: Path, seed: int) -> None:
    (found,) = leases.lost(stage, tmp_path, seed, each=FULL.late, stopped=FULL.late_seconds)
    assert found.kept, found
