"""Workers that `oban-sync start` processes of tests import. What they did stands in the table effects."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress

from psycopg_pool import ConnectionPool

from oban_sync import Cancel, Job, worker

EFFECTS = "CREATE TABLE effects (job bigint PRIMARY KEY, runs int NOT NULL DEFAULT 1)"

_pool = ConnectionPool(
    os.environ.get("EFFECTS_DSN", ""), min_size=1, max_size=4, open=False, kwargs={"autocommit": True}
)


@worker(name="nodes.Effect")
class Effect:
    """Has one effect a job, however often it runs, and counts its runs."""

    def process(self, job: Job) -> None:
        _pool.open()
        with _pool.connection() as connection:
            connection.execute(
                "INSERT INTO effects (job) VALUES (%s) ON CONFLICT (job) DO UPDATE SET runs = effects.runs + 1",
                (job.id,),
            )


@worker(name="nodes.Sleep")
class Sleep:
    def process(self, job: Job) -> None:
        time.sleep(job.args["seconds"])


@worker(name="nodes.Hold")
class Hold:
    """Runs until it is cancelled."""

    def process(self, job: Job) -> Cancel:
        while not job.cancelled():
            time.sleep(0.01)
        return Cancel("asked to")


@worker(name="nodes.Beside", max_attempts=2)
class Beside:
    """Runs long enough to die with the jobs beside it."""

    def process(self, job: Job) -> None:
        time.sleep(3600 if job.meta.get("rescued", 0) < 2 else 0)


@worker(name="nodes.Killer")
class Killer:
    """Ends its process once the other killer and all jobs beside it run too."""

    def process(self, job: Job) -> None:
        _pool.open()
        with _pool.connection() as connection:
            count = "SELECT count(*) FROM oban_jobs WHERE state = 'executing'"
            while job.meta.get("rescued", 0) < 2 and connection.execute(count).fetchone()[0] < job.args["beside"]:
                time.sleep(0.05)
        if job.args["how"] == "exit":
            os._exit(1)
        ctypes.string_at(0)


@worker(name="nodes.Deaf", timeout=0.2)
class Deaf:
    """Cannot be interrupted."""

    def process(self, job: Job) -> None:
        while True:
            with suppress(BaseException):
                time.sleep(0.01)

    def backoff(self, job: Job) -> float:
        return 3600
