"""Row to job and job to row: the one place that knows the columns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from oban_sync import codec, schedule
from oban_sync.job import STATES, Job, JobState

TIMES = ("inserted_at", "scheduled_at", "attempted_at", "completed_at", "cancelled_at", "discarded_at")
COLUMNS = (
    *("id", "state", "queue", "worker", "attempt", "max_attempts", "priority", "args", "meta", "tags", "errors"),
    *("attempted_by", *TIMES),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_ready(job: Job) -> bool:
    """Say whether a job is to run now, for the first time, and has no tags: most that are enqueued one by one."""
    plain = job.scheduled_at is None and job.inserted_at is None and not job.tags and not job.attempt
    exact = type(job.priority) is type(job.max_attempts) is int  # no Enum, whose text is its name
    return plain and exact and job.state == JobState.AVAILABLE


def ready(job: Job, *, max_bytes: int, quiet: bool) -> tuple[str, ...]:
    """Give the parameters of insert_ready_job, as text: a driver needs no time to choose types for them.

    Raises:
        ArgsError: Its args or meta cannot be stored.
    """
    args = codec.encode(job.args, max_bytes=max_bytes).decode()
    meta = "{}" if job.meta == {} else codec.encode(job.meta, what="meta", max_bytes=max_bytes).decode()
    return job.worker, job.queue, args, meta, str(job.priority), str(job.max_attempts), "false" if quiet else "true"


def insertable(job: Job, *, max_bytes: int, quiet: bool) -> dict[str, Any]:
    """Give the fields of a job that its INSERT needs, leaving out what the columns' defaults say.

    Raises:
        ArgsError: Its args or meta cannot be stored.
    """
    row: dict[str, Any] = {
        "worker": job.worker,
        "queue": job.queue,
        "args": orjson.Fragment(codec.encode(job.args, max_bytes=max_bytes)),
    }
    if job.meta != {}:
        row["meta"] = orjson.Fragment(codec.encode(job.meta, what="meta", max_bytes=max_bytes))
    row.update(_times(job))
    for name, value, default in (
        ("tags", job.tags, []),
        ("priority", job.priority, 0),
        ("attempt", job.attempt, 0),
        ("max_attempts", job.max_attempts, 20),
    ):
        if value != default:
            row[name] = value
    if job.state != JobState.AVAILABLE:
        row["state"] = str(job.state)
    elif job.scheduled_at is not None:
        row["state"] = "scheduled"
    if quiet:
        row["quiet"] = True
    return row


def _times(job: Job) -> dict[str, Any]:
    times: dict[str, Any] = {}
    if job.delay is not None:
        times["delay"] = job.delay
    elif job.scheduled_at is not None:
        times["scheduled_at"] = schedule.instant(job.scheduled_at).replace(tzinfo=None).isoformat()
    if job.inserted_at is not None:
        times["inserted_at"] = schedule.instant(job.inserted_at, name="inserted_at").replace(tzinfo=None).isoformat()
    return times


class Decided(NamedTuple):
    """What a row says that its job did not: id, state, and times in microseconds since 1970."""

    id: int
    state: str
    inserted: int
    scheduled: int


def decided(job: Job, id: int, now: int) -> Decided:
    """Say what a job's row gets at an instant of the database's clock, as its INSERT would."""
    if job.scheduled_at is None and job.inserted_at is None:
        return Decided(id, job.state, now, now)
    inserted = now if job.inserted_at is None else _microseconds(job.inserted_at, "inserted_at")
    if job.delay is not None:
        return Decided(id, job.state, inserted, now + round(job.delay * 1e6))
    if job.scheduled_at is None:
        return Decided(id, job.state, inserted, now)
    state = "scheduled" if job.state == JobState.AVAILABLE else job.state
    return Decided(id, state, inserted, _microseconds(job.scheduled_at, "scheduled_at"))


def copied(job: Job, id: int, now: int, *, max_bytes: int) -> bytes:
    """Give the line of a job in COPY's text format, its columns in the order of copy_jobs.

    Raises:
        ArgsError: Its args or meta cannot be stored.
    """
    args = codec.encode(job.args, max_bytes=max_bytes)
    if b"\\" in args:
        args = args.replace(b"\\", b"\\\\")
    if job.meta != {} or job.tags or job.scheduled_at or job.inserted_at:
        meta = codec.encode(job.meta, what="meta", max_bytes=max_bytes).decode() if job.meta != {} else "{}"
        decisions = (meta, tuple(job.tags), *decided(job, 0, now)[1:])
    else:
        decisions = ("{}", (), job.state, now, now)
    # int() of an Enum is its number. Its text is not, and would be kept for all jobs of an equal number.
    rest = _rest(int(job.priority), int(job.max_attempts), int(job.attempt), *decisions)
    return b"%d\t%b\t%b\t%b\n" % (id, _names(job.worker, job.queue), args, rest)


@lru_cache(maxsize=1024)
def _names(worker: str, queue: str) -> bytes:
    return f"{_escaped(worker)}\t{_escaped(queue)}".encode()


@lru_cache(maxsize=64)
def _rest(
    priority: int,
    max_attempts: int,
    attempt: int,
    meta: str,
    tags: tuple[str, ...],
    state: str,
    inserted: int,
    scheduled: int,
) -> bytes:
    """Write the columns that jobs of one call mostly share."""
    array = ",".join('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in tags)
    times = (_instant(time).replace(tzinfo=None).isoformat() for time in (inserted, scheduled))
    fields = (meta, f"{{{array}}}", str(priority), str(max_attempts), str(attempt), str(state), *times)
    return "\t".join(map(_escaped, fields)).encode()


def _escaped(text: str) -> str:
    """Escape a field of COPY's text format."""
    for character, escape in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, escape)
    return text


