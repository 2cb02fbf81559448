"""Hooks by which gunicorn's workers run queues beside their requests. In `gunicorn.conf.py`:

    from oban_sync.integrations.gunicorn import post_worker_init, pre_fork, worker_exit

    workers, threads = 2, 4

They serve every `Oban(..., queues=...)` that the application makes, with `preload_app` or without; an instance that
the application makes later, at its first request say, is started too. An application with hooks of its own calls
these from them.

- The queues start in the worker, after the fork, once the application is loaded. A missing table ends the start of
  gunicorn with a sentence that says so; a PostgreSQL that does not answer is logged and tried again.
- From the moment when a worker is told to stop (a signal, `max_requests`, a master that is gone), its queues begin no
  more jobs, and running ones get `shutdown_grace_period` seconds from then, while requests end. Jobs that need longer
  go to other nodes with their attempt restored, as the last act of the process. It then leaves by `os._exit` after its
  logs are flushed, since an ordinary exit would wait for the threads of these jobs; where no job is left, it exits in
  the ordinary way.
- gunicorn kills a worker `graceful_timeout` seconds after it asked it to stop, or `timeout` seconds after its last sign
  of life. The grace is cut to two seconds less than the smaller of them, and a warning says so: 15 s fit gunicorn's 30.
- No signal handler is installed. SIGINT and SIGQUIT end requests at once, jobs keep their grace.

Workers of the kinds `sync` and `gthread` are meant; an event loop would be blocked by the jobs.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

from oban_sync import clock, instances
from oban_sync.errors import DatabaseUnavailable
from oban_sync.oban import Oban
from oban_sync.runtime import threads

__all__ = ["post_worker_init", "pre_fork", "worker_exit"]

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.2
"""Between two looks at whether the worker was told to stop, and at engines that could not start yet."""
MARGIN_SECONDS = 2.0
"""Between the end of the grace and the moment at which gunicorn kills the worker."""
OVERTIME_SECONDS = 1.5
"""What handing back, last acks and goodbyes may take after the grace; then the process ends whatever they do."""
FLUSH_SECONDS = 0.3

_attendant: Attendant | None = None  # of this worker; written by its main thread only


def pre_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Stop an engine that the application started in the master, with `preload_app`: workers start their own."""
    for oban in _engines():
        if oban.running:
            logger.warning(
                "Oban %r was started in gunicorn's master, and is stopped there: its workers start it", oban.name
            )
            oban.stop()


def post_worker_init(worker: Any) -> None:
    """Start the queues in this worker.

    Raises:
        SchemaMissing: The tables are not installed; gunicorn ends, since no worker could start.
    """
    global _attendant
    _attendant = Attendant(worker)
    try:
        _attendant.start_engines()
    finally:
        _attendant.attend()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's signature
    """Stop the queues of this worker, and end the process where a job will not end."""
    _leave(_exit_code())


def _leave(code: int = 0) -> None:
    """Have the attendant of this process stop its engines, however often a signal interrupts that."""
    if _attendant is None or _attendant.process != os.getpid():
        return  # gunicorn's master calls its hook too, for a worker that is gone
    left = False
    while not left:
        try:
            _attendant.leave(code)
            left = True
        except SystemExit:  # gunicorn's handler of a further SIGINT or SIGQUIT; the grace is what it was
            logger.debug("told to stop again")


