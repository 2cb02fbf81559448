"""Numbers of jobs and of a node's parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from oban_sync import Job, Oban, telemetry, testing, worker
from oban_sync.integrations import prometheus

pytestmark = pytest.mark.usefixtures("forgotten_workers")


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    registry = CollectorRegistry()
    prometheus.attach(registry)
    yield registry
    prometheus.detach()


def test_jobs_are_counted(dsn: str, registry: CollectorRegistry, eventually: Any) -> None:
    @worker(name="works", queue="counted", max_attempts=1)
    class Works:
        def process(self, job: Job) -> None:
            if job.args:
                raise ValueError("no")

    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(name, labels) or 0.0

    with Oban(dsn=dsn, queues={"counted": 2}) as oban:
        oban.enqueue_many(Works.new(), Works.new(), Works.new({"fail": True}), Works.new(scheduled_in=0.01))
        labels = {"queue": "counted", "worker": "works"}
        eventually(lambda: value("oban_job_runs_total", **labels, state="completed") == 3)
        eventually(lambda: value("oban_job_runs_total", **labels, state="discarded") == 1)
        eventually(lambda: value("oban_operation_seconds_count", operation="lifeline.rescue"))
    assert value("oban_jobs_enqueued_total", **labels) == 4
    assert value("oban_jobs_fetched_total", queue="counted") == 4
    assert value("oban_jobs_running", queue="counted") == 0
    assert value("oban_job_run_seconds_count", **labels) == 4
    assert value("oban_job_wait_seconds_count", queue="counted") == 4
    assert value("oban_jobs_staged_total") == 1
    assert value("oban_operation_seconds_count", operation="enqueue") == 1


def test_failures_of_a_part_are_counted(registry: CollectorRegistry) -> None:
    with pytest.raises(OSError, match="gone"), telemetry.span("oban.producer.get", {"queue": "a"}):
        raise OSError("gone")
    assert registry.get_sample_value("oban_operation_errors_total", {"operation": "producer.get"}) == 1


def test_running_jobs_are_a_gauge(registry: CollectorRegistry) -> None:
    @worker(name="looks", queue="counted")
    class Looks:
        def process(self, job: Job) -> float | None:
            return registry.get_sample_value("oban_jobs_running", {"queue": "counted"})

    assert testing.process_job(Looks.new()) == 1
    assert registry.get_sample_value("oban_jobs_running", {"queue": "counted"}) == 0


def test_a_second_attach_begins_anew_and_detach_leaves_nothing(registry: CollectorRegistry) -> None:
    prometheus.attach(registry, buckets=(1.0,))
    assert b"oban_jobs_staged_total 0.0" in generate_latest(registry)
    prometheus.detach()
    prometheus.detach()
    assert generate_latest(registry) == b""
    assert not telemetry.heard("oban.job.stop")
