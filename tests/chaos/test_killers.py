"""A job that kills its process is stopped, and only it (R8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import killers
from tests.chaos.server import Stage
from tests.chaos.sizes import FULL, SHORT


@pytest.mark.chaos
def test_a_job_that_exits_its_process_is_discarded_alone(stage: Stage, tmp_path: Path) -> None:
    (found,) = killers.killer(stage, tmp_path, "exit", siblings=SHORT.siblings)
    assert found.kept, found


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["exit", "crash"])
def test_a_killer_is_discarded_alone_beside_many(stage: Stage, tmp_path: Path, way: str) -> None:
    (found,) = killers.killer(stage, tmp_path, way, siblings=FULL.siblings)
    assert found.kept, found
