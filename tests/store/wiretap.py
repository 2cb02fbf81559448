"""A relay between a client and PostgreSQL that counts round trips, whatever driver the client is made of."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import make_conninfo


class Wiretap:
    """Counts how often the server said that it is ready for the next query: once a round trip."""

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            self._host, self._port = connection.info.host, connection.info.port
        self._folder = tempfile.TemporaryDirectory(prefix="oban-tap-", dir="/tmp")
        self.dsn = make_conninfo(
            dsn, host=self._folder.name, hostaddr="", port=5432, sslmode="disable", gssencmode="disable"
        )
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.path.join(self._folder.name, ".s.PGSQL.5432"))
        self._listener.listen()
        self._sockets: list[socket.socket] = []
        self._count = 0  # written by the thread of the one connection that works at a time
        threading.Thread(target=self._accept, daemon=True).start()

    def round_trips(self, act: Callable[[], object]) -> int:
        """Count those of one call, which must wait for the last answer."""
        before = self._count
        act()
        return self._count - before

    def close(self) -> None:
        for opened in (self._listener, *self._sockets):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._host.startswith("/"):
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(os.path.join(self._host, f".s.PGSQL.{self._port}"))
                else:
                    server = socket.create_connection((self._host, self._port))
                self._sockets += [client, server]
                threading.Thread(target=self._relay, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._relay, args=(server, client, True), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, counting: bool) -> None:
        pending = bytearray()
        with suppress(OSError):
            while data := source.recv(1 << 20):
                if counting:  # before it is passed on: the client may ask for the count as soon as it has the answer
                    pending += data
                    self._count += _ready(pending)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def _ready(pending: bytearray) -> int:
    """Take the whole messages off a buffer, and count those that say ReadyForQuery."""
    count = at = 0
    while len(pending) >= at + 5 and len(pending) > at + (size := int.from_bytes(pending[at + 1 : at + 5])):
        count += pending[at] == ord("Z")
        at += size + 1
    del pending[:at]
    return count


@contextmanager
def tapped(dsn: str) -> Iterator[Wiretap]:
    """Tap a server for as long as the block lasts."""
    tap = Wiretap(dsn)
    try:
        yield tap
    finally:
        tap.close()
