"""Workers of the scenarios, which `oban-sync start` processes import; what they did stands in the ledger."""

from __future__ import annotations

import ctypes
import math
import os
import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from oban_sync import Cancel, Job, Record, Snooze, worker
from tests.chaos import ledger


def _fail(_: Job) -> None:
    raise ValueError("of the first run")


def _transact(job: Job) -> None:
    with job.transaction() as connection:
        connection.execute(ledger.EFFECT, (job.id, job.attempt))


@worker(name="chaos.Stormy")
class Stormy:
    """Ends in the way that its args name, as completed in the end."""

    def process(self, job: Job) -> Any:
        with ledger.entered(job):
            time.sleep(job.args["seconds"])
            return STORMY[job.args["end"]](job)

    def backoff(self, job: Job) -> float:
        return 0.5


STORMY: dict[str, Callable[[Job], Any]] = {
    "transaction": _transact,
    "complete": lambda _: None,
    "record": lambda job: Record(job.id),
    "snooze": lambda job: None if job.meta.get("snoozed") else Snooze(0.5),
    "error": lambda job: _fail(job) if job.attempt == 1 else None,
}


@worker(name="chaos.Orphan")
class Orphan:
    """Runs for ever, unless it runs again."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            while job.attempt == 1:
                time.sleep(0.1)


@worker(name="chaos.Healthy")
class Healthy:
    """Runs for some seconds in a way of its own."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            WAYS[job.args["way"]](job, job.args["seconds"])


def _sleep(_: Job, seconds: float) -> None:
    time.sleep(seconds)


