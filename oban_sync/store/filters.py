"""Filters of jobs as conditions: the only statements that are put together, out of the pieces here and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from oban_sync.store.rows import TIMES
from oban_sync.store.statements import Statements

_CONDITIONS = {
    "ids": "j.id = ANY (CAST(%s AS bigint[]))",
    "queue": "j.queue = ANY (CAST(%s AS text[]))",
    "worker": "j.worker = ANY (CAST(%s AS text[]))",
    "tags": "j.tags @> CAST(%s AS text[])",
    "args": "j.args @> CAST(%s AS jsonb)",
    "meta": "j.meta @> CAST(%s AS jsonb)",
    "above": "j.id > CAST(%s AS bigint)",
    "below": "j.id < CAST(%s AS bigint)",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which jobs a statement is about.

    Attributes:
        conditions: SQL that is true for them.
        params: Values for its `%s`, in order.
    """

    conditions: str
    params: list[Any]


def choose(filters: Iterable[tuple[str, Any]]) -> Chosen:
    """Put filters together that were checked before: all of them hold for a job that is chosen.

    Args:
        filters: Names with what they compare with: `state` with states, a time with (from, before).
    """
    conditions: list[str] = ["true"]
    params: list[Any] = []
    for name, value in filters:
        if name == "state":
            conditions.append(_state(value))
        elif name in TIMES:
            for operator, limit in zip((">=", "<"), value, strict=True):
                if limit is not None:
                    conditions.append(f"j.{name} {operator} CAST(%s AS timestamp)")
                    params.append(limit)
        else:
            conditions.append(_CONDITIONS[name])
            params.append(value)
    return Chosen(" AND ".join(conditions), params)


def statement(statements: Statements, name: str, chosen: Chosen, *, order: str = "ASC") -> str:
    """Give the statement in sql/NAME.sql for the jobs that were chosen, in this order of their ids."""
    return statements[name].replace("{filters}", chosen.conditions).replace("{order}", order)


def ended(statements: Statements, name: str, state: str) -> str:
    """Give the statement in sql/NAME.sql for jobs that ended in this state, written out for its index to be used."""
    return statements[name].replace("{state}", state)


def _state(states: list[str]) -> str:
    """Write the states out, since an index on some states serves a query only if the planner sees which they are."""
    if not states:
        return "false"
    quoted = [f"'{state}'" for state in states]
    return f"j.state = {quoted[0]}" if len(quoted) == 1 else f"j.state IN ({', '.join(quoted)})"
