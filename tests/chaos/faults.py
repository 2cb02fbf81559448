"""A schedule of faults that a seed draws and replays."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from tests.chaos.fleet import Fleet, Node
from tests.chaos.server import Stage


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault.

    Attributes:
        at: Seconds from the begin.
        kind: `kill` one process and start another, `stop` one for a while, or `restart` PostgreSQL as after a crash.
        pick: Which process, as a share of those that run.
        lasts: Seconds of a stop.
    """

    at: float
    kind: str
    pick: float
    lasts: float


def schedule(random: Random, *, kills: int, stops: int, restarts: int, gap: float) -> list[Fault]:
    """Draw an order of these faults, `gap` seconds apart on average."""
    kinds = ["kill"] * kills + ["stop"] * stops + ["restart"] * restarts
    random.shuffle(kinds)
    at, found = 0.0, []
    for kind in kinds:
        at += random.uniform(0.5, 1.5) * gap
        found.append(Fault(at, kind, random.random(), random.uniform(0.5, 7.0)))
    return found


def inflict(faults: list[Fault], fleet: Fleet, stage: Stage) -> Counter[str]:
    """Do it all, and give how often each kind was done."""
    began = time.monotonic()
    stopped: dict[float, Node] = {}
    for at, fault in _timeline(faults):
        time.sleep(max(0.0, began + at - time.monotonic()))
        if fault.at < at:
            _resume(stopped.pop(fault.at, None))
        elif fault.kind == "restart":
            stage.restart()
        else:
            living = fleet.living()
            node = living[int(fault.pick * len(living))]
            if fault.kind == "stop":
                node.send(signal.SIGSTOP)
                stopped[fault.at] = node
            else:
                node.kill()
                fleet.start()
    return Counter(fault.kind for fault in faults)


def _timeline(faults: list[Fault]) -> Iterator[tuple[float, Fault]]:
    """Give what is to be done when, in order; a stop comes a second time, for its end."""
    ends = [(fault.at + fault.lasts, fault) for fault in faults if fault.kind == "stop"]
    yield from sorted([(fault.at, fault) for fault in faults] + ends)


def _resume(node: Node | None) -> None:
    if node is not None and node.alive:
        with suppress(ProcessLookupError):
            node.send(signal.SIGCONT)
