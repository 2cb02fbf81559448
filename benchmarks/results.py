"""Figures of several rounds, and what is said of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OURS = "oban_sync"


class Figure(NamedTuple):
    """A figure that has another unit than the other figures of its workload.

    Attributes:
        value: The figure.
        unit: Its unit.
        compared: Whether a ratio of two systems says something.
    """

    value: float
    unit: str
    compared: bool = True


Figures = Mapping[str, float | Figure]
"""Figures by the part of the workload that they are of."""


@dataclass(slots=True)
class Result:
    """What one system reached in one workload.

    Attributes:
        group: The workload's name on the command line.
        workload: What was measured, in words.
        system: Who did it.
        unit: Of the values.
        compared: Whether a ratio to ours says something.
        runs: A value a round.
    """

    group: str
    workload: str
    system: str
    unit: str
    compared: bool
    runs: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.runs)


class Results:
    """All figures of one run of the tool, in the order in which they came."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Result] = {}
        self.machine: dict[str, str] = {}
        self.problems: list[str] = []

    def add(self, blank: Result, value: float) -> None:
        """Take the figure of one round; `blank` says what it is of."""
        self._found.setdefault((blank.workload, blank.system), blank).runs.append(value)

    def rows(self) -> list[dict[str, Any]]:
        """Give a JSON object for each system in each workload; `ratio_to_ours` is its value divided by ours."""
        return [
            {
                "workload": result.workload,
                "system": result.system,
                "value": result.value,
                "unit": result.unit,
                "ratio_to_ours": self.ratio(result),
                "runs": result.runs,
            }
            for result in self
        ]

    def ratio(self, result: Result) -> float | None:
        """Divide a system's figure by ours, round by round, and give the median; None: there is nothing to divide."""
        ours = self._found.get((result.workload, OURS))
        if ours is None or not result.compared:
            return None
        ratios = [its / own for its, own in zip(result.runs, ours.runs, strict=False) if own]
        return statistics.median(ratios) if ratios else None

    def __iter__(self) -> Iterator[Result]:
        return iter(self._found.values())


def percentile(values: Iterable[float], percent: float) -> float:
    """Give the smallest value that so many percent of the values do not exceed."""
    ordered: Sequence[float] = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
