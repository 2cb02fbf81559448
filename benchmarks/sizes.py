"""How much is done in each workload."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of jobs, and seconds where the name says so."""

    enqueue: int = 5_000
    bulk: int = 100_000
    drain: int = 20_000
    latency: int = 200
    scheduled: int = 100
    sleep: int = 5_000
    idle: int = 100_000
    short: int = 40_000
    mixed: int = 10_000
    backlog: int = 1_000_000
    snapshot: int = 100_000
    dead: int = 700_000
    memory: int = 1_000_000
    scaling: int = 20_000
    idle_seconds: float = 10.0
    scheduled_seconds: float = 3.0
    snapshot_seconds: float = 3.0

    def __str__(self) -> str:
        return ", ".join(f"{one.name} {getattr(self, one.name):,}" for one in fields(self))

    def scaled(self, factor: float) -> Sizes:
        """Give smaller or larger numbers of jobs; seconds only get fewer, and not less than half a second."""
        scaled: dict[str, Any] = {}
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            if isinstance(value, int):
                scaled[name] = max(1, round(value * factor))
            else:
                scaled[name] = max(0.5, value * min(1.0, factor))
        return replace(self, **scaled)


FULL = Sizes()
QUICK = Sizes(
    enqueue=600,
    bulk=20_000,
    drain=5_000,
    latency=40,
    scheduled=30,
    sleep=1_000,
    idle=20_000,
    short=10_000,
    mixed=1_500,
    backlog=50_000,
    snapshot=20_000,
    dead=50_000,
    memory=50_000,
    scaling=2_000,
    idle_seconds=0.8,
    scheduled_seconds=1.0,
    snapshot_seconds=1.0,
)
