"""Step three: an owner takes due jobs of its queue, the most urgent first."""

from __future__ import annotations

from operator import itemgetter

from oban_sync.lifecycle.ack import Call
from oban_sync.lifecycle.run import Place
from oban_sync.store.connection import Row
from oban_sync.store.statements import Statements

_URGENCY = itemgetter(4, 9, 0)  # priority, scheduled_at, id of a fetched row


def call(place: Place, demand: int, statements: Statements) -> Call:
    """Give the statement that takes at most `demand` jobs."""
    params = {"node": place.node, "owner": place.owner, "queue": place.queue, "demand": demand}
    return statements["fetch_jobs"], params


def ordered(rows: list[Row]) -> list[Row]:
    """Put fetched rows, which UPDATE gives in any order, into the order in which they run."""
    return sorted(rows, key=_URGENCY)
