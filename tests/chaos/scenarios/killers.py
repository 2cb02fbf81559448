"""A job that kills its process is stopped, and only it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage


def killer(stage: Stage, directory: Path, way: str, *, siblings: int) -> Iterator[Counted]:
    """Run a killer beside siblings on one node that somebody starts again whenever it dies (R8).

    Args:
        stage: Where.
        directory: For logs.
        way: `exit` or `crash`.
        siblings: Jobs that run beside it.
    """
    with Fleet(stage.dsn, directory, queues=f"default:{siblings + 1}") as fleet:
        (id,) = stage.enqueue([Job("chaos.Killer", args={"way": way, "seconds": 1.0})])
        stage.enqueue(Job("chaos.Sibling", args={"seconds": 1.5}) for _ in range(siblings))
        fleet.start()
        died, deadline = 0, time.monotonic() + 60 + siblings * 4
        while stage.unended() and time.monotonic() < deadline:
            died += fleet.revive()
            time.sleep(0.05)
        state, errors = stage.ask("SELECT state::text, jsonb_array_length(errors) FROM oban_jobs WHERE id = %s", (id,))[
            0
        ]
        counts = {
            "runs of the killer": stage.one("SELECT count(*) FROM ledger WHERE job = %s", (id,)),
            "discarded": int(state == "discarded"),
            "errors kept": errors,
            "siblings completed": stage.states().get("completed", 0),
            "nodes that died": died,
        }
    kept = counts["discarded"] == 1 and counts["runs of the killer"] == 3 and counts["siblings completed"] == siblings
    fault = "`os._exit` in a job" if way == "exit" else "SIGSEGV in a job"
    claim, line = (
        "a job that kills its process is stopped, and only it",
        "discarded at its third death, all siblings complete",
    )
    yield Counted("R8", claim, fault, f"{siblings} siblings", None, counts, line, kept)
