"""What users enqueue by mistake is refused before the database is asked, and all else comes back as it was (R19)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oban_sync import Job, Oban
from oban_sync.errors import JobError
from tests.chaos.counted import Counted
from tests.chaos.server import Stage

VALUES: list[Any] = [
    "a\0b",
    "a\ud800b",
    "\udfff",
    math.nan,
    math.inf,
    -math.inf,
    2**64,
    -(2**63) - 1,
    1 << 20_000,
    {1, 2},
    b"bytes",
    1j,
    object,
    object(),
    {1: 2},
    {None: 1},
    {b"a": 1},
    {"a\0": 1},
    {"\ud800": 1},
    [math.nan],
    range(3),
    lambda: None,
]
"""Refused wherever they stand in args and in meta, with the path to them."""
WHOLES: list[Any] = [[], "", 0, (1, 2), "text", 5, b"{}", {"a": "x" * 1_000_000}]
"""Refused in place of args and of meta."""
FIELDS: dict[str, list[Any]] = {
    "queue": ["", " \t", None, 5, "a\0b", "a\ud800", "q" * 128],
    "worker": ["", None, 5, "a\0b", "w" * 128],
    "max_attempts": [0, -5, 32_768, 2.5, None, True],
    "priority": [-1, 10, "1", None],
    "tags": ["urgent", 5, [5], ["t" * 256], ["a\0"]],
    "state": ["done"],
    "scheduled_at": [datetime(2026, 3, 1, 12), "2026-03-01", 5],
    "schedule_in": [math.nan, math.inf, "60", timedelta.max, True],
}
"""Refused with the name of the field."""


def refused(stage: Stage, _directory: Path) -> Iterator[Counted]:
    """Enqueue what cannot be, alone and behind a job that can; count the errors that name it, and rows (R19)."""
    oban = Oban(dsn=stage.dsn, name="inputs")
    counts: Counter[str] = Counter()
    for name, field, value in _cases():
        for good in ([], [Job("w")]):
            counts["cases"] += 1
            counts["refused with the name or path"] += name in _told(oban, good, {field: value})
    oban.stop()
    counts["rows"] = stage.one("SELECT count(*) FROM oban_jobs")
    kept = counts["refused with the name or path"] == counts["cases"] and not counts["rows"]
    claim, line = "input is checked before the database is asked", "all refused by a JobError with it, rows 0"
    fault = "values that JSON or PostgreSQL cannot hold, and fields that cannot be"
    sizes = f"{counts['cases'] // 2} inputs, alone and behind a good job"
    yield Counted("R19", claim, fault, sizes, None, dict(counts), line, kept)


def _cases() -> Iterator[tuple[str, str, Any]]:
    """Give what an error must name, and the field and value that cannot be enqueued."""
    for field in ("args", "meta"):
        for value in VALUES:
            yield f"{field}.users[1].id", field, {"users": [1, {"id": value}]}
        for value in WHOLES:
            yield field, field, value
    for field, values in FIELDS.items():
        for value in values:
            yield field, field, value


def _told(oban: Oban, good: list[Job], fields: dict[str, Any]) -> str:
    """Enqueue a job with these fields, behind others or alone, and give what its error says."""
    try:
        job = Job(**{"worker": "w", **fields})
        oban.enqueue_many([*good, job]) if good else oban.enqueue(job)
    except JobError as error:
        return str(error)
    return ""


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, JSON)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=127).filter(
    str.strip
)


def round_trip(stage: Stage, _directory: Path, *, examples: int) -> Iterator[Counted]:
    """Enqueue whatever can be, and compare what is read back (R19)."""
    oban = Oban(dsn=stage.dsn, name="inputs")
    counts: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(NAMES, NAMES, OBJECTS, OBJECTS, st.lists(NAMES, max_size=3))
    def attempt(worker: str, queue: str, args: dict[str, Any], meta: dict[str, Any], tags: list[str]) -> None:
        counts["jobs"] += 1
        stored = oban.enqueue(Job(worker, queue=queue, args=args, meta=meta, tags=tags))
        found = oban.get_job(stored.id or 0)
        assert found is not None, stored
        wanted = (worker, queue, args, meta, stored.tags)
        counts["read back equal"] += (found.worker, found.queue, found.args, found.meta, found.tags) == wanted

    attempt()
    oban.stop()
    counts["rows"] = stage.one("SELECT count(*) FROM oban_jobs")
    kept = counts["jobs"] == counts["read back equal"] == counts["rows"] >= examples
    claim, line = "what is enqueued comes back as it was", "all read back equal"
    fault = "any text, numbers and nesting in worker, queue, args, meta and tags"
    yield Counted("R19", claim, fault, f"{counts['jobs']:,} jobs", None, dict(counts), line, kept)
