"""What all nodes are told of queues, and the pauses that outlive them."""

from __future__ import annotations

from oban_sync.errors import SchemaMissing
from oban_sync.store.absence import missing
from oban_sync.store.connection import Link
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements, positional


def tell(handle: Handle, statements: Statements, payload: str) -> None:
    """Send a signal to every node."""
    handle.execute(statements["notify_signal"], [payload])


def keep_paused(handle: Handle, statements: Statements, queue: str) -> None:
    """Have a queue be paused wherever it starts, until `let_resume`.

    Raises:
        SchemaMissing: The table of such queues is not installed; nothing was written.
    """
    if not _readable(handle, statements):
        raise SchemaMissing(missing("oban_sync_queues", statements.prefix))
    handle.execute(statements["insert_paused_queue"], [queue])


def let_resume(handle: Handle | Link, statements: Statements, *names: str, ago: float = 0.0) -> None:
    """End what `keep_paused` began, up to so many seconds ago, for some queues or with * for all."""
    if _readable(handle, statements):
        handle.execute(*positional(statements["delete_paused_queues"], {"queues": list(names), "ago": ago}))


def is_kept_paused(link: Link, statements: Statements, queue: str) -> bool:
    """Say whether a queue is to be paused wherever it starts."""
    if not _readable(link, statements):
        return False
    ((paused,),) = link.execute(statements["select_paused_queue"], {"queue": queue})
    return bool(paused)


def kept_paused(handle: Handle, statements: Statements) -> list[str]:
    """Name the queues that are to be paused wherever they start."""
    if not _readable(handle, statements):
        return []
    return [queue for (queue,) in handle.execute(statements["select_paused_queues"], [])]


def _readable(handle: Handle | Link, statements: Statements) -> bool:
    """Say whether the table is there; it is not where another Oban or an older version of ours installed."""
    ((readable,),) = handle.execute(statements["select_queues_access"], [])
    return bool(readable)
