"""Forks and wrong clocks of processes do no harm (R15, R16)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import clocks, forks, webs
from tests.chaos.server import Stage


@pytest.mark.parametrize("way", forks.WAYS)
@pytest.mark.parametrize(
    ("children", "questions"),
    [
        pytest.param(2, 30, marks=pytest.mark.chaos),
        pytest.param(8, 1_000, marks=[pytest.mark.nightly, pytest.mark.timeout(400)]),
    ],
)
def test_forking_is_safe(stage: Stage, tmp_path: Path, way: str, children: int, questions: int) -> None:
    (found,) = forks.forked(stage, tmp_path, way=way, children=children, questions=questions)
    assert found.kept, (found, (tmp_path / "forks.log").read_text())


@pytest.mark.nightly
def test_gunicorn_forks_safely_from_a_master_that_used_the_pool(stage: Stage, tmp_path: Path) -> None:
    (found,) = webs.preloaded(stage, tmp_path, questions=100)
    assert found.kept, found


@pytest.mark.skipif(clocks.library() is None, reason=clocks.MISSING)
@pytest.mark.parametrize(
    ("each", "seconds"), [pytest.param(2, 8, marks=pytest.mark.chaos), pytest.param(20, 60, marks=pytest.mark.nightly)]
)
def test_wrong_clocks_are_harmless(stage: Stage, tmp_path: Path, each: int, seconds: float) -> None:
    (found,) = clocks.skewed(stage, tmp_path, each=each, seconds=seconds)
    assert found.counts["completed"] == found.counts["jobs"] > 0, found
    assert found.counts["begun early"] == found.counts["rescued"] == 0, found
    assert found.counts["scheduled by a wrong clock"] == 0, found
    assert found.counts["starts of long jobs"] == 3 * each, found
    assert found.counts["hours between clocks"] == 2, found
