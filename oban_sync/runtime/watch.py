"""The watch: a thread that interrupts the code of jobs at its deadline, and gives up on what does not end then.

It starts with the first job that has a timeout. A job without one never meets it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from oban_sync import clock
from oban_sync.runtime import threads

logger = logging.getLogger(__name__)

GRACE_SECONDS = 0.8
"""Time between the interruption of a job and giving up on it, which is to be written within a second."""
IDLE_SECONDS = 60.0
"""Longest sleep; an earlier deadline ends it."""


class Watch:
    """Watches the limits of one node.

    Args:
        name: Name of its threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._inbox = threads.Inbox()
        self._starting = threads.Lock()
        self.thread: threads.Thread | None = None  # written under _starting
        self._limits: dict[Limit, None] = {}  # each written by its own thread, in single steps that need no lock
        self._wake_at = math.inf  # written by the watch only

    def start(self) -> None:
        """Have its thread run."""
        if self.thread is None:
            with self._starting:
                self.thread = self.thread or threads.spawn(f"{self._name}-watch", self._work)

    def add(self, limit: Limit) -> None:
        """Watch a limit. May be interrupted at any point by that very limit."""
        self._limits[limit] = None
        if limit.due < self._wake_at:
            self._inbox.put(None)

    def discard(self, limit: Limit) -> None:
        """Watch it no more."""
        self._limits.pop(limit, None)

    def stop(self) -> None:
        """Have its thread end."""
        if self.thread is not None:
            self._inbox.put(self)

    def aside(self, act: Callable[[], None]) -> None:
        """Do something on a thread of its own, since it may take long."""
        threads.spawn(f"{self._name}-overdue", act)

    def _work(self) -> None:
        while self not in self._inbox.take(min(IDLE_SECONDS, max(0.0, self._wake_at - clock.monotonic()))):
            self._wake_at = math.inf  # who adds a limit from here on rings, unless the next lines see it
            self._wake_at = min([self._advance(limit) for limit in list(self._limits)], default=math.inf)

    def _advance(self, limit: Limit) -> float:
        try:
            return limit.advance(clock.monotonic())
        except Exception:
            logger.exception("a limit could not be kept")
            self.discard(limit)
            return math.inf


class Limit:
    """Limits the time of the code in a `with` block: at its end the code is struck, and after a grace given up.

    The block's thread and the watch compete for one right. Who takes it first decides, in a single step: the thread,
    at the end of the block, that nothing can strike it any more; or the watch, that it strikes, once. Where the watch
    was first, the end of the block waits until the strike is made, and takes back what was not felt yet. So no strike
    is felt after the block.

    Args:
        watch: Who keeps it.
        due: Monotonic instant of the strike.
        strike: Strikes the code.
        withdraw: Takes back a strike that the code has not felt.
        give_up: Called where the block did not end within `GRACE_SECONDS` of the strike.
    """

    __slots__ = ("_give_up", "_made", "_right", "_strike", "_struck", "_watch", "_withdraw", "due")

    def __init__(
        self,
        watch: Watch,
        due: float,
        *,
        strike: Callable[[], None],
        withdraw: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._watch = watch
        self._strike = strike
        self._withdraw = withdraw
        self._give_up = give_up
        self._right = [None]  # emptied once, by who takes the right
        self._made = threads.Lock()  # held until the strike is made
        self._made.acquire()
        self._struck = False  # this and what follows: written by the watch only
        self.due = due

    def __enter__(self) -> None:
        self._watch.start()
        self._watch.add(self)

    def __exit__(self, *_: object) -> None:
        self._watch.discard(self)
        if not self._take():
            self._made.acquire()
            self._withdraw()

    def advance(self, now: float) -> float:
        """Do what is due, and give the instant at which something is due next. For the watch only."""
        if now < self.due:
            return self.due
        if self._struck:
            self._watch.discard(self)
            self._give_up()
        elif self._take():
            try:
                self._strike()
            finally:
                self._made.release()
            self._struck = True
            self.due = now + GRACE_SECONDS
            return self.due
        return math.inf

    def _take(self) -> bool:
        try:
            self._right.pop()
        except IndexError:
            return False
        return True
