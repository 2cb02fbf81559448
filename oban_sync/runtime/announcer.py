"""Joins the notifications of threads that enqueue at the same time: PostgreSQL commits those that notify one by one.

A lone call notifies within its INSERT. Calls that run beside others insert quietly; then one of them, for all that are
done, notifies on the connection that it has in hand. So no call waits for another, and none is left unannounced: what
comes in while one notifies is announced by the same thread, or by a call that is still under way.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from oban_sync.runtime import threads

logger = logging.getLogger(__name__)

Send = Callable[[list[str]], object]
"""Notifies queues."""

_announcers: weakref.WeakSet[Announcer] = weakref.WeakSet()


class Announcer:
    """What the calls of one instance know of each other."""

    def __init__(self) -> None:
        self.reset()
        _announcers.add(self)

    def reset(self) -> None:
        """Forget all calls: in a process that was just forked, their threads do not exist."""
        self._lock = threads.Lock()
        self._under_way: weakref.WeakSet[Call] = weakref.WeakSet()  # this and what follows: under _lock
        self._unannounced: set[str] = set()
        self._sending = False

    def call(self) -> Call:
        """Give the place of one call, to be entered with `with`."""
        return Call(self)

    def begin(self, call: Call) -> bool:
        """Take a call in, and say whether others are under way."""
        with self._lock:
            self._under_way.add(call)
            return len(self._under_way) > 1

    def end(self, call: Call, queues: Iterable[str] = (), send: Send | None = None) -> None:
        """Let a call go, and announce its queues or leave that to another; a second time does nothing."""
        with self._lock:
            self._under_way.discard(call)
            self._unannounced.update(queues)
            if self._sending or send is None or not self._unannounced:
                return
            self._sending = True
            batch = self._taken()
        while batch:
            try:
                send(batch)
            except Exception as error:  # the jobs are stored
                threads.report(logger, f"could not notify {', '.join(batch)}, whose nodes will poll", error)
            except BaseException:  # a timeout that struck the thread, or Ctrl-C: the next call announces them
                with self._lock:
                    self._unannounced.update(batch)
                    self._sending = False
                raise
            with self._lock:
                batch = [] if self._under_way else self._taken()
                self._sending = bool(batch)

    def _taken(self) -> list[str]:
        batch, self._unannounced = sorted(self._unannounced), set()
        return batch


class Call:
    """One call that stores jobs. One that is struck before it can end is forgotten with this object.

    Attributes:
        quiet: Whether its INSERT should not notify.
    """

    __slots__ = ("__weakref__", "_announcer", "_ended", "quiet")

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self._ended = False

    def __enter__(self) -> Self:
        self.quiet = self._announcer.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended:
            self._announcer.end(self)

    def stored(self, queues: Iterable[str], send: Send) -> None:
        """Take in that jobs of these queues were inserted quietly; `send` notifies where it is this call's turn."""
        self._announcer.end(self, queues, send)
        self._ended = True


def _after_fork() -> None:
    for announcer in list(_announcers):
        announcer.reset()


os.register_at_fork(after_in_child=_after_fork)
