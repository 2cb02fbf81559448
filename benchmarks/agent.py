"""The process in which a system works: it does what the measuring process asks for, one request a line.

python -m benchmarks.agent benchmarks.systems.ours 'host=... dbname=...' [VARIANT]
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypedDict

OPERATIONS = ("install", "empty", "fill", "check", "enqueue", "bulk", "start", "resume", "stop", "send", "schedule")

LaneArgs = Sequence[Any]
"""Arguments of `benchmarks.tally.Lane`."""


class Checked(TypedDict):
    """How the stored jobs ended.

    Attributes:
        jobs: How many are stored, ended or not.
        unfinished: How many of them have not ended yet.
        completed: How many of them completed, or of kind `mixed`, ended in the state that they should; None: the queue
            keeps no jobs that ended, or not how.
        flawed: How many have another attempt than the first, or errors; of kind `mixed`, other ones than they should;
            None: the queue does not keep that.
        last: When the last one completed, seconds since 1970; None: none did, or the queue does not keep that.
    """

    jobs: int
    unfinished: int
    completed: int | None
    flawed: int | None
    last: float | None


class Stored(TypedDict):
    """Seconds of a bulk: in the calls alone, and with the making of what they take."""

    calls: float
    whole: float


class Runner(Protocol):
    """What every queue is asked to do: to run jobs that were stored in any way.

    Jobs are numbered from 1 by their args `{"id": 1}`. A job of kind `noop` calls `Lane.start(id)` and no more, one of
    kind `sleep` sleeps 10 ms after that, one of kind `short` 1 ms. Jobs of kind `mixed` are those of
    `benchmarks.mixture`.
    """

    modes: ClassVar[tuple[str, ...]]
    """How it can run jobs: `drain` is for a full queue, `strict` for one with no more jobs in hand than slots, `wait`
    for an idle one, `paused` for one that runs nothing, `memory` for the most jobs of all, and `sleep`, `short` and
    `mixed` are for jobs of that kind. Some names say what else it is fit for: `idle`, to run in mode `wait` beside many
    jobs that are due much later; `large`, to store 100,000 jobs in one call. `rows` says that its jobs are rows of
    Oban's table, in the queue of `benchmarks.rows`, and that `check` looks at positive ids only.
    """

    def install(self) -> None:
        """Create what the queue needs in the database."""

    def empty(self) -> None:
        """Delete all jobs and begin their ids anew."""

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        """Store jobs in any way, due in `delay` seconds; nobody measures it."""

    def check(self) -> Checked:
        """Say how the stored jobs ended."""
        raise NotImplementedError

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:
        """Start to run jobs, in threads or processes beside this one."""

    def stop(self) -> None:
        """Stop that."""


class System(Runner, Protocol):
    """What a queue is asked to do beside. One that cannot leaves the method out, and those workloads with it."""

    def enqueue(self, jobs: int, threads: int) -> float:
        """Store jobs one by one as `crowd` says, and give the seconds."""
        raise NotImplementedError

    def bulk(self, calls: int, size: int) -> Stored:
        """Store jobs by the way for many, after one such call that is not measured.

        Raises:
            Exception: The ids do not rise in the order given.
        """
        raise NotImplementedError

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        """Store a job after each pause, and give CLOCK_MONOTONIC before and after each call."""
        raise NotImplementedError

    def schedule(self, delays: Sequence[float]) -> list[float]:
        """Store jobs due in so many seconds from their call, and give the due times, seconds since 1970."""
        raise NotImplementedError


def main(module: str, dsn: str, *variant: str) -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    system = importlib.import_module(module).make(dsn, *variant)
    able = [name for name in OPERATIONS if hasattr(system, name)]
    print(json.dumps({"result": [*able, *system.modes]}), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(system, json.loads(line))), file=answers)
    os._exit(0)  # whoever asked has gone: do not wait for jobs


def answer(system: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Do one request."""
    try:
        return {"result": getattr(system, request.pop("do"))(**request)}
    except Exception:
        return {"error": traceback.format_exc()}


if __name__ == "__main__":
    main(*sys.argv[1:])
