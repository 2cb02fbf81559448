"""Handlers by event. A handler runs in the thread of the event; what it raises is logged and harms nobody."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable
from threading import Lock
from types import TracebackType
from typing import Any, Self

from oban_sync import clock
from oban_sync.errors import ConfigError
from oban_sync.quiet import Quiet

logger = logging.getLogger(__name__)

Handler = Callable[[str, dict[str, Any]], None]

_SPANS = (
    "oban.job",
    "oban.leader.election",
    "oban.lifeline.rescue",
    "oban.producer.ack",
    "oban.producer.get",
    "oban.pruner.prune",
    "oban.refresher.cleanup",
    "oban.refresher.refresh",
    "oban.scheduler.evaluate",
    "oban.stager.stage",
)
EVENTS = sorted(
    [*(f"{span}.{end}" for span in _SPANS for end in ("exception", "start", "stop")), "oban.queue.shutdown"]
)
"""The events of Oban."""
ENQUEUE_EVENTS = ("oban_sync.enqueue.start", "oban_sync.enqueue.stop", "oban_sync.enqueue.exception")
"""Events of ours around an INSERT; at the first, a handler may still write into the meta of the jobs."""
_KNOWN = frozenset((*EVENTS, *ENQUEUE_EVENTS))

_lock = Lock()
_handlers: dict[str, tuple[tuple[str, Handler], ...]] = {}  # replaced under _lock, read without
_quiet = Quiet()


def attach(id: str, events: Iterable[str], handler: Handler) -> None:
    """Call a handler at events, until `detach`.

    Args:
        id: Its name; a second handler of that name replaces the first.
        events: Names out of `EVENTS` and `ENQUEUE_EVENTS`, or of events of your own for `execute` and `span`.
        handler: Called with the event's name and a copy of its metadata.

    Raises:
        ConfigError: It begins with `oban`, and there is no such event.
    """
    wanted = [events] if isinstance(events, str) else list(events)
    if unknown := [event for event in wanted if _is_ours(event) and event not in _KNOWN]:
        raise ConfigError(f"expected events out of {', '.join(sorted(_KNOWN))}, got {', '.join(map(str, unknown))}")
    detach(id)
    _quiet.forget()
    with _lock:
        for event in wanted:
            _handlers[event] = (*_handlers.get(event, ()), (id, handler))


def detach(id: str) -> None:
    """Forget a handler; an unknown name is no error."""
    with _lock:
        for event, held in list(_handlers.items()):
            _handlers[event] = tuple(pair for pair in held if pair[0] != id)


def heard(event: str) -> bool:
    """Say whether an event has a handler, for those who would work to make its metadata."""
    return bool(_handlers.get(event))


def execute(name: str, metadata: dict[str, Any]) -> None:
    """Call every handler of an event."""
    for id, handler in _handlers.get(name, ()):
        try:
            handler(name, dict(metadata))
        except BaseException:
            if (more := _quiet.kept((id, name), clock.monotonic())) is not None:
                logger.exception(
                    "telemetry handler %r failed at %s, after %d times that were not logged", id, name, more
                )


class Collector:
    """A block of work with three events: its start, and its stop or its exception. Made by `span`."""

    def __init__(self, prefix: str, meta: dict[str, Any]) -> None:
        self._prefix = prefix
        self._meta = meta
        self._added: dict[str, Any] = {}
        self._began = 0

    def add(self, metadata: dict[str, Any]) -> None:
        """Say more in the event that ends the block."""
        self._added.update(metadata)

    def get_all(self) -> dict[str, Any]:
        """Give what was added so far."""
        return dict(self._added)

    def __enter__(self) -> Self:
        self._began = _nanoseconds()
        start = f"{self._prefix}.start"
        if heard(start):
            execute(start, {"system_time": self._began, **self._meta})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end = f"{self._prefix}.stop" if error is None else f"{self._prefix}.exception"
        if not heard(end):
            return
        now = _nanoseconds()
        meta = {"system_time": now, "duration": now - self._began, **self._meta, **self._added}
        if error is not None:
            text = "".join(traceback.format_exception(error))
            meta |= {"error_message": str(error), "error_type": type(error).__name__, "traceback": text}
        execute(end, meta)


def span(prefix: str, start_metadata: dict[str, Any] | None = None) -> Collector:
    """Announce a block of work, which goes under `with`.

    Args:
        prefix: Its name, to which `.start`, `.stop` or `.exception` is added.
        start_metadata: Metadata of each of its events. Beside it they have `system_time` (ns of the monotonic clock),
            the last one `duration` (ns) and what was added to the collector, and an exception `error_type`,
            `error_message` and `traceback`.

    Example:
        >>> attach("docs", ["shop.import.stop"], lambda event, meta: print(event, meta["rows"]))
        >>> with span("shop.import", {"file": "a.csv"}) as collector:
        ...     collector.add({"rows": 3})
        shop.import.stop 3
        >>> detach("docs")
    """
    return Collector(prefix, start_metadata or {})


def _is_ours(event: object) -> bool:
    return not isinstance(event, str) or event.partition(".")[0] in ("oban", "oban_sync")


def _nanoseconds() -> int:
    return int(clock.monotonic() * 1e9)
