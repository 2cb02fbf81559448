"""Handlers by event. A handler runs in the thread of the event; what it raises is logged and harms nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from oban_sync.errors import ConfigError

logger = logging.getLogger(__name__)

Handler = Callable[[str, dict[str, Any]], None]

EVENTS = ("oban.job.start", "oban.job.stop", "oban.job.exception")

_lock = Lock()
_handlers: dict[str, tuple[tuple[str, Handler], ...]] = {}  # replaced under _lock, read without


def attach(id: str, events: Iterable[str], handler: Handler) -> None:
    """Call a handler at events, until `detach`.

    Args:
        id: Its name; a second handler of that name replaces the first.
        events: Names out of `EVENTS`.
        handler: Called with the event's name and its metadata.

    Raises:
        ConfigError: There is no such event.
    """
    wanted = [events] if isinstance(events, str) else list(events)
    if unknown := [event for event in wanted if event not in EVENTS]:
        raise ConfigError(f"expected events out of {', '.join(EVENTS)}, got {', '.join(map(str, unknown))}")
    detach(id)
    with _lock:
        for event in wanted:
            _handlers[event] = (*_handlers.get(event, ()), (id, handler))


def detach(id: str) -> None:
    """Forget a handler; an unknown name is no error."""
    with _lock:
        for event, held in list(_handlers.items()):
            _handlers[event] = tuple(pair for pair in held if pair[0] != id)


def execute(event: str, meta: dict[str, Any]) -> None:
    """Call every handler of an event."""
    for id, handler in _handlers.get(event, ()):
        try:
            handler(event, meta)
        except BaseException:
            logger.exception("telemetry handler %r failed at %s", id, event)
