"""The wire between a node and a child process of its own: JSON objects, a line each, over a pair of sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

import orjson

from oban_sync.runtime import threads


class Wire:
    """One end of it. Any thread sends, one receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lines = end.makefile("rb")
        self._sending = threads.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; to an end that is gone it is lost, which `receive` tells."""
        try:
            with self._sending:
                self._end.sendall(orjson.dumps(message) + b"\n")
        except OSError:
            return

    def receive(self) -> dict[str, Any] | None:
        """Wait for a message; None: the other end is gone."""
        try:
            line = self._lines.readline()
        except OSError:
            return None
        return orjson.loads(line) if line.endswith(b"\n") else None

    def forget(self) -> None:
        """Close this end in a process that was forked, where a lock of it may be held by a thread that is not there."""
        os.close(self._end.detach())

    def close(self) -> None:
        """Be gone."""
        self._lines.close()
        self._end.close()
