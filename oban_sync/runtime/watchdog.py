"""The watchdog thread: breaks connections on which PostgreSQL has been silent for too long.

A server process that is stopped, or a host that is gone without a word, keeps a thread of ours waiting in the middle of
a statement. Keepalives see the second and not the first. A heartbeat that waits so long would lose its lease.
"""

from __future__ import annotations

import logging
import weakref

from oban_sync.runtime import threads
from oban_sync.store.connection import Link

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
SILENT_SECONDS = 10.0
"""Time of one statement after which its connection is broken; what a node asks for takes milliseconds."""


class Watchdog:
    """Watches the connections of one node.

    Args:
        name: Name of its thread.
    """

    def __init__(self, name: str) -> None:
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._lock = threads.Lock()  # around the set, which any thread may add to
        self._stopping = threads.Event()
        self.thread = threads.spawn(f"{name}-watchdog", self._work)

    def add(self, link: Link) -> Link:
        """Watch a connection, and give it back."""
        with self._lock:
            self._links.add(link)
        return link

    def stop(self) -> None:
        """Have it end."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with self._lock:
                links = list(self._links)
            for link in links:
                if link.waiting() > SILENT_SECONDS:
                    logger.warning(
                        "PostgreSQL was silent for %g s on the connection %s: broke it", SILENT_SECONDS, link
                    )
                    link.interrupt()
