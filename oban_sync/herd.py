"""How long a node waits before it looks for jobs, told or not: the rules, without threads or clocks.

All nodes of a queue hear of a lone job at once, and one of them gets it. Where that keeps being another one, this node
waits a random moment, so that they do not all ask the server in the same millisecond. A node that has its queue to
itself finds what it was told of, and never waits.
"""

from __future__ import annotations

STEP_SECONDS = 0.001
MOST = 5
"""Steps of the longest wait."""
LULL_SECONDS = 0.05
"""First pause of a queue that hears no notifications."""
OWN_SECONDS = 0.1
"""Time after a find within which finding nothing says nothing: the find may have been what the notification told."""


class Herd:
    """Follows what the notifications of one queue were good for.

    Example:
        >>> herd = Herd()
        >>> herd.delay(chance=0.5)
        0.0
        >>> for second in range(10):
        ...     herd.record(found=False, now=second)
        >>> herd.delay(chance=0.5)
        0.0025
    """

    def __init__(self) -> None:
        self._misses = 0
        self._found_at = float("-inf")

    def delay(self, chance: float) -> float:
        """Give the seconds to wait; `chance` is a random number from 0 to 1."""
        return chance * self._misses * STEP_SECONDS

    def record(self, *, found: bool, now: float) -> None:
        """Take in whether a fetch after a notification found jobs."""
        if found:
            self._found_at = now
            self._misses = max(0, self._misses - 1)
        elif now - self._found_at > OWN_SECONDS:
            self._misses = min(MOST, self._misses + 1)


class Polling:
    """How often a queue looks that hears no notifications: soon after it found jobs, and less and less after that.

    Args:
        longest: The longest pause in seconds.
    """

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.pause = min(LULL_SECONDS, longest)

    def record(self, *, found: bool) -> None:
        """Take in whether a fetch found jobs."""
        self.pause = min(LULL_SECONDS if found else 2 * self.pause, self.longest)
