"""How much is done in each workload."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of jobs, and seconds where the name says so."""

    enqueue: int = 5_000
    bulk: int = 50_000
    drain: int = 20_000
    latency: int = 200
    scheduled: int = 100
    sleep: int = 5_000
    idle: int = 100_000
    idle_seconds: float = 20.0
    scheduled_seconds: float = 3.0

    def __str__(self) -> str:
        return ", ".join(f"{one.name} {getattr(self, one.name):,}" for one in fields(self))

    def scaled(self, factor: float) -> Sizes:
        """Give smaller or larger numbers of jobs; seconds only get fewer, and not less than half a second."""
        numbers = ("enqueue", "bulk", "drain", "latency", "scheduled", "sleep", "idle")
        scaled = {name: max(1, round(getattr(self, name) * factor)) for name in numbers}
        return replace(
            self,
            **scaled,
            idle_seconds=max(0.5, self.idle_seconds * min(1.0, factor)),
            scheduled_seconds=max(0.5, self.scheduled_seconds * min(1.0, factor)),
        )


FULL = Sizes()
QUICK = Sizes(
    enqueue=600,
    bulk=20_000,
    drain=5_000,
    latency=40,
    scheduled=30,
    sleep=1_000,
    idle=20_000,
    idle_seconds=0.8,
    scheduled_seconds=1.0,
)
