"""An event loop in a thread, for queues whose interface is asynchronous."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from benchmarks.agent import Stored

Made = TypeVar("Made")
Store = Callable[[int], Awaitable[object]]


class EventLoop:
    """A loop that runs from construction on.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self._loop = make()
        threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the loop, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Leave something running on the loop; its failure is told at once."""
        asyncio.run_coroutine_threadsafe(_told(coroutine), self._loop)


async def crowd(jobs: int, tasks: int, store: Store) -> float:
    """Store jobs 1 to `jobs`, shared among tasks, and a job 0 by each task before that is measured.

    Returns:
        Seconds for all but those.
    """

    async def work(first: int) -> None:
        for number in range(first, jobs + 1, tasks):
            await store(number)

    await asyncio.gather(*(store(0) for _ in range(tasks)))
    begin = time.monotonic()
    await asyncio.gather(*(work(first) for first in range(1, tasks + 1)))
    return time.monotonic() - begin


async def bulk(
    calls: int, size: int, make: Callable[[int], Made], store: Callable[[list[Made]], Awaitable[object]]
) -> Stored:
    """Store so many jobs a call, after one call that is not measured, and give the seconds."""
    calling = whole = 0.0
    for call in range(calls + 1):
        begin = time.monotonic()
        jobs = [make(number) for number in range(call * size + 1, (call + 1) * size + 1)]
        made = time.monotonic()
        await store(jobs)
        end = time.monotonic()
        if call:
            calling, whole = calling + end - made, whole + end - begin
    return Stored(calls=calling, whole=whole)


async def send(pauses: Sequence[float], store: Store) -> list[tuple[float, float]]:
    """Store a job after each pause, and give CLOCK_MONOTONIC before and after each call."""
    times = []
    for number, pause in enumerate(pauses, 1):
        await asyncio.sleep(pause)
        called = time.monotonic()
        await store(number)
        times.append((called, time.monotonic()))
    return times


async def schedule(delays: Sequence[float], store: Callable[[int, float, float], Awaitable[object]]) -> list[float]:
    """Store jobs due in so many seconds from their call, and give the due times, seconds since 1970.

    Args:
        delays: The seconds.
        store: Stores the job of a number, due after a delay, which is at a time.
    """
    dues = []
    for number, delay in enumerate(delays, 1):
        dues.append(time.time() + delay)
        await store(number, delay, dues[-1])
    return dues


async def _told(coroutine: Coroutine[Any, Any, object]) -> None:
    try:
        await coroutine
    except Exception:
        traceback.print_exc()
        raise
