"""What commands print: tables for people, coloured on a terminal where rich is installed, and JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import click
import orjson

from oban_sync.lifecycle.finding import Finding

MARKS = {"ok": "green", "note": "yellow", "wrong": "red"}
WIDEST = 60
"""Most characters of one value in a table."""
GAP = 2
"""Columns of the terminal between two of a table."""


class Block(NamedTuple):
    """A table.

    Attributes:
        title: Stands over it; may be empty.
        headings: Names of the columns.
        rows: Values of each row.
        widest: Most characters of one value; None: all.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    widest: int | None = WIDEST


def objects(values: Iterable[Any]) -> None:
    """Print each value as JSON in a line of its own."""
    for value in values:
        click.echo(orjson.dumps(value, default=_plain).decode())


def blocks(given: Sequence[Block]) -> None:
    """Print tables, an empty line between two."""
    if on_terminal():
        from rich.console import Console

        Console(highlight=False).print(drawn(given), crop=False, end="")  # the terminal wraps what it is too narrow for
    else:
        click.echo("\n\n".join(text(block) for block in given))


def on_terminal() -> bool:
    """Whether there is a terminal, and rich to draw on it."""
    return sys.stdout is not None and sys.stdout.isatty() and find_spec("rich") is not None


def drawn(given: Sequence[Block]) -> Any:
    """Give tables as rich draws them, an empty line between two, as wide as they are."""
    from rich.console import Group
    from rich.text import Text

    parts = [part for block in given for part in (Text(), _table(block))]
    return Group(*parts[1:])


def _table(block: Block) -> Any:
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    rows = [[shown(value, block.widest) for value in row] for row in block.rows]
    widths = [max(map(cell_len, column)) for column in zip(block.headings, *rows, strict=True)]
    width = max(sum(widths) + GAP * (len(widths) - 1), cell_len(block.title))
    table = Table(
        title=block.title or None, title_justify="left", box=None, header_style="bold", pad_edge=False, width=width
    )
    for heading in block.headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def text(block: Block) -> str:
    """Give a table as lines of text."""
    rows = [list(block.headings), *([shown(value, block.widest) for value in row] for row in block.rows)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(block.headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([block.title, *lines] if block.title else lines)


def findings(given: Iterable[Finding], *, evidence: bool = True) -> None:
    """Print what was found, what it rests on if that is wanted, and what to do about it."""
    for finding in given:
        click.echo(f"{click.style(finding.level, MARKS[finding.level])}: {finding.name}: {shown(finding.says, None)}")
        if finding.evidence and evidence:
            seen = ", ".join(f"{name}={shown(value, None)}" for name, value in finding.evidence.items())
            click.echo(f"    seen: {seen}")
        if finding.advice:
            click.echo(f"    do: {shown(finding.advice, None)}")


def shown(value: Any, widest: int | None = WIDEST) -> str:
    """Write a value in one line, without what a terminal would obey."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    found = orjson.dumps(value, default=_plain).decode() if isinstance(value, dict | list) else str(value)
    found = "".join(character if character.isprintable() else " " for character in found)
    return found if widest is None or len(found) <= widest else f"{found[: widest - 3]}..."


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset | set) else str(value)
