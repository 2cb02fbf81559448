"""The tables of the group `chaos`, in the files that show them between marks; their rows are kept in `chaos.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos.counted import Counted

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "benchmarks" / "RESULTS.md", ROOT / "docs" / "reliability.md")
STORE = ROOT / "benchmarks" / "chaos.json"
_BLOCK = re.compile(r"<!-- chaos -->\n(.*)<!-- end of chaos -->\n", re.DOTALL)
_PROMISES = (
    "| | promise | fault | how much | seed | counted | must be | kept | run |",
    "|---|---|---|---|---|---|---|---|---|",
)
_BESIDE = "| what is done to a node | must be |"
_RUN = ("date", "commit", "machine")


@dataclass(frozen=True, slots=True)
class Row:
    """What was counted, with when and where that was.

    Attributes:
        counted: The counts.
        run: `date`, `commit` and `machine`.
    """

    counted: Counted
    run: Mapping[str, str]

    @property
    def key(self) -> tuple[Any, ...]:
        """What a later run of the same replaces."""
        one = self.counted
        return one.promise, one.system, one.fault or one.claim, one.seed


def text(found: Iterable[Counted]) -> str:
    """Give a line a row, for a terminal."""
    return "\n".join(
        f"{'kept' if one.kept else 'NOT KEPT'}  {one.promise:6}  {one.system}  {one.claim} ({one.fault}; {one.sizes}; "
        f"seed {one.seed}): {one.shown()}"
        for one in found
    )


def write(
    found: Sequence[Counted], described: Mapping[str, str], store: Path = STORE, pages: Iterable[Path] = PAGES
) -> None:
    """Join rows to those that are kept, and write the tables of all into each page.

    A row takes the place of that with the same promise, system, fault and seed; all others stay, with their own dates.
    """
    run = {name: described[name] for name in _RUN}
    rows = {row.key: row for row in [*_read(store), *(Row(one, run) for one in found)]}
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows.values())
    store.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    block = f"<!-- chaos -->\n{_tables(list(rows.values()))}<!-- end of chaos -->\n"
    for page in pages:
        before = page.read_text(encoding="utf-8")
        old = _BLOCK.search(before)
        after = before.replace(old[0], block) if old else f"{before}\n## chaos\n\n{block}"
        page.write_text(after, encoding="utf-8")


def kept(page: str) -> str:
    """Give the section of the tables out of a page that is about to be written anew; empty where it has none."""
    found = _BLOCK.search(page)
    return f"\n## chaos\n\n{found[0]}" if found else ""


def _read(store: Path) -> list[Row]:
    if not store.exists():
        return []
    rows = json.loads(store.read_text(encoding="utf-8"))
    return [Row(Counted(**row["counted"]), row["run"]) for row in rows]


def _tables(rows: Sequence[Row]) -> str:
    tried = sorted((row for row in rows if row.counted.promise != "beside"), key=_place)
    parts = ["\n".join([*_PROMISES, *map(_row, tried)])]
    beside = [row.counted for row in rows if row.counted.promise == "beside"]
    if beside:
        parts.append("\n".join(_beside(beside)))
    machines = sorted({row.run["machine"] for row in rows})
    parts.append(f"Run on {'; '.join(machines)}.")
    return "\n\n".join(parts) + "\n"


def _place(row: Row) -> tuple[str, int]:
    """Say where a row stands: in the order of the promises."""
    return row.counted.promise[0], int(row.counted.promise[1:])


def _row(row: Row) -> str:
    one = row.counted
    seed = "" if one.seed is None else str(one.seed)
    run = f"{row.run['date'][:10]}, {row.run['commit']}"
    cells = (one.promise, one.claim, one.fault, one.sizes, seed, one.shown(), one.line, "yes" if one.kept else "**no**")
    return f"| {' | '.join(cells)} | {run} |"


def _beside(found: Sequence[Counted]) -> list[str]:
    names = list(dict.fromkeys(one.system for one in found))
    lines = [f"{_BESIDE} {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for claim in dict.fromkeys(one.claim for one in found):
        of = {one.system: one for one in found if one.claim == claim}
        line = next(iter(of.values())).line
        lines.append(f"| {claim} | {line} | {' | '.join(_verdict(of.get(name)) for name in names)} |")
    return lines


def _verdict(one: Counted | None) -> str:
    if one is None:
        return "not tried"
    return one.shown() if one.kept else f"**{one.shown()}**"
