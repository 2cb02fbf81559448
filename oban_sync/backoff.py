"""Rules for how long a failed job waits before its next attempt. Times are seconds."""

from __future__ import annotations

import random
from typing import Literal


def exponential(attempt: int, *, max_pow: int = 10, min_pad: int = 0, mult: int = 1) -> int:
    """Double the delay with each attempt.

    Args:
        attempt: Number of the attempt that failed, from 1.
        max_pow: The power of two at which the delay stops growing.
        min_pad: Seconds added to every delay.
        mult: Factor of the power of two.

    Example:
        >>> [exponential(attempt) for attempt in (1, 2, 3, 20)]
        [2, 4, 8, 1024]
    """
    return int(min_pad + mult * 2 ** min(attempt, max_pow))


def jitter(time: int, *, mode: Literal["inc", "dec", "both"] = "both", mult: float = 0.1) -> int:
    """Move a delay by a random share of at most `mult` of itself, up (`inc`), down (`dec`) or either way."""
    share = int(random.random() * mult * time)  # noqa: S311 - spreads retries, protects nothing
    if mode == "both":
        mode = random.choice(("inc", "dec"))  # noqa: S311
    return time + share if mode == "inc" else time - share


def jittery_exponential(attempt: int, *, max_pow: int = 10, min_pad: int = 0, mult: int = 1) -> int:
    """Double the delay with each attempt, then move it by up to 10 % either way."""
    return jitter(exponential(attempt, max_pow=max_pow, min_pad=min_pad, mult=mult))


def jittery_clamped(attempt: int, max_attempts: int, *, clamped_max: int = 20) -> int:
    """Give the default delay of a retry: 15 s plus a power of two, lengthened by up to 10 %.

    A job with more than `clamped_max` attempts spreads them over the same range of delays, as in Oban.

    Example:
        >>> 17 <= jittery_clamped(1, 20) <= 18
        True
        >>> jittery_clamped(100, 100) <= (15 + 2**20) * 1.1
        True
    """
    clamped = attempt if max_attempts <= clamped_max else round(attempt / max_attempts * clamped_max)
    return jitter(exponential(clamped, max_pow=100, min_pad=15), mode="inc")
