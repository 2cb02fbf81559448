"""Spans of enqueues and runs, in one trace also where a queue runs the job in another thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from oban_sync import Job, Oban, testing, worker
from oban_sync.errors import ArgsError
from oban_sync.integrations.opentelemetry import instrument, uninstrument

pytestmark = pytest.mark.usefixtures("forgotten_workers")


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(provider)
    yield exporter
    uninstrument()
    provider.shutdown()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Callable[[], list[ReadableSpan]]:
    """The spans that ended, in the order in which they began."""
    return lambda: sorted(exporter.get_finished_spans(), key=lambda span: span.start_time)


@pytest.fixture
def work() -> Any:
    @worker(name="works", queue="traced", meta={"team": "a"}, max_attempts=2)
    class Works:
        def process(self, job: Job) -> None:
            seen.append((trace.get_current_span().get_span_context(), job.meta))
            if job.args:
                raise ValueError("no")

    seen: list[Any] = []
    Works.seen = seen
    return Works


def test_a_run_belongs_to_the_trace_of_its_enqueue(
    dsn: str, db: psycopg.Connection, spans: Any, work: Any, eventually: Any
) -> None:
    with Oban(dsn=dsn, queues={"traced": 1}):
        made = work.enqueue()
        eventually(lambda: len(spans()) == 2)
    sent, run = spans()
    assert (sent.name, sent.kind, sent.parent) == ("send traced", SpanKind.PRODUCER, None)
    assert (run.name, run.kind) == ("process traced", SpanKind.CONSUMER)
    assert run.context.trace_id == sent.context.trace_id
    assert run.parent.span_id == sent.context.span_id
    assert sent.attributes["messaging.message.id"] == run.attributes["messaging.message.id"] == str(made.id)
    assert run.attributes["oban.job.worker"] == "works"
    assert run.attributes["oban.job.state"] == "completed"
    ((inside, meta),) = work.seen
    assert inside.span_id == run.context.span_id
    assert meta["team"] == "a"
    assert f"{sent.context.trace_id:032x}" in meta["traceparent"]
    assert work._opts["meta"] == {"team": "a"}


def test_an_enqueue_belongs_to_the_span_around_it(oban: Oban, exporter: InMemorySpanExporter, work: Any) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("tests").start_as_current_span("request") as request:
        oban.enqueue_many(work.new(), Job("other", queue="b"))
    (sent,) = exporter.get_finished_spans()
    assert sent.parent.span_id == request.get_span_context().span_id
    assert (sent.name, sent.attributes["messaging.batch.message_count"]) == ("send", 2)
    assert sent.attributes["messaging.destination.name"] == "b,traced"
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_failed_run_has_its_error(oban: Oban, spans: Any, work: Any) -> None:
    work.enqueue({"fail": True})
    with pytest.raises(ValueError, match="no"):
        testing.drain_queue("traced")
    run = spans()[-1]
    assert (run.status.status_code, run.status.description) == (StatusCode.ERROR, "no")
    assert (run.attributes["oban.job.state"], run.attributes["error.type"]) == ("retryable", "ValueError")
    (error,) = run.events
    assert error.attributes["exception.stacktrace"].rstrip().endswith("ValueError: no")
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_refused_enqueue_has_its_error(oban: Oban, spans: Any, work: Any) -> None:
    with pytest.raises(ArgsError):
        work.enqueue({"a": {1}})
    (sent,) = spans()
    assert sent.status.status_code == StatusCode.ERROR
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_inline_jobs_run_within_their_enqueue(oban: Oban, spans: Any, work: Any) -> None:
    with testing.mode("inline"):
        work.enqueue()
    sent, run = spans()
    assert run.parent.span_id == sent.context.span_id
    assert sent.end_time >= run.end_time


def test_a_job_of_somebody_else_s_meta_begins_a_trace(oban: Oban, spans: Any, work: Any) -> None:
    made = work.new(meta={"traceparent": 7, "tracestate": ["x"]})
    testing.process_job(made)
    (run,) = spans()
    assert run.parent is None


def test_nothing_is_traced_any_more(oban: Oban, exporter: InMemorySpanExporter, work: Any) -> None:
    uninstrument()
    assert work.enqueue().meta == {"team": "a"}
    assert exporter.get_finished_spans() == ()
