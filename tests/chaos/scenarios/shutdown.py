"""Nodes that are told to stop do so in time, whatever their jobs do."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet, Node
from tests.chaos.server import Stage, private

WAYS = ("sleeping", "swallowing", "blocked in C")
GRACE = 1.0
OVERTIME = 2.0
HELD = 8.0
"""Seconds that a call of some 4 s may hold the interpreter on a busy machine."""


def stop(stage: Stage, directory: Path, *, times: int = 1) -> Iterator[Counted]:
    """Stop nodes whose jobs do not end, and see who runs these then (R14)."""
    waits, exits = [], []
    with Fleet(stage.dsn, directory, queues=f"default:{len(WAYS)}") as fleet:
        for number in range(times):
            node = _busy(stage, fleet, number)
            other = fleet.start(f"other{number}")
            stage.need(partial(_up, stage, other))
            node.send(signal.SIGTERM)
            exits.append(node.seconds_to_exit(60))
            at = stage.one("SELECT clock_timestamp()")
            stage.wait(lambda: stage.unended() == 0, 40)
            waits += [seconds for (seconds,) in stage.ask(_AGAIN, (at, other.name))]
            other.kill()
    fault = f"SIGTERM while jobs are {', '.join(WAYS)}; grace {GRACE:g} s"
    counts = _exits(exits) | {"jobs handed back": len(waits), "run elsewhere after s": max(waits, default=0.0)}
    yield _bounded(fault, len(exits), counts, kept=len(waits) == times * len(WAYS) and max(waits, default=99) <= 2)


_AGAIN = "SELECT extract(epoch FROM began - %s)::float8 FROM ledger WHERE node = %s"


def stop_twice(stage: Stage, directory: Path, *, times: int = 1) -> Iterator[Counted]:
    """Stop nodes that have all the time they want, and send the signal again (R14)."""
    exits = []
    with Fleet(stage.dsn, directory, queues=f"default:{len(WAYS)}") as fleet:
        for number in range(times):
            node = _busy(stage, fleet, number, grace=3600)
            node.send(signal.SIGTERM)
            stage.need(partial(_ended, stage, node), 20)
            exits.append(_insist(node))
            stage.ask("TRUNCATE oban_jobs, ledger")
    yield _bounded("SIGTERM twice; grace 3,600 s", len(exits), _exits(exits, limit=OVERTIME))


def stop_in_outage(directory: Path) -> Iterator[Counted]:
    """Stop a node while PostgreSQL is stopped and answers nobody (R14)."""
    with private() as stage, Fleet(stage.dsn, directory, queues=f"default:{len(WAYS)}") as fleet:
        node = _busy(stage, fleet, 0)
        with stage.silent():
            node.send(signal.SIGTERM)
            exits = [node.seconds_to_exit(60)]
    yield _bounded(f"SIGTERM while PostgreSQL is silent; grace {GRACE:g} s", 1, _exits(exits))


def stop_holding(stage: Stage, directory: Path) -> Iterator[Counted]:
    """Stop a node while a C call holds the interpreter, so that not even a handler of signals can run (R14)."""
    with Fleet(stage.dsn, directory, queues="default:1") as fleet:
        node = fleet.start("", "", "--grace", str(GRACE))
        stage.need(lambda: _up(stage, node))
        stage.enqueue([Job("chaos.Stubborn", args={"way": "holding the interpreter"})])
        stage.need(lambda: stage.one("SELECT count(*) FROM gates WHERE name = 'holding'"))
        node.send(signal.SIGTERM)
        exits = [node.seconds_to_exit(60)]
    fault = f"SIGTERM while a C call holds the interpreter for some 4 s; grace {GRACE:g} s"
    yield _bounded(fault, 1, _exits(exits, limit=HELD + GRACE + OVERTIME), line="ends with that call, then as above")


def stop_held(stage: Stage, directory: Path, *, grace: float = GRACE) -> Iterator[Counted]:
    """Stop a node in whose grace period a C call begins that holds the interpreter for long (R14)."""
    with Fleet(stage.dsn, directory, queues="default:1") as fleet:
        node = fleet.start("", "", "--grace", str(grace))
        stage.enqueue([Job("chaos.Stubborn", args={"way": "holding it late"})])
        stage.need(lambda: stage.one("SELECT count(*) FROM ledger"))
        node.send(signal.SIGTERM)
        began = time.monotonic()
        stage.need(partial(_ended, stage, node), 20)
        stage.ask("INSERT INTO gates VALUES ('stopping')")
        node.seconds_to_exit(60)
        exits: list[float | None] = [time.monotonic() - began]
    fault = f"SIGTERM, after which a C call holds the interpreter for some 30 s; grace {grace:g} s"
    counts = _exits(exits, limit=grace + OVERTIME) | {"status": float(node.process.returncode or 0)}
    yield _bounded(fault, 1, counts, line=f"exit <= grace + {OVERTIME:g} s")


def _insist(node: Node) -> float | None:
    """Send the signal until the node ends: two that come at one instant are one."""
    for _ in range(100):
        node.send(signal.SIGTERM)
        if (seconds := node.seconds_to_exit(0.1)) is not None:
            return seconds
    return None


def _busy(stage: Stage, fleet: Fleet, number: int, grace: float = GRACE) -> Node:
    """Start a node and give it a job of each way."""
    node = fleet.start(f"busy{number}", "", "--grace", str(grace))
    before = stage.one("SELECT count(*) FROM ledger")
    stage.enqueue(Job("chaos.Stubborn", args={"way": way}) for way in WAYS)
    stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == before + len(WAYS))
    return node


def _up(stage: Stage, node: Node) -> bool:
    return bool(stage.one("SELECT count(*) FROM oban_producers WHERE node = %s", (node.name,)))


def _ended(stage: Stage, node: Node) -> bool:
    """Say whether a node fetches no more: the connection of its scheduler goes first."""
    name = f"oban_sync:{node.name}:scheduler"
    return not stage.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (name,))


def _exits(exits: list[float | None], limit: float = GRACE + OVERTIME) -> dict[str, float]:
    known = [seconds for seconds in exits if seconds is not None]
    in_time = sum(seconds <= limit for seconds in known)
    return {"exits": len(known), "in time": in_time, "slowest exit s": max(known, default=float("inf"))}


def _bounded(fault: str, times: int, counts: dict[str, float], *, kept: bool = True, line: str = "") -> Counted:
    line = line or f"exit <= grace + {OVERTIME:g} s, jobs handed back run elsewhere <= 2 s"
    kept = kept and counts["in time"] == times
    return Counted("R14", "shutdown is bounded", fault, f"{times} times", None, counts, line, kept)
