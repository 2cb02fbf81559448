"""The benchmarks run from end to end. No figure is asserted: tests do not measure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from benchmarks import mixture, rows, simulation
from benchmarks.options import GROUPS, SLOW, parse
from benchmarks.systems import ours_mixed
from benchmarks.systems.oban_table import Table

ROOT = Path(__file__).parent.parent
FIELDS = {"group", "workload", "system", "value", "unit", "compared", "jobs", "ratio_to_ours", "ratio_to_bare", "runs"}
RUN = {"short", "sleep", "mixed", "memory", "scaling"}
"""Groups for systems that run the jobs, which bare SQL does not."""


def test_every_workload_gives_rows_and_its_checks_hold(server_dsn: str, tmp_path: Path) -> None:
    found = measure(tmp_path / "rows.json", "--dsn", server_dsn)

    assert found["problems"] == []
    assert groups(found["rows"]) == set(GROUPS) - set(SLOW)
    for row in found["rows"]:
        assert set(row) == FIELDS
        assert len(row["runs"]) == 1
        assert row["value"] == row["runs"][0]
    assert groups(found["rows"], "bare SQL") == groups(found["rows"], "oban_sync") - RUN
    assert {"commit", "PostgreSQL", "Python", "psycopg", "machine"} <= set(found["machine"])


@pytest.mark.nightly
def test_the_slow_workloads_give_rows_where_they_are_named(server_dsn: str, tmp_path: Path) -> None:
    found = measure(tmp_path / "rows.json", *SLOW, "--dsn", server_dsn)

    assert found["problems"] == []
    assert groups(found["rows"], "oban_sync") == set(SLOW)
    assert groups(found["rows"], "bare SQL") == set(SLOW) - RUN
    for costs in simulation.Measured(found).every():
        assert min(costs.server, costs.python, costs.group, costs.commit, costs.wal) > 0


def test_a_tiny_run_leaves_the_stored_results_alone(server_dsn: str, tmp_path: Path) -> None:
    stored = ROOT / "benchmarks" / "RESULTS.md"
    before = stored.read_bytes() if stored.exists() else None
    measure(tmp_path / "rows.json", "latency", "--dsn", server_dsn)

    assert (stored.read_bytes() if stored.exists() else None) == before


def test_a_quick_run_leaves_the_slow_workloads_out() -> None:
    assert set(parse(["--quick"]).groups) == set(GROUPS) - set(SLOW)
    assert parse(["--quick", "memory"]).groups == ("memory",)
    assert parse([]).groups == GROUPS


def test_mixed_jobs_that_all_simply_complete_are_no_mixed_jobs(dsn: str) -> None:
    ends = Counter(part.end for part in mixture.plan(500))
    with psycopg.connect(dsn, autocommit=True) as connection:
        ours_mixed.fill(connection, 500)
        waiting = ours_mixed.check(connection)
        connection.execute("UPDATE oban_jobs SET state = 'completed', attempt = 1")
        completed = ours_mixed.check(connection)

    assert set(ends) == set(mixture.ENDS)
    assert (waiting["jobs"], waiting["completed"], waiting["flawed"]) == (500, 0, 0)
    assert completed["completed"] == 500 - ends["cancel"]
    assert completed["flawed"] == ends["error"] + ends["snooze"] + ends["record"]


def test_rows_beside_are_not_counted_among_the_jobs(dsn: str) -> None:
    table = Table(dsn)
    with table.connection as connection:
        rows.put_beside(connection, 3)
        beside = states(connection), table.check()["jobs"]
        table.empty()
        rows.live_through(connection, 2)
        ended = states(connection), table.check()["jobs"]

    assert beside == ({"scheduled": 3, "completed": 3}, 0)
    assert ended == ({"completed": 2}, 0)


def states(connection: rows.Connection) -> dict[str, int]:
    """Count the rows of each state."""
    return dict(connection.execute("SELECT state::text, count(*) FROM oban_jobs GROUP BY state").fetchall())


def groups(found: list[dict], system: str | None = None) -> set[str]:
    """Give the groups of which there are rows, of one system or of all."""
    return {row["workload"].partition(" ")[0].strip(",:") for row in found if system in (None, row["system"])}


def measure(file: Path, *arguments: str) -> dict:
    """Run the tool with sizes that measure nothing."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--scale", "0.02", "--rounds", "1", "--json", str(file)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())
