"""The scenarios of what surrounds a node: networks, databases, forks, clocks, and people who mean harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos import standby
from tests.chaos.counted import Counted
from tests.chaos.scenarios import (
    clocks,
    database,
    failover,
    forks,
    hostile,
    inputs,
    network,
    periodic,
    secrets,
    transactions,
    webs,
)

Scenario = Callable[[], Iterator[Counted]]
Play = Callable[..., Scenario]
"""Gives a scenario its stage and its directory."""
Listed = Iterator[tuple[set[str], list[Scenario]]]


def scenarios(play: Play, directory: Callable[[], Path], *, short: bool, seeds: tuple[int, ...]) -> Listed:
    """Give them by what they show; what a program or library is missing for is left out."""
    yield from _networks(play, seeds, short=short)
    yield from _databases(play, directory, short=short)
    yield from _processes(play, short=short)
    yield from _callers(play, directory, seeds, short=short)
    yield from _harm(play, short=short)


def _networks(play: Play, seeds: tuple[int, ...], *, short: bool) -> Listed:
    yield {"R10"}, [play(network.away, seconds=seconds) for seconds in ((0.5, 12) if short else (0.5, 20, 120))]
    yield {"R11"}, [play(network.silent, fault=fault) for fault in network.SILENCES]
    yield {"R12"}, [play(network.deaf, jobs=20 if short else 200)]
    for seed in seeds:
        yield {"R13"}, [play(network.cut, seed, cuts=30 if short else 500)]
        yield {"R1"}, [_sized(play, network.broken, short, (5, 200), (60, 4_000), ("faults", "jobs"), seed)]
    yield {"R20"}, [play(network.saturated, seconds=8 if short else 60)]
    yield {"R24"}, [_sized(play, network.slow, short, (2_000, 10), (50_000, 60), ("jobs", "seconds"), delay=2.0)]


def _sized(
    play: Play,
    scenario: Callable[..., Any],
    short: bool,
    small: tuple[int, ...],
    full: tuple[int, ...],
    names: tuple[str, ...],
    *arguments: object,
    **more: object,
) -> Scenario:
    return play(scenario, *arguments, **dict(zip(names, small if short else full, strict=True)), **more)


def _databases(play: Play, directory: Callable[[], Path], *, short: bool) -> Listed:
    if standby.binaries() is not None:
        outages = (5,) if short else (20, 120)
        yield {"R10"}, [partial(failover.outage, directory(), seconds=seconds) for seconds in outages]
        yield {"R10"}, [partial(failover.promote, directory(), jobs=300 if short else 5_000, long_seconds=15)]
    refusing = partial(play, database.refusing, seconds=4 if short else 30, jobs=40)
    yield {"R21"}, [refusing(name=name) for name in database.REFUSALS]
    yield {"R22"}, [_sized(play, database.snapshot, short, (5, 100), (600, 500), ("seconds", "rate"))]


def _processes(play: Play, *, short: bool) -> Listed:
    for way in forks.WAYS:
        yield {"R15"}, [_sized(play, forks.forked, short, (2, 30), (8, 1_000), ("children", "questions"), way=way)]
    if clocks.library() is not None:
        yield {"R16"}, [_sized(play, clocks.skewed, short, (2, 8), (20, 60), ("each", "seconds"))]


def _callers(play: Play, directory: Callable[[], Path], seeds: tuple[int, ...], *, short: bool) -> Listed:
    yield {"R14"}, [play(webs.stop, times=1 if short else 5)]
    yield {"R15"}, [play(webs.preloaded, questions=50 if short else 2_000)]
    over = partial(periodic.over_the_minute, directory(), kills=1 if short else 3, crashes=0 if short else 3)
    yield {"R17"}, [over, partial(periodic.clocks_set, around=2 if short else 30)]
    for seed in seeds:
        yield {"R17"}, [_sized(play, periodic.in_haste, short, (2,), (20,), ("kills",), seed)]
    yield {"R18"}, [_sized(play, transactions.atomic, short, (2,), (20,), ("rounds",), seed) for seed in seeds]
    yield {"R19"}, [play(inputs.refused), play(inputs.round_trip, examples=100 if short else 5_000)]


def _harm(play: Play, *, short: bool) -> Listed:
    yield {"S1"}, [play(hostile.identifiers, examples=40 if short else 2_000)]
    yield {"S2"}, [partial(hostile.bombs, megabytes=64 if short else 1024)]
    yield {"S7"}, [play(secrets.passwords), play(secrets.arguments)]
    yield {"S8"}, [play(hostile.least_privilege)]
    yield {"S9"}, [play(hostile.notifications)]
