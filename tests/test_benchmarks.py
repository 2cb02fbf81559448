"""The benchmarks run from end to end. No figure is asserted: tests do not measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.options import GROUPS, SLOW

ROOT = Path(__file__).parent.parent
FIELDS = {"workload", "system", "value", "unit", "ratio_to_ours", "runs"}
RUN = {"short", "sleep", "mixed", "memory"}
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


def test_the_slow_workloads_give_rows_where_they_are_named(server_dsn: str, tmp_path: Path) -> None:
    found = measure(tmp_path / "rows.json", *SLOW, "--dsn", server_dsn)

    assert found["problems"] == []
    assert groups(found["rows"], "oban_sync") == set(SLOW)
    assert groups(found["rows"], "bare SQL") == set(SLOW) - RUN


def test_a_tiny_run_leaves_the_stored_results_alone(server_dsn: str, tmp_path: Path) -> None:
    stored = ROOT / "benchmarks" / "RESULTS.md"
    before = stored.read_bytes() if stored.exists() else None
    measure(tmp_path / "rows.json", "latency", "--dsn", server_dsn)

    assert (stored.read_bytes() if stored.exists() else None) == before


def groups(rows: list[dict], system: str | None = None) -> set[str]:
    """Give the groups of which there are rows, of one system or of all."""
    return {row["workload"].partition(" ")[0].strip(",:") for row in rows if system in (None, row["system"])}


def measure(file: Path, *arguments: str) -> dict:
    """Run the tool with sizes that measure nothing."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--scale", "0.02", "--rounds", "1", "--json", str(file)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())
