"""Many jobs at once: COPY stores them while the next ones are still being encoded.

Their ids are taken from the sequence first, so that they are known and rise in the order of the jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import orjson

from oban_sync.job import Job
from oban_sync.store import rows
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements

FEWEST = 1000
"""Jobs from which COPY is faster than one INSERT even where its two further round trips take a millisecond each."""
BLOCK = 50
"""Jobs sent together; while the server stores them, the next ones are encoded."""


def copy(jobs: Sequence[Job], handle: Handle, statements: Statements, *, max_bytes: int) -> list[Job]:
    """Store checked jobs by COPY, all of them or none, and write id, state and times into them.

    Args:
        jobs: Jobs that were not inserted yet.
        handle: The transaction that they go into; it must have `copy`.
        statements: The tables they go into.
        max_bytes: Most bytes of one job's args, and of its meta.

    Raises:
        ArgsError: One of them cannot be stored; a transaction of the caller's can go on.
    """
    assert handle.copy is not None  # noqa: S101 - the caller looked
    with handle.whole():
        ((array, now),) = handle.execute(statements["reserve_ids"], {"count": len(jobs), **_wakes(jobs)})
        ids: list[int] = orjson.loads(f"[{array[1:-1]}]")
        blocks: Iterable[bytes] = _blocks(jobs, ids, now, max_bytes)
        handle.copy(statements["copy_jobs"], blocks if handle.alone else list(blocks))
    for job, id in zip(jobs, ids, strict=True):
        rows.mark_copied(job, id, now)
    return list(jobs)


def _blocks(jobs: Sequence[Job], ids: Sequence[int], now: int, max_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(jobs), BLOCK):
        block = zip(jobs[start : start + BLOCK], ids[start : start + BLOCK], strict=True)
        yield b"".join([rows.copied(job, id, now, max_bytes=max_bytes) for job, id in block])


def _wakes(jobs: Sequence[Job]) -> dict[str, object]:
    """Say which queues get a job to run now, and when the first of the other jobs is due."""
    waiting = [job for job in jobs if job.scheduled_at is not None]
    delays = [job.delay for job in waiting if job.delay is not None]
    dues = [job.scheduled_at.timestamp() for job in waiting if job.scheduled_at is not None and job.delay is None]
    return {
        "queues": sorted({job.queue for job in jobs if job.scheduled_at is None and job.state == "available"}),
        "delay": min(delays, default=None),
        "due": min(dues, default=None),
    }
