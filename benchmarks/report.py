"""How results are shown and stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from benchmarks.results import Result, Results

RESULTS = Path(__file__).parent / "RESULTS.md"
_LEGEND = """\
Medians of {rounds} rounds, in each of which every system had its turn on the same server; *spread* is from the lowest
to the highest. *Ratio* is oban_sync divided by that system, the median of the rounds' own ratios: above 1 is better for
jobs a second, below 1 for times. Compare ratios: figures change with the machine, and with what else it does.
"""


def text(results: Results) -> str:
    """Give a table for a terminal."""
    rows = [[result.workload, result.system, *_figures(results, result)] for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(5)] if rows else []
    lines = []
    for name, system, *figures in rows:
        right = "  ".join(figure.rjust(width) for figure, width in zip(figures, widths[2:], strict=True))
        lines.append(f"{name:{widths[0]}}  {system:{widths[1]}}  {right}")
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """Give the tables of RESULTS.md."""
    rounds = max((len(result.runs) for result in results), default=0)
    parts = ["# Measured by `python -m benchmarks`\n", _LEGEND.format(rounds=rounds)]
    parts.append("\n".join(f"- {name}: {value}" for name, value in results.machine.items()) + "\n")
    for group, members in groupby(results, attrgetter("group")):
        parts.append(f"## {group}\n\n" + "\n".join(_table(results, members)) + "\n")
    if results.problems:
        parts.append("## Problems\n\n" + "\n".join(f"- {problem}" for problem in results.problems) + "\n")
    return "\n".join(parts)


def write_markdown(results: Results) -> None:
    """Write RESULTS.md."""
    RESULTS.write_text(markdown(results), encoding="utf-8")


def write_json(results: Results, path: Path) -> None:
    """Write the rows, and beside them the machine and what went wrong."""
    found = {"machine": results.machine, "problems": results.problems, "rows": results.rows()}
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _table(results: Results, members: Iterator[Result]) -> Iterator[str]:
    yield "| measured | system | median | spread | ratio |"
    yield "|---|---|---:|---:|---:|"
    for result in members:
        yield f"| {result.workload} | {result.system} | {' | '.join(_figures(results, result))} |"


def _figures(results: Results, result: Result) -> list[str]:
    ratio = results.ratio(result)
    shown = f"{1 / ratio:.2f}" if ratio else "-"
    spread = f"{_number(min(result.runs))} to {_number(max(result.runs))}"
    return [f"{_number(result.value)} {result.unit}".strip(), spread, shown]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
