"""What a thread does again and again, at its own times."""

from __future__ import annotations

from collections.abc import Callable


class Duty:
    """Something done again and again, for the one thread that does it.

    Attributes:
        seconds: Usual pause between two times.
        act: What is done.
        due: When it is done next, on the monotonic clock.
        failing: Whether it failed the last time.
    """

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self.seconds = seconds
        self.act = act
        self.due = 0.0
        self.failing = False
