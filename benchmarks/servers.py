"""What a queue keeps its jobs in, and what is missing where it cannot be had."""

from __future__ import annotations

from typing import Protocol


class Missing(Exception):
    """Something that a system needs is not on this machine; the message says what, and what would help."""


class Server(Protocol):
    """A server that gives each system a place of its own."""

    def create(self, name: str) -> str:
        """Make the place of a system, and give what its `make` takes to find it."""
        raise NotImplementedError

    def settle(self, dsn: str) -> None:
        """Bring a place into the state it has after a while."""

    def postmaster(self) -> int | None:
        """Give the process of the server, whose CPU counts for the system; None: it is not to be seen."""
        raise NotImplementedError

    def describe(self) -> dict[str, str]:
        """Give what a reader must know of it, by name."""
        raise NotImplementedError
