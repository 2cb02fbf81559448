"""What a running job can ask of the queue that runs it, and others of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class House:
    """What the runs of a queue share.

    Attributes:
        fresh: Says whether the lease of this process is fresh.
    """

    fresh: Callable[[], bool]


class Run:
    """One run of one job.

    Args:
        house: What it shares with the others.
    """

    __slots__ = ("_cancelled", "_house", "until")

    def __init__(self, house: House) -> None:
        self._house = house
        self._cancelled = False  # set once, by whichever thread cancels
        self.until: float | None = None  # written by the thread of the run

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copy of a job is not the job that runs

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Say whether somebody asked it to stop."""
        return self._cancelled

    def lease_lost(self) -> bool:
        """Say whether other nodes may have judged this process dead."""
        return not self._house.fresh()
