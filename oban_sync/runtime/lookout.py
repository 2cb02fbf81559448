"""Warns of who holds an old snapshot: it keeps vacuum from the dead rows that every fetch then passes over."""

from __future__ import annotations

import logging
from collections.abc import Callable

from oban_sync import clock
from oban_sync.errors import DatabaseRefused
from oban_sync.lifecycle.finding import Finding

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
AGAIN_SECONDS = 600.0
"""Time until the same is said again."""


class Lookout:
    """Looks for one node.

    Args:
        find: Says who holds the oldest snapshot.
    """

    def __init__(self, find: Callable[[], Finding]) -> None:
        self._find = find
        self._said_at = float("-inf")

    def look(self) -> None:
        """Look, and warn where a snapshot is too old and nothing was said of it lately.

        Raises:
            DatabaseUnavailable: PostgreSQL cannot be reached.
        """
        try:
            found = self._find()
        except DatabaseRefused as error:  # a role that may not look does its work all the same
            logger.debug("could not look for old snapshots: %s", error)
            return
        now = clock.monotonic()
        if found.level == "wrong" and now - self._said_at >= AGAIN_SECONDS:
            self._said_at = now
            logger.warning("%s; dead rows pile up before every fetch. %s", found.says, found.advice)
