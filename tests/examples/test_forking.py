"""A fork while queues run: the child may enqueue, runs no jobs unless it starts queues of its own, and harms nobody."""

from __future__ import annotations

import psycopg
import pytest

from tests.examples.commands import Command


@pytest.mark.parametrize("source", ["dsn", "pool"])
def test_a_child_enqueues_runs_nothing_unless_it_starts_and_leaves_its_parent_running(dsn, source):
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("CREATE TABLE notes (job_id bigint, enqueued_by text, process int)")
        with Command("-W", "error", "-m", "tests.examples.forking", dsn, source) as program:
            assert program.end() == 0, program.output
            assert "child: running False, threads []" in program.output
            parent = int(program.expect(r"children ended \[0, 0, 0\], parent (\d+)")[0][1])
        notes = db.execute("SELECT job_id, enqueued_by, process FROM notes").fetchall()
        jobs = db.execute("SELECT id, state::text, attempt, meta FROM oban_jobs").fetchall()
    assert "Error" not in program.output, program.output
    assert sorted(id for id, *_ in notes) == sorted(id for id, *_ in jobs)  # one run each
    assert {(state, attempt) for _, state, attempt, _ in jobs} <= {("completed", 1)}
    enqueued = [by for _, by, _ in notes]
    assert {by: enqueued.count(by) for by in enqueued} == {
        "parent": 100,
        "child that enqueues": 20,
        "child that runs": 20,
        "child that stops": 20,
    }
    processes = {process for *_, process in notes}
    assert parent in processes
    assert len(processes) <= 2  # the parent and the child that started its own
    first = {process for _, by, process in notes if by == "child that enqueues"}
    assert first == {parent}
