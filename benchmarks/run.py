"""The run: every workload in rounds, in each of which every system has its turn."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from benchmarks import machine
from benchmarks.database import Databases, databases
from benchmarks.options import Options
from benchmarks.registry import SYSTEMS, Workload, workloads
from benchmarks.remote import BenchmarkError
from benchmarks.results import Figure, Figures, Result, Results
from benchmarks.subject import Subject


def run(options: Options) -> Results:
    """Measure everything that was asked for."""
    results = Results()
    with databases(options.dsn) as server, subjects(server, options) as systems:
        results.machine = machine.describe(server.setting, options.cpus) | {"sizes": str(options.sizes)}
        for workload in workloads(options.sizes):
            if workload.group in options.groups:
                measure(workload, systems, options.rounds, results)
    return results


@contextmanager
def subjects(server: Databases, options: Options) -> Iterator[list[Subject]]:
    """Prepare every system for the block."""
    with ExitStack() as stack:
        found = []
        for name, spec in SYSTEMS.items():
            subject = Subject(name, spec, server, set(options.cpus))
            stack.callback(subject.close)
            found.append(subject)
        yield found


def measure(workload: Workload, systems: list[Subject], rounds: int, results: Results) -> None:
    """Measure one workload. Each round begins with another system, so that none has the better place."""
    able = [system for system in systems if system.can(*workload.needs)]
    for number in range(rounds):
        turn = number % len(able)
        for system in able[turn:] + able[:turn]:
            try:
                take(workload, system, results)
            except BenchmarkError as error:
                results.problems.append(f"{workload.name}, round {number + 1}: {error}")
                print(results.problems[-1], file=sys.stderr)


def take(workload: Workload, system: Subject, results: Results) -> None:
    """Take the figures of one system in one round."""
    found = workload.measure(system)
    figures: Figures = found if isinstance(found, Mapping) else {"": found}
    for part, given in figures.items():
        name = f"{workload.name}: {part}" if part else workload.name
        figure = given if isinstance(given, Figure) else Figure(given, workload.unit, workload.compared)
        results.add(Result(workload.group, name, system.name, figure.unit, figure.compared), figure.value)
        print(f"{name}, {system.name}: {figure.value:,.2f} {figure.unit}", file=sys.stderr)
