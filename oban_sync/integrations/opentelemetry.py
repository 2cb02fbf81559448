"""Traces by OpenTelemetry: a span for each enqueue and each run, and a run belongs to the trace of its enqueue.

    from oban_sync.integrations.opentelemetry import instrument

    instrument()

The context of a trace travels in the job's meta, as `traceparent` and `tracestate`, or what the propagators of the
process write. That is where Oban for Elixir has it too.
"""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from oban_sync import telemetry
from oban_sync._version import __version__
from oban_sync.job import Job

__all__ = ["instrument", "uninstrument"]

_ID = "oban_sync.integrations.opentelemetry"


def instrument(tracer_provider: trace.TracerProvider | None = None) -> None:
    """Make spans from now on, in all threads of this process.

    Args:
        tracer_provider: Instead of the global one.
    """
    tracer = trace.get_tracer("oban_sync", __version__, tracer_provider)
    events = ("oban.job.start", "oban.job.stop", "oban.job.exception", *telemetry.ENQUEUE_EVENTS)
    telemetry.attach(_ID, events, _Spans(tracer))


def uninstrument() -> None:
    """Make no more spans."""
    telemetry.detach(_ID)


class _Open:
    """A span that is open, and where it is the current one."""

    def __init__(self, span: Span, parent: context.Context | None, subject: object) -> None:
        self.span = span
        self.subject = subject  # kept, so that no other object gets its id
        self._thread = threading.get_ident()
        self._token = context.attach(trace.set_span_in_context(span, parent))

    def end(self) -> None:
        """End the span, in its own thread or in the one that gave its job up."""
        if threading.get_ident() == self._thread:
            context.detach(self._token)
        self.span.end()


class _Spans:
    """Turns events into spans."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._open: dict[int, _Open] = {}  # by the id of the job, or of the list of jobs; each key has one writer

    def __call__(self, event: str, meta: dict[str, Any]) -> None:
        prefix, _, end = event.rpartition(".")
        subject = meta["job"] if prefix == "oban.job" else meta["jobs"]
        if end != "start":
            self._end(subject, meta)
        elif prefix == "oban.job":
            self._run(subject)
        else:
            self._enqueue(subject)

    def _run(self, job: Job) -> None:
        parent = propagate.extract({key: value for key, value in job.meta.items() if isinstance(value, str)})
        span = self._tracer.start_span(f"process {job.queue}", parent, SpanKind.CONSUMER, attributes=_of_run(job))
        self._open[id(job)] = _Open(span, parent, job)

    def _enqueue(self, jobs: list[Job]) -> None:
        stored = [job for job in jobs if isinstance(job, Job)]
        queues = sorted({job.queue for job in stored})
        attributes: dict[str, str | int] = {
            "messaging.system": "oban",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.batch.message_count": len(stored),
            "messaging.destination.name": ",".join(queues),
        }
        name = f"send {queues[0]}" if len(queues) == 1 else "send"
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        self._open[id(jobs)] = _Open(span, None, jobs)
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        for job in stored:
            job.meta = {**job.meta, **carrier}  # anew, since its worker's other jobs may share the old one

    def _end(self, subject: Any, meta: dict[str, Any]) -> None:
        opened = self._open.pop(id(subject), None)
        if opened is None:
            return
        if "state" in meta:
            opened.span.set_attribute("oban.job.state", meta["state"])
        elif len(subject) == 1 and subject[0].id is not None:
            opened.span.set_attribute("messaging.message.id", str(subject[0].id))
        if "error_type" in meta:
            _fail(opened.span, meta)
        opened.end()


def _of_run(job: Job) -> dict[str, str | int]:
    return {
        "messaging.system": "oban",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue,
        "messaging.message.id": str(job.id),
        "oban.job.worker": job.worker,
        "oban.job.attempt": job.attempt,
        "oban.job.max_attempts": job.max_attempts,
    }


def _fail(span: Span, meta: dict[str, Any]) -> None:
    error = {
        "exception.type": meta["error_type"],
        "exception.message": meta["error_message"],
        "exception.stacktrace": meta["traceback"],
    }
    span.add_event("exception", error)
    span.set_attribute("error.type", meta["error_type"])
    span.set_status(Status(StatusCode.ERROR, meta["error_message"]))
