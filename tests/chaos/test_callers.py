"""Schedules, transactions and input of callers are kept to, whatever happens (R17, R18, R19)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import inputs, periodic, transactions
from tests.chaos.server import Stage

SHORT, AT_NIGHT = pytest.mark.chaos, pytest.mark.nightly


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_tick_at_which_the_leader_or_postgresql_dies_is_enqueued_once(tmp_path: Path) -> None:
    (found,) = periodic.over_the_minute(tmp_path, kills=1, crashes=1)
    assert found.counts["ticks"] == found.counts["ticks with a job"] == found.counts["jobs"] >= 2, found


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_leaders_that_are_killed_cost_no_tick(stage: Stage, tmp_path: Path, seed: int) -> None:
    (found,) = periodic.in_haste(stage, tmp_path, seed, kills=20)
    assert found.kept, found


@pytest.mark.parametrize("around", [pytest.param(2, marks=SHORT), pytest.param(30, marks=AT_NIGHT)])
def test_each_local_day_has_its_job_whatever_is_done_to_clocks(around: int) -> None:
    (found,) = periodic.clocks_set(around=around)
    assert found.kept, found


@pytest.mark.parametrize("rounds", [pytest.param(1, marks=SHORT), pytest.param(20, marks=AT_NIGHT)])
def test_a_job_is_there_if_its_transaction_committed(stage: Stage, tmp_path: Path, seed: int, rounds: int) -> None:
    (found,) = transactions.atomic(stage, tmp_path, seed, rounds=rounds)
    assert found.kept, found


@pytest.mark.chaos
def test_what_cannot_be_stored_is_refused_and_named(stage: Stage, tmp_path: Path) -> None:
    (found,) = inputs.refused(stage, tmp_path)
    assert found.kept, found


@pytest.mark.parametrize("examples", [pytest.param(10, marks=SHORT), pytest.param(5_000, marks=AT_NIGHT)])
def test_what_is_enqueued_comes_back_as_it_was(stage: Stage, tmp_path: Path, examples: int) -> None:
    (found,) = inputs.round_trip(stage, tmp_path, examples=examples)
    assert found.kept, found
