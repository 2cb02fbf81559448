"""Nodes of Oban for Python on the same tables: both complete everything, and neither takes what the other runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage
from tests.chaos.systems import System, start_peer

WORKER = "tests.chaos.peer_node.Shared"


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long jobs run that only one of both nodes runs, and how long the peer lets jobs run, in seconds."""

    ours: float
    theirs: float
    rescue_after: float


def fleet_of_two(
    stage: Stage, directory: Path, seed: int, peer: System, *, jobs: int, long: Lengths
) -> Iterator[Counted]:
    """Run short jobs on nodes of both, of which the peer's leads, beside long ones of each (R25).

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws how long short jobs take.
        peer: The other queue.
        jobs: How many are short.
        long: Of the long ones.
    """
    random = Random(seed)
    assert peer.python is not None, "a mixed fleet needs a peer"
    with Fleet(stage.dsn, directory, queues="default:5,ours:3") as fleet:
        lifeline = {"rescue_after": long.rescue_after, "interval": 1}
        theirs = start_peer(fleet, peer.python, "theirs", queues={"default": 5, "theirs": 3}, lifeline=lifeline)
        stage.need(lambda: stage.one("SELECT count(*) FROM oban_leaders WHERE node = %s", (theirs.name,)))
        ours = fleet.start("ours")
        stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == 2)
        stored = [Job(WORKER, queue="ours", args={"seconds": long.ours}) for _ in range(3)]
        stored += [Job(WORKER, queue="theirs", args={"seconds": long.theirs}) for _ in range(3)]
        stored += [Job(WORKER, args={"seconds": round(random.uniform(0, 0.02), 4)}) for _ in range(jobs)]
        stage.enqueue(stored)
        stage.wait(lambda: stage.unended() == 0, 60 + long.ours)
        ran = dict(stage.ask("SELECT node, count(DISTINCT job) FROM ledger GROUP BY node"))
        counts = {
            "completed": stage.states().get("completed", 0),
            "by oban_sync": ran.get(ours.name, 0),
            f"by {peer.name}": ran.get(theirs.name, 0),
            "run more than once": stage.one(_AGAIN),
            "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
        }
    both = all(ran.get(node.name) for node in (ours, theirs))
    kept = counts["completed"] == len(stored) and not counts["run more than once"] and not counts["rescued"] and both
    sizes = f"{jobs:,} short jobs for both, 3 of {long.theirs:g} s for it, 3 of {long.ours:g} s for us"
    fault = f"{peer.name} on the same tables, which leads, with a `rescue_after` of {long.rescue_after:g} s"
    line = "all completed, none run twice, none rescued"
    yield Counted("R25", "a mixed fleet is safe", fault, sizes, seed, counts, line, kept)


_AGAIN = "SELECT count(*) FROM (SELECT FROM ledger GROUP BY job HAVING count(*) > 1) AS again"
