"""The run: every workload in rounds, in each of which every system has its turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

from benchmarks import machine, venvs
from benchmarks.database import databases
from benchmarks.options import Options
from benchmarks.peers import PEERS, Peer
from benchmarks.registry import SYSTEMS, Workload, workloads
from benchmarks.remote import BenchmarkError, SystemSpec
from benchmarks.results import Figure, Figures, Result, Results
from benchmarks.servers import Missing, Server
from benchmarks.subject import Subject


def run(options: Options) -> Results:
    """Measure everything that was asked for."""
    results = Results()
    pythons = environments(options, results)
    with databases(options.dsn) as server, subjects(server, options, pythons, results) as systems:
        for workload in workloads(options.sizes):
            if workload.group in options.groups:
                measure(workload, systems, options.rounds, results)
    return results


def environments(options: Options, results: Results) -> dict[str, str]:
    """Give the interpreter of each peer that can be had; why another cannot is kept in the results."""
    results.machine = machine.describe(options.cpus) | {"sizes": str(options.sizes)}
    found = {}
    for name in options.peers:
        peer = PEERS[name]
        try:
            found[name] = venvs.prepare(name, peer.packages, peer.python, options.venvs)
        except Missing as missing:
            skip(name, missing, results)
            continue
        own, theirs = venvs.versions(found[name], peer.distributions)
        packages = zip(peer.distributions, theirs, strict=True)
        results.machine[f"peer {name}"] = ", ".join([f"Python {own}", *(f"{name} {of}" for name, of in packages)])
    return found


def skip(name: str, reason: Exception, results: Results) -> None:
    """Leave a peer out, and say why."""
    results.skipped[name] = str(reason)
    print(f"{name} is skipped: {reason}", file=sys.stderr)


@contextmanager
def subjects(server: Server, options: Options, pythons: dict[str, str], results: Results) -> Iterator[list[Subject]]:
    """Prepare every system for the block."""
    cpus = set(options.cpus)
    with ExitStack() as stack:
        servers = Servers(server, stack, results)
        found = [prepared(stack, name, spec, server, cpus) for name, spec in SYSTEMS.items()]
        for name, python in pythons.items():
            peer = PEERS[name]
            try:
                place = servers.of(peer)
                for system, spec in peer.systems.items():
                    found.append(prepared(stack, system, replace(spec, python=python), place, cpus))
            except (Missing, BenchmarkError) as reason:
                skip(name, reason, results)
        yield found


class Servers:
    """The servers of a run, each started when the first peer needs it.

    Args:
        main: The PostgreSQL.
        stack: Ends the others.
        results: Told of each.
    """

    def __init__(self, main: Server, stack: ExitStack, results: Results) -> None:
        self._main, self._stack, self._results = main, stack, results
        self._started: dict[Callable[[], AbstractContextManager[Server]], Server] = {}
        results.machine |= main.describe()

    def of(self, peer: Peer) -> Server:
        """Give the server of a peer.

        Raises:
            Missing: It cannot be started.
        """
        if peer.server is None:
            return self._main
        if peer.server not in self._started:
            self._started[peer.server] = self._stack.enter_context(peer.server())
            self._results.machine |= self._started[peer.server].describe()
        return self._started[peer.server]


def prepared(stack: ExitStack, name: str, spec: SystemSpec, server: Server, cpus: set[int]) -> Subject:
    """Prepare one system until the stack ends.

    Raises:
        BenchmarkError: It does not start.
    """
    subject = Subject(name, spec, server, cpus)
    stack.callback(subject.close)
    return subject


def measure(workload: Workload, systems: Iterable[Subject], rounds: int, results: Results) -> None:
    """Measure one workload. Each round begins with another system, so that none has the better place."""
    able = [one for one in systems if one.can(*workload.needs) and workload.group not in one.without]
    for number in range(rounds):
        turn = number % len(able)
        for system in able[turn:] + able[:turn]:
            try:
                take(workload, system, number, results)
            except BenchmarkError as error:
                results.problems.append(f"{workload.name}, round {number + 1}: {error}")
                print(results.problems[-1], file=sys.stderr)


def take(workload: Workload, system: Subject, number: int, results: Results) -> None:
    """Take the figures of one system in one round."""
    jobs = workload.jobs_of(system.share)
    found = workload.measure(system, jobs)
    figures: Figures = found if isinstance(found, Mapping) else {"": found}
    for part, given in figures.items():
        name = f"{workload.name}: {part}" if part else workload.name
        figure = given if isinstance(given, Figure) else Figure(given, workload.unit, workload.compared)
        blank = Result(workload.group, name, system.name, figure.unit, figure.compared, jobs)
        results.add(blank, number, figure.value)
        print(f"{name}, {system.name}: {figure.value:,.2f} {figure.unit}", file=sys.stderr)
    results.note(system.notes())
