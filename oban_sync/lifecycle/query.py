"""Choosing jobs: filters are checked, and rows come back as jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from oban_sync import codec, schedule, typed
from oban_sync.errors import FilterError, JobError
from oban_sync.job import STATES, Job
from oban_sync.store import filters, rows
from oban_sync.store.filters import Chosen
from oban_sync.store.handles import Handle
from oban_sync.store.statements import Statements

MAX_ID = 2**63 - 1

Range = tuple[datetime | None, datetime | None]
"""From an aware datetime, and before another; None leaves a side open."""


class Filters(TypedDict, total=False):
    """What chooses jobs; a job has to fit all that are given."""

    ids: Iterable[int]
    """Its id is one of these."""
    state: str | Iterable[str]
    """Its state is this, or one of these."""
    queue: str | Iterable[str]
    """Its queue is this, or one of these."""
    worker: str | type | Iterable[str | type]
    """Its worker has this name or is this class, or one of these."""
    tags: str | Iterable[str]
    """It has this tag, or all of these."""
    args: typed.Args
    """Its args hold these keys with these values, at any depth; an object of a type that a worker takes will do."""
    meta: Mapping[str, Any]
    """The same for its meta."""
    inserted_at: Range
    """That time lies in this range; so for the five that follow."""
    scheduled_at: Range
    attempted_at: Range
    completed_at: Range
    cancelled_at: Range
    discarded_at: Range


def choose(jobs: Sequence[Job | int] | None, given: Mapping[str, Any], *, every: bool = False) -> Chosen:
    """Check what chooses jobs.

    Args:
        jobs: Jobs or ids; None: any.
        given: Filters.
        every: Whether no filter at all may choose every job.

    Raises:
        JobError: One of the jobs was not enqueued yet.
        FilterError: A filter is unknown or would choose every job, or nothing is given that chooses.
    """
    if jobs is None and not given and not every:
        raise FilterError(
            f"expected jobs, or filters out of {', '.join(_CHECKS)}, got neither, which would be all jobs; "
            f"nothing was written"
        )
    if unknown := given.keys() - _CHECKS.keys():
        raise FilterError(f"expected filters out of {', '.join(_CHECKS)}, got {', '.join(sorted(unknown))}")
    checked = [(name, _CHECKS[name](name, value)) for name, value in given.items()]
    if jobs is not None:
        checked.append(("ids", [job_id(job) for job in jobs]))
    return filters.choose(checked)


def page(chosen: Chosen, *, after: int | None, limit: int, order: str) -> Chosen:
    """Choose, of those, at most `limit` jobs that come after one in the order of the ids.

    Raises:
        FilterError: One of these has a value that cannot work.
    """
    if order not in ("asc", "desc"):
        raise FilterError(f"expected order to be 'asc' or 'desc', got {order!r}")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= MAX_ID:
        raise FilterError(f"expected limit to be a whole number above zero, got {limit!r}")
    beyond = "above" if order == "asc" else "below"
    start = filters.choose([] if after is None else [(beyond, _id("after", after))])
    return Chosen(f"{chosen.conditions} AND {start.conditions}", [*chosen.params, *start.params, limit])


def select(handle: Handle, statements: Statements, paged: Chosen, *, order: str) -> list[Job]:
    """Give the jobs of a page."""
    statement = filters.statement(statements, "select_jobs", paged, order=order.upper())
    return [rows.selected(text) for (text,) in handle.execute(statement, paged.params)]


def count(handle: Handle, statements: Statements, chosen: Chosen) -> int:
    """Count the jobs that were chosen."""
    ((found,),) = handle.execute(filters.statement(statements, "count_jobs", chosen), chosen.params)
    return int(found)


def listed(jobs: Iterable[Job | int] | None) -> list[Job | int] | None:
    """Give jobs or ids as a list.

    Raises:
        JobError: They come in no iterable.
    """
    if jobs is None:
        return None
    if isinstance(jobs, Job | str | Mapping) or not isinstance(jobs, Iterable):
        raise JobError(f"expected jobs or ids in a list, got {type(jobs).__name__} {jobs!r:.80}; nothing was written")
    return list(jobs)


def job_id(job: Job | int) -> int:
    """Give the id of a job.

    Raises:
        JobError: It was not enqueued yet, or is neither a job nor an id.
    """
    found = job.id if isinstance(job, Job) else job
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found <= MAX_ID:
        raise JobError(f"expected a job that was enqueued, or its id, got {job!r:.200}; nothing was written")
    return found


def _id(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -MAX_ID <= value <= MAX_ID:
        raise FilterError(f"expected {name} to be an id, got {type(value).__name__} {value!r:.80}")
    return value


def _ids(name: str, value: Any) -> list[int]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise FilterError(f"expected {name} to be ids in a list, got {type(value).__name__} {value!r:.80}")
    return [_id(name, item) for item in value]


def _texts(name: str, value: Any) -> list[str]:
    one = isinstance(value, str | type) or hasattr(value, "_worker_name")
    if not one and (isinstance(value, Mapping | bytes) or not isinstance(value, Iterable)):
        raise FilterError(
            f"expected {name} to be a str, or several in a list, got {type(value).__name__} {value!r:.80}"
        )
    return [_text(name, item) for item in ([value] if one else value)]


def _text(name: str, value: Any) -> str:
    found = getattr(value, "_worker_name", value) if name == "worker" else value
    if not isinstance(found, str) or not found.strip() or "\0" in found or not codec.is_unicode(found):
        raise FilterError(f"expected {name} to be a str that is not blank, got {type(value).__name__} {value!r:.80}")
    return str(found)


def _states(name: str, value: Any) -> list[str]:
    found = _texts(name, value)
    if wrong := [state for state in found if state not in STATES]:
        raise FilterError(f"expected {name} to be one of {', '.join(STATES)}, got {', '.join(wrong)}")
    return found


def _tags(name: str, value: Any) -> list[str]:
    found = [tag.strip().lower() for tag in _texts(name, value)]
    if not found:
        raise FilterError(f"expected {name} to be one tag or more, got none, which every job has")
    return found


def _object(name: str, value: Any) -> str:
    found = typed.plain(value) if value and name == "args" else value
    if not found:
        raise FilterError(f"expected {name} to be a mapping with a key or more, got {value!r}, which every job has")
    return codec.encode(found, what=name).decode()


def _range(name: str, value: Any) -> tuple[str | None, str | None]:
    if not isinstance(value, tuple | list) or len(value) != 2 or (value[0] is None and value[1] is None):
        raise FilterError(f"expected {name} to be (from, before), one of them perhaps None, got {value!r:.80}")
    try:
        start, before = (None if at is None else schedule.instant(at, name=name) for at in value)
    except JobError as error:
        raise FilterError(str(error)) from None
    return _written(start), _written(before)


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.replace(tzinfo=None).isoformat()


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "ids": _ids,
    "state": _states,
    "queue": _texts,
    "worker": _texts,
    "tags": _tags,
    "args": _object,
    "meta": _object,
    **dict.fromkeys(rows.TIMES, _range),
}
