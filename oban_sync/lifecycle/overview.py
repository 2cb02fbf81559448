"""What a cluster does now: how many jobs there are, which nodes run queues, who leads, what runs for longest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from oban_sync.lifecycle import nodes, queues
from oban_sync.lifecycle.nodes import NodeQueue
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements, positional

COUNTED = ("available", "scheduled", "executing", "retryable", "completed", "cancelled", "discarded")
"""States that are counted, in this order."""
MOST = 100_000
"""Most jobs of a state that are counted."""
LONGEST = 10
"""Jobs that run for longest and are named."""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads the nodes of a name.

    Attributes:
        instance: The name.
        node: The leader.
        expires_seconds: Time until its lease ends; below 0: it did.
    """

    instance: str
    node: str
    expires_seconds: float


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs, `seconds` after it began."""

    id: int
    worker: str
    queue: str
    node: str | None
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue that runs on a node or has jobs.

    Attributes:
        queue: Its name.
        nodes: Where it runs.
        paused: Whether it fetches nothing on any node, or none where it starts.
        durable: Whether its pause outlives restarts.
        limit: Jobs that run at once on all nodes together.
        counts: Jobs by state.
        at_least: States of which not all jobs were counted, so perhaps not all of this queue.
        wait_seconds: For how long the job waits that has been due for longest; None: none does.
    """

    queue: str
    nodes: Sequence[NodeQueue]
    paused: bool
    durable: bool
    limit: int
    counts: dict[str, int]
    at_least: frozenset[str]
    wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """What a cluster does now.

    Attributes:
        counts: Jobs by state.
        at_least: States with more jobs than were counted, which is the first 100,000 of a state.
        queues: Queues by name.
        nodes: The queues of each node.
        leaders: Who leads.
        running: The jobs that run for longest.
    """

    counts: dict[str, int]
    at_least: frozenset[str]
    queues: Sequence[QueueView]
    nodes: Sequence[NodeQueue]
    leaders: Sequence[Leader]
    running: Sequence[RunningJob]


def look(handle: Handle, statements: Statements, *, most: int = MOST) -> Overview:
    """Look at everything once.

    Args:
        handle: Connection to work on.
        statements: Tables to work on.
        most: Most jobs of a state that are counted.
    """
    params = {"states": list(COUNTED), "limit": most}
    counted = handle.execute(*positional(statements["count_states"], params))
    by_queue: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTED, 0))
    counts = dict.fromkeys(COUNTED, 0)
    for state, queue, number in counted:
        by_queue[queue][state] = min(number, most)
        counts[state] += number
    at_least = frozenset(state for state, number in counts.items() if number > most)
    running = nodes.select(handle, statements)
    return Overview(
        {state: min(number, most) for state, number in counts.items()},
        at_least,
        _queues(handle, statements, by_queue, running, at_least),
        running,
        leaders(handle, statements),
        [RunningJob(**row) for row in _objects(handle, statements, "select_running_jobs", {"limit": LONGEST})],
    )


def leaders(handle: Handle, statements: Statements) -> list[Leader]:
    """Give who leads, by the name of the instances."""
    return [Leader(**row) for row in _objects(handle, statements, "select_leaders", {})]


def _queues(
    handle: Handle,
    statements: Statements,
    counts: defaultdict[str, dict[str, int]],
    running: Sequence[NodeQueue],
    at_least: frozenset[str],
) -> list[QueueView]:
    durable = set(queues.kept_paused(handle, statements))
    names = sorted({*counts, *durable, *(each.queue for each in running)})
    waits: dict[str, float] = dict(handle.execute(*positional(statements["select_waits"], {"queues": names})))
    views = []
    for name in names:
        here = [each for each in running if each.queue == name]
        paused = all(each.paused for each in here) if here else name in durable
        limit = sum(each.limit or 0 for each in here)
        views.append(QueueView(name, here, paused, name in durable, limit, counts[name], at_least, waits.get(name)))
    return views


def _objects(handle: Handle, statements: Statements, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    return [orjson.loads(text) for (text,) in handle.execute(*positional(statements[name], params))]
