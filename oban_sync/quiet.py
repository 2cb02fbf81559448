"""How often the log says what happens over and over: the rule, without threads or clocks."""

from __future__ import annotations

from collections.abc import Hashable

QUIET_SECONDS = 10.0
MOST = 1000
"""Things that are remembered; names in rows may be any number."""


class Quiet:
    """Lets the same thing be said once in `QUIET_SECONDS`. Threads that race for it may both say it.

    Example:
        >>> quiet = Quiet()
        >>> quiet.kept("full", now=0.0), quiet.kept("full", now=1.0), quiet.kept("full", now=2.0)
        (0, None, None)
        >>> quiet.kept("full", now=11.0)  # twice it was not said
        2
    """

    def __init__(self) -> None:
        self._said: dict[Hashable, tuple[float, int]] = {}  # when, and how often it was not said since

    def kept(self, what: Hashable, now: float) -> int | None:
        """Give how many times it was not said since it was said last; None: it is not to be said this time."""
        at, times = self._said.get(what, (now - QUIET_SECONDS, 0))
        if now - at < QUIET_SECONDS:
            self._said[what] = at, times + 1
            return None
        if len(self._said) >= MOST:
            self._said.clear()
        self._said[what] = now, 0
        return times

    def forget(self) -> None:
        """Let everything be said again at once."""
        self._said.clear()
