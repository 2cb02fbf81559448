"""Trying out what a node relies on: that notifications arrive, and that clocks agree."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from oban_sync import clock
from oban_sync.errors import DatabaseUnavailable, ObanError
from oban_sync.lifecycle.finding import Finding
from oban_sync.store.connection import Link
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements

Lend = Callable[[], AbstractContextManager[Handle]]
"""Lends a connection of the pool or engine."""

NOTIFY_SECONDS = 3.0
"""Longest wait for a notification."""
SKEW_SECONDS = 1.0
"""Difference of two clocks from which times that this host writes are wrong."""
TRIES = 5


def clocks(link: Link, statements: Statements) -> Finding:
    """Compare the clock of this host with the database's."""
    offset, error = min((_offset(link, statements) for _ in range(TRIES)), key=lambda found: found[1])
    evidence = {"ahead_seconds": round(offset, 6), "error_seconds": round(error, 6)}
    if abs(offset) - error < SKEW_SECONDS:
        return Finding("clock", "ok", f"the clocks differ by {abs(offset) * 1000:.0f} ms", "", evidence)
    way = "ahead of" if offset > 0 else "behind"
    says = f"the clock of this host is {abs(offset):.1f} s {way} the database's, and so is a scheduled_at of its making"
    return Finding(
        "clock", "wrong", says, "set the clocks by NTP, or schedule by delays, which the database adds", evidence
    )


def _offset(link: Link, statements: Statements) -> tuple[float, float]:
    """Give by how many seconds this host's clock is ahead, and how far that may be off."""
    began, ours = clock.monotonic(), clock.now().timestamp()
    ((theirs,),) = link.execute(statements["select_clock"])
    half = (clock.monotonic() - began) / 2
    return ours + half - theirs, half


def notifications(
    ears: Link, lend: Lend, statements: Statements, *, direct: bool, beside: Link | None = None
) -> Finding:
    """Have a notification make its round trip.

    Args:
        ears: Connection that listens, made as a node's is.
        lend: Lends the connection that sends it; it is sent when that goes back.
        statements: Tables, whose channels these are.
        direct: Whether `ears` has a way of its own, `notifier.dsn`.
        beside: Another connection to try, which goes the same way as the pool; what comes of it is evidence only.
    """
    way = "notifier.dsn" if direct else "the same way as the pool"
    evidence: dict[str, Any] = {"channel": statements.probe_channel, "listens_by": way}
    try:
        seconds, reason = _round_trip(ears, lend, statements)
        evidence |= {"seconds": seconds, "pooler": ears.pooled}
        if beside is not None:
            evidence["seconds_by_pool"] = _round_trip(beside, lend, statements)[0]
    except DatabaseUnavailable as error:
        advice = "see who holds the connections of the pool, or make it larger (pool_max_size)"
        return Finding("notify", "wrong", f"nothing could be sent by the pool: {error}", advice, evidence)
    if seconds is not None:
        return Finding("notify", "ok", f"a notification arrived in {seconds * 1000:.1f} ms", "", evidence)
    advice = "queues poll instead, and signals to nodes are lost: "
    advice += (
        "let notifier.dsn lead to the primary itself, to the same database"
        if direct
        else "set notifier.dsn to a direct way to the database, past the pooler"
    )
    return Finding("notify", "wrong", f"LISTEN is dead by {way}: {reason}", advice, evidence)


def _round_trip(ears: Link, lend: Lend, statements: Statements) -> tuple[float | None, str]:
    """Give the seconds that a notification took, or None and why it did not come.

    Raises:
        DatabaseUnavailable: No connection was lent to send it by.
    """
    token = uuid.uuid4().hex
    awaited = (statements.probe_channel, f'"{token}"')  # the statement writes it as JSON
    with ExitStack() as opened:
        doorbell, button = os.pipe()  # which nobody rings
        opened.callback(os.close, doorbell)
        opened.callback(os.close, button)
        try:
            ears.listen([statements.probe_channel])
        except ObanError as error:
            return None, str(error)
        with lend() as handle:
            began = clock.monotonic()
            handle.execute(statements["notify_probe"], [token])
        try:
            while (left := began + NOTIFY_SECONDS - clock.monotonic()) > 0:
                if awaited in ears.notifications(left, doorbell):
                    return clock.monotonic() - began, ""
        except ObanError as error:
            return None, str(error)
    return None, f"none arrived in {NOTIFY_SECONDS:g} s"