def _compute(_: Job, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def hold_interpreter(_: Job, seconds: float) -> None:
    """Run a regular expression that backtracks for some seconds, in one call that no other thread interrupts."""
    letters, took = 16, 0.0
    while took < 0.02:
        letters += 1
        took = _backtrack(letters)
    ledger.write("INSERT INTO gates VALUES ('holding') ON CONFLICT DO NOTHING")
    _backtrack(letters + math.ceil(math.log2(seconds / took)))  # each letter doubles the time


def _backtrack(letters: int) -> float:
    began = time.monotonic()
    re.match(r"(a+)+$", "a" * letters + "b")
    return time.monotonic() - began


def _hold_late(job: Job, seconds: float) -> None:
    """Begin when others judge again after a crash."""
    time.sleep(2 * seconds)
    hold_interpreter(job, seconds)


def _hold_at_stop(job: Job) -> None:
    """Begin when the node is stopping, and not end in time."""
    ledger.wait_for_gate("stopping")
    hold_interpreter(job, 30)


def _hold_connection(job: Job, seconds: float) -> None:
    time.sleep(seconds / 4)
    with job.transaction() as connection:
        connection.execute(ledger.EFFECT, (job.id, job.attempt))
        time.sleep(seconds * 3 / 4)


def _hold_connection_from_the_start(job: Job, seconds: float) -> None:
    with job.transaction() as connection:
        connection.execute(ledger.EFFECT, (job.id, job.attempt))
        ledger.write("INSERT INTO gates VALUES (%s)", f"held by {job.id}")
        time.sleep(seconds)


WAYS: dict[str, Callable[[Job, float], None]] = {
    "sleep": _sleep,
    "compute": _compute,
    "interpreter": _hold_late,
    "connection": _hold_connection,
    "held": _hold_connection_from_the_start,
}


@worker(name="chaos.Late")
class Late:
    """Ends its first run once the gate is open, in the way that its args name, and its second at once."""

    def process(self, job: Job) -> Any:
        with ledger.entered(job):
            if job.attempt > 1:
                return Record("second")
            ledger.wait_for_gate("late")
            return OUTCOMES[job.args["outcome"]](job)

    def backoff(self, job: Job) -> float:
        return 3600.0


OUTCOMES: dict[str, Callable[[Job], Any]] = {
    "complete": lambda _: None,
    "record": lambda _: Record("first"),
    "snooze": lambda _: Snooze(3600, {"by": "first"}),
    "cancel": lambda _: Cancel("first"),
    "error": _fail,
    "transaction": _transact,
}


@worker(name="chaos.Killer")
class Killer:
    """Ends its process in the way that its args name, as soon as siblings run beside it."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            time.sleep(job.args["seconds"])
            if job.args["way"] == "exit":
                os._exit(17)
            ctypes.string_at(0)


@worker(name="chaos.Sibling")
class Sibling:
    """Runs for a while beside others."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            threading.Event().wait(job.args["seconds"])  # libfaketime refuses what time.sleep() asks for


@worker(name="tests.chaos.peer_node.Shared")
class Shared(Sibling):
    """Is known to nodes of Oban for Python too, by a name that they can import."""


@worker(name="chaos.Stubborn")
class Stubborn:
    """Does not end in the time that a stop gives it."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            if job.attempt == 1 and job.meta.get("handed_back", 0) == 0:
                STUBBORN[job.args["way"]](job)


def _swallow(_: Job) -> None:
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            time.sleep(0.05)
            raise ValueError("swallowed")
        except BaseException:  # noqa: S112 - this is what it is for
            continue


def _block(_: Job) -> None:
    reader, _writer = os.pipe()
    os.read(reader, 1)


STUBBORN: dict[str, Callable[[Job], None]] = {
    "sleeping": lambda _: time.sleep(600),
    "swallowing": _swallow,
    "blocked in C": _block,
    "holding the interpreter": lambda job: hold_interpreter(job, 4),
    "holding it late": _hold_at_stop,
}


@worker(name="chaos.Overdue")
class Overdue:
    """Runs longer than its timeout, in the way that its args name."""

    def timeout(self, job: Job) -> float:
        return float(job.args["timeout"])

    def process(self, job: Job) -> None:
        OVERDUE[job.args["way"]](job)


def _loop(_: Job) -> None:
    until = time.monotonic() + 600
    while time.monotonic() < until:
        sum(range(100))


def _ask(job: Job) -> None:
    while True:
        job.check()
        time.sleep(0.01)


def _wait_for_lock(_: Job) -> None:
    lock = threading.Lock()
    with lock, lock:
        pass


def _query(_: Job) -> None:
    ledger.write("SELECT pg_sleep(600)")


def _clean_up_slowly(_: Job) -> None:
    try:
        _loop(_)
    finally:
        time.sleep(600)


def _raise_another(_: Job) -> None:
    try:
        _loop(_)
    except BaseException:
        raise ValueError("another") from None


OVERDUE: dict[str, Callable[[Job], None]] = {
    "a loop": _loop,
    "a loop that asks": _ask,
    "sleep": STUBBORN["sleeping"],
    "swallowing": _swallow,
    "blocked in C": _block,
    "a lock": _wait_for_lock,
    "a query": _query,
    "a slow end": _clean_up_slowly,
    "another error": _raise_another,
}


@worker(name="chaos.Racing")
class Racing:
    """Ends at about the instant of its timeout."""

    def timeout(self, job: Job) -> float:
        return float(job.args["timeout"])

    def process(self, job: Job) -> None:
        time.sleep(max(0.0, job.args["timeout"] + random.uniform(-0.002, 0.002)))

    def backoff(self, job: Job) -> float:
        return 3600.0


@worker(name="chaos.Innocent")
class Innocent:
    """Has no timeout, and must never feel that of another."""

    def process(self, job: Job) -> None:
        total = 0
        for number in range(2000):
            total += number


@worker(name="chaos.Ending")
class Ending:
    """Ends after a moment in the way that its args name."""

    def process(self, job: Job) -> Any:
        with ledger.entered(job):
            time.sleep(job.args["seconds"])
            return ENDS[job.args["way"]](job)


def _snooze_once(job: Job) -> Snooze | None:
    return None if "snoozed" in job.meta else Snooze(0.1, {"by": "chaos"})


ENDS: dict[str, Callable[[Job], Any]] = {
    "complete": lambda _: None,
    "error": _fail,
    "cancel": lambda _: Cancel("chaos"),
    "record": lambda job: Record(job.args["seconds"]),
    "snooze": _snooze_once,
}


@worker(name="chaos.Clock")
class Clock:
    """Fails once, to be tried again in a second, and then schedules a sibling by the clock of its process."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            if job.attempt == 1:
                raise ValueError("again")
            now = datetime.now(UTC)
            ledger.write("INSERT INTO clocks VALUES (%s, %s)", job.attempted_by[0] if job.attempted_by else "", now)
            Sibling.enqueue({"seconds": 0}, schedule_in=2.0)  # type: ignore[attr-defined]

    def backoff(self, job: Job) -> float:
        return 1.0


@worker(name="chaos.Effect")
class Effect:
    """Has one effect, in the transaction that completes it."""

    def process(self, job: Job) -> None:
        with ledger.entered(job):
            time.sleep(job.args["seconds"])
            _transact(job)

    def backoff(self, job: Job) -> float:
        return 0.5
