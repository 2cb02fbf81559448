"""Numbers for Prometheus, of the jobs and the parts of this process.

    from oban_sync.integrations.prometheus import attach

    attach()

| metric | labels | what it is |
|---|---|---|
| `oban_jobs_enqueued_total` | queue, worker | jobs that were stored |
| `oban_jobs_fetched_total` | queue | jobs that were fetched |
| `oban_jobs_running` | queue | jobs that run now |
| `oban_job_runs_total` | queue, worker, state | runs that ended, and how |
| `oban_job_run_seconds` | queue, worker | how long runs took |
| `oban_job_wait_seconds` | queue | how long jobs were due before they were fetched |
| `oban_jobs_staged_total`, `oban_jobs_rescued_total` | | jobs that became available at their time, or from dead nodes |
| `oban_operation_seconds` | operation | how long the statements of a node took |
| `oban_operation_errors_total` | operation | how often they failed |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from oban_sync import telemetry

__all__ = ["attach", "detach"]

BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

_ID = "oban_sync.integrations.prometheus"
_attached: _Metrics | None = None  # written by attach and detach


def attach(registry: CollectorRegistry = REGISTRY, *, buckets: Sequence[float] = BUCKETS) -> None:
    """Count from now on; a second call begins anew.

    Args:
        registry: Where the metrics are registered.
        buckets: Upper limits, in seconds, for how long runs take and jobs wait.
    """
    global _attached
    detach()
    _attached = _Metrics(registry, buckets)
    telemetry.attach(_ID, (*telemetry.EVENTS, *telemetry.ENQUEUE_EVENTS), _attached)


def detach() -> None:
    """Count no more, and take the metrics out of their registry."""
    global _attached
    telemetry.detach(_ID)
    if _attached is not None:
        _attached.unregister()
        _attached = None


class _Metrics:
    """The metrics, and the events that change them."""

    def __init__(self, registry: CollectorRegistry, buckets: Sequence[float]) -> None:
        self._registry = registry
        self._enqueued = Counter("oban_jobs_enqueued", "Jobs that were stored", ["queue", "worker"], registry=registry)
        self._fetched = Counter("oban_jobs_fetched", "Jobs that were fetched", ["queue"], registry=registry)
        self._running = Gauge(
            "oban_jobs_running", "Jobs that run now", ["queue"], registry=registry, multiprocess_mode="livesum"
        )
        self._runs = Counter(
            "oban_job_runs", "Runs of jobs that ended", ["queue", "worker", "state"], registry=registry
        )
        self._ran = Histogram(
            "oban_job_run_seconds", "Time that runs took", ["queue", "worker"], registry=registry, buckets=buckets
        )
        self._waited = Histogram(
            "oban_job_wait_seconds", "Time from due to fetched", ["queue"], registry=registry, buckets=buckets
        )
        self._staged = Counter("oban_jobs_staged", "Jobs that became available in time", registry=registry)
        self._rescued = Counter("oban_jobs_rescued", "Jobs taken back from dead nodes", registry=registry)
        self._took = Histogram("oban_operation_seconds", "Time of a statement", ["operation"], registry=registry)
        self._failed = Counter("oban_operation_errors", "Statements that failed", ["operation"], registry=registry)

    def __call__(self, event: str, meta: dict[str, Any]) -> None:
        prefix, _, end = event.rpartition(".")
        if prefix == "oban.job":
            self._job(end, meta)
        elif end == "stop":
            self._operation(prefix, meta)
        elif end == "exception":
            self._failed.labels(prefix.partition(".")[2]).inc()

    def unregister(self) -> None:
        """Take the metrics out of the registry."""
        for metric in list(vars(self).values()):
            if metric is not self._registry:
                self._registry.unregister(metric)

    def _job(self, end: str, meta: dict[str, Any]) -> None:
        job = meta["job"]
        running = self._running.labels(job.queue)
        if end == "start":
            running.inc()
            return
        running.dec()
        self._runs.labels(job.queue, job.worker, meta["state"]).inc()
        self._ran.labels(job.queue, job.worker).observe(meta["duration"] / 1e9)
        self._waited.labels(job.queue).observe(max(0.0, meta["queue_time"] / 1e9))

    def _operation(self, prefix: str, meta: dict[str, Any]) -> None:
        self._took.labels(prefix.partition(".")[2]).observe(meta["duration"] / 1e9)
        if prefix == "oban.producer.get":
            self._fetched.labels(meta["queue"]).inc(meta["count"])
        elif prefix == "oban.stager.stage":
            self._staged.inc(meta["staged_count"])
        elif prefix == "oban.lifeline.rescue":
            self._rescued.inc(meta["rescued_count"])
        elif prefix == "oban_sync.enqueue":
            for job in meta["jobs"]:
                self._enqueued.labels(job.queue, job.worker).inc()
