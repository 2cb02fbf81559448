"""What the demo says, to a terminal or to a pipe of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

WIDTH = 80
_QUARTERS = 4

Advance = Callable[[int], None]


class Screen:
    """Prints the demo's steps, bars and tables; colours and moving bars only where there is a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._console.width = min(self._console.width, WIDTH)

    def title(self, text: str, rest: str) -> None:
        """Print the name of the programme."""
        self._print(Text.assemble((text, "bold"), "  ", (rest, "dim")))

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._print()
        self._print(Text(text, "bold cyan"))

    def say(self, text: str) -> None:
        """Print a sentence or some, broken into lines."""
        indent = text[: len(text) - len(text.lstrip())]
        self._print(Text(textwrap.fill(text, self._console.width, subsequent_indent=indent, break_long_words=False)))

    def step(self, code: str, outcome: str, *, ok: bool = True) -> None:
        """Print what was done, and what became of it."""
        self._print(Text(f"  {code}", "bold"))
        self._print(Text.assemble(_verdict(ok), outcome))

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print names with their values."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._print(Text.assemble((f"  {name:{width}}  ", "dim"), value))

    def checks(self, checks: Sequence[tuple[bool, str, str]]) -> None:
        """Print what holds and what does not."""
        width = max(len(name) for _, name, _ in checks)
        for ok, name, evidence in checks:
            self._print(Text.assemble(_verdict(ok), f"{name:{width}}  ", (evidence, "dim" if ok else "bold red")))

    def end(self, text: str, *, ok: bool) -> None:
        """Print the result of all."""
        self._print()
        self._print(Text(text, "bold green" if ok else "bold red"))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Show how far something is: give a function to tell it."""
        if self._console.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(label, total=total)
                yield lambda done: bar.update(task, completed=done)
        else:
            yield self._by_quarters(label, total)

    def _print(self, text: Text | str = "") -> None:
        self._console.print(text, soft_wrap=True)

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            expand=True,
        )

    def _by_quarters(self, label: str, total: int) -> Advance:
        shown = 0

        def advance(done: int) -> None:
            nonlocal shown
            quarter = done * _QUARTERS // total
            if quarter > shown:
                shown = quarter
                self.say(f"  {label}  {done:>6,} of {total:,}  {done / total:4.0%}")

        return advance


def _verdict(ok: bool) -> Text:
    return Text("  ok  ", "green") if ok else Text("  NO  ", "bold red")
