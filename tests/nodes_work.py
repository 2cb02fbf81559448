"""Workers that `oban-sync start` processes of tests import. What they did stands in the table effects."""

from __future__ import annotations

import os
import time

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