class Attendant:
    """Starts and stops the engines of one worker.

    Args:
        worker: gunicorn's worker, which says in `alive` whether it was told to stop.
    """

    def __init__(self, worker: Any) -> None:
        self.process = os.getpid()
        self._worker = worker
        self._leaving = threading.Event()
        self._left = threading.Event()
        self._told_at: float | None = None  # written once, by whichever thread sees it first
        self._exit_code = 0  # written by leave()
        self._seen: list[Oban] = []  # this and what follows: the main thread until attend(), then the attendant's
        self._waiting: list[Oban] = []
        self._grace = 0.0

    def attend(self) -> None:
        """Look after the engines from a thread, until `leave`."""
        threading.Thread(target=self._work, name="oban-gunicorn-attendant", daemon=True).start()

    def leave(self, code: int) -> None:
        """Wait until the engines have stopped; the process ends here with that code where they do not.

        May be called again after an interruption.
        """
        self._exit_code = code
        self._leaving.set()
        while not self._left.wait(WATCH_SECONDS):
            if clock.monotonic() > self._told() + self._grace + OVERTIME_SECONDS:
                logger.error("the queues did not stop in time; what they hold goes to other nodes")
                _end_process(code)

    def start_engines(self) -> None:
        """Start each engine once, as soon as PostgreSQL answers."""
        new = [oban for oban in _engines() if oban not in self._seen]
        self._seen += new
        self._grace = max([self._grace, *(_grace(oban, self._worker.cfg) for oban in new)])
        for oban in [*self._waiting, *new]:
            try:
                oban.start()
            except DatabaseUnavailable as error:
                if oban not in self._waiting:
                    self._waiting.append(oban)
                    logger.error("Oban %r starts once PostgreSQL answers: %s", oban.name, error)
            else:
                self._waiting = [other for other in self._waiting if other is not oban]
                # A second signal may interrupt gunicorn on its way to the hook. The latest function is called first.
                threads.at_exit(_leave)

    def _work(self) -> None:
        while self._worker.alive and not self._leaving.wait(WATCH_SECONDS):
            self._start_late()
        self._told()
        self._begin_no_more()
        self._leaving.wait()  # until requests have ended
        try:
            ended = False not in [self._stop(oban) for oban in self._seen]
        except Exception:
            ended = False
            logger.exception("the queues did not stop in order; what they hold goes to other nodes")
        if not ended:
            _end_process(self._exit_code)
        self._left.set()

    def _start_late(self) -> None:
        try:
            self.start_engines()
        except Exception:
            self._waiting = []
            logger.exception("an engine could not start")

    def _told(self) -> float:
        if self._told_at is None:
            self._told_at = clock.monotonic()
        return self._told_at

    def _begin_no_more(self) -> None:
        for oban in self._seen:
            if oban.running and oban._service is not None:
                for producer in oban._service.producers.values():
                    producer.pause()

    def _stop(self, oban: Oban) -> bool:
        """Stop an engine at the end of the worker's grace, and say whether its jobs have ended."""
        service = oban._service if oban.running else None
        left = self._told() + self._grace - clock.monotonic()
        oban.stop(grace=max(0.1, left), exiting=True)
        return service is None or not any(producer.thread.is_alive() for producer in service.producers.every())


def _engines() -> list[Oban]:
    return [oban for oban in instances.every() if isinstance(oban, Oban) and oban._config.queues]


def _grace(oban: Oban, config: Any) -> float:
    """Give the seconds that running jobs get: not more than gunicorn leaves them."""
    limits = {"graceful_timeout": float(config.graceful_timeout), "timeout": float(config.timeout or "inf")}
    limit, name = min((seconds, name) for name, seconds in limits.items())
    room = max(0.0, limit - MARGIN_SECONDS)
    wanted = oban._config.shutdown_grace_period
    if wanted is not None and wanted <= room:
        return wanted
    logger.warning(
        "expected shutdown_grace_period of Oban %r to be at most %g s, since gunicorn kills a worker after its %s "
        "of %g s, got %s: jobs get %g s at a stop",
        oban.name,
        room,
        name,
        limit,
        "none" if wanted is None else f"{wanted:g} s",
        room,
    )
    return room


def _exit_code() -> int:
    """Give the code with which gunicorn was leaving when it called its hook."""
    leaving = sys.exc_info()[1]
    code = leaving.code if isinstance(leaving, SystemExit) else 0
    return code if isinstance(code, int) else int(code is not None)


def _end_process(code: int) -> None:
    """End the process without waiting for threads; a flush that hangs on a thread of theirs is given up."""
    flush = threading.Thread(target=_flush, name="oban-gunicorn-flush", daemon=True)
    flush.start()
    flush.join(FLUSH_SECONDS)
    os._exit(code & 0xFF)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
