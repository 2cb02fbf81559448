"""What the jobs do and what checks them: count a Python file, find the files, count them all without a queue."""

from __future__ import annotations

import ast
import os
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(sysconfig.get_path("stdlib"))
_FOREIGN = {"site-packages", "dist-packages"}


class Counts(NamedTuple):
    """What one file holds.

    Attributes:
        lines: Newline bytes, as `wc -l` counts them.
        functions: `def` and `async def`, methods too.
        classes: `class`.
        problem: Why it cannot be parsed, and so has no functions and classes; else None.
    """

    lines: int
    functions: int
    classes: int
    problem: str | None = None


def count(path: str) -> Counts:
    """Count a file of the standard library, named relative to its root.

    The library ships files that are no Python of this version on purpose (samples for tests); they are counted too.
    """
    source = (ROOT / path).read_bytes()
    lines = source.count(b"\n")
    try:
        kinds = Counter(type(node) for node in ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Counts(lines, 0, 0, f"{type(error).__name__}: {error}")
    return Counts(lines, kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef], kinds[ast.ClassDef])


def files(first: int | None = None) -> list[str]:
    """Name the Python files of the standard library relative to its root, sorted; with `first`, only so many."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.py") if path.is_file() and os.access(path, os.R_OK))
    return sorted(path.as_posix() for path in found if _FOREIGN.isdisjoint(path.parts))[:first]


def loop(paths: Iterable[str]) -> Iterator[tuple[str, Counts]]:
    """Count files one after another in this thread."""
    for path in paths:
        yield path, count(path)


def wc(paths: Iterable[str]) -> int | None:
    """Ask `wc -l` for the lines of all files together; None where it cannot be had."""
    names = b"".join(os.fsencode(ROOT / path) + b"\0" for path in paths)
    try:
        done = subprocess.run(["xargs", "-0", "wc", "-l"], input=names, capture_output=True, check=True)  # noqa: S607 - the one on PATH
    except (OSError, subprocess.CalledProcessError):
        return None
    rows = (row.split(None, 1) for row in done.stdout.splitlines())
    return sum(int(row[0]) for row in rows if row[1] != b"total")  # xargs may call wc several times, each with a total
