"""How much is done in each workload."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of jobs, and seconds where the name says so."""

    drain: int = 20_000
    latency: int = 200

    def scaled(self, factor: float) -> Self:
        """Give the same, larger or smaller."""
        return type(self)(**{one.name: max(1, int(getattr(self, one.name) * factor)) for one in fields(self)})


FULL = Sizes()
QUICK = Sizes(drain=4_000, latency=50)
