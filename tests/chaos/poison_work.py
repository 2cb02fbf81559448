"""Workers that do what the corpus of poison says, in a process whose telemetry handler raises too."""

from __future__ import annotations

import sys
import time
from typing import Any

import oban_sync
from oban_sync import Job, telemetry, worker
from tests.chaos import corpus, ledger


@worker(name="chaos.Good")
class Good:
    def process(self, job: Job) -> None:
        if "seconds" in job.args:
            time.sleep(job.args["seconds"])


@worker(name="chaos.Poison")
class Poison:
    """Does what its args name."""

    def process(self, job: Job) -> Any:
        return (corpus.ENDS | corpus.ERRORS)[job.args["poison"]](oban_sync)


@worker(name="chaos.Sabotage")
class Sabotage:
    """Has methods that raise, and writes over its job."""

    def timeout(self, job: Job) -> float:
        return _raise(job, "timeout") or 60.0

    def backoff(self, job: Job) -> float:
        return _raise(job, "backoff") or 3600.0

    def process(self, job: Job) -> None:
        part = job.args.get("in")
        if part == "job":
            job.id, job.attempt, job.max_attempts, job.errors, job.meta = None, "x", -1, 7, []  # type: ignore[assignment]
        raise ValueError("to be retried")


@worker(name="chaos.Unbuilt")
class Unbuilt:
    """Cannot even be built."""

    def __init__(self) -> None:
        raise SystemExit(5)

    def process(self, job: Job) -> None:
        """Is never called."""


@worker(name="chaos.Shared")
class Shared:
    """Runs for some seconds."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            time.sleep(job.args["seconds"])


@worker(name="chaos.Look")
class Look:
    """Writes which modules are imported."""

    def process(self, job: Job) -> None:
        for name in list(sys.modules):
            ledger.write("INSERT INTO modules VALUES (%s, %s)", name, job.args["look"])


def _raise(job: Job, part: str) -> None:
    if job.args.get("in") == part:
        raise SystemExit(part)


def _explode(event: str, meta: dict[str, Any]) -> None:
    raise SystemExit(event, meta)


telemetry.attach("chaos", telemetry.EVENTS, _explode)
