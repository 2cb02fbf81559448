"""The workers of a peer under the same names, so that either side can run what the other enqueues."""

from __future__ import annotations

import threading
from typing import Any

from oban_sync import Cancel, Job, Oban, Record, Snooze, job, worker

PEER = "tests.interop.peer"

going = threading.Event()


@worker(name=f"{PEER}.Ran")
class Ran:
    """Writes that it ran, through the pool of its node."""

    def process(self, job: Job) -> None:
        with Oban.get_instance()._connection() as connection:
            connection.execute("INSERT INTO ran (job, node) VALUES (%s, %s)", (job.id, "ours"))


@worker(name=f"{PEER}.Hold")
class Hold:
    """Runs until it is cancelled, or told to go on."""

    def process(self, job: Job) -> Any:
        while not going.wait(0.01):
            if job.cancelled():
                return Cancel("asked to")
        return None


@worker(name=f"{PEER}.Ends", max_attempts=2)
class Ends:
    """Ends as its args say."""

    def backoff(self, job: Job) -> int:
        return 3600

    def process(self, job: Job) -> Any:
        match job.args["how"]:
            case "record":
                return Record(job.args["value"])
            case "snooze":
                return Snooze(3600, {"why": "later"})
            case "cancel":
                return Cancel("no need")
            case "raise":
                raise ValueError(f"broken by {job.args['by']}")


def tick() -> None:
    """Is enqueued each minute by whoever leads."""


def every_minute() -> None:
    """Declare the periodic job of the peer, for the time of a test."""
    job(name=f"{PEER}.Tick", queue="cron", cron="* * * * *")(tick)
