"""A living node keeps its jobs, and one that lost them changes nothing (R4, R5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import leases
from tests.chaos.server import Stage


@pytest.mark.chaos
def test_healthy_jobs_are_never_rescued(tmp_path: Path) -> None:
    (found,) = leases.healthy(tmp_path, seconds=12, each=1)
    assert found.kept, found


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_jobs_of_many_leases_are_never_rescued(tmp_path: Path) -> None:
    (found,) = leases.healthy(tmp_path, seconds=60)
    assert found.kept, found


@pytest.mark.chaos
def test_an_owner_that_lost_its_jobs_changes_nothing(stage: Stage, tmp_path: Path) -> None:
    (found,) = leases.lost(stage, tmp_path, each=1, stopped=None)
    assert found.kept, found


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_an_owner_that_was_stopped_past_its_lease_changes_nothing(stage: Stage, tmp_path: Path) -> None:
    (found,) = leases.lost(stage, tmp_path, each=5, stopped=60)
    assert found.kept, found
