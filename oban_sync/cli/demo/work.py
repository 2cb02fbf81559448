"""The second part: one job for each file of the standard library."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from oban_sync import Job, Oban, clock
from oban_sync.cli.demo.count import Counts, loop
from oban_sync.cli.demo.screen import Advance, Screen
from oban_sync.cli.demo.tables import states
from oban_sync.cli.demo.workers import CountFile, greet

STALL_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_ENDS = ("completed", "cancelled", "discarded")
CLOCKS = 20
CLOCK_STEP = 0.05


@dataclass(frozen=True, slots=True)
class Worked:
    """What the jobs did.

    Attributes:
        jobs: One a file, and those of `clocks`.
        clocks: Jobs that were due at instants while the others ran.
        stored_seconds: What storing the jobs took.
        seconds: What all took, storing and running.
    """

    jobs: list[Job]
    clocks: list[Job]
    stored_seconds: float
    seconds: float


def work(oban: Oban, paths: list[str], screen: Screen) -> Worked:
    """Enqueue a job for each file and wait until all have ended."""
    started = clock.monotonic()
    jobs = oban.enqueue_many(CountFile.new({"path": path}) for path in paths)
    stored = clock.monotonic() - started
    clocks = oban.enqueue_many(greet.new(f"clock {n}", schedule_in=CLOCK_STEP * n) for n in range(1, CLOCKS + 1))
    screen.say(f"  {len(jobs):,} jobs stored by one enqueue_many in {stored * 1000:.0f} ms")
    with screen.progress("jobs", len(jobs)) as advance:
        ended = _follow(jobs, advance)
    _follow(clocks, lambda _: None)
    return Worked(jobs + clocks, clocks, stored, ended - started)


def loop_alone(paths: list[str], screen: Screen) -> tuple[dict[str, Counts], float]:
    """Count the same files by a plain loop, and give the seconds it took."""
    counts: dict[str, Counts] = {}
    started = clock.monotonic()
    with screen.progress("loop", len(paths)) as advance:
        for path, found in loop(paths):
            counts[path] = found
            advance(len(counts))
    return counts, clock.monotonic() - started


def _follow(jobs: Sequence[Job], advance: Advance) -> float:
    """Wait until jobs have ended, and give the instant; none ending for a minute ends the wait too."""
    done, deadline = 0, clock.monotonic() + STALL_SECONDS
    while True:
        found = states(jobs)
        now = clock.monotonic()
        before, done = done, sum(found[state] for state in _ENDS)
        advance(done)
        deadline = now + STALL_SECONDS if done > before else deadline
        if done == len(jobs) or now > deadline:
            return now
        time.sleep(_LOOK_SECONDS)
