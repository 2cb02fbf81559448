"""Step five: outcomes become the ends of runs, in groups, each fenced by (id, attempt, owner).

A row that this owner no longer holds is left as it is. An ack whose answer was lost may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.store.connection import Link, Params, Row
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

Call = tuple[str, Params]


class Written(NamedTuple):
    """What became of a group.

    Attributes:
        refused: How many the fence refused, since somebody else holds the job by now.
        kept: Those that cannot be written now, although others can: to be tried again later by `ack_free`.
    """

    refused: int
    kept: list[Outcome]


def calls(outcomes: Sequence[Outcome], statements: Statements, owner: str) -> list[Call]:
    """Give the one or two statements that write a group; most runs just completed, which has a cheaper statement."""
    plain = [outcome for outcome in outcomes if outcome.plain]
    rest = [outcome for outcome in outcomes if not outcome.plain]
    found: list[Call] = []
    if plain:
        ids, attempts = _array([o.id for o in plain]), _array([o.attempt for o in plain])
        params: dict[str, Any] = {"ids": ids, "attempts": attempts, "owner": owner}
        found.append((statements["ack_completed_jobs"], params))
    if rest:
        array = b"[" + b",".join([outcome.encode() for outcome in rest]) + b"]"
        found.append((statements["ack_jobs"], {"outcomes": array.decode(), "owner": owner}))
    return found


def _array(numbers: list[int]) -> str:
    """Write numbers as an array of PostgreSQL's: the driver would ask each for its type."""
    return f"{{{','.join(map(str, numbers))}}}"


def ack(link: Link, outcomes: Sequence[Outcome], statements: Statements, owner: str) -> Written:
    """Write a group; where a value in it is refused, halve it until only that job pays, and pass over locked rows.

    Raises:
        DatabaseUnavailable: The connection broke; repeat the whole group.
        DatabaseRefused: PostgreSQL refuses writes for a reason that is not in the values; repeat later.
    """
    if not outcomes:
        return Written(0, [])
    try:
        return Written(refused(outcomes, link.execute_all(calls(outcomes, statements, owner))), [])
    except DatabaseRefused as error:
        if error.locked and (held := _held(link, outcomes, statements)):
            return _pass_over(held, link, outcomes, statements, owner)
        if not error.data:
            raise  # a lock on the table, too, such as that of CREATE INDEX
        if len(outcomes) == 1:
            again = _replaced(outcomes[0], error)
            written = Written(0, [again]) if again == outcomes[0] else ack(link, [again], statements, owner)
            return written._replace(kept=list(outcomes) if written.kept else [])
    half = len(outcomes) // 2
    return _joined([ack(link, part, statements, owner) for part in (outcomes[:half], outcomes[half:])])


def ack_free(link: Link, outcomes: Sequence[Outcome], statements: Statements, owner: str) -> Written:
    """Write those of a group whose rows nobody else holds, without waiting for the others.

    Raises:
        DatabaseUnavailable: As for `ack`.
        DatabaseRefused: As for `ack`.
    """
    return _pass_over(_held(link, outcomes, statements), link, outcomes, statements, owner)


def _held(link: Link, outcomes: Sequence[Outcome], statements: Statements) -> set[int]:
    return {row[0] for row in link.execute(statements["select_locked_jobs"], {"ids": [o.id for o in outcomes]})}


def _pass_over(held: set[int], link: Link, outcomes: Sequence[Outcome], statements: Statements, owner: str) -> Written:
    if held:
        logger.warning("%d ends of runs wait for rows that another session holds: %s", len(held), sorted(held)[:20])
    free = [outcome for outcome in outcomes if outcome.id not in held]
    kept = [outcome for outcome in outcomes if outcome.id in held]
    return _joined([Written(0, kept), ack(link, free, statements, owner)])


def _joined(parts: Sequence[Written]) -> Written:
    return Written(sum(part.refused for part in parts), [outcome for part in parts for outcome in part.kept])


def refused(outcomes: Sequence[Outcome], answers: Sequence[list[Row]]) -> int:
    """Count the runs that the fence refused, and say so in the log; an ack whose answer was lost is among them."""
    written = {row[0] for rows in answers for row in rows}
    lost = [outcome.id for outcome in outcomes if outcome.id not in written]
    if lost:
        logger.warning("%d ends of runs were written before, or the jobs are no longer ours: %s", len(lost), lost[:20])
    return len(lost)


def _replaced(outcome: Outcome, error: DatabaseRefused) -> Outcome:
    """Give what is written instead of an outcome that PostgreSQL cannot store."""
    reason = f"The end of this run ({outcome.state}) could not be stored: {error}"
    logger.error("job %s: %s", outcome.id, reason)
    again = Outcome(outcome.id, outcome.attempt, "retryable", delay=60.0, error=reason[:2000])
    return outcome if again == outcome._replace(error=again.error) else again
