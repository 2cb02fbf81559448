"""What a thread does again and again, at its own times."""

from __future__ import annotations

from collections.abc import Callable


class Duty:
    """Something done again and again; `due`, on the monotonic clock, is written by the thread that does it only."""

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self.seconds = seconds
        self.act = act
        self.due = 0.0
