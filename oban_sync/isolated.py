"""The program of a child process that runs jobs for a node, one at a time (`isolation="process"`, and suspects).

It knows its parent by two files: a wire of JSON messages, and a lifeline on which nothing is ever sent. It imports the
module that its parent names for a job, never one that a row names.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import FrameType
from typing import Any

from oban_sync import clock
from oban_sync.lifecycle.complete import transaction
from oban_sync.lifecycle.outcome import Outcome
from oban_sync.lifecycle.run import Failure, Place, Row, run_row
from oban_sync.oban import Oban
from oban_sync.runtime import threads
from oban_sync.runtime.context import House, Run
from oban_sync.runtime.watch import Watch
from oban_sync.runtime.wire import Wire
from oban_sync.store.connection import create_pool
from oban_sync.telemetry.logger import to_stderr

ANSWER_SECONDS = 5.0
"""What the parent gets to answer."""


def main(wire: int, lifeline: int) -> None:
    """Run jobs until the parent is gone."""
    _end_with(lifeline)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)  # meant for the parent, which decides what becomes of the job
    Inmate(Wire(socket.socket(fileno=wire))).work()


class Inmate:
    """Runs what the parent sends in the main thread, while another one listens.

    Args:
        wire: The way to the parent, which first says how to reach the database.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        setup = wire.receive()
        if setup is None:
            os._exit(0)
        to_stderr(setup["level"])
        pool = create_pool(setup["conninfo"], kwargs=setup["kwargs"])
        shared = {name: setup[name] for name in ("name", "prefix", "max_args_bytes")}
        self._oban = Oban(pool=pool, **shared)
        self._inbox = threads.Inbox()
        self._watch = Watch("oban-child")  # not needed: the parent keeps the time
        self._run: ChildRun | None = None  # written by the main thread
        self._answers = threads.Inbox()
        threads.spawn("oban-child-wire", self._listen)

    def work(self) -> None:
        """Run what is sent, for ever; the listening thread ends the process."""
        while True:
            for message in self._inbox.take(3600.0):
                self._perform(message)

    def _listen(self) -> None:
        while (message := self._wire.receive()) is not None:
            if "row" in message:
                self._inbox.put(message)
            elif "fresh" in message:
                self._answers.put(message["fresh"])
            elif self._run is not None and message["cancel"] == [self._run.id, self._run.attempt]:
                self._run.cancel()
        os._exit(0)

    def _lease(self) -> int | None:
        """Ask the parent, which renews the lease."""
        self._wire.send({"fresh": None})
        return 0 if self._answers.take(ANSWER_SECONDS) == [True] else None

    def _perform(self, message: dict[str, Any]) -> None:
        row, place = tuple(message["row"]), Place(*message["place"])
        source, statements = self._oban._source, self._oban._statements
        transact = partial(transaction, source=source, statements=statements, owner=place.owner)
        house = House(self._lease, transact, self._watch, place)
        self._run = ChildRun(self._wire, house, row)
        self._wire.send({"begun": True})  # what cancels from now on is heard
        prepare = partial(importlib.import_module, message["module"])
        outcome, result = run_row(row, self._run, place, prepare)
        raised: dict[str, Any] = {"kind": None, "message": "", "text": ""}
        if isinstance(result, Failure):
            raised = {"kind": result.kind, "message": result.message, "text": result.text}
        self._wire.send({"outcome": outcome.dump(), **raised})


class ChildRun(Run):
    """A run in a child process, whose parent keeps its time."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Wire, house: House, row: Row) -> None:
        super().__init__(None, house, row)
        self._wire = wire

    def limited(self, seconds: float, overdue: Callable[[str], Outcome]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Have the parent kill this process at the end of the time."""
        self.until = clock.monotonic() + seconds
        self._wire.send({"limit": seconds})
        return nullcontext()


def _end_with(lifeline: int) -> None:
    """Have the kernel end this process by SIGIO when the parent's side of the lifeline closes."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, this is not handed down to programs that a job starts."""
