"""Step five: outcomes become the ends of runs, in groups, each fenced by (id, attempt, owner).

A row that this owner no longer holds is left as it is. An ack whose answer was lost may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.store.connection import Link, Params, Row
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

Call = tuple[str, Params]


def calls(outcomes: Sequence[Outcome], statements: Statements, owner: str) -> list[Call]:
    """Give the one or two statements that write a group; most runs just completed, which has a cheaper statement."""
    plain = [outcome for outcome in outcomes if outcome.plain]
    rest = [outcome for outcome in outcomes if not outcome.plain]
    found: list[Call] = []
    if plain:
        params: dict[str, Any] = {"ids": [o.id for o in plain], "attempts": [o.attempt for o in plain], "owner": owner}
        found.append((statements["ack_completed_jobs"], params))
    if rest:
        array = b"[" + b",".join([outcome.encode() for outcome in rest]) + b"]"
        found.append((statements["ack_jobs"], {"outcomes": array.decode(), "owner": owner}))
    return found


def ack(link: Link, outcomes: Sequence[Outcome], statements: Statements, owner: str) -> int:
    """Write a group; where a value in it is refused, halve it until only that job pays.

    Returns:
        How many were refused by the fence, since somebody else holds the job by now.

    Raises:
        DatabaseUnavailable: The connection broke; repeat the whole group.
        DatabaseRefused: PostgreSQL refuses writes for a reason that is not in the values; repeat later.
    """
    if not outcomes:
        return 0
    try:
        return refused(outcomes, link.execute_all(calls(outcomes, statements, owner)))
    except DatabaseRefused as error:
        if not error.data:
            raise
        if len(outcomes) == 1:
            return ack(link, [_replaced(outcomes[0], error)], statements, owner)
    half = len(outcomes) // 2
    return sum(ack(link, part, statements, owner) for part in (outcomes[:half], outcomes[half:]))


def refused(outcomes: Sequence[Outcome], answers: Sequence[list[Row]]) -> int:
    """Count the runs that the fence refused, and say so in the log."""
    written = {row[0] for rows in answers for row in rows}
    lost = [outcome.id for outcome in outcomes if outcome.id not in written]
    if lost:
        logger.warning("%d ends of runs found nothing to write: jobs %s are no longer ours", len(lost), lost[:20])
    return len(lost)


def _replaced(outcome: Outcome, error: DatabaseRefused) -> Outcome:
    """Give what is written instead of an outcome that PostgreSQL cannot store."""
    reason = f"The end of this run ({outcome.state}) could not be stored: {error}"
    logger.error("job %s: %s", outcome.id, reason)
    again = Outcome(outcome.id, outcome.attempt, "retryable", delay=60.0, error=reason[:2000])
    if again == outcome._replace(error=again.error):
        raise DatabaseRefused(reason, data=False) from error
    return again
