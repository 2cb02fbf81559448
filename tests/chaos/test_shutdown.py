"""Nodes stop in time, whatever their jobs do (R14). The seconds are figures; what is asserted are the counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import shutdown, webs
from tests.chaos.server import Stage


@pytest.mark.chaos
def test_a_signal_ends_nodes_whose_jobs_do_not_end(stage: Stage, tmp_path: Path) -> None:
    (found,) = shutdown.stop(stage, tmp_path)
    assert (found.counts["exits"], found.counts["jobs handed back"]) == (1, len(shutdown.WAYS)), found


@pytest.mark.chaos
def test_a_second_signal_ends_nodes_at_once(stage: Stage, tmp_path: Path) -> None:
    (found,) = shutdown.stop_twice(stage, tmp_path)
    assert found.counts["exits"] == 1, found


@pytest.mark.chaos
def test_a_node_ends_while_postgresql_is_silent(tmp_path: Path) -> None:
    (found,) = shutdown.stop_in_outage(tmp_path)
    assert found.counts["exits"] == 1, found


@pytest.mark.chaos
def test_a_node_ends_although_a_call_held_its_interpreter(stage: Stage, tmp_path: Path) -> None:
    (found,) = shutdown.stop_holding(stage, tmp_path)
    assert found.counts["exits"] == 1, found


@pytest.mark.nightly
def test_a_signal_ends_gunicorn_whose_workers_jobs_do_not_end(stage: Stage, tmp_path: Path) -> None:
    (found,) = webs.stop(stage, tmp_path)
    assert (found.counts["exits"], found.counts["jobs handed back"]) == (1, len(shutdown.WAYS)), found


@pytest.mark.chaos
def test_a_node_ends_in_time_while_a_call_holds_its_interpreter(stage: Stage, tmp_path: Path) -> None:
    (found,) = shutdown.stop_held(stage, tmp_path, grace=0.5)
    assert (found.counts["exits"], found.counts["status"]) == (1, 1), found
