"""How much is done in each scenario: short in the suite of tests, full at night and in the table of figures."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.scenarios.mixed import Lengths
from tests.chaos.scenarios.survival import Storm


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of jobs and of faults; seconds where the name says so.

    Attributes:
        seeds: Draw the faults, once each.
        storm: For R1 and R2.
        kills: Of one of three nodes, for R3.
        lone: Kills of a lone node, for R3.
        healthy: Jobs of each way, for R4.
        healthy_seconds: How long they run.
        late: Jobs of each outcome, for R5.
        late_seconds: After which a stopped process has lost its lease; None: it is ended by hand.
        poison: Poison jobs, and good ones, for R6.
        acks: Jobs that end together, for R7.
        siblings: Beside a killer, for R8.
        stops: For R14.
        racing: Jobs with timeouts, for R23.
        pooled: Jobs behind PgBouncer, for R12.
        shared: Short jobs of a mixed fleet, for R25.
        long: Its long jobs.
    """

    seeds: tuple[int, ...]
    storm: Storm
    kills: int
    lone: int
    healthy: int
    healthy_seconds: float
    late: int
    late_seconds: float | None
    poison: int
    acks: int
    siblings: int
    stops: int
    racing: int
    pooled: int
    shared: int
    long: Lengths


SHORT = Sizes(
    seeds=(1,),
    storm=Storm(jobs=300, processes=2, kills=2, stops=1, restarts=1, gap=1.0),
    kills=1,
    lone=1,
    healthy=1,
    healthy_seconds=8,
    late=1,
    late_seconds=None,
    poison=200,
    acks=100,
    siblings=6,
    stops=1,
    racing=300,
    pooled=20,
    shared=300,
    long=Lengths(ours=7, theirs=7, rescue_after=300),
)
FULL = Sizes(
    seeds=(1, 2, 3),
    storm=Storm(jobs=5_000, processes=4, kills=20, stops=10, restarts=5, longest=0.8),
    kills=8,
    lone=2,
    healthy=2,
    healthy_seconds=60,
    late=5,
    late_seconds=60,
    poison=10_000,
    acks=100,
    siblings=50,
    stops=5,
    racing=10_000,
    pooled=200,
    shared=5_000,
    long=Lengths(ours=130, theirs=70, rescue_after=100),
)
