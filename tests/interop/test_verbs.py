"""A verb of either library leaves the same row behind, whatever the job and its state were."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban
from oban_sync.job import JobState

STATES = sorted(JobState)
INSERT = """
    INSERT INTO oban_jobs (
        worker, queue, state, attempt, max_attempts, meta, errors, attempted_by, attempted_at, scheduled_at,
        completed_at, cancelled_at, discarded_at
    )
    SELECT
        'w', 'idle', state::oban_job_state, 2, 2, '{"uniq_bmp": [1], "kept": 1}', '[{"attempt": 1}]', '{n,u}', past,
        CASE WHEN state = 'scheduled' THEN timezone('UTC', now()) + interval '1 day' ELSE past END, past, past, past
    FROM unnest(%s::text[]) AS state, (SELECT timestamp '2020-01-01') AS moment (past)
    RETURNING id
"""
ROW = """
    SELECT
        state::text, queue, worker, args, attempt, max_attempts, priority, tags, errors, attempted_by,
        jsonb_object_agg(key, CASE WHEN key LIKE '%%_at' THEN '"then"' ELSE value END),
        ARRAY[
            attempted_at > '2021-01-01', scheduled_at > '2021-01-01', scheduled_at > now() + interval '1 minute',
            completed_at > '2021-01-01', cancelled_at > '2021-01-01', discarded_at > '2021-01-01'
        ]
    FROM oban_jobs, jsonb_each(meta)
    WHERE id = ANY (%s)
    GROUP BY id
    ORDER BY id
"""
CALLS = [
    ("retry_many_jobs", ()),
    ("cancel_many_jobs", ()),
    ("delete_many_jobs", ()),
    ("update_many_jobs", ({"priority": 3, "queue": "other", "tags": ["B", "a"], "args": {"a": [1]}},)),
    ("update_many_jobs", ({"scheduled_in": 3600},)),
    ("update_many_jobs", ({"worker": "v", "max_attempts": 9, "meta": {"new_at": 1}},)),
]


@pytest.mark.parametrize(("verb", "arguments"), CALLS)
def test_a_verb_of_either_leaves_the_same_row(
    start_peer: Any, oban: Oban, db: psycopg.Connection, verb: str, arguments: tuple[Any, ...]
) -> None:
    theirs = start_peer(idle=True)  # so that nobody stages or prunes them
    here, there = ([id for (id,) in db.execute(INSERT, (STATES,)).fetchall()] for _ in range(2))
    done, told = getattr(oban, verb)(here, *arguments), theirs.call(verb, there, *arguments)
    assert done == told or [job.id - here[0] for job in done] == [job["id"] - there[0] for job in told]
    mine, read = (db.execute(ROW, (ids,)).fetchall() for ids in (here, there))
    if verb == "cancel_many_jobs":
        assert mine[STATES.index("executing")][10].pop("cancel_attempted_at") == "then"  # ours alone mark what runs
    assert mine == read


FIELDS: list[dict[str, Any]] = [
    {},
    {"args": {"text": 'ä "q"', "list": [1, 2.5, None, True], "deep": {"n": 2**53}}, "meta": {"m": []}},
    {"queue": "mail", "priority": 9, "max_attempts": 1, "tags": [" B", "a", "b", ""]},
    {"scheduled_in": 3600},
    {"scheduled_in": 0},
    {"state": "suspended"},
    {"state": "suspended", "scheduled_in": 3600},
]
INSERTED = """
    SELECT
        worker, queue, state::text, args, meta, tags, errors, attempt, max_attempts, priority, attempted_by,
        scheduled_at > timezone('UTC', now()) + interval '1 minute', inserted_at IS NULL, attempted_at, completed_at,
        cancelled_at, discarded_at
    FROM oban_jobs
    WHERE id = ANY (%s)
    ORDER BY id
"""


def test_an_enqueue_of_either_inserts_the_same_row(start_peer: Any, oban: Oban, db: psycopg.Connection) -> None:
    here = [job.id for job in oban.enqueue_many(Job("w", **fields) for fields in FIELDS)]
    there = [job["id"] for job in start_peer(idle=True).call("enqueue", *({"worker": "w", **each} for each in FIELDS))]
    mine, read = (db.execute(INSERTED, (ids,)).fetchall() for ids in (here, there))
    assert mine == read
