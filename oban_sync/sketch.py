"""The numbers that Oban's dashboards draw: counts, and sketches of times from which they read percentiles.

A sketch counts values by bins that grow by the same factor, so that each value is known to within two percent. Its
factor is that of the dashboards and must stay so.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

ERROR = 0.02
GAMMA = (1 + ERROR) / (1 - ERROR)
_SCALE = 1 / math.log(GAMMA)


class Sketch:
    """Counts values; for one thread at a time.

    Example:
        >>> sketch = Sketch()
        >>> for nanoseconds in (1_000_000, 1_001_000, 2_000_000):
        ...     sketch.add(nanoseconds)
        >>> sketch.value()
        {'data': {'346': 2, '363': 1}, 'size': 3}
    """

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()

    def add(self, value: int) -> None:
        """Count a value; less than one counts as one."""
        self._bins[math.ceil(math.log(max(1, value)) * _SCALE)] += 1

    @property
    def size(self) -> int:
        """How many values were counted."""
        return self._bins.total()

    def value(self) -> dict[str, Any]:
        """Give it as the dashboards read it: bins with their counts, and how many values there are."""
        return {"data": {str(bin): count for bin, count in self._bins.items()}, "size": self.size}


def gauge(count: int) -> dict[str, Any]:
    """Give a count as the dashboards read it."""
    return {"data": [count]}
