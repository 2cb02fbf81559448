"""Periodic jobs become rows at their ticks: exactly one a tick, whoever leads, and whoever leads next.

The table of crons remembers the newest tick of each. Who enqueues moves it on in the transaction of the jobs, from what
it was when it was read: of two leaders one moves it. Ticks from before this node led may have been enqueued by an Oban
that knows no such table, so their jobs are looked for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from oban_sync import telemetry
from oban_sync.job import Job
from oban_sync.lifecycle import enqueue
from oban_sync.periodic import Periodic
from oban_sync.store.connection import Link
from oban_sync.store.handles import Handle, adapt
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCKS_APART = timedelta(seconds=10)
"""How far another node's clock may be behind the database's."""
_ONE_START = timedelta(seconds=20)
"""Leaders that begin within it are those of one start of the cluster."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the periodic jobs of an instance that do not say otherwise.

    Attributes:
        timezone: Zone whose clocks they go by.
        catch_up: Which missed ticks are enqueued late: skip, once or all.
        window: Seconds for which ticks are caught up on.
        max_bytes: Most bytes of one job's args.
    """

    timezone: str = "UTC"
    catch_up: str = "skip"
    window: float = 86_400.0
    max_bytes: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Term:
    """The time of one leader.

    Attributes:
        since: When it was elected.
        evaluated: Until when it has enqueued what was due; None: it did not look yet.
        boot: Whether the cluster has just started: its node leads from its own start on.
    """

    since: datetime
    evaluated: datetime | None = None
    boot: bool = False


@dataclass(frozen=True, slots=True)
class _Due:
    entry: Periodic
    seen: int  # its newest tick as it was read, in microseconds since 1970
    ticks: list[datetime]


def tick(
    link: Link,
    statements: Statements,
    entries: Sequence[Periodic],
    *,
    rules: Rules,
    term: Term,
    now: datetime | None = None,
) -> tuple[datetime, list[Job]]:
    """Enqueue what became due.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        entries: The periodic jobs; at least one.
        rules: What holds where they say nothing.
        term: That of this leader.
        now: Until when ticks are due, instead of the database's clock.

    Returns:
        Until when everything due is enqueued, and the jobs.
    """
    since = None if term.evaluated is None else term.evaluated.isoformat()
    rows = link.execute(statements["open_crons"], {"names": [entry.name for entry in entries], "since": since})
    seen = {name: last for name, last, _ in rows}
    now = now or (_instant(rows[0][2]) if rows else term.since)
    due = [_due(entry, seen[entry.name], rules, term, now) for entry in entries if entry.name in seen]
    with telemetry.span(
        "oban.scheduler.evaluate", {"cron_at": now.replace(second=0, microsecond=0).isoformat()}
    ) as span:
        jobs = _enqueue(link, statements, [each for each in due if each.ticks], rules, term)
        span.add({"enqueued_count": len(jobs)})
    return now, jobs


def remember(link: Link, statements: Statements, entries: Sequence[Periodic]) -> None:
    """Take note of schedules that are new, so that their next tick is not missed whoever leads then."""
    if entries:
        link.execute(statements["open_crons"], {"names": [entry.name for entry in entries], "since": None})


def _due(entry: Periodic, seen: int, rules: Rules, term: Term, now: datetime) -> _Due:
    if entry.cron.at_start:
        return _Due(entry, seen, [now] if term.boot and term.evaluated is None else [])
    after = max(_instant(seen), term.evaluated or _EPOCH)
    return _Due(entry, seen, entry.cron.due(after, now, rules.timezone, rules.catch_up, rules.window))


def _enqueue(link: Link, statements: Statements, due: list[_Due], rules: Rules, term: Term) -> list[Job]:
    if not due:
        return []
    crons = [{"name": each.entry.name, "seen": each.seen, "tick": each.ticks[-1].isoformat()} for each in due]
    with link.transaction() as connection:
        handle = adapt(connection)
        claimed = {row[0] for row in handle.execute(statements["claim_crons"], {"crons": orjson.dumps(crons).decode()})}
        ours = [each for each in due if each.entry.name in claimed]
        done = _done(handle, statements, ours, term)
        jobs = [job for each in ours for job in _jobs(each, done, rules.max_bytes)]
        return _store(jobs, handle, statements, rules.max_bytes) if jobs else []


def _store(jobs: list[Job], handle: Handle, statements: Statements, max_bytes: int) -> list[Job]:
    """Store jobs, with the events of any other enqueue: at the first, a handler may write into their meta."""
    with telemetry.span("oban_sync.enqueue", {"jobs": jobs}):
        return enqueue.enqueue(jobs, handle, statements, max_bytes=max_bytes)


def _done(handle: Handle, statements: Statements, due: list[_Due], term: Term) -> set[tuple[str, str]]:
    """Give the ticks, as (name, instant), that others enqueued: from before this node led, and of a cluster's start."""
    late = [(each.entry.name, tick - _CLOCKS_APART) for each in due for tick in each.ticks if tick < term.since]
    late += [(each.entry.name, tick - _ONE_START) for each in due for tick in each.ticks if each.entry.cron.at_start]
    if not late:
        return set()
    since = min(start for _, start in late).replace(tzinfo=None).isoformat()
    names = sorted({name for name, _ in late})
    return set(handle.execute(statements["select_cron_ticks"], {"since": since, "names": names}))


def _jobs(due: _Due, done: set[tuple[str, str]], max_bytes: int) -> list[Job]:
    """Make the jobs of a schedule; none where one of them cannot be stored, since they all go in together."""
    name, at_start = due.entry.name, due.entry.cron.at_start
    if at_start and name in {found for found, _ in done}:
        return []  # another leader has just done it
    ticks = [tick for tick in due.ticks if (name, tick.isoformat()) not in done]
    try:
        jobs = enqueue.checked(_job(due.entry, tick) for tick in ticks)
        enqueue.encode(jobs, max_bytes=max_bytes, quiet=False)
    except Exception:
        logger.exception("periodic job %s could not be made and is left out", due.entry.worker)
        return []
    return jobs


def _job(entry: Periodic, tick: datetime) -> Job:
    job = entry.new()
    about = {"cron": True, "cron_at": tick.isoformat(), "cron_expr": entry.cron.expression, "cron_name": entry.name}
    job.meta = {**job.meta, **about}
    return job


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
