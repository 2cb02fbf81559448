"""The other end of an agent: starts it in its interpreter, asks, and waits for answers with a deadline."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ANSWER_SECONDS = 300.0


class BenchmarkError(Exception):
    """A measurement that cannot be trusted, or a system that failed."""


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """How to start the processes of a system.

    Attributes:
        module: The module that has its `make`.
        python: Interpreter whose environment has the queue.
        strict: Whether a job that starts early is an error, not a property to be told.
        variant: What else its `make` is given.
        about: How it is set up, where its name does not say so.
        share: The part of the jobs that it is given where a rate is measured, so that a slow one ends in time.
        without: Groups of workloads that it is not measured in.
    """

    module: str
    python: str = sys.executable
    strict: bool = True
    variant: str = ""
    about: str = ""
    share: float = 1.0
    without: tuple[str, ...] = ()


class Agent:
    """A process of a system; `wait` comes before all else.

    Args:
        spec: The system.
        dsn: Its database.
        cpus: CPUs that it may use; None: all.
    """

    def __init__(self, spec: SystemSpec, dsn: str, cpus: set[int] | None = None) -> None:
        self._module = spec.module
        self._process = subprocess.Popen(
            [spec.python, "-m", "benchmarks.agent", spec.module, dsn, *([spec.variant] if spec.variant else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            start_new_session=True,
        )
        if cpus:
            os.sched_setaffinity(self._process.pid, cpus)

    def wait(self) -> list[str]:
        """Wait until it is ready, and give the operations and modes that it has.

        Raises:
            BenchmarkError: As for `answer`.
        """
        able: list[str] = self.answer()
        return able

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, operation: str, **params: Any) -> None:
        """Ask for something without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": operation, **params}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to what was asked.

        Raises:
            BenchmarkError: It failed, ended, or took too long.
        """
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], ANSWER_SECONDS)[0]:
            raise BenchmarkError(f"expected an answer of {self._module} within {ANSWER_SECONDS:g} s, got none")
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"expected an answer of {self._module}, but it ended: exit {self._process.wait()}")
        found = json.loads(line)
        if "error" in found:
            raise BenchmarkError(f"{self._module} failed:\n{found['error']}")
        return found["result"]

    def call(self, operation: str, **params: Any) -> Any:
        """Ask for something and wait for the answer."""
        self.ask(operation, **params)
        return self.answer()

    def close(self) -> None:
        """Have it end, and with it the processes that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@contextmanager
def agents(spec: SystemSpec, dsn: str, count: int, cpus: set[int] | None = None) -> Iterator[list[Agent]]:
    """Start several processes of a system, which end with the block."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            agent = Agent(spec, dsn, cpus)
            stack.callback(agent.close)
            found.append(agent)
        for agent in found:
            agent.wait()
        yield found
