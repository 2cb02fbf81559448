"""The tables of the group `chaos`, in the files that show them between marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos.counted import Counted

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "benchmarks" / "RESULTS.md", ROOT / "docs" / "reliability.md")
_BLOCK = re.compile(r"<!-- chaos -->\n(.*)<!-- end of chaos -->\n", re.DOTALL)
_PROMISES = ("| | promise | fault | how much | seed | counted | must be | kept |", "|---|---|---|---|---|---|---|---|")
_BESIDE = "| what is done to a node | must be |"


def text(found: Iterable[Counted]) -> str:
    """Give a line a row, for a terminal."""
    return "\n".join(
        f"{'kept' if one.kept else 'NOT KEPT'}  {one.promise:6}  {one.system}  {one.claim} ({one.fault}; {one.sizes}; "
        f"seed {one.seed}): {one.shown()}"
        for one in found
    )


def write(found: Sequence[Counted], described: dict[str, str], pages: Iterable[Path] = PAGES) -> None:
    """Write the tables into each page; rows of promises that were not tried stay as they are."""
    for page in pages:
        before = page.read_text(encoding="utf-8")
        old = _BLOCK.search(before)
        block = f"<!-- chaos -->\n{_tables(found, old[1] if old else '', described)}<!-- end of chaos -->\n"
        after = before.replace(old[0], block) if old else f"{before}\n## chaos\n\n{block}"
        page.write_text(after, encoding="utf-8")


def kept(page: str) -> str:
    """Give the section of the tables out of a page that is about to be written anew; empty where it has none."""
    found = _BLOCK.search(page)
    return f"\n## chaos\n\n{found[0]}" if found else ""


def _tables(found: Sequence[Counted], old: str, described: dict[str, str]) -> str:
    first, second = (*old.split("\n\n| what"), "")[:2]
    tried = {one.promise for one in found}
    rows = [line for line in first.splitlines() if re.match(r"\| [RS]\d+ ", line) and line.split()[1] not in tried]
    rows = sorted(
        rows + [_row(one) for one in found if one.promise != "beside"],
        key=lambda row: (row.split()[1][0], int(row.split()[1][1:])),
    )
    parts = ["\n".join([*_PROMISES, *rows])]
    if "beside" in tried:
        parts.append("\n".join(_beside([one for one in found if one.promise == "beside"])))
    elif second:
        parts.append(f"| what{second}".rstrip().rsplit("\n\n", 1)[0])
    parts.append("Last run: " + ", ".join(f"{name} {value}" for name, value in described.items()) + ".")
    return "\n\n".join(parts) + "\n"


def _row(one: Counted) -> str:
    seed = "" if one.seed is None else str(one.seed)
    cells = (one.promise, one.claim, one.fault, one.sizes, seed, one.shown(), one.line, "yes" if one.kept else "**no**")
    return f"| {' | '.join(cells)} |"


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
