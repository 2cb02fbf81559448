"""The group `chaos`: every promise of docs/reliability.md against its fault, counted, as one table."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, count
from pathlib import Path

import psycopg

from benchmarks.options import Options
from benchmarks.servers import Missing
from benchmarks.surroundings import scenarios
from oban_sync import embedded, schema
from tests.chaos import pooler, systems
from tests.chaos.counted import Counted
from tests.chaos.scenarios import killers, leases, mixed, poison, pooled, shutdown, side_by_side, survival, timeouts
from tests.chaos.server import Stage, stage
from tests.chaos.sizes import FULL, SHORT, Sizes

SETTINGS = {"max_connections": "400"}
"""Each thread that runs a job writes its ledger on a connection of its own."""
Scenario = Callable[[], Iterator[Counted]]
"""Plays once, and gives what was counted."""


class Theatre:
    """Where the scenarios play.

    Args:
        server: Where those do that need no server of their own.
        directory: For logs.
    """

    def __init__(self, server: embedded.Server, directory: Path) -> None:
        self._server, self._directory, self._numbers = server, directory, count()

    def directory(self) -> Path:
        """Make a directory for the logs of a scenario."""
        found = self._directory / str(next(self._numbers))
        found.mkdir()
        return found

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """Make a database with the tables."""
        dsn = self._server.create_database(f"chaos{next(self._numbers)}")
        with psycopg.connect(dsn, autocommit=True) as connection:
            schema.install(connection)
        with stage(dsn) as found:
            yield found

    def play(self, scenario: Callable[..., Iterator[Counted]], *arguments: object, **sizes: object) -> Scenario:
        """Give a scenario its stage."""

        def playing() -> Iterator[Counted]:
            with self.stage() as found:
                yield from scenario(found, self.directory(), *arguments, **sizes)

        return playing


def run(options: Options) -> tuple[list[Counted], list[str]]:
    """Play what was asked for; give what was counted, and beside it what could not be tried, and why."""
    sizes = SHORT if options.quick else FULL
    found, problems = list[Counted](), list[str]()
    with embedded.start(settings=SETTINGS) as server, tempfile.TemporaryDirectory(prefix="oban-chaos-") as directory:
        theatre = Theatre(server, Path(directory))
        around = scenarios(theatre.play, theatre.directory, short=options.quick, seeds=sizes.seeds)

        def wanted(promise: str) -> bool:
            return not options.promises or promise in options.promises

        for promises, group in chain(_alone(theatre, sizes), around, _with_peer(theatre, sizes, options)):
            if any(map(wanted, promises)):
                found += [one for one in _together(group, problems) if wanted(one.promise)]
    tried = {one.promise for one in found}
    problems += [f"{name}: nothing was counted" for name in sorted(options.promises - tried)]
    return found, problems


def _alone(theatre: Theatre, sizes: Sizes) -> Iterator[tuple[set[str], list[Scenario]]]:
    """Give the scenarios by what they show; those of one list play at the same time."""
    play = theatre.play
    for seed in sizes.seeds:
        yield {"R1", "R2"}, [partial(survival.storm, theatre.directory(), seed, sizes.storm)]
    for seed in sizes.seeds:
        yield {"R3"}, [play(survival.orphans, seed, kills=sizes.kills, lone=sizes.lone)]
    if pooler.program() is not None:
        yield {"R3", "R12"}, [play(pooled.behind, jobs=sizes.pooled, direct=direct) for direct in (True, False)]
    healthy = partial(leases.healthy, seconds=sizes.healthy_seconds, each=sizes.healthy)
    yield {"R4"}, [partial(healthy, theatre.directory(), seed) for seed in sizes.seeds]
    yield {"R5"}, [play(leases.lost, seed, each=sizes.late, stopped=sizes.late_seconds) for seed in sizes.seeds]
    yield {"R6", "R9"}, [play(poison.poison, sizes.seeds[0], jobs=sizes.poison)]
    yield {"R7"}, [play(poison.unstorable, jobs=sizes.acks)]
    yield {"R8"}, [play(killers.killer, way, siblings=sizes.siblings) for way in ("exit", "crash")]
    yield {"R14"}, [play(shutdown.stop, times=sizes.stops)]
    yield {"R14"}, [play(shutdown.stop_twice, times=sizes.stops)]
    yield {"R14"}, [partial(shutdown.stop_in_outage, theatre.directory())]
    yield {"R14"}, [play(shutdown.stop_holding)]
    yield {"R14"}, [play(shutdown.stop_held)]
    yield {"R23"}, [play(timeouts.race, sizes.seeds[0], jobs=sizes.racing)]
    yield {"R23"}, [play(timeouts.overdue)]


def _with_peer(theatre: Theatre, sizes: Sizes, options: Options) -> Iterator[tuple[set[str], list[Scenario]]]:
    """Give the scenarios with oban for Python, if it was asked for and can be had."""
    if "oban" not in options.peers:
        return
    try:
        peer = systems.peer(options.venvs)
    except Missing as missing:
        print(f"oban is skipped: {missing}", file=sys.stderr)
        return
    yield {"R25"}, [theatre.play(mixed.fleet_of_two, sizes.seeds[0], peer, jobs=sizes.shared, long=sizes.long)]
    both = (peer, systems.OURS)
    yield {"beside"}, [theatre.play(side_by_side.long_job, system) for system in both]
    yield {"beside"}, [theatre.play(side_by_side.imports, system) for system in both]
    yield {"beside"}, [theatre.play(side_by_side.inputs, system) for system in both]
    for name in side_by_side.CASES:
        yield {"beside"}, [theatre.play(side_by_side.cost, system, name) for system in both]


def _together(scenarios: Iterable[Scenario], problems: list[str]) -> list[Counted]:
    """Play scenarios at the same time, and give what they counted in their order."""
    with ThreadPoolExecutor(4) as threads:
        return list(chain.from_iterable(threads.map(partial(_played, problems), scenarios)))


def _played(problems: list[str], scenario: Scenario) -> list[Counted]:
    found = []
    try:
        for counted in scenario():
            found.append(counted)
            print(
                f"{counted.promise} {counted.system}, {counted.fault or counted.claim}: {counted.shown()}",
                file=sys.stderr,
            )
    except Exception as error:
        problems.append(f"a scenario could not be played to its end: {type(error).__name__}: {error}")
        traceback.print_exc()
    return found
