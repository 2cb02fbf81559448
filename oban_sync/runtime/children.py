"""Child processes that run jobs one at a time, for code that must be killable or may kill its process.

A child is a new interpreter, not a fork, and lives as long as it is of use. It gets a row and answers with an outcome,
both as JSON. It ends with this process: it reads to the end of the wire, and should it be held up in C, the kernel
ends it by a signal when the other side of its lifeline closes.

| message to a child | |
|---|---|
| `conninfo`, `kwargs`, `level`, `name`, `prefix`, `max_args_bytes` | the first: the instance, and how to log |
| `row`, `module`, `place` | a job, and what defines its worker |
| `cancel`: id, attempt | somebody asked that job to stop |
| `fresh` | the answer to `fresh`: whether the lease is |

| message from it | |
|---|---|
| `begun` | the job runs, and can be cancelled |
| `limit` | the seconds after which it is to be killed |
| `fresh` | a question |
| `outcome`, `kind`, `message`, `text` | the end, and what the job raised, if it did |
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oban_sync.errors import ProcessDied
from oban_sync.runtime import threads
from oban_sync.runtime.wire import Wire

Message = dict[str, Any]

_living: weakref.WeakSet[Child] = weakref.WeakSet()

PROGRAM = """
import sys
sys.path[:] = {path!r}
from oban_sync.isolated import main
main(*map(int, sys.argv[1:]))
"""
FAREWELL_SECONDS = 2.0
"""What an idle child gets to end by itself."""


class Child:
    """One child process.

    Args:
        setup: What it is told first.
    """

    def __init__(self, setup: Message) -> None:
        ours, theirs = socket.socketpair()
        reader, self._lifeline = os.pipe()
        files = (theirs.fileno(), reader)
        command = [sys.executable, "-c", PROGRAM.format(path=sys.path), *map(str, files)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=files)  # noqa: S603 - ours
        except BaseException:
            ours.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(reader)
        self._killed = False  # set once, by who kills it
        self._wire = Wire(ours)
        _living.add(self)
        self._wire.send(setup)

    def tell(self, message: Message) -> None:
        """Send it a message."""
        self._wire.send(message)

    def hear(self) -> Message:
        """Wait for its next message.

        Raises:
            ProcessDied: It ended instead.
        """
        message = self._wire.receive()
        if message is None:
            raise ProcessDied(f"process ended {_shown(self._process.wait())}")
        return message

    def kill(self) -> None:
        """Have the kernel end it at once."""
        self._killed = True
        self._process.kill()

    def usable(self) -> bool:
        """Say whether it lives and nobody killed it, which may take the kernel a moment."""
        return not self._killed and self._process.poll() is None

    def close(self) -> None:
        """Let it end, or end it."""
        _living.discard(self)
        self._wire.close()
        os.close(self._lifeline)
        try:
            self._process.wait(FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Close, in a process that was just forked, what the child knows its parent by."""
        self._wire.forget()
        os.close(self._lifeline)


class Children:
    """The children of one node: as many as jobs run in them at once, started when they are needed.

    Args:
        setup: Gives what a new one is told first.
    """

    def __init__(self, setup: Callable[[], Message]) -> None:
        self._setup = setup
        self._lock = threads.Lock()
        self._alone = threads.Lock()  # held while a suspect runs
        self._idle: list[Child] = []  # this and what follows: under _lock
        self._busy: set[Child] = set()
        self._leaving = False
        self._left = threads.Event()

    @contextmanager
    def lend(self, *, alone: bool) -> Iterator[Child]:
        """Lend a child for one job; one that died meanwhile is not used again.

        Args:
            alone: Whether the job is a suspect, of which one at a time runs.
        """
        if alone:
            with self._alone, self.lend(alone=False) as child:
                yield child
            return
        child = self._take() or Child(self._setup())
        with self._lock:
            self._busy.add(child)
            leaving = self._leaving
        try:
            if leaving:
                child.kill()
            yield child
        except BaseException:
            self._dismiss(child)
            raise
        if not child.usable():
            self._dismiss(child)
            return
        with self._lock:
            self._busy.discard(child)
            self._idle.append(child)

    def leave(self) -> None:
        """Kill those that run jobs, whose ends count no more: the process ends, and other nodes get the jobs."""
        with self._lock:
            self._leaving = True
            busy = list(self._busy)
        for child in busy:
            child.kill()

    def left(self) -> None:
        """Say that the jobs of killed children went back."""
        self._left.set()

    def close(self) -> None:
        """Let idle ones end."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()

    def _take(self) -> Child | None:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None or child.usable():
                return child
            child.close()

    def _dismiss(self, child: Child) -> None:
        child.kill()
        child.close()
        with self._lock:
            self._busy.discard(child)
            leaving = self._leaving
        if leaving:
            self._left.wait()


def _after_fork() -> None:
    """Forget the children of a process in a fork of it, which may live on and would keep them from ending."""
    for child in list(_living):
        child.forget()
    _living.clear()


os.register_at_fork(after_in_child=_after_fork)


def _shown(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"by signal {-code}"
