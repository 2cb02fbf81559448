"""The command `python -m benchmarks.simulation`: holds the model of `fleet` against what was measured, sizes fleets.

The file is one that `python -m benchmarks scaling --json FILE` wrote. The model is given what a job costs where one
process drains, and is then asked for the rates of all the numbers of processes that were measured, on the cores that
other programs left at that time.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.fleet import Costs, Machines, most, needed, rate
from benchmarks.machine import ROOT
from benchmarks.registry import PROCESSES
from benchmarks.results import OURS

PAGE = ROOT / "docs" / "scaling.md"
MARKS = ("<!-- figures -->", "<!-- end of the figures -->")
RATES = (10_000, 100_000, 1_000_000)
STORED = {"one by one": "scaling enqueue, one by one", "1,000 a call": "scaling enqueue, 1,000 a call"}
_PARTS = ("WAL a job", "PostgreSQL CPU a job", "Python CPU a job", "jobs a transaction")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fleet is assumed to be.

    Attributes:
        cores: Cores of a primary, each as fast as one of those that were measured.
        wal: Bytes a second of write-ahead log that a primary can write and its replicas can follow.
        network: Seconds of a round trip to the primary, which the measured commit does not have.
        use: The part of what the model allows that is planned with.
    """

    cores: float
    wal: float
    network: float
    use: float


class Measured:
    """The figures of oban_sync in a results file.

    Args:
        found: What `python -m benchmarks --json` wrote.

    Raises:
        KeyError: A figure that the model needs is not in it.
    """

    def __init__(self, found: dict[str, Any]) -> None:
        rows = {row["workload"]: row for row in found["rows"] if row["system"] == OURS}
        self._values = {workload: float(row["value"]) for workload, row in rows.items()}
        self.rounds, self.jobs = len(rows[drained(1)]["runs"]), int(rows[drained(1)]["jobs"])
        self.machine: dict[str, str] = found["machine"]
        self.cores = int(self.machine["cores"])
        self.commit = self._values["scaling commit"] / 1e3
        self.rates = {many: self._values[drained(many)] for many in PROCESSES if drained(many) in self._values}

    def part(self, workload: str, part: str) -> float:
        """Give a cost in the unit of the file."""
        return self._values[f"{workload}: {part}"]

    def costs(self, workload: str) -> Costs:
        """Give the costs of a workload for the model."""
        wal, server, python, group = (self.part(workload, part) for part in _PARTS)
        return Costs(server=server / 1e6, python=python / 1e6, group=group, commit=self.commit, wal=wal)

    def every(self) -> list[Costs]:
        """Give the costs of all workloads that the model needs."""
        return [self.costs(workload) for workload in (drained(1), *STORED.values())]


def drained(processes: int) -> str:
    """Name the workload in which so many processes drain."""
    return f"scaling drain, {processes} x 10 slots"


def main(arguments: list[str] | None = None) -> None:
    """Print what a job costs, how far the model is from what was measured, and the fleets for some rates."""
    parser = argparse.ArgumentParser("python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="what the benchmarks wrote")
    parser.add_argument("--cores", type=float, default=16, help="cores of a primary (16)")
    parser.add_argument("--wal", type=float, default=200, metavar="MB", help="MB/s of WAL of a primary (200)")
    parser.add_argument("--network", type=float, default=0.5, metavar="MS", help="round trip to a primary in ms (0.5)")
    parser.add_argument("--use", type=float, default=0.5, metavar="PART", help="part of the most to plan with (0.5)")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/scaling.md")
    given = parser.parse_args(arguments)
    measured = Measured(json.loads(given.json.read_text(encoding="utf-8")))
    plan = Plan(given.cores, given.wal * 1e6, given.network / 1e3, given.use)
    text = "\n\n".join("\n".join(part) for part in (prices(measured), checks(measured), fleets(measured, plan)))
    print(text)
    if given.write:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


def replaced(page: str, figures: str) -> str:
    """Give a page with other figures between its marks."""
    before, rest = page.split(MARKS[0])
    return f"{before}{MARKS[0]}\n{figures}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def prices(measured: Measured) -> Iterator[str]:
    """Give the table of what a job costs."""
    about = measured.machine
    yield f"Measured at commit {about['commit']} on {about['machine']}."
    yield f"Medians of {measured.rounds} rounds of {measured.jobs:,} jobs a process."
    yield f"Load before: {about['load before']}, of other programs. A commit takes {measured.commit * 1e3:.2f} ms."
    yield ""
    yield "| | WAL, bytes | PostgreSQL CPU, us | Python CPU, us | jobs a transaction |"
    yield "|---|---:|---:|---:|---:|"
    for name, workload in {
        "drain, 1 process": drained(1),
        **{f"enqueue {how}": of for how, of in STORED.items()},
    }.items():
        wal, server, python, group = (measured.part(workload, part) for part in _PARTS)
        yield f"| {name} | {wal:,.0f} | {server:.1f} | {python:.1f} | {group:,.0f} |"


def checks(measured: Measured) -> Iterator[str]:
    """Give the table of the model's errors."""
    costs = measured.costs(drained(1))
    yield "The model, with the costs of one process, where PostgreSQL and Python share the cores that others left:"
    yield ""
    yield "| processes | cores left | measured, jobs/s | model, jobs/s | error |"
    yield "|---:|---:|---:|---:|---:|"
    for processes, got in measured.rates.items():
        left = measured.cores - measured.part(drained(processes), "used by others")
        said = rate(costs, Machines(left, shared=True), processes)
        yield f"| {processes} | {left:.2f} | {got:,.0f} | {said:,.0f} | {100 * (said / got - 1):+.0f} % |"


def fleets(measured: Measured, plan: Plan) -> Iterator[str]:
    """Give the table of the primaries and processes for each rate."""
    yield f"Fleets. Assumed: a primary has {plan.cores:g} cores, each as fast as a measured one, and uses them all"
    yield f"equally well (measured: {measured.cores}, with Python on them); it writes {plan.wal / 1e6:g} MB/s of WAL;"
    yield f"a round trip takes {plan.network * 1e3:g} ms; each process has a core of its own; jobs do nothing. Planned"
    yield f"with: {100 * plan.use:.0f} % of what the model allows. The rest is for vacuum, pruning and peaks."
    yield ""
    yield "| jobs/s | enqueued | primaries | planned a primary, jobs/s | processes | cores that enqueue | WAL, MB/s |"
    yield "|---:|---|---:|---:|---:|---:|---:|"
    run = measured.costs(drained(1))
    for wanted in RATES:
        for how, workload in STORED.items():
            yield fleet(wanted, how, run, measured.costs(workload), plan)


def fleet(wanted: float, how: str, run: Costs, store: Costs, plan: Plan) -> str:
    """Give the row of one rate; the processes find the cores of the primary that storing leaves."""
    life = replace(run, server=run.server + store.server, wal=run.wal + store.wal)
    planned = plan.use * most(life, plan.cores, plan.wal)
    primaries = math.ceil(wanted / planned)
    far = replace(run, commit=run.commit + plan.network)
    left = plan.cores * run.server / life.server
    processes = primaries * math.ceil(needed(far, left, wanted / primaries) / plan.use)
    storing = math.ceil(wanted * store.python / plan.use)
    log = wanted * life.wal / 1e6
    return f"| {wanted:,} | {how} | {primaries} | {planned:,.0f} | {processes} | {storing} | {log:,.0f} |"


if __name__ == "__main__":
    main()
