"""What people do to jobs from outside of a run: retry, cancel, delete, update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from oban_sync import schedule
from oban_sync.errors import JobError, JobNotFound
from oban_sync.job import Job
from oban_sync.store import filters, rows
from oban_sync.store.filters import Chosen
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements

Changes = Mapping[str, Any] | Callable[[Job], Mapping[str, Any]]
"""Fields to their new values, or a function that gives them for a job."""


def retry(handle: Handle, statements: Statements, chosen: Chosen) -> int:
    """Make jobs available now, those that are or run left alone, and count them."""
    return _count(handle, statements, "retry_jobs", chosen, handle.quiet)


def cancel(handle: Handle, statements: Statements, chosen: Chosen) -> int:
    """Cancel jobs that have not ended, and count them.

    One that runs keeps its state until its run ends. Its row is marked, and the signal that turns `Job.cancelled` goes
    out with the same transaction; the node that runs it finds the mark by itself where the signal is lost.
    """
    return _count(handle, statements, "cancel_jobs", chosen, handle.quiet)


def delete(handle: Handle, statements: Statements, chosen: Chosen) -> int:
    """Delete jobs, those that run left alone, and count them."""
    return _count(handle, statements, "delete_jobs", chosen)


def update(
    handle: Handle,
    statements: Statements,
    chosen: Chosen,
    changes: Changes,
    *,
    jobs: Sequence[Job | int] | None,
    partial: bool,
    max_bytes: int,
) -> list[Job]:
    """Change fields of jobs, whose rows stay locked from when they are read until the transaction ends.

    Args:
        handle: A transaction.
        statements: The tables.
        chosen: Which jobs.
        changes: What to change.
        jobs: The jobs or ids in the order in which they are given back; None: all that are chosen, by their ids.
        partial: Whether `jobs` may name some that are not chosen.
        max_bytes: Most bytes of one job's args, and of its meta.

    Returns:
        The jobs as the database has them; an object that was given is written over and given back.

    Raises:
        JobNotFound: One of `jobs` is not there; nothing was written.
        JobError: A change cannot be stored; nothing was written.
    """
    found = _jobs(handle, filters.statement(statements, "lock_jobs", chosen), chosen.params)
    wanted = list(found) if jobs is None else [job.id if isinstance(job, Job) else job for job in jobs]
    if not partial and (missing := [id for id in wanted if id not in found]):
        raise JobNotFound(f"expected jobs that are there, found none of id {missing}; nothing was written")
    given = [orjson.dumps(_changed(job, changes, max_bytes)) for job in found.values()]
    array = (b"[" + b",".join(given) + b"]").decode()
    written = _jobs(handle, statements["update_jobs"], [array, handle.quiet, handle.quiet]) if given else {}
    objects = {job.id: job for job in jobs or () if isinstance(job, Job)}
    return [rows.copy_columns(written[id], objects.get(id, written[id])) for id in wanted if id in written]


def _changed(job: Job, changes: Changes, max_bytes: int) -> dict[str, Any]:
    """Change a job, and give what its UPDATE reads."""
    wanted = changes(job) if callable(changes) else changes
    if not isinstance(wanted, Mapping):
        raise JobError(f"expected changes in a mapping, got {type(wanted).__name__} for {job}; nothing was written")
    kept = {name: value for name, value in wanted.items() if name not in schedule.KEYS or value is not None}
    return rows.changeable(job.update(kept), kept, max_bytes=max_bytes)


def _jobs(handle: Handle, statement: str, params: Sequence[Any]) -> dict[int | None, Job]:
    found = [rows.selected(text) for (text,) in handle.execute(statement, params)]
    return {job.id: job for job in found}


def _count(handle: Handle, statements: Statements, name: str, chosen: Chosen, *params: Any) -> int:
    ((count,),) = handle.execute(filters.statement(statements, name, chosen), [*chosen.params, *params])
    return int(count)
