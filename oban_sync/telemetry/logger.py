"""Log records of events, and of the job that a record belongs to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

from oban_sync.current import current_job
from oban_sync.job import Job
from oban_sync.telemetry.core import attach as _attach
from oban_sync.telemetry.core import detach as _detach

__all__ = ["EVENTS", "JobFilter", "attach", "detach"]

EVENTS = ("oban.job.stop", "oban.job.exception", "oban.queue.shutdown")
"""What is logged unless `attach` is told otherwise."""

_ID = "oban_sync.telemetry.logger"
_JOB_FIELDS = ("id", "worker", "queue", "attempt", "max_attempts", "args", "meta", "tags")
_TIMES = ("duration", "queue_time", "elapsed")
_LEFT_OUT = ("job", "monotonic_time", "system_time", "traceback")


def attach(
    *, level: int = logging.INFO, logger: logging.Logger | None = None, events: Iterable[str] | None = None
) -> None:
    """Log events, each as a line for people with its fields in `record.oban` for programs.

    The fields are the event's metadata as JSON can hold it: times in milliseconds, and in place of a job its `id`,
    `worker`, `queue`, `attempt`, `max_attempts`, `args`, `meta` and `tags`.

    Args:
        level: Of the starts and ends of jobs; a failed attempt goes one level up, to WARNING at least. What other parts
            do has the level DEBUG, or ERROR where it failed; a stop that left jobs running has WARNING.
        logger: Instead of `oban_sync.jobs`.
        events: Instead of `EVENTS`; see `oban_sync.telemetry`.

    Raises:
        ConfigError: There is no such event.
    """
    target = logger or logging.getLogger("oban_sync.jobs")

    def handle(event: str, meta: dict[str, Any]) -> None:
        if event == "oban.queue.shutdown" and not meta["orphaned"]:
            return
        at = _level(event, level)
        if target.isEnabledFor(at):
            target.log(at, "%s", _line(event, meta), extra={"oban": _fields(event, meta)})

    _attach(_ID, EVENTS if events is None else events, handle)


def detach() -> None:
    """Stop logging."""
    _detach(_ID)


class JobFilter(logging.Filter):
    """Gives each record `job_id`, `worker` and `queue` of the job in whose thread it was logged; outside of jobs None.

    Add it to a handler, whose format may then name them.

    Example:
        >>> handler = logging.StreamHandler()
        >>> handler.addFilter(JobFilter())
        >>> handler.setFormatter(logging.Formatter("%(levelname)s job=%(job_id)s %(message)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, and let the record pass."""
        job = current_job()
        record.job_id = None if job is None else job.id
        record.worker = None if job is None else job.worker
        record.queue = None if job is None else job.queue
        return True


class OfJob(JobFilter):
    """Gives each record that a job logged `of_job`, the end of a line that names the job."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the field, and let the record pass; the line of a job's end names it already."""
        job = None if record.name == "oban_sync.jobs" else current_job()
        record.of_job = "" if job is None else f" [job {job.id} {job.worker} of queue {job.queue}]"
        return super().filter(record)


def to_stderr(level: int | str) -> None:
    """Have a process of ours log to stderr, where nothing is set up yet, each line with the job that it is of."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OfJob())
    line = "%(asctime)s %(levelname)s %(name)s %(message)s%(of_job)s"
    logging.basicConfig(level=level, format=line, handlers=[handler])


def _level(event: str, level: int) -> int:
    failed = event.endswith(".exception")
    if event.startswith("oban.job."):
        return max(level, logging.WARNING) if failed else level
    if event == "oban.queue.shutdown":
        return logging.WARNING
    return logging.ERROR if failed else logging.DEBUG


def _line(event: str, meta: dict[str, Any]) -> str:
    failed = f": {meta['error_type']}: {meta['error_message'][:200]}" if event.endswith(".exception") else ""
    if event.startswith("oban.job."):
        return _job_line(meta["job"], meta) + failed
    if event == "oban.queue.shutdown":
        return f"queue {meta['queue']} stopped, but jobs still run: {meta['orphaned']}"
    took = f" took {meta['duration'] / 1e6:.1f} ms" if "duration" in meta else ""
    known = [key for key in meta if not key.startswith("error_") and key not in _TIMES + _LEFT_OUT]
    return f"{event}{took}{''.join(f' {key}={meta[key]!r:.200}' for key in known)}{failed}"


def _job_line(job: Job, meta: dict[str, Any]) -> str:
    named = f"job {job.id} {job.worker} of queue {job.queue}, attempt {job.attempt}/{job.max_attempts}"
    if "state" not in meta:
        return f"started {named}"
    return f"{meta['state']} {named}: waited {meta['queue_time'] / 1e6:.1f} ms, ran {meta['duration'] / 1e6:.1f} ms"


def _fields(event: str, meta: dict[str, Any]) -> dict[str, Any]:
    fields = {"event": event, **{key: value for key, value in meta.items() if key not in _LEFT_OUT}}
    if "job" in meta:
        fields |= {name: getattr(meta["job"], name) for name in _JOB_FIELDS}
    if "jobs" in meta:
        fields["jobs"] = [job.id for job in meta["jobs"]]
    return fields | {key: round(meta[key] / 1e6, 2) for key in _TIMES if key in meta}
