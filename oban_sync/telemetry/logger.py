"""One log line a job: what ended, how, and how long it waited and ran."""

from __future__ import annotations

import logging
from typing import Any

from oban_sync.telemetry.core import attach as _attach
from oban_sync.telemetry.core import detach as _detach

_ID = "oban_sync.telemetry.logger"


def attach(*, level: int = logging.INFO, logger: logging.Logger | None = None) -> None:
    """Log each job's end to the logger `oban_sync.jobs`, or yours; failures go one level up, to WARNING at least."""
    target = logger or logging.getLogger("oban_sync.jobs")

    def handle(event: str, meta: dict[str, Any]) -> None:
        failed = event.endswith("exception")
        job = meta["job"]
        target.log(
            max(level, logging.WARNING) if failed else level,
            "%s job %s %s of queue %s, attempt %s/%s: waited %.1f ms, ran %.1f ms%s",
            meta["state"],
            job.id,
            job.worker,
            job.queue,
            job.attempt,
            job.max_attempts,
            meta["queue_time"] / 1e6,
            meta["duration"] / 1e6,
            f": {meta['error_type']}: {meta['error_message'][:200]}" if failed else "",
        )

    _attach(_ID, ("oban.job.stop", "oban.job.exception"), handle)


def detach() -> None:
    """Stop logging."""
    _detach(_ID)
