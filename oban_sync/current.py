"""The job that runs in this thread."""

from __future__ import annotations

from contextvars import ContextVar

from oban_sync.job import Job

current: ContextVar[Job | None] = ContextVar("oban_current_job", default=None)
"""Set by the run alone."""


def current_job() -> Job | None:
    """Give the job that runs in this thread, or None outside of jobs."""
    return current.get()
