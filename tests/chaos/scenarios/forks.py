"""Processes that are forked while the pool of their parent is in use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

from tests.chaos.counted import Counted
from tests.chaos.server import Stage

WAYS = ("os.fork", "fork", "forkserver", "spawn")
"""The function of os, and the methods of multiprocessing."""
ROOT = Path(__file__).parents[3]


def forked(stage: Stage, directory: Path, *, way: str, children: int, questions: int) -> Iterator[Counted]:
    """Fork children of a process whose threads use the pool, and have all of them use it at once (R15).

    Args:
        stage: Where.
        directory: For logs.
        way: How, of `WAYS`.
        children: How many.
        questions: How many each thread asks.
    """
    program = [sys.executable, "-m", "tests.chaos.forking", way, stage.dsn, str(children), str(questions)]
    done = subprocess.run(
        program, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=300, check=False
    )
    (directory / "forks.log").write_text(done.stderr)
    answers = [orjson.loads(line) for line in done.stdout.splitlines()]
    wanted = (children + 1) * 3 * questions
    backends = [pid for found in answers for pid in found["backends"]]
    counts = {
        "questions": sum(found["asked"] for found in answers),
        "wrong answers": sum(found["wrong"] for found in answers),
        "connections shared": len(backends) - len(set(backends)),
        "jobs stored": stage.one("SELECT count(*) FROM oban_jobs"),
        "exit status": done.returncode,
    }
    right = not counts["wrong answers"] and not counts["connections shared"] and done.returncode == 0
    kept = right and counts["questions"] == counts["jobs stored"] == wanted
    claim, line = "forking is safe", "wrong answers 0, no connection shared, all jobs stored"
    sizes = f"{children} children, 3 threads each"
    yield Counted("R15", claim, f"{way} while threads use the pool", sizes, None, counts, line, kept)
