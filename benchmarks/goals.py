"""What oban_sync is to reach, and whether the figures of a run say that it does.

A further goal is a line in `GOALS`: its name, what is demanded, and a function that gives a `Found` or None.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.results import BARE, OURS, Result, Results, divide

POSTGRESQL_PEERS = ("oban", "pgqueuer at 10", "procrastinate", "chancy")
CAPPED, BEST, OBAN = "pgqueuer at 10", "pgqueuer best", "oban"
ONE, TWO, STRICT = "drain, 1 x 10 slots", "drain, 2 x 10 slots", "drain, 1 x 10 slots, none held ready"
NODE, OTHER = "scheduled by the node, late", "scheduled by another process, late"
FLAT_MEGABYTES = 5.0
UNMEASURED = "not measured"


class Found(NamedTuple):
    """What a run says of a goal.

    Attributes:
        value: The figure, or the ratio of two.
        met: Whether it is as demanded.
    """

    value: float
    met: bool


Rule = Callable[[Results], Found | None]
"""Gives what a run says; None: it did not measure that."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One demand.

    Attributes:
        name: What it is about.
        text: What is demanded.
        rule: Judges.
    """

    name: str
    text: str
    rule: Rule


class Judged(NamedTuple):
    """A goal, its figure as text, and `met`, `missed` or `not measured`."""

    goal: Goal
    figure: str
    verdict: str


def judge(results: Results) -> list[Judged]:
    """Judge every goal by the figures of a run."""
    judged = []
    for goal in GOALS:
        found = goal.rule(results)
        if found is None:
            judged.append(Judged(goal, "-", UNMEASURED))
        else:
            judged.append(Judged(goal, f"{found.value:,.2f}", "met" if found.met else "missed"))
    return judged


def least(workload: str, bound: float) -> Rule:
    """Demand that our figure is so much or more."""
    return lambda results: _compare(results.get(workload, OURS), operator.ge, bound)


def most(workload: str, bound: float) -> Rule:
    """Demand that our figure is so much or less."""
    return lambda results: _compare(results.get(workload, OURS), operator.le, bound)


def times(workload: str, system: str, bound: float, *, theirs: str | None = None) -> Rule:
    """Demand that our figure is so many times that of a system, whose workload may be another one."""
    return lambda results: _divide(results.get(workload, OURS), results.get(theirs or workload, system), bound)


def times_like(begin: str, end: str, system: str, bound: float) -> Rule:
    """Demand the same of the workload whose name begins and ends so; between them is a size."""

    def rule(results: Results) -> Found | None:
        names = [one.workload for one in results if one.workload.startswith(begin) and one.workload.endswith(end)]
        return times(names[0], system, bound)(results) if names else None

    return rule


def fraction_of_best(workload: str, systems: Iterable[str], bound: float) -> Rule:
    """Demand that our time is at most so much of the shortest of the others'."""

    def rule(results: Results) -> Found | None:
        ours = results.get(workload, OURS)
        others = [other for other in (results.get(workload, system) for system in systems) if other is not None]
        if ours is None or not others:
            return None
        ratio = divide(ours, min(others, key=lambda other: other.value))
        return None if ratio is None else Found(ratio, ratio <= bound)

    return rule


def _compare(result: Result | None, operate: Callable[[float, float], bool], bound: float) -> Found | None:
    return None if result is None else Found(result.value, operate(result.value, bound))


def _divide(result: Result | None, other: Result | None, bound: float) -> Found | None:
    ratio = None if result is None or other is None else divide(result, other)
    return None if ratio is None else Found(ratio, ratio >= bound)


GOALS = (
    Goal("drain, 10 slots, one process", ">= 10x pgqueuer at 10", times(ONE, CAPPED, 10)),
    Goal("drain, 10 slots, one process", ">= 2x pgqueuer best", times(ONE, BEST, 2)),
    Goal("drain, 10 slots, one process", ">= 25x oban", times(ONE, OBAN, 25)),
    Goal("drain, 10 slots, one process", ">= 0.8 of bare SQL", times(ONE, BARE, 0.8)),
    Goal("drain, two processes", ">= 1.4x one", times(TWO, OURS, 1.4, theirs=ONE)),
    Goal("drain, none held ready, 10 slots", ">= 0.22 of bare SQL", times(STRICT, BARE, 0.22)),
    Goal("drain, none held ready, 10 slots", ">= 2.5x pgqueuer at 10", times(STRICT, CAPPED, 2.5, theirs=ONE)),
    Goal("1 ms jobs, 50 slots", ">= 0.6 of 50,000/s", least("short 1 ms, 50 slots: of the ideal 50,000/s", 0.6)),
    Goal("bulk, 1,000 a call", ">= 2x pgqueuer", times("bulk, 1,000 a call", CAPPED, 2)),
    Goal("bulk, 1,000 a call", ">= 20x oban", times("bulk, 1,000 a call", OBAN, 20)),
    Goal("bulk, 1,000 a call", ">= 0.85 of bare SQL", times("bulk, 1,000 a call", BARE, 0.85)),
    Goal("bulk, 100,000 a call", ">= 4x pgqueuer", times("bulk, 100,000 a call", CAPPED, 4)),
    Goal("enqueue one by one", ">= 0.85 of bare SQL", times("enqueue, 1 thread", BARE, 0.85)),
    Goal("enqueue one by one", ">= 2x oban", times("enqueue, 1 thread", OBAN, 2)),
    Goal("enqueue, 8 threads", ">= 1.8x one", times("enqueue, 8 threads", OURS, 1.8, theirs="enqueue, 1 thread")),
    *(
        Goal(
            f"pick-up, idle node, {part}",
            f"<= {bound} of the best PostgreSQL peer",
            fraction_of_best(f"latency: call to start, {part}", POSTGRESQL_PEERS, bound),
        )
        for part, bound in (("p50", 0.55), ("p99", 0.65))
    ),
    *(
        Goal(f"{name}: {part}", f"<= {bound} ms, none early", most(f"{name}: {part}", bound))
        for name in (NODE, OTHER)
        for part, bound in (("p50", 2.0), ("p99", 5.0))
    ),
    Goal("10 ms sleep, 50 slots", ">= 0.95 of the ideal", least("sleep 10 ms, 50 slots, of the ideal", 0.95)),
    Goal("drain beside a backlog", ">= 0.9 of the empty table", least("backlog: drain, of the empty table", 0.9)),
    Goal("enqueue beside a backlog", ">= 0.9 of the empty table", least("backlog: enqueue, of the empty table", 0.9)),
    Goal("idle node beside a backlog", "<= 1 % of a core", most("backlog: idle node, beside them", 1.0)),
    Goal("drain, snapshot held open", ">= 0.85 of without", least("snapshot: snapshot held, of without", 0.85)),
    Goal("drain, snapshot held open", ">= 5x oban", times_like("snapshot: after ", ", snapshot held", OBAN, 5)),
    Goal(
        "drain, snapshot held open",
        "a job that comes late and belongs first waits <= 2 s",
        most("snapshot: snapshot held, longest wait of a late job that belongs first", 2000),
    ),
    Goal(
        "memory of a node, jobs through it",
        f"grows by <= {FLAT_MEGABYTES:g} MB after a tenth of them",
        most("memory of a node, jobs through it: growth", FLAT_MEGABYTES),
    ),
    Goal(
        "memory of a node, jobs waiting",
        f"<= {FLAT_MEGABYTES:g} MB more than with none",
        most("memory of an idle node: difference", FLAT_MEGABYTES),
    ),
)
