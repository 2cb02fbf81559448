"""Timeouts that race with the ends of their jobs hit nobody else (R23)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import timeouts
from tests.chaos.server import Stage
from tests.chaos.sizes import FULL, SHORT


@pytest.mark.chaos
def test_a_racing_timeout_hits_no_other_job(stage: Stage, tmp_path: Path, seed: int) -> None:
    (found,) = timeouts.race(stage, tmp_path, seed, jobs=SHORT.racing)
    assert found.counts["in time"] + found.counts["timed out"] == found.counts["others completed"], found
    assert (found.counts["others completed"], found.counts["others hit"]) == (SHORT.racing, 0), found


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_many_racing_timeouts_hit_no_other_job(stage: Stage, tmp_path: Path, seed: int) -> None:
    (found,) = timeouts.race(stage, tmp_path, seed, jobs=FULL.racing)
    assert found.counts["in time"] + found.counts["timed out"] == found.counts["others completed"], found
    assert (found.counts["others completed"], found.counts["others hit"]) == (FULL.racing, 0), found


@pytest.mark.nightly
def test_a_timeout_is_recorded_and_its_slot_reopened_whatever_the_thread_does(stage: Stage, tmp_path: Path) -> None:
    (found,) = timeouts.overdue(stage, tmp_path)
    assert found.counts["recorded"] == found.counts["others at once"] == found.counts["others completed"] == 9, found
