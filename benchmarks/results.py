"""Figures of several rounds, and what is said of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OURS = "oban_sync"
BARE = "bare SQL"


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
        compared: Whether a ratio of two systems says something.
        jobs: How many it is of.
        rounds: The figure of each round.
    """

    group: str
    workload: str
    system: str
    unit: str
    compared: bool
    jobs: int
    rounds: dict[int, float] = field(default_factory=dict)

    @property
    def runs(self) -> list[float]:
        """The figures without their rounds."""
        return list(self.rounds.values())

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.runs)


class Results:
    """All figures of one run of the tool, in the order in which their workloads came.

    Attributes:
        machine: What the figures depend on.
        problems: What failed, so that a figure is missing.
        notes: What a reader must know of single figures, without repetition.
        skipped: Why a peer that was asked for is not in it.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Result] = {}
        self.machine: dict[str, str] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.skipped: dict[str, str] = {}

    def add(self, blank: Result, number: int, value: float) -> None:
        """Take the figure of one round; `blank` says what it is of."""
        self._found.setdefault((blank.workload, blank.system), blank).rounds[number] = value

    def note(self, texts: Iterable[str]) -> None:
        """Take notes, those that are new."""
        self.notes += [text for text in texts if text not in self.notes]

    def get(self, workload: str, system: str) -> Result | None:
        """Give what a system reached in a workload; None: it was not measured."""
        return self._found.get((workload, system))

    def join(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in rows of an earlier run, as `rows` gave them; a workload that this run measured stays as it is."""
        measured = {workload for workload, _ in self._found}
        for row in rows:
            if row["workload"] not in measured:
                names = ("group", "workload", "system", "unit", "compared", "jobs")
                blank = Result(*[row[name] for name in names])
                for number, value in enumerate(row["runs"]):
                    self.add(blank, number, value)

    def rows(self) -> list[dict[str, Any]]:
        """Give a JSON object for each system in each workload; a ratio is its value divided by the other's."""
        return [
            {
                "group": result.group,
                "workload": result.workload,
                "system": result.system,
                "value": result.value,
                "unit": result.unit,
                "compared": result.compared,
                "jobs": result.jobs,
                "ratio_to_ours": self.ratio(result, OURS),
                "ratio_to_bare": self.ratio(result, BARE),
                "runs": result.runs,
            }
            for result in self
        ]

    def ratio(self, result: Result, system: str) -> float | None:
        """Divide a figure by another system's as `divide` does."""
        other = self._found.get((result.workload, system))
        return divide(result, other) if other is not None and result.compared else None

    def __iter__(self) -> Iterator[Result]:
        """Go through all of them, those of one workload together."""
        places = {workload: place for place, workload in enumerate(dict.fromkeys(name for name, _ in self._found))}
        return iter(sorted(self._found.values(), key=lambda result: places[result.workload]))


def divide(result: Result, other: Result) -> float | None:
    """Divide round by round, and give the median; None: there is nothing to divide, or a figure is below 0."""
    both = [(value, other.rounds[number]) for number, value in result.rounds.items() if number in other.rounds]
    if not both or min(min(value, theirs) for value, theirs in both) < 0:
        return None
    ratios = [value / theirs for value, theirs in both if theirs]
    return statistics.median(ratios) if ratios else None


def percentile(values: Iterable[float], percent: float) -> float:
    """Give the smallest value that so many percent of the values do not exceed."""
    ordered: Sequence[float] = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
