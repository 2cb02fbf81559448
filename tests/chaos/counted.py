"""What a scenario counted, beside the line that it must not cross."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counted:
    """One row of the table of promises.

    Attributes:
        promise: Its number.
        claim: What is promised, in words.
        fault: What was done against it.
        sizes: How much of it.
        seed: Replays the faults; None: nothing was drawn.
        counts: What was counted, by name.
        line: What the counts must be, in words.
        kept: Whether they are.
        system: Who was under test.
    """

    promise: str
    claim: str
    fault: str
    sizes: str
    seed: int | None
    counts: Mapping[str, float]
    line: str
    kept: bool
    system: str = "oban_sync"

    def shown(self) -> str:
        """Give the counts as text."""
        return ", ".join(f"{name} {_number(value)}" for name, value in self.counts.items())


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"
