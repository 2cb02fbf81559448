"""One error for all drivers where our tables are not installed, or are older than this package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oban_sync.errors import SchemaMissing

_KINDS = {"42P01": "table", "42883": "function", "42704": "type"}
"""PostgreSQL's codes of what is not there, where its message has our name of it."""
_SCHEMA, _COLUMN = "3F000", "42703"
_OURS = re.compile(r"\b([A-Za-z_]\w*)\.(oban_\w+)", re.ASCII)
_QUOTED = re.compile(r'"(\w+)"', re.ASCII)


def missing(name: str, prefix: str, database: str | None = None, *, kind: str = "table") -> str:
    """Say that a table, or another part of the schema, is missing, and the command that makes it."""
    where = f"schema '{prefix}'" + (f" of database '{database}'" if database else "")
    option = "" if prefix == "public" else f" --prefix {prefix}"
    return f"The '{name}' {kind} is missing in {where}: run `oban-sync install --dsn ...{option}` first"


@contextmanager
def named() -> Iterator[None]:
    """Raise an error that says what to do, where one of our statements fails for what is not there.

    Raises:
        SchemaMissing: A table of ours, or a part of one, is not there. Other errors come as they are.
    """
    try:
        yield
    except SchemaMissing:  # what is inside has said it
        raise
    except Exception as error:
        absent = absence(error)
        if absent is None:
            raise
        raise absent from error


def absence(error: BaseException) -> SchemaMissing | None:
    """Give the error that says what to do, if one of our statements failed for what is not there.

    A trigger of the user's may fail for the same reason: then the name is not ours, or the error has a context.
    """
    states = sqlstates(error)
    for state, kind in _KINDS.items():
        if state in states and (ours := _OURS.search(str(error))):
            return SchemaMissing(missing(ours[2], ours[1], kind=kind))
    if states.isdisjoint((_SCHEMA, _COLUMN)) or any(_context(cause) for cause in _causes(error)):
        return None
    if _SCHEMA in states and (quoted := _QUOTED.search(str(error))):
        return SchemaMissing(missing("oban_jobs", quoted[1]))
    reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
    return SchemaMissing(f"The tables lack what oban_sync needs: {reason}: run `oban-sync install --dsn ...` first")


def sqlstates(error: BaseException) -> set[Any]:
    """Give PostgreSQL's code of an error, under whichever name and wrapping the driver and its users have for it."""
    return {getattr(cause, name, None) for cause in _causes(error) for name in ("sqlstate", "pgcode")}


def _causes(error: BaseException) -> tuple[Any, ...]:
    return error, getattr(error, "orig", None), error.__cause__


def _context(error: Any) -> str | None:
    """Give where in functions an error arose, if it did in one."""
    found: str | None = getattr(getattr(error, "diag", None), "context", None)
    return found
