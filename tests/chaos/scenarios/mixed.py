"""Nodes of Oban for Python on the same tables: both complete everything, and neither takes what the other runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage
from tests.chaos.systems import System, start_peer

WORKER = "tests.chaos.peer_node.Shared"


def fleet_of_two(
    stage: Stage, directory: Path, seed: int, peer: System, *, jobs: int, seconds: float
) -> Iterator[Counted]:
    """Run short jobs on nodes of both, beside long ones (R25).

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws how long jobs take.
        peer: The other queue.
        jobs: How many are short.
        seconds: How long the long ones run, more than our lease.
    """
    random = Random(seed)
    assert peer.python is not None, "a mixed fleet needs a peer"
    with Fleet(stage.dsn, directory, queues="default:5") as fleet:
        ours, theirs = fleet.start("ours"), start_peer(fleet, peer.python, "theirs")
        names = [ours.name, theirs.name]
        stage.need(lambda: stage.one(_NODES, (names,)) == len(names))
        lengths = [seconds] * 6 + [round(random.uniform(0, 0.02), 4) for _ in range(jobs)]
        stage.enqueue(Job(WORKER, args={"seconds": length}) for length in lengths)
        stage.wait(lambda: stage.unended() == 0, 60 + seconds)
        ran = dict(stage.ask("SELECT node, count(DISTINCT job) FROM ledger GROUP BY node"))
        counts = {
            "completed": stage.states().get("completed", 0),
            "by oban_sync": ran.get(ours.name, 0),
            f"by {peer.name}": ran.get(theirs.name, 0),
            "run more than once": stage.one(_AGAIN),
            "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
        }
    both = all(ran.get(name) for name in names)
    kept = counts["completed"] == len(lengths) and not counts["run more than once"] and not counts["rescued"] and both
    sizes = f"{jobs:,} short jobs, 6 of {seconds:g} s, a node of each"
    line = "all completed, none run twice, none rescued"
    yield Counted("R25", "a mixed fleet is safe", f"{peer.name} on the same tables", sizes, seed, counts, line, kept)


_NODES = "SELECT count(DISTINCT node) FROM oban_producers WHERE node = ANY (%s)"
_AGAIN = "SELECT count(*) FROM (SELECT FROM ledger GROUP BY job HAVING count(*) > 1) AS again"
