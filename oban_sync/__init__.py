"""A blocking job queue on PostgreSQL with the guarantees of Oban.

>>> from oban_sync import Oban, worker
"""

from oban_sync._version import __version__
from oban_sync.current import current_job
from oban_sync.job import Cancel, Job, JobState, Record, Snooze
from oban_sync.lifecycle.finding import Finding
from oban_sync.lifecycle.overview import Overview
from oban_sync.oban import Oban
from oban_sync.runtime.producers import QueueInfo
from oban_sync.worker import Worker, job, worker

__all__ = [
    "Cancel",
    "Finding",
    "Job",
    "JobState",
    "Oban",
    "Overview",
    "QueueInfo",
    "Record",
    "Snooze",
    "Worker",
    "__version__",
    "current_job",
    "job",
    "worker",
]
