"""Step three: an owner takes due jobs of its queue, the most urgent first."""

from __future__ import annotations

from collections.abc import Sequence

from oban_sync import search
from oban_sync.lifecycle.ack import Call
from oban_sync.lifecycle.run import Place
from oban_sync.store.connection import Row
from oban_sync.store.statements import Statements


def call(
    place: Place, demand: int, free: int, statements: Statements, after: Sequence[search.Key] | None = None
) -> Call:
    """Give the statement that takes at most `demand` jobs, for `free` threads and to hold ready beyond them.

    With `after`, it looks behind such a key in each priority only.
    """
    params = {"node": place.node, "owner": place.owner, "queue": place.queue, "demand": demand, "free": free}
    if after is None:
        return statements["fetch_jobs"], params
    times, ids = zip(*after, strict=True)
    return statements["fetch_jobs_after"], {**params, "times": list(times), "ids": list(ids)}


def found(rows: list[Row]) -> int:
    """Say how many jobs a fetch found due, those among them that it left."""
    return int(rows[0][12]) if rows else 0


def searched(rows: list[Row]) -> float | None:
    """Say how many seconds the server looked for jobs; None: it took none."""
    return float(rows[0][13]) if rows else None


def ordered(rows: list[Row]) -> list[Row]:
    """Put fetched rows, which UPDATE gives in any order, into the order in which they run."""
    return sorted(rows, key=search.key)
