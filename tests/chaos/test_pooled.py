"""A node behind PgBouncer in transaction mode runs its jobs, and those of a dead one (R12, R3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import pooler
from tests.chaos.scenarios import pooled
from tests.chaos.server import Stage
from tests.chaos.sizes import SHORT

pytestmark = pytest.mark.skipif(pooler.program() is None, reason=pooler.MISSING)


@pytest.mark.parametrize(
    "direct",
    [
        pytest.param(True, marks=pytest.mark.chaos, id="with a direct way"),
        pytest.param(False, marks=pytest.mark.nightly, id="without one"),
    ],
)
def test_jobs_run_behind_a_pooler(stage: Stage, tmp_path: Path, direct: bool) -> None:
    started, again = pooled.behind(stage, tmp_path, jobs=SHORT.pooled, direct=direct)
    assert started.counts["completed"] == started.counts["runs"] == SHORT.pooled, started
    assert started.counts["errors in the log"] == 0, started
    assert started.counts["warnings that LISTEN is dead"] == (0 if direct else 1), started
    assert again.counts["run again"] == again.counts["orphans"] == 6, again
