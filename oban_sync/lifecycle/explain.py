"""Why a job is not running: every reason with its evidence and what to do, the one that matters most first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from oban_sync.errors import JobNotFound
from oban_sync.job import ENDED, Job
from oban_sync.lifecycle import nodes, query, queues
from oban_sync.lifecycle.finding import Finding, several, span
from oban_sync.lifecycle.nodes import NodeQueue
from oban_sync.store.handles import Handle
from oban_sync.store.statements import OWNER_MARK, Statements, positional

MOST = 10_000
"""Most jobs before this one that are counted."""
LATE_SECONDS = 5.0
"""Time after which a job that is due should have been staged or fetched, where a node does it."""
_DATED = re.compile("[0-9]{4}-")


class Place(NamedTuple):
    """Where a job stands.

    Attributes:
        due_seconds: Until it is due; below 0: for how long it has been; None: never.
        ran_seconds: Since its last run began; None: it never ran.
        ahead: Jobs of its queue that are fetched before it, at most `MOST` and one.
        urgent: Those of them that have a higher priority.
    """

    due_seconds: float | None
    ran_seconds: float | None
    ahead: int
    urgent: int


def explain(handle: Handle, statements: Statements, job_id: int) -> list[Finding]:
    """Say why a job is not running.

    Args:
        handle: Connection to work on.
        statements: Tables to work on.
        job_id: Its id.

    Raises:
        JobNotFound: It is not there.
    """
    paged = query.page(query.choose(None, {"ids": [job_id]}), after=None, limit=1, order="asc")
    found = query.select(handle, statements, paged, order="asc")
    placed = handle.execute(*positional(statements["select_place"], {"id": job_id, "most": MOST}))
    if not found or not placed:
        raise JobNotFound(f"expected a job that is there, found none of id {job_id}: it was deleted, or never stored")
    place = Place(**orjson.loads(placed[0][0]))
    running = nodes.select(handle, statements)
    durable = found[0].queue in queues.kept_paused(handle, statements)
    return list(_findings(found[0], place, running, durable))


def _findings(job: Job, place: Place, running: Sequence[NodeQueue], durable: bool) -> Iterator[Finding]:
    here = [each for each in running if each.queue == job.queue]
    if job.state in ENDED:
        yield _ended(job)
    elif job.state == "executing":
        yield _executing(job, place, running)
    elif job.state == "suspended":
        advice = f"resume it by the tool that holds it, or make it available: oban-sync jobs retry {job.id}"
        yield Finding("suspended", "wrong", "it is held back by a tool of Oban's", advice, {"state": "suspended"})
    else:
        yield from _waiting(job, place, here, durable)


def _waiting(job: Job, place: Place, here: Sequence[NodeQueue], durable: bool) -> Iterator[Finding]:
    if job.state == "available" and job.attempt >= job.max_attempts:
        yield _spent(job)
        return
    if isinstance(times := _meta(job, "unknown_worker"), int):
        yield _unknown(job, times)
    if job.state != "available":
        yield _not_due(job, place)
    yield from _stopped(job, here, durable)
    if job.state == "available" and (active := [each for each in here if not each.paused and not each.silent]):
        yield _behind(place, active)


def _meta(job: Job, key: str) -> Any:
    """Give a value of a job's meta, which other tools may have made no object."""
    return job.meta.get(key) if isinstance(job.meta, dict) else None


def _ended(job: Job) -> Finding:
    at = getattr(job, f"{job.state}_at")
    listed = isinstance(job.errors, list) and job.errors and isinstance(job.errors[-1], dict)
    last = str(job.errors[-1].get("error", "")) if listed else ""
    why = {
        "cancelled": "it was cancelled",
        "discarded": f"its attempt {job.attempt} of {job.max_attempts} was its last",
    }
    says = f"it ended: {why.get(str(job.state), 'it is completed')}"
    advice = "" if job.state == "completed" else f"run it again: oban-sync jobs retry {job.id}"
    evidence = {"state": str(job.state), "at": _written(at), "attempt": job.attempt, "max_attempts": job.max_attempts}
    return Finding("ended", "ok", says, advice, evidence | ({"error": _last_line(last)} if last else {}))


def _executing(job: Job, place: Place, running: Sequence[NodeQueue]) -> Finding:
    node, owner = (*job.attempted_by, None, None)[:2]
    holder = next((each for each in running if each.uuid == owner), None)
    evidence = {"node": node, "owner": owner, "ran_seconds": place.ran_seconds, "attempt": job.attempt}
    if holder is None or holder.silent:
        return _orphaned(node, owner, holder, evidence)
    evidence["beat_seconds"] = holder.beat_seconds
    says = f"it runs on node {node} since {span(place.ran_seconds or 0)}"
    if asked := _asked_to_stop(job):
        evidence["cancel_attempted_at"] = asked
        return Finding(
            "cancelling",
            "note",
            f"{says}, and was asked to stop",
            "the worker stops where it asks job.cancelled()",
            evidence,
        )
    return Finding("running", "ok", says, f"to stop it: oban-sync jobs cancel {job.id}", evidence)


