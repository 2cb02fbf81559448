"""How results are shown and stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from benchmarks import plot, promises
from benchmarks.goals import UNMEASURED, judge
from benchmarks.results import BARE, OURS, Result, Results

RESULTS = Path(__file__).parent / "RESULTS.md"
PICTURE = RESULTS.with_suffix(".svg")
_LEGEND = """\
Medians of {rounds} rounds, in each of which every system had its turn on the same server; *spread* is from the lowest
to the highest. *Ours* and *bare* are the system's figure divided by that of oban_sync and of bare SQL, the medians of
the rounds' own ratios: above 1 is better for jobs a second, below 1 for times. *Jobs* is how many were stored or run in
a round; a slow system gets fewer of them where a rate is measured. Compare ratios: figures change with the machine, and
with what else it does.
"""


def text(results: Results) -> str:
    """Give a table for a terminal."""
    rows = [[result.workload, result.system, *_figures(results, result)] for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(7)] if rows else []
    lines = []
    for name, system, *figures in rows:
        right = "  ".join(figure.rjust(width) for figure, width in zip(figures, widths[2:], strict=True))
        lines.append(f"{name:{widths[0]}}  {system:{widths[1]}}  {right}")
    measured = [judged for judged in judge(results) if judged.verdict != UNMEASURED]
    goals = [f"{verdict:6}  {goal.name}: {goal.text}, got {figure}" for goal, figure, verdict in measured]
    skipped = [f"skipped: {name}: {reason}" for name, reason in results.skipped.items()]
    return "\n".join([*lines, "", *goals, *skipped])


def markdown(results: Results) -> str:
    """Give the tables of RESULTS.md."""
    rounds = max((len(result.runs) for result in results), default=0)
    parts = ["# Measured by `python -m benchmarks`\n", _LEGEND.format(rounds=rounds)]
    parts.append("\n".join(f"- {name}: {value}" for name, value in results.machine.items()) + "\n")
    parts.append(f"![The figures as bars]({PICTURE.name})\n")
    parts.append("## Goals\n\n" + "\n".join(_goals(results)) + "\n")
    for group, members in groupby(results, attrgetter("group")):
        parts.append(f"## {group}\n\n" + "\n".join(_table(results, members)) + "\n")
    skipped = [f"{name}: {reason}" for name, reason in results.skipped.items()]
    for title, items in (("Notes", results.notes), ("Skipped", skipped), ("Problems", results.problems)):
        if items:
            parts.append(f"## {title}\n\n" + "\n".join(f"- {item}" for item in items) + "\n")
    return "\n".join(parts)


def write_markdown(results: Results) -> None:
    """Write RESULTS.md, and beside it the picture that it shows."""
    before = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    RESULTS.write_text(markdown(results) + promises.kept(before), encoding="utf-8")
    PICTURE.write_text(plot.svg(results), encoding="utf-8")


def write_json(results: Results, path: Path) -> None:
    """Write the rows, and beside them the machine and what went wrong."""
    found = {
        "machine": results.machine,
        "problems": results.problems,
        "notes": results.notes,
        "skipped": results.skipped,
        "goals": [
            {"goal": goal.name, "demand": goal.text, "figure": figure, "verdict": verdict}
            for goal, figure, verdict in judge(results)
        ],
        "rows": results.rows(),
    }
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _goals(results: Results) -> Iterator[str]:
    yield "| of oban_sync | goal | figure | |"
    yield "|---|---|---:|---|"
    for goal, figure, verdict in judge(results):
        yield f"| {goal.name} | {goal.text} | {figure} | {verdict} |"


def _table(results: Results, members: Iterator[Result]) -> Iterator[str]:
    yield "| measured | system | median | spread | jobs | ours | bare |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for result in members:
        yield f"| {result.workload} | {result.system} | {' | '.join(_figures(results, result))} |"


def _figures(results: Results, result: Result) -> list[str]:
    ratios = [results.ratio(result, system) for system in (OURS, BARE)]
    shown = ["-" if ratio is None else f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}" for ratio in ratios]
    spread = f"{_number(min(result.runs))} to {_number(max(result.runs))}"
    return [f"{_number(result.value)} {result.unit}".strip(), spread, f"{result.jobs:,}", *shown]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
