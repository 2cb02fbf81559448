"""Step three: an owner takes due jobs of its queue, the most urgent first."""

from __future__ import annotations

from operator import itemgetter

from oban_sync.lifecycle.ack import Call
from oban_sync.lifecycle.run import Place
from oban_sync.store.connection import Row
from oban_sync.store.statements import Statements

_URGENCY = itemgetter(4, 9, 0)  # priority, scheduled_at, id of a fetched row


def call(place: Place, demand: int, free: int, statements: Statements) -> Call:
    """Give the statement that takes at most `demand` jobs, for `free` threads and to hold ready beyond them."""
    params = {"node": place.node, "owner": place.owner, "queue": place.queue, "demand": demand, "free": free}
    return statements["fetch_jobs"], params


def found(rows: list[Row]) -> int:
    """Say how many jobs a fetch found due, those among them that it left."""
    return int(rows[0][-1]) if rows else 0


def ordered(rows: list[Row]) -> list[Row]:
    """Put fetched rows, which UPDATE gives in any order, into the order in which they run."""
    return sorted(rows, key=_URGENCY)
