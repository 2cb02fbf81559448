"""What is wrong with a database and the nodes on it: every check, its evidence, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle import health, overview, probe
from oban_sync.lifecycle.finding import Finding, several, span
from oban_sync.lifecycle.nodes import NodeQueue
from oban_sync.lifecycle.overview import Overview
from oban_sync.store import schema
from oban_sync.store.connection import Link
from oban_sync.store.handles import adapt
from oban_sync.store.statements import OWNER_MARK, Statements

WAIT_SECONDS = 5.0
"""Longest wait for a connection of the pool."""
FEW = 0.5
"""Connections of a pool for each thread below which threads that use the database in their jobs wait for one."""


def diagnose(
    link: Link,
    ears: Link,
    lend: probe.Lend,
    statements: Statements,
    *,
    limits: Mapping[str, int],
    pool_size: int | None,
    direct: bool,
    rescue_after: float,
) -> Iterator[Finding]:
    """Check everything, one after the other.

    Args:
        link: Connection to work on.
        ears: Connection to listen on, made as a node's is.
        lend: Lends a connection of the pool or engine.
        statements: Tables to work on.
        limits: Queues of this instance with the jobs that run at once.
        pool_size: Most connections of its pool; None: it has an engine instead.
        direct: Whether `ears` has a way of its own.
        rescue_after: Seconds after which jobs of another library's dead node are taken back.

    Raises:
        SchemaMissing: The tables are not installed.
        DatabaseUnavailable: PostgreSQL cannot be reached.
    """
    schema.verify(link, statements, crons=False)
    yield from _allowed("schema", lambda: health.tables(link, statements))
    yield from _allowed("rows", lambda: [health.rows(link, statements)])
    yield from _allowed("snapshots", lambda: [health.snapshots(link, statements)])
    yield probe.clocks(link, statements)
    yield probe.notifications(ears, lend, statements, direct=direct, beside=link if direct else None)
    yield _pool(limits, pool_size)
    found = overview.look(adapt(link.connect()), statements)
    holders = [orjson.loads(text) for (text,) in link.execute(statements["select_holders"])]
    yield _orphans(holders, found.nodes, rescue_after)
    yield _foreign(found.nodes, rescue_after)
    yield _nodes(found.nodes)
    yield _leader(found)
    yield _unserved(found)


def _allowed(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Do a check that asks the server of more than our tables."""
    try:
        yield from check()
    except DatabaseRefused as error:
        says = f"this role may not look: {str(error).splitlines()[0]}"
        yield Finding(name, "note", says, "run it as a member of pg_monitor")


def _pool(limits: Mapping[str, int], size: int | None) -> Finding:
    threads = sum(limits.values())
    evidence = {"threads": threads, "pool_size": size, "queues": dict(limits)}
    if not limits:
        return Finding("pool", "ok", "no queues are configured here, so no threads share the pool", "", evidence)
    says = f"{several(threads, 'thread')} of {several(len(limits), 'queue')}"
    if size is None:
        return Finding("pool", "ok", f"{says}, and an engine's pool of your own", "", evidence)
    says += f" share a pool of {several(size, 'connection')}"
    if size < threads * FEW:
        advice = "jobs that enqueue or open job.transaction() wait for a connection: raise pool_max_size where yours do"
        return Finding("pool", "note", says, advice, evidence)
    return Finding("pool", "ok", says, "", evidence)


def _orphans(holders: Sequence[dict[str, Any]], nodes: Sequence[NodeQueue], rescue_after: float) -> Finding:
    living = {each.uuid for each in nodes if not each.silent}
    orphans = [each for each in holders if each["owner"] not in living]
    count = sum(each["count"] for each in orphans)
    if not orphans:
        jobs = several(sum(each["count"] for each in holders), "job")
        return Finding("orphans", "ok", f"{jobs} run, each on a node that lives", "", {"jobs": 0})
    ours = [each for each in orphans if str(each["owner"]).startswith(OWNER_MARK)]
    known = {each.uuid for each in nodes}
    stray = sum(each["count"] for each in orphans if each not in ours and each["owner"] not in known)
    nodes_named = ", ".join(sorted({str(each["node"]) for each in orphans})[:5])
    says = f"{several(count, 'job')} of dead nodes wait to be taken back: {nodes_named}"
    advice = f"start a node: ours are taken back within seconds, another Oban's after {span(rescue_after)}"
    if stray:
        advice += (
            f"; {several(stray, 'job')} of another Oban's nodes without a row are never judged, so update those rows"
        )
    return Finding("orphans", "wrong", says, advice, {"jobs": count, "unjudged": stray, "holders": orphans})


