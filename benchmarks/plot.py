"""A picture of the figures: SVG as text, a panel for each group of workloads, for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from operator import attrgetter

from benchmarks.results import OURS, Result, Results

PANEL, GAP, TOP = 470, 20, 62
LABEL, BAR = 112, 260
ROW, HEAD = 15, 20
WIDE_RANGE = 12.0
"""The largest bar is so many times the smallest: then lengths are logarithms."""

_OURS = "#0072b2"
_COLORS = ("#7f7f7f", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#d55e00", "#b8a900", "#8c6bb1", "#7a5230", "#41ae76")
_STYLE = """
  text { font: 11px system-ui, sans-serif; fill: #1f2328 }
  .panel { font-size: 15px; font-weight: 600 }
  .title { font-size: 18px; font-weight: 600 }
  .workload { font-weight: 600 }
  .quiet { fill: #59636e }
  .page { fill: #ffffff }
  .grid { stroke: #d1d9e0 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117 }
    .grid { stroke: #3d444d }
  }
"""


def svg(results: Results) -> str:
    """Draw what can be compared."""
    shown = [result for result in results if result.compared and result.value > 0]
    colors = _colors(dict.fromkeys(result.system for result in shown))
    heights, parts = [TOP, TOP], []
    for group, members in groupby(shown, attrgetter("group")):
        column = heights.index(min(heights))
        lines, height = _panel(group, list(members), colors)
        place = f"{GAP + column * (PANEL + GAP)} {heights[column]}"
        parts.append(f'<g transform="translate({place})">\n{lines}\n</g>')
        heights[column] += height + GAP
    width, height = 2 * PANEL + 3 * GAP, max(heights)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    page = f'<style>{_STYLE}</style>\n<rect class="page" width="{width}" height="{height}"/>'
    return "\n".join([head, page, _legend(colors), *parts, "</svg>"]) + "\n"


def scale(values: Iterable[float]) -> tuple[bool, float, float]:
    """Say whether lengths are logarithms, and which values have the lengths 0 and 1."""
    given = list(values)
    low, high = min(given), max(given)
    if high < WIDE_RANGE * low:
        return False, 0.0, high
    return True, 10.0 ** math.floor(math.log10(low) - 0.05), high


def length(value: float, measure: tuple[bool, float, float]) -> float:
    """Give the length of a bar, from 0 to 1."""
    logarithmic, low, high = measure
    if logarithmic:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _colors(systems: Iterable[str]) -> dict[str, str]:
    others = [system for system in systems if system != OURS]
    return {OURS: _OURS} | {system: _COLORS[place % len(_COLORS)] for place, system in enumerate(others)}


def _legend(colors: dict[str, str]) -> str:
    title = f'<text class="title" x="{GAP}" y="26">Measured side by side in one run: medians</text>'
    items, x = [title], GAP
    for system, color in colors.items():
        items.append(f'<rect x="{x}" y="38" width="10" height="10" rx="2" fill="{color}"/>')
        items.append(f'<text x="{x + 14}" y="47">{escape(system)}</text>')
        x += 26 + 7 * len(system)
    return "\n".join(items)


def _panel(group: str, members: list[Result], colors: dict[str, str]) -> tuple[str, int]:
    """Draw one group, and give its height; a figure of another unit than the first has no place in it."""
    unit = members[0].unit
    drawn = [result for result in members if result.unit == unit]
    measure = scale(result.value for result in drawn)
    told = [unit or "ratio", "less is better" if unit == "ms" else "more is better"]
    told += ["logarithmic"] if measure[0] else []
    title = f'<text class="panel" y="14">{escape(group)} <tspan class="quiet">{escape(", ".join(told))}</tspan></text>'
    lines, y = [title], HEAD + ROW
    for workload, results in groupby(drawn, attrgetter("workload")):
        lines.append(f'<text class="workload" y="{y + 14}">{escape(workload)}</text>')
        y += HEAD
        for result in results:
            lines += _bar(result, y, length(result.value, measure), colors[result.system])
            y += ROW
        y += 4
    return "\n".join([*_grid(measure, y), *lines]), y


def _grid(measure: tuple[bool, float, float], bottom: int) -> Iterator[str]:
    """Draw where the bars begin, and the powers of ten where lengths are logarithms."""
    logarithmic, low, high = measure
    first, last = (round(math.log10(low)), math.floor(math.log10(high))) if logarithmic else (0, 0)
    for power in range(first, last + 1):
        x = LABEL + (length(10.0**power, measure) * BAR if logarithmic else 0)
        yield f'<line class="grid" x1="{x:.1f}" y1="{HEAD + 12}" x2="{x:.1f}" y2="{bottom}"/>'
        shown = (f"{10.0**power:,.0f}" if power >= 0 else f"{10.0**power:g}") if logarithmic else "0"
        yield f'<text class="quiet" x="{x:.1f}" y="{HEAD + 9}" text-anchor="middle">{shown}</text>'


def _bar(result: Result, y: int, share: float, color: str) -> Iterator[str]:
    wide = max(1.0, share * BAR)
    shown = f"{result.value:,.0f}" if result.value >= 100 else f"{result.value:.3g}"
    weight = ' class="workload"' if result.system == OURS else ""
    yield f'<text x="{LABEL - 6}" y="{y + 11}" text-anchor="end"{weight}>{escape(result.system)}</text>'
    yield f'<rect x="{LABEL}" y="{y + 2}" width="{wide:.1f}" height="{ROW - 4}" rx="2" fill="{color}"/>'
    yield f'<text class="quiet" x="{LABEL + wide + 5:.1f}" y="{y + 11}">{shown}</text>'