def _asked_to_stop(job: Job) -> str | None:
    """Give when somebody asked for the end of this run, and not of one before, as its node compares: as text."""
    asked = _meta(job, "cancel_attempted_at")
    if not isinstance(asked, str) or not _DATED.match(asked) or job.attempted_at is None:
        return None
    began = job.attempted_at.replace(tzinfo=None).isoformat()
    return asked if asked >= (began.rstrip("0") if "." in began else began) else None


def _orphaned(node: str | None, owner: str | None, holder: NodeQueue | None, evidence: dict[str, Any]) -> Finding:
    ours = bool(owner) and str(owner).startswith(OWNER_MARK)
    beat = "has no row any more" if holder is None else f"gave no sign of life for {span(holder.beat_seconds)}"
    advice = "start a node: it takes such jobs back within seconds"
    if not ours and holder is None:
        advice = (
            "no node judges it, since another library runs it and left no row: oban-sync jobs cancel asks it to stop"
        )
    elif not ours:
        advice = "it is taken back after lifeline.rescue_after (300 s) by any node"
    evidence["beat_seconds"] = None if holder is None else holder.beat_seconds
    return Finding("orphaned", "wrong", f"the node that ran it, {node}, {beat}", advice, evidence)


def _spent(job: Job) -> Finding:
    return Finding(
        "spent",
        "wrong",
        f"its attempts are used up: {job.attempt} of {job.max_attempts}",
        f"a node will discard it; for one attempt more: oban-sync jobs cancel {job.id}, then jobs retry {job.id}",
        {"attempt": job.attempt, "max_attempts": job.max_attempts},
    )


def _unknown(job: Job, times: int) -> Finding:
    return Finding(
        "unknown_worker",
        "wrong",
        f"the node that took it did not know its worker {job.worker}, {several(times, 'time')} so far",
        "import the module of that worker on every node that runs the queue, or correct its name",
        {"worker": job.worker, "times": times},
    )


def _not_due(job: Job, place: Place) -> Finding:
    evidence: dict[str, Any] = {
        "state": str(job.state),
        "scheduled_at": _written(job.scheduled_at),
        "due_seconds": place.due_seconds,
    }
    if place.due_seconds is None:
        return Finding("not_due", "wrong", "its time is never", f"run it now: oban-sync jobs retry {job.id}", evidence)
    if place.due_seconds < -LATE_SECONDS:
        says = f"it is due since {span(-place.due_seconds)}, and no node made it available"
        return Finding("not_staged", "wrong", says, "start a node of these tables, whatever queues it runs", evidence)
    says = f"it is due in {span(max(place.due_seconds, 0))}"
    if job.state == "retryable":
        evidence["attempt"] = job.attempt
        says = f"attempt {job.attempt} of {job.max_attempts} failed; {says}"
    return Finding("not_due", "note", says, f"run it now: oban-sync jobs retry {job.id}", evidence)


def _stopped(job: Job, here: Sequence[NodeQueue], durable: bool) -> Iterator[Finding]:
    """Say what keeps every node from fetching."""
    living = [each for each in here if not each.silent]
    if not living:
        silent = {each.node: each.beat_seconds for each in here}
        says = f"no node runs queue {job.queue}" + (f": {', '.join(silent)} fell silent" if silent else "")
        advice = f"start one: oban-sync start --queues {job.queue}:10 --import ..., or move the job by update_job"
        yield Finding("no_node", "wrong", says, advice, {"queue": job.queue, "silent": silent})
    if (durable or living) and all(each.paused for each in living):
        where = "wherever it starts" if durable else f"on {several(len(living), 'node')}: every one that runs it"
        yield Finding(
            "paused",
            "wrong",
            f"queue {job.queue} is paused {where}",
            f"oban-sync queues resume {job.queue}",
            {"queue": job.queue, "durable": durable, "nodes": [each.node for each in living]},
        )


def _behind(place: Place, active: Sequence[NodeQueue]) -> Finding:
    limit, busy = sum(each.limit or 0 for each in active), sum(each.running for each in active)
    evidence: dict[str, Any] = {"ahead": place.ahead, "higher_priority": place.urgent, "running": busy, "limit": limit}
    evidence["due_seconds"] = place.due_seconds
    slots = f"{busy} of {limit} slots are taken on {several(len(active), 'node')}"
    if place.ahead:
        count = f"more than {MOST:,}" if place.ahead > MOST else f"{place.ahead:,}"
        says = f"{count} jobs of its queue come first, {place.urgent:,} by a higher priority; {slots}"
        advice = "raise the limit (oban-sync queues scale), start more nodes, or give it a lower number as priority"
        return Finding("behind", "note", says, advice, evidence)
    if busy >= limit:
        return Finding("busy", "note", f"it is the next; {slots}", "raise the limit (oban-sync queues scale)", evidence)
    late = place.due_seconds is not None and place.due_seconds < -LATE_SECONDS
    says = f"it is the next, and {slots}"
    advice = "oban-sync doctor looks for locks, old snapshots and dead notifications" if late else ""
    return Finding("next", "wrong" if late else "ok", says, advice, evidence)


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
