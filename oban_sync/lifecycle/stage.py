"""Step two, for jobs that wait: what is due becomes available."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from oban_sync import telemetry
from oban_sync.store.connection import Link
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements


@dataclass(frozen=True, slots=True)
class Staged:
    """What one look at the waiting jobs found.

    Attributes:
        queues: Jobs made available, by queue.
        next_in: Seconds until the next job is due; None: none waits.
        now: The database's clock, seconds since 1970.
    """

    queues: dict[str, int]
    next_in: float | None
    now: float


def stage(link: Link, statements: Statements, *, limit: int) -> Staged:
    """Make at most `limit` due jobs available, the earliest first."""
    with telemetry.span("oban.stager.stage") as collector:
        ((queues, next_in, now),) = link.execute(statements["stage_jobs"], {"limit": limit})
        staged = Staged(orjson.loads(queues), next_in, now)
        collector.add({"staged_count": sum(staged.queues.values()), "available_queues": list(staged.queues)})
    return staged


def notify(link: Link | Handle, statements: Statements, queues: list[str]) -> None:
    """Tell every node that these queues have jobs to run."""
    link.execute(statements["notify_queues"], (queues,))
