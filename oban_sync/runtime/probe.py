"""Finds out whether notifications arrive: one is sent now and then, over another connection, for this node to hear.

A connection through a pooler that shares sessions takes a LISTEN and never delivers. Nothing else tells.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

PROBE_SECONDS = 15.0


class Probe:
    """Listens for itself.

    Args:
        token: What this node sends.
        send: Notifies a token.
    """

    def __init__(self, token: str, send: Callable[[str], object]) -> None:
        self._token = token
        self._send = send
        self._sent = False  # these three are written by the notifier thread, and by the one that probes
        self._heard = False
        self.deaf = False

    def hear(self, payload: object) -> None:
        """Take in a notification of the channel; those of other nodes are theirs."""
        if payload == self._token:
            self._heard, self.deaf = True, False

    def listen(self) -> None:
        """Take in that a connection listens from now on: what was sent before, none could hear."""
        self._sent = self.deaf = False

    def lose(self) -> None:
        """Take in that no connection listens now."""
        self.deaf = True

    def probe(self) -> None:
        """See whether the last notification came, and send another."""
        if self._sent and not self._heard and not self.deaf:
            self.deaf = True
            logger.warning(
                "notifications do not arrive, so queues poll: a pooler that shares sessions takes LISTEN and delivers "
                "nothing. Give a direct way by notifier={'dsn': ...}"
            )
        self._heard = False
        self._send(self._token)
        self._sent = True
