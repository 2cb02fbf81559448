"""How results are shown and stored."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.results import Results


def text(results: Results) -> str:
    """Give a table for a terminal."""
    lines = []
    for result in results:
        ratio = results.ratio(result)
        shown = "" if not ratio else f"{1 / ratio:8.2f}"
        low, high = min(result.runs), max(result.runs)
        lines.append(
            f"{result.workload:45} {result.system:12} {result.value:12,.2f} {result.unit:7}"
            f" {low:12,.2f} {high:12,.2f} {shown}"
        )
    return "\n".join(lines)


def write_json(results: Results, path: Path) -> None:
    """Write the rows."""
    path.write_text(json.dumps({"rows": results.rows()}, indent=2) + "\n", encoding="utf-8")
