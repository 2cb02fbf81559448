"""The workers of the demo: written as yours would be."""

from __future__ import annotations

from oban_sync import Job, Worker, clock, current_job, job, worker
from oban_sync.cli.demo.count import count
from oban_sync.cli.demo.tables import Order, Run, Sessions, store

INSTANCE = "demo"
QUEUES = {"oban_sync_demo_guide": 4, "oban_sync_demo_files": 2}
"""Parsing holds the interpreter, so more threads would not parse faster; a second one parses while the first writes."""


@job(oban=INSTANCE, name="demo.greet", queue="oban_sync_demo_guide", max_attempts=1)
def greet(name: str) -> None:
    """Leave a mark that says hello."""
    with Sessions.begin() as session:
        session.add(_mark(f"Hello, {name}!"))


@job(oban=INSTANCE, name="demo.ship", queue="oban_sync_demo_guide", max_attempts=1)
def ship(order_id: int) -> None:
    """Ship an order, and leave a mark."""
    with Sessions.begin() as session:
        session.get_one(Order, order_id).shipped = True
        session.add(_mark(f"Order {order_id} shipped"))


@worker(oban=INSTANCE, name="demo.count_file", queue="oban_sync_demo_files", max_attempts=3)
class CountFile(Worker):
    """Parses one file and stores its counts."""

    def process(self, job: Job) -> None:
        """Do the work of one file."""
        started = clock.monotonic()
        counts = count(job.args["path"])
        store(job.args["path"], counts, clock.monotonic() - started)


NAMES = ("demo.greet", "demo.ship", "demo.count_file")


def _mark(said: str) -> Run:
    running = current_job()
    assert running is not None  # noqa: S101 - called by jobs alone
    return Run(job_id=running.id, said=said, due_at=running.scheduled_at)
