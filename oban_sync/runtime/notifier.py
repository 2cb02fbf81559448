"""The notifier thread: listens on a connection of its own and wakes whom a notification concerns.

A notification is a hint from anybody who may connect, so nothing in it is believed beyond "look now". What it cannot
read is counted and left.
"""

from __future__ import annotations

import base64
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from oban_sync.runtime import threads
from oban_sync.store.connection import Link

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
MAX_PAYLOAD = 1_000_000
"""Most bytes that a compressed payload may unpack to."""

Handler = Callable[[Any], None]


class Notifier:
    """Listens for one node.

    Args:
        name: Name of its thread.
        link: Its own connection.
        handlers: Channel to what is called with the decoded payload.
        reconnected: Called after each connection, since notifications may have been missed.
        lost: Called when it has none.
        ping_seconds: Silence after which it asks the server for a sign of life.
    """

    def __init__(
        self,
        name: str,
        *,
        link: Link,
        handlers: Mapping[str, Handler],
        reconnected: Callable[[], None],
        lost: Callable[[], None],
        ping_seconds: float,
    ) -> None:
        self._link = link
        self._handlers = dict(handlers)
        self._reconnected, self._lost = reconnected, lost
        self._ping_seconds = ping_seconds
        self._stopping = threads.Event()
        self._listening = threads.Event()
        self._doorbell, self._button = os.pipe()
        self.ignored = 0  # payloads that nobody could read; the notifier thread only
        self.thread = threads.spawn(f"{name}-notifier", self._work)

    def wait(self, timeout: float) -> bool:
        """Wait until it listens."""
        return self._listening.wait(timeout)

    def stop(self) -> None:
        """Have it end."""
        os.write(self._button, b"!")  # first, since the thread closes the pipe once it sees the other
        self._stopping.set()

    def _work(self) -> None:
        failing = False
        while not self._stopping.is_set():
            try:
                self._listen()
                failing = False
            except Exception as error:
                if not failing and not self._stopping.is_set():
                    threads.report(logger, "not listening; queues poll", error)
                failing = True
                self._lost()
                self._stopping.wait(RETRY_SECONDS)
        self._link.close()
        os.close(self._doorbell)
        os.close(self._button)

    def _listen(self) -> None:
        self._link.close()
        self._link.listen(list(self._handlers))
        self._listening.set()
        self._reconnected()
        while not self._stopping.is_set():
            for channel, payload in self._link.notifications(self._ping_seconds, self._doorbell):
                self._deliver(channel, payload)

    def _deliver(self, channel: str, payload: str) -> None:
        try:
            self._handlers[channel](decode(payload))
        except Exception as error:
            self.ignored += 1
            logger.debug("ignored a notification on %s: %r: %r", channel, payload[:200], error)


def decode(payload: str) -> Any:
    """Decode a payload: JSON, or JSON that Oban compressed with gzip and wrote in base64.

    Raises:
        ValueError: It is neither, or has or unpacks to more than `MAX_PAYLOAD` bytes.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"expected a payload of at most {MAX_PAYLOAD:,} bytes, got {len(payload):,}")
    if payload[:1] in ("{", "[", '"') or (payload[:1].isdigit() and payload.replace(".", "", 1).isdigit()):
        return orjson.loads(payload)
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(base64.b64decode(payload, validate=True), MAX_PAYLOAD)
    except zlib.error as error:
        raise ValueError(f"expected JSON or gzip in base64, got neither: {error}") from None
    if unpacker.unconsumed_tail:
        raise ValueError(f"expected a payload of at most {MAX_PAYLOAD:,} bytes once it is unpacked")
    return orjson.loads(data)
