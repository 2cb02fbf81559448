"""How threads begin, talk and end: the only place that makes them."""

from __future__ import annotations

import atexit
import ctypes
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread, get_ident
from typing import Any

from oban_sync import clock
from oban_sync.errors import DatabaseRefused, DatabaseUnavailable, JobInterrupted

__all__ = [
    "Event",
    "Inbox",
    "Lock",
    "Thread",
    "at_exit",
    "executor",
    "get_ident",
    "interrupt",
    "join_all",
    "report",
    "spawn",
    "stack",
    "uninterrupt",
]

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""Pause of a thread after an error that its work did not expect."""
QUIET_SECONDS = 10.0
"""Time in which a process says once that PostgreSQL is away: all its threads notice."""
_said_at = [float("-inf")]  # when it was said; threads that race for it say it twice


class Inbox:
    """Messages to one thread. Any thread puts; its owner alone takes."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Any] = SimpleQueue()

    def put(self, message: Any) -> None:
        """Leave a message; never waits."""
        self._messages.put(message)

    def take(self, timeout: float) -> list[Any]:
        """Wait at most `timeout` seconds for a message, and give all that are there."""
        found: list[Any] = []
        try:
            found.append(self._messages.get(timeout=timeout) if timeout > 0 else self._messages.get_nowait())
            while True:
                found.append(self._messages.get_nowait())
        except Empty:
            return found


def spawn(name: str, target: Callable[[], None]) -> Thread:
    """Start a thread that does not keep the interpreter alive, and whose work begins anew after an error.

    A node that lost a thread would hold its jobs for ever, since its other threads keep up its lease.
    """

    def run() -> None:
        while True:
            try:
                return target()
            except Exception:
                logger.critical("thread %s failed, and goes on in %g s", name, AGAIN_SECONDS, exc_info=True)
                Event().wait(AGAIN_SECONDS)

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def report(log: logging.Logger, what: str, error: Exception) -> None:
    """Log an error after which a thread goes on, with its traceback where PostgreSQL is not the reason.

    That PostgreSQL is away is said once in `QUIET_SECONDS`, by the first thread that notices.
    """
    expected = isinstance(error, DatabaseUnavailable | DatabaseRefused)
    level = logging.WARNING
    if isinstance(error, DatabaseUnavailable):
        now = clock.monotonic()
        if now - _said_at[0] < QUIET_SECONDS:
            level = logging.DEBUG
        else:
            _said_at[0] = now
    log.log(level, "%s: %s", what, error, exc_info=None if expected else error)


def join_all(threads: Iterable[Thread], deadline: float | None = None) -> list[Thread]:
    """Wait for threads until a monotonic deadline, and give those that still run."""
    waited = list(threads)
    for thread in waited:
        thread.join(None if deadline is None else max(0.0, deadline - clock.monotonic()))
    return [thread for thread in waited if thread.is_alive()]


def executor(name: str, limit: int) -> ThreadPoolExecutor:
    """Make the threads of a queue, named after it."""
    return ThreadPoolExecutor(limit, thread_name_prefix=name)


def interrupt(ident: int) -> None:
    """Have `JobInterrupted` be raised in a thread, as soon as it runs Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(JobInterrupted))


def uninterrupt(ident: int) -> None:
    """Take back what `interrupt` did, where it was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None)


def stack(ident: int) -> str:
    """Show where a thread is."""
    frame = sys._current_frames().get(ident)
    return "".join(traceback.format_stack(frame)) if frame else ""


def at_exit(function: Callable[[], None]) -> None:
    """Call a function when the interpreter ends, before it waits for the threads of executors.

    `atexit` comes after that wait, so that a queue could never be stopped there.
    """
    register = getattr(threading, "_register_atexit", None)
    try:
        (register or atexit.register)(function)
    except RuntimeError:  # the interpreter is ending already
        logger.debug("too late to register %r", function)
