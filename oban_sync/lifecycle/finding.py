"""What was found about a job or a database: a sentence, its evidence, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer.

    Attributes:
        name: Its kind, which stays the same between releases.
        level: ok, note (good to know) or wrong (something is to be done).
        says: What holds, in a sentence.
        advice: What to do; empty where there is nothing.
        evidence: The figures and names that it rests on, as JSON has them.
    """

    name: str
    level: Level
    says: str
    advice: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


def span(seconds: float) -> str:
    """Write a length of time for people.

    Example:
        >>> span(0.25), span(75), span(90_000)
        ('0.2 s', '1 min 15 s', '1 d 1 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, name, below, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def several(count: int, one: str) -> str:
    """Write how many there are of something.

    Example:
        >>> several(1, "job"), several(2000, "job")
        ('1 job', '2,000 jobs')
    """
    return f"{count:,} {one}{'' if count == 1 else 's'}"
