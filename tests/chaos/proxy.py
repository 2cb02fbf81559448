"""A relay between clients and PostgreSQL that does to their traffic what networks do, and cuts it where it hurts."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import make_conninfo

CUTS = ("before", "racing", "after")
"""When a connection is cut: before a statement reaches the server, right behind it, or when its answer is there."""

Cut = Callable[[str], str | None]
"""Told the text of a statement that a client executes; says when to cut, if at all."""


class Proxy:
    """Relays to one server until it is closed. Faults are set from any thread and meet all traffic from then on.

    Args:
        dsn: The server.

    Attributes:
        dsn: The way through this relay.
        delay: Seconds by which each piece of what clients send comes later.
        delayed: What is in the names of the clients that this is for; empty: in all.
        deaf: Whether notifications are taken out of what the server sends.
        cut: Decides which statements cost a client its connection.
        cuts: How many did, by when.
    """

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            self._host, self._port = connection.info.host, connection.info.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.dsn = make_conninfo(dsn, host="127.0.0.1", hostaddr="", port=port, sslmode="disable", gssencmode="disable")
        self.delay = 0.0
        self.delayed = ""
        self.deaf = False
        self.cut: Cut | None = None
        self.cuts = dict.fromkeys(CUTS, 0)  # under _lock
        self._lock = threading.Lock()
        self._holding = self._refusing = False
        self._lines: list[Line] = []  # under _lock
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self, *, new: bool = True) -> None:
        """Let no byte through, on connections that stay as they are; `new`: nor on those to come."""
        self._holding = new
        for line in self._living():
            line.flowing.clear()

    def flow(self) -> None:
        """Let all through that was held."""
        self._holding = False
        for line in self._living():
            line.flowing.set()

    def refuse(self, refusing: bool = True) -> None:
        """Reset whoever connects from now on."""
        self._refusing = refusing

    def reset(self) -> None:
        """Break every connection without a goodbye."""
        for line in self._living():
            line.reset()

    def half_close(self) -> None:
        """End what the server sends, while clients may go on to send."""
        for line in self._living():
            line.half_close()

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.flow()
        self.reset()

    def was_cut(self, when: str) -> None:
        """Count a cut."""
        with self._lock:
            self.cuts[when] += 1

    def _living(self) -> list[Line]:
        with self._lock:
            self._lines = [line for line in self._lines if not line.ended]
            return list(self._lines)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is slow here is meant to be
                if self._refusing:
                    _break(client)
                    continue
                try:
                    line = Line(self, client, _connect(self._host, self._port))
                except OSError:  # the server is away
                    _break(client)
                    continue
                if self._holding:
                    line.flowing.clear()
                with self._lock:
                    self._lines.append(line)
                line.start()


class Line:
    """One connection of a client, and ours to the server in its name."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._texts: dict[bytes, str] = {}  # of prepared statements; the thread of the client's side only
        self._name = ""  # of the client; the same thread
        self.flowing = threading.Event()
        self.flowing.set()
        self.ended = False
        self._doom = ""  # when to cut, once the client asked for what is cut; set before what makes the server answer

    def start(self) -> None:
        """Relay on two threads."""
        threading.Thread(target=self._relay, args=(self._send,), daemon=True).start()
        threading.Thread(target=self._relay, args=(self._receive,), daemon=True).start()

    def reset(self) -> None:
        """Break both ends."""
        self.ended = True
        self.flowing.set()
        _break(self._client)
        _break(self._server)

    def half_close(self) -> None:
        """End one direction."""
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)

    def _relay(self, work: Callable[[], None]) -> None:
        with suppress(OSError):
            work()
        self.reset()

    def _send(self) -> None:
        """Relay what the client says, message by message, and know what it executes."""
        pending = bytearray()
        first = True
        while data := self._client.recv(1 << 16):
            pending += data
            if self._proxy.delay and self._proxy.delayed in self._name:
                threading.Event().wait(self._proxy.delay)
            for message in _whole(pending, typed=not first):
                if first:
                    first, self._name = False, _name(message)
                self.flowing.wait()
                if not self._pass(message):
                    return

    def _pass(self, message: bytes) -> bool:
        """Send on one message; say whether the line goes on."""
        text = self._executed(message)
        if text is not None and self._proxy.cut is not None and not self._doom:
            self._doom = self._proxy.cut(text) or ""
        if self._doom == "before":
            self._proxy.was_cut("before")
            return False
        self._server.sendall(message)
        if self._doom == "racing" and message[:1] in (b"S", b"Q"):
            self._proxy.was_cut("racing")
            self._server.shutdown(socket.SHUT_WR)  # it gets what was sent
            _break(self._client)
            return False
        return True

    def _executed(self, message: bytes) -> str | None:
        """Give the text of the statement that a message executes."""
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, text = body.split(b"\0", 2)[:2]
            self._texts[name] = text.decode(errors="replace")
        elif kind == b"B":
            return self._texts.get(body.split(b"\0", 2)[1])
        elif kind == b"Q":
            return body.rstrip(b"\0").decode(errors="replace")
        return None

    def _receive(self) -> None:
        """Relay what the server says; where the line is doomed, until it has an answer, which is lost."""
        pending = bytearray()
        while data := self._server.recv(1 << 16):
            pending += data
            for message in _whole(pending, typed=True):
                self.flowing.wait()
                if self._doom == "after":
                    if message[:1] == b"Z":
                        self._proxy.was_cut("after")
                        return
                elif not (self._proxy.deaf and message[:1] == b"A"):
                    self._client.sendall(message)


def _whole(pending: bytearray, *, typed: bool) -> Iterator[bytes]:
    """Take the whole messages off a buffer; the first that a client sends has no type."""
    while len(pending) >= 4 + typed:
        size = typed + struct.unpack_from("!I", pending, int(typed))[0]
        if len(pending) < size:
            return
        message = bytes(pending[:size])
        del pending[:size]
        typed = True
        yield message


def _name(startup: bytes) -> str:
    """Give the name by which a client introduces itself."""
    _, _, rest = startup.partition(b"application_name\0")
    return rest.partition(b"\0")[0].decode(errors="replace")


def _connect(host: str, port: int) -> socket.socket:
    if host.startswith("/"):
        found = socket.socket(socket.AF_UNIX)
        found.connect(f"{host}/.s.PGSQL.{port}")
        return found
    found = socket.create_connection((host, port))
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _break(end: socket.socket) -> None:
    """Close a socket so that the other side is told of a reset, and wake the thread that reads from it."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def proxied(dsn: str) -> Iterator[Proxy]:
    """Relay for as long as the block lasts."""
    proxy = Proxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()
