"""Jobs as a real program has them: several queues, priorities, run times and ends, the same in every run.

Nothing may be tuned to them.
"""

from __future__ import annotations

import random
from typing import NamedTuple

SLOTS = {"bench": 10, "bench_mail": 6, "bench_report": 4}
"""Queues, and the slots of each; a queue has its share of the jobs."""
PRIORITIES = 4
SECONDS = (0.0, 0.001, 0.005, 0.02, 0.05)
"""Run times, equally frequent."""
ENDS = {"plain": 89, "error": 5, "snooze": 3, "cancel": 2, "record": 1}
"""How jobs end, in percent: an error and a snooze at the first run only, so that the job completes at the second."""
AGAIN = ("error", "snooze")
SNOOZE_SECONDS = 0.02
_SEED = 20


class Part(NamedTuple):
    """What one job is to do."""

    queue: str
    priority: int
    seconds: float
    end: str

    @property
    def work(self) -> float:
        """The seconds of all its runs."""
        return self.seconds * (2 if self.end in AGAIN else 1)


def plan(jobs: int) -> list[Part]:
    """Say what each of so many jobs is to do."""
    dice = random.Random(_SEED)  # noqa: S311 - the same jobs for everybody
    queues = dice.choices(list(SLOTS), list(SLOTS.values()), k=jobs)
    priorities = dice.choices(range(PRIORITIES), k=jobs)
    seconds = dice.choices(SECONDS, k=jobs)
    ends = dice.choices(list(ENDS), list(ENDS.values()), k=jobs)
    return [Part(*one) for one in zip(queues, priorities, seconds, ends, strict=True)]