def _microseconds(value: datetime, name: str) -> int:
    return (schedule.instant(value, name=name) - _EPOCH) // timedelta(microseconds=1)


def mark_copied(job: Job, id: int, now: int) -> None:
    """Write into a job what `copied` wrote of it."""
    if job.scheduled_at is None and job.inserted_at is None:
        job.id = id
        job.inserted_at = job.scheduled_at = _instant(now)
    else:
        mark_inserted(job, decided(job, id, now))


def mark_inserted(job: Job, row: tuple[Any, ...]) -> Job:
    """Write into a job what the database decided: id, state, and times."""
    job.id, state, inserted, scheduled = row
    job.state = STATES[state]
    job.inserted_at = _instant(inserted)
    job.scheduled_at = _instant(scheduled)
    return job


@lru_cache(maxsize=8)
def _instant(microseconds: int) -> datetime:
    """Give the instant so long after 1970; rows of one INSERT mostly share theirs."""
    return _EPOCH + timedelta(microseconds=microseconds)


def fetched(row: tuple[Any, ...], *, queue: str, node: str, owner: str) -> Job:
    """Decode a row of fetch_jobs, whose JSON and timestamps are still text.

    Raises:
        ValueError: A column holds what Python cannot: JSON too deep, a date outside the years 1 to 9999.
    """
    job = Job(
        row[1],
        id=row[0],
        state=JobState.EXECUTING,
        queue=queue,
        attempt=row[2],
        max_attempts=row[3],
        priority=row[4],
        args=codec.decode(row[5]),
        meta={} if row[6] == "{}" else codec.decode(row[6]),
        tags=row[7],
        attempted_by=[node, owner],
        inserted_at=_utc(row[8]),
        scheduled_at=_utc(row[9]),
        attempted_at=_utc(row[10]),
        errors=[] if row[11] is None else codec.decode(row[11]),
        _validate=False,
    )
    if type(job.args) is not dict or type(job.meta) is not dict:
        raise ValueError(f"expected args and meta to be JSON objects, got {row[5][:100]} and {row[6][:100]}")
    return job


def selected(text: str) -> Job:
    """Decode a job that a statement gave as one JSON object, whatever driver it came through."""
    row = orjson.loads(text)
    values: dict[str, Any] = {name: row[name] for name in COLUMNS}
    values["state"] = STATES.get(row["state"], row["state"])
    values["meta"] = row["meta"] or {}
    for name in ("tags", "errors", "attempted_by"):
        values[name] = row[name] or []  # tables of Oban for Elixir let these, and meta, be null
    for name in TIMES:
        values[name] = None if row[name] is None else _any_instant(row[name])
    meta = values["meta"]
    if type(meta) is dict and "renewed_at" in meta and meta["renewed_at"] == row["attempted_at"]:
        values["attempted_at"] = _began(meta, values["attempted_at"])
    return Job(**values, _validate=False)


def _began(meta: dict[str, Any], renewed: datetime) -> datetime:
    """Give when a run began whose row was renewed since, from what the renewal left in meta."""
    began = meta.get("began_at")
    return _any_instant(began) if isinstance(began, str) else renewed


def changeable(job: Job, changed: Iterable[str], *, max_bytes: int) -> dict[str, Any]:
    """Give those fields of a job that were changed, as its UPDATE reads them.

    Raises:
        ArgsError: Its args or meta cannot be stored.
    """
    row: dict[str, Any] = {"id": job.id}
    for name in changed:
        if name in ("args", "meta"):
            row[name] = orjson.Fragment(codec.encode(getattr(job, name), what=name, max_bytes=max_bytes))
        elif name in schedule.KEYS:
            row.update({key: value for key, value in _times(job).items() if key != "inserted_at"})
        else:
            row[name] = getattr(job, name)
    return row


def copy_columns(source: Job, target: Job) -> Job:
    """Write what the database says of a job into an object that stands for it."""
    for name in COLUMNS:
        setattr(target, name, getattr(source, name))
    return target


def _any_instant(text: str) -> datetime:
    """Read a timestamp; those outside the years 1 to 9999, infinity among them, become the nearest that Python has."""
    try:
        return _utc(text)
    except ValueError:
        early = text.startswith("-") or text.endswith("BC")
        return (datetime.min if early else datetime.max).replace(tzinfo=UTC)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")