def _foreign(nodes: Sequence[NodeQueue], rescue_after: float) -> Finding:
    foreign = sorted({each.node for each in nodes if each.version is None})
    if not foreign:
        return Finding("foreign", "ok", "all nodes of these tables run oban_sync", "", {"nodes": []})
    says = (
        f"{several(len(foreign), 'node')} of another Oban on these tables: {', '.join(foreign[:5])}. Queues, signals "
        "and one leader are shared. They take back what runs for longer than their rescue_after, our jobs too, which "
        "then run twice"
    )
    advice = (
        "give both sides queues of their own, or raise rescue_after there above the longest job, and know each worker "
        f"on every node of its queue; their own jobs are taken back {span(rescue_after)} after they began, once their "
        "node is dead"
    )
    return Finding(
        "foreign", "note", says, advice, {"nodes": foreign, "queues": sorted({e.queue for e in nodes if not e.version})}
    )


def _nodes(nodes: Sequence[NodeQueue]) -> Finding:
    silent = sorted({each.node for each in nodes if each.silent})
    versions = sorted({each.version for each in nodes if each.version and not each.silent})
    lockless = sorted({each.node for each in nodes if each.version and not each.locks and not each.silent})
    evidence = {"silent": silent, "versions": versions, "without_locks": lockless}
    living = {each.node for each in nodes if not each.silent}
    says = f"{several(len(living), 'node')} alive" + (
        f", {len(silent)} fell silent: {', '.join(silent[:5])}" if silent else ""
    )
    if silent:
        return Finding("nodes", "note", says, "rows of dead nodes go away by themselves while a node runs", evidence)
    if lockless:
        advice = "set notifier.dsn there to a direct way to the database: a killed node is noticed in 5 s instead of 15"
        return Finding("nodes", "note", f"{says}; {len(lockless)} without session locks", advice, evidence)
    if len(versions) > 1:
        return Finding("nodes", "note", f"{says}, of versions {', '.join(versions)}", "finish the deploy", evidence)
    return Finding("nodes", "ok", says, "", evidence)


def _leader(found: Overview) -> Finding:
    leading = {each.instance: each.node for each in found.leaders if each.expires_seconds > 0}
    names = {each.instance for each in found.nodes if each.version and not each.silent}
    if lacking := sorted(names - leading.keys()):
        says = (
            f"nobody leads the nodes of {', '.join(lacking)}: periodic jobs are not enqueued, ended jobs are not pruned"
        )
        advice = "wait 6 s after a leader died; else let a node lead (leadership)"
        return Finding("leader", "note", says, advice, {"leaders": leading, "without": lacking})
    says = ", ".join(f"{node} leads {name}" for name, node in leading.items()) or "no node runs, so nobody leads"
    return Finding("leader", "ok", says, "", {"leaders": leading, "without": []})


def _unserved(found: Overview) -> Finding:
    waiting = [each for each in found.queues if each.counts["available"]]
    nowhere = [each.queue for each in waiting if all(node.silent for node in each.nodes)]
    paused = [each.queue for each in waiting if each.paused and each.queue not in nowhere]
    evidence = {"without_node": nowhere, "paused": paused, "waits": {each.queue: each.wait_seconds for each in waiting}}
    if nowhere:
        advice = f"start a node for them: oban-sync start --queues {nowhere[0]}:10 --import ..."
        return Finding(
            "queues", "wrong", f"jobs wait in queues that no node runs: {', '.join(nowhere[:5])}", advice, evidence
        )
    if paused:
        says = f"jobs wait in queues that are paused: {', '.join(paused[:5])}"
        return Finding("queues", "note", says, f"oban-sync queues resume {paused[0]}", evidence)
    return Finding("queues", "ok", f"{several(len(waiting), 'queue')} with waiting jobs, all on a node", "", evidence)
