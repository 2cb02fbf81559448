"""Jobs whose owner died run again; jobs whose owner stops go back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import orjson

from oban_sync import telemetry
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

FREE_LEASE = 5.0
"""Seconds without a beat after which an owner whose session lock is free is dead."""
HELD_LEASE = 60.0
"""The same for an owner whose lock is held: a stopped process, or a connection nobody noticed breaking."""
FREE_RESCUES = 3
"""Rescues of a job that cost it no attempt: the first deaths of its process may be the fault of a job beside it, and
after two it runs alone. Each raises `max_attempts` by one, so that (id, attempt) still names one run."""
LOCKLESS_LEASE = 15.0
"""The same where session locks cannot be had."""
RENEW_AGE = 60.0
"""Seconds after which the row of a running job gets a new `attempted_at`, where nodes of other libraries go by that
alone; they take jobs back after 300 seconds."""


def rescue(link: Link, statements: Statements, *, judge: str, rescue_after: float, limit: int = 5000) -> list[int]:
    """Take jobs back from dead owners, for which this owner is the judge.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        judge: One of this node's owners.
        rescue_after: Seconds after which a job of another library's dead node is taken.
        limit: Most jobs taken at once.

    Returns:
        Ids of the jobs that were taken; those asked to stop are cancelled, those without attempts left discarded, the
        others available.
    """
    params = {
        "judge": judge,
        "free_lease": FREE_LEASE,
        "held_lease": HELD_LEASE,
        "lockless_lease": LOCKLESS_LEASE,
        "rescue_after": rescue_after,
        "free_rescues": FREE_RESCUES,
        "limit": limit,
    }
    with telemetry.span("oban.lifeline.rescue") as collector:
        taken = [row[0] for row in link.execute(statements["rescue_jobs"], params)]
        collector.add({"rescued_count": len(taken)})
    if taken:
        logger.warning("took back %d jobs whose process ended: %s", len(taken), taken[:20])
    return taken


def next_lapse(link: Link, statements: Statements) -> float | None:
    """Say in how many seconds the next node is dead if it gives no sign of life until then; None: there is none."""
    ((seconds,),) = link.execute(statements["select_next_lapse"], {"lease": FREE_LEASE})
    return None if seconds is None else float(seconds)


def clean(link: Link, statements: Statements, queues: Iterable[str]) -> None:
    """Forget producers that died long ago, and discard waiting jobs that have no attempt left."""
    with telemetry.span("oban.refresher.cleanup") as collector:
        collector.add({"cleanup_count": len(link.execute(statements["delete_stale_producers"]))})
    for queue in queues:
        link.execute(statements["discard_exhausted_jobs"], {"queue": queue})


def forget_lost(link: Link, statements: Statements, *, max_age: float) -> None:
    """Forget queues of other libraries' nodes that are silent for `max_age` seconds and hold no job."""
    with telemetry.span("oban.refresher.cleanup") as collector:
        lost = link.execute(statements["delete_lost_producers"], {"max_age": max_age})
        collector.add({"cleanup_count": len(lost)})


def renew(link: Link, statements: Statements, owners: Iterable[str]) -> list[int]:
    """Keep the long jobs of these owners from nodes of other libraries, if there are any, which take old runs back.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        owners: Those of this node.

    Returns:
        Ids of the jobs whose row has a new `attempted_at`; `Job.attempted_at` stays when the run began.
    """
    params = {"owners": list(owners), "age": RENEW_AGE}
    return [id for (id,) in link.execute(statements["renew_jobs"], params)]


def reconcile(
    link: Link,
    statements: Statements,
    owner: str,
    known: Callable[[], set[tuple[int, int]]],
    cancel: Callable[[list[int]], object],
) -> int:
    """Hand back what an owner holds without knowing: jobs of a fetch whose answer was lost.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        owner: Who asks; nobody else may fetch for it meanwhile.
        known: Asked after the database, for the jobs that the owner knows of.
        cancel: Told the ids of those that somebody asked to stop, perhaps by a signal that was lost.

    Returns:
        How many could not go back, since others hold their rows at the moment.
    """
    held = link.execute(statements["select_held_jobs"], {"owner": owner})
    strays = sorted({(id, attempt) for id, attempt, _ in held} - known())
    if asked := [id for id, _, asked in held if asked]:
        cancel(asked)
    back = release(link, statements, owner, [(id, attempt, False) for id, attempt in strays])
    if back:
        logger.warning("handed back %d jobs of a fetch whose answer was lost: %s", back, strays[:20])
    return len(strays) - back


def release(link: Link, statements: Statements, owner: str, jobs: Iterable[tuple[int, int, bool]]) -> int:
    """Hand jobs of this owner back.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        owner: Who holds the jobs.
        jobs: (id, attempt, whether it was started) of each.

    Returns:
        How many went back; one that this owner no longer holds does not, and one whose row somebody else has locked.
    """
    given = [{"id": id, "attempt": attempt, "started": started} for id, attempt, started in jobs]
    if not given:
        return 0
    return len(link.execute(statements["release_jobs"], {"jobs": orjson.dumps(given).decode(), "owner": owner}))
