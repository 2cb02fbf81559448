"""Which queues run on which nodes, as their rows tell, and which of those are silent."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from oban_sync.lifecycle.rescue import FREE_LEASE, HELD_LEASE, LOCKLESS_LEASE
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements

FOREIGN_LEASE = 60.0
"""Seconds without a beat after which a queue of another library's node counts as dead."""


@dataclass(frozen=True, slots=True)
class NodeQueue:
    """A queue that runs on a node.

    Attributes:
        queue: Its name.
        node: The node.
        instance: Name of the Oban instance there.
        uuid: The owner of its jobs.
        limit: Jobs that run at once; None: its row does not say.
        paused: Whether it fetches nothing.
        running: How many jobs it runs.
        beat_seconds: Age of its last sign of life.
        version: That of oban_sync there; None: it is another library's.
        locks: Whether it holds session locks, so that a free one means that it died.
        locked: Whether its lock is held.
        silent: Whether it gave no sign of life for so long that its jobs are taken back.
    """

    queue: str
    node: str
    instance: str
    uuid: str
    limit: int | None
    paused: bool
    running: int
    beat_seconds: float
    version: str | None
    locks: bool
    locked: bool
    silent: bool = field(init=False)

    def __post_init__(self) -> None:
        lease = HELD_LEASE if self.locked else FREE_LEASE if self.locks else LOCKLESS_LEASE
        silent = self.beat_seconds > (FOREIGN_LEASE if self.version is None else lease)
        object.__setattr__(self, "silent", silent)  # as a field, so that it is in the JSON of a node


def select(handle: Handle, statements: Statements) -> list[NodeQueue]:
    """Give the queues of all nodes, by queue and node."""
    found = handle.execute(statements["select_nodes"], [])
    return [NodeQueue(**orjson.loads(text)) for (text,) in found]
