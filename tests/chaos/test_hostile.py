"""Who means harm finds no way in: by names, packed data, notifications, roles and errors (S1, S2, S7, S8, S9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scenarios import hostile, secrets
from tests.chaos.server import Stage


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(12, marks=pytest.mark.chaos),
        pytest.param(2_000, marks=[pytest.mark.nightly, pytest.mark.timeout(900)]),
    ],
)
def test_no_identifier_reaches_sql_unquoted(stage: Stage, tmp_path: Path, examples: int) -> None:
    (found,) = hostile.identifiers(stage, tmp_path, examples=examples)
    assert found.counts["tried"] >= examples, found
    assert found.counts["nodes of such names"] == len(hostile.ATTACKS), found
    assert found.kept, found


@pytest.mark.parametrize(
    "megabytes", [pytest.param(64, marks=pytest.mark.chaos), pytest.param(1024, marks=pytest.mark.nightly)]
)
def test_what_is_stored_is_read_within_bounds_and_runs_nothing(megabytes: int) -> None:
    (found,) = hostile.bombs(megabytes=megabytes)
    assert found.kept, found


@pytest.mark.chaos
def test_no_notification_stops_the_listener(stage: Stage, tmp_path: Path) -> None:
    (found,) = hostile.notifications(stage, tmp_path)
    assert found.kept, found


@pytest.mark.chaos
def test_the_roles_of_the_documentation_can_do_what_they_must_and_no_more(stage: Stage, tmp_path: Path) -> None:
    (found,) = hostile.least_privilege(stage, tmp_path)
    assert found.kept, found


@pytest.mark.chaos
def test_no_failure_to_connect_tells_a_password(stage: Stage, tmp_path: Path) -> None:
    (found,) = secrets.passwords(stage, tmp_path)
    assert found.kept, found


@pytest.mark.chaos
def test_no_log_tells_the_args_of_a_job(stage: Stage, tmp_path: Path) -> None:
    (found,) = secrets.arguments(stage, tmp_path)
    assert found.kept, found
