"""The model of a fleet holds where the answer is known, and says how far it is from what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import simulation
from benchmarks.fleet import Costs, Machines, most, needed, rate

COSTS = Costs(server=20e-6, python=40e-6, group=100, commit=0.0, wal=1_500)
PLENTY = Machines(server=1_000, shared=False)


def test_a_process_takes_as_long_as_the_longer_of_what_it_does_at_once() -> None:
    assert rate(COSTS, PLENTY, 1) == pytest.approx(1 / 40e-6)
    assert rate(replace(COSTS, python=10e-6), PLENTY, 1) == pytest.approx(1 / 20e-6)
    assert rate(replace(COSTS, commit=0.006), PLENTY, 1) == pytest.approx(1 / 80e-6)


def test_processes_add_up_until_the_server_is_full() -> None:
    machines = Machines(server=2, shared=False)
    assert rate(COSTS, machines, 3) == pytest.approx(3 / 40e-6, rel=0.05)
    assert rate(COSTS, machines, 20) == pytest.approx(2 / 20e-6, rel=0.01)


def test_a_machine_that_is_shared_is_full_when_the_sum_of_all_cpu_is() -> None:
    for processes in (2, 4, 8):
        assert rate(COSTS, Machines(server=2, shared=True), processes) == pytest.approx(2 / 60e-6, rel=0.02)
    assert rate(COSTS, Machines(server=0.5, shared=True), 1) == pytest.approx(0.5 / 60e-6, rel=0.02)


def test_primaries_add_up() -> None:
    machines = Machines(server=2, shared=False)
    assert rate(COSTS, machines, 40, primaries=2) == pytest.approx(2 * rate(COSTS, machines, 20))
    assert rate(COSTS, machines, 5, primaries=2) == pytest.approx(rate(COSTS, machines, 2) + rate(COSTS, machines, 3))
    assert rate(COSTS, machines, 1, primaries=2) == rate(COSTS, machines, 1)


def test_a_server_is_full_by_its_cores_or_by_its_log() -> None:
    assert most(COSTS, cores=2, wal=1e9) == pytest.approx(100_000)
    assert most(COSTS, cores=2, wal=75e6) == pytest.approx(50_000)


def test_the_fewest_processes_for_a_rate_reach_it_and_one_less_does_not() -> None:
    found = needed(COSTS, cores=16, wanted=90_000)
    machines = Machines(16, shared=False)
    assert found == 4
    assert rate(COSTS, machines, found - 1) < 90_000 <= rate(COSTS, machines, found)
    with pytest.raises(ValueError, match="at most 90,000 jobs/s on one server, got 90,001"):
        needed(COSTS, cores=2, wanted=90_001)


def test_the_command_prints_the_error_of_each_measured_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(measured()))
    simulation.main(["--json", str(file), "--cores", "8", "--wal", "1000", "--network", "0"])
    printed = capsys.readouterr().out
    assert "| drain, 1 process | 1,200 | 20.0 | 40.0 | 100 |" in printed
    assert "| 1 | 2.00 | 24,000 | 25,000 | +4 % |" in printed
    assert "| 2 | 1.50 | 20,000 | 25,000 | +25 % |" in printed
    # 30 us of 8 cores are 266,667 jobs/s; a process does 25,000 where it need not wait, and here four do 100,000
    assert "| 100,000 | 1,000 a call | 1 | 133,333 | 8 | 4 | 150 |" in printed


def test_the_page_takes_other_figures_and_keeps_its_text() -> None:
    page = simulation.PAGE.read_text()
    changed = simulation.replaced(page, "other figures")
    assert "other figures" in changed
    assert "| drain, 1 process |" in page
    assert "| drain, 1 process |" not in changed
    assert simulation.replaced(changed, "others") == simulation.replaced(page, "others")


def measured() -> dict[str, Any]:
    """A results file as the benchmarks write it, for two of the numbers of processes."""
    one, two = (simulation.drained(processes) for processes in (1, 2))
    values = {"scaling commit": 0.0, one: 24_000.0, two: 20_000.0}
    values |= {f"{one}: used by others": 0.0, f"{two}: used by others": 0.5}
    parts = ("WAL a job", "PostgreSQL CPU a job", "Python CPU a job", "jobs a transaction")
    for workload in (one, *simulation.STORED.values()):
        costs = (1_200, 20, 40, 100) if workload == one else (300, 10, 20, 1_000)
        values |= {f"{workload}: {part}": cost for part, cost in zip(parts, costs, strict=True)}
    rows = [
        {"workload": name, "system": "oban_sync", "value": value, "runs": [value], "jobs": 1_000}
        for name, value in values.items()
    ]
    return {"rows": rows, "machine": {"machine": "a machine", "cores": "2", "commit": "abc", "load before": "0.1"}}
