"""Fetching behind the jobs that ran, as while an old snapshot is open: all jobs run, the urgent first."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, search, worker
from oban_sync.store.statements import Statements

RAN: list[tuple[int, int]] = []  # (priority, number) in the order of the runs
GATE = threading.Event()


@worker(name="tests.Numbered")
class Numbered:
    def process(self, job: Job) -> None:
        GATE.wait()
        RAN.append((job.priority, job.args["n"]))


@pytest.fixture(autouse=True)
def always_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every search count as slow."""
    monkeypatch.setattr(search, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(search, "SLOW_SECONDS_A_JOB", 0.0)
    monkeypatch.setattr(search, "SHARE", 1e9)
    RAN.clear()
    GATE.set()
    yield
    GATE.set()


@pytest.mark.parametrize("prefetch", [0, 500])
def test_jobs_of_eight_threads_that_commit_late_all_run(
    dsn: str, db: psycopg.Connection[Any], eventually: Callable[..., None], prefetch: int
) -> None:
    threads, each = 8, 40
    with Oban(dsn=dsn, queues={"default": {"limit": 10, "prefetch": prefetch}}) as oban:

        def insert(thread: int) -> None:
            chance = random.Random(thread)  # noqa: S311 - the same chances each time
            with psycopg.connect(dsn) as connection:
                for n in range(each):
                    job = Numbered.new({"n": thread * each + n}, priority=chance.randrange(10))
                    oban.enqueue(job, conn=connection)
                    if chance.random() < 0.1:
                        time.sleep(chance.random() * 1.5)  # commits after others that inserted later
                    connection.commit()

        crew = [threading.Thread(target=insert, args=(thread,)) for thread in range(threads)]
        for one in crew:
            one.start()
        for one in crew:
            one.join()
        eventually(lambda: len(RAN) == threads * each)
    assert sorted(n for _, n in RAN) == list(range(threads * each))
    assert db.execute("SELECT DISTINCT state::text, attempt FROM oban_jobs").fetchall() == [("completed", 1)]


def test_a_job_with_an_older_time_is_found_too(
    dsn: str, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "TRAIL", timedelta(0))
    with Oban(dsn=dsn, queues={"default": 1}) as oban, psycopg.connect(dsn) as late:
        oban.enqueue(Numbered.new({"n": 0}), conn=late)
        for n in range(1, 5):
            oban.enqueue(Numbered.new({"n": n}))
            eventually(lambda n=n: len(RAN) == n)
        late.commit()
        eventually(lambda: (0, 0) in RAN)


def test_the_urgent_run_first(dsn: str, db: psycopg.Connection[Any], eventually: Callable[..., None]) -> None:
    with Oban(dsn=dsn, queues={"default": {"limit": 1, "prefetch": 0}}) as oban:
        oban.enqueue(Numbered.new({"n": 0}, priority=5))
        eventually(lambda: len(RAN) == 1)
        GATE.clear()
        job = oban.enqueue(Numbered.new({"n": 1}, priority=5))
        taken = "SELECT FROM oban_jobs WHERE id = %s AND state = 'executing'"
        eventually(lambda: db.execute(taken, (job.id,)).fetchone() is not None)
        oban.enqueue_many(Numbered.new({"n": 10 - priority}, priority=priority) for priority in (9, 0, 5, 3, 0))
        GATE.set()
        eventually(lambda: len(RAN) == 7)
    assert [priority for priority, _ in RAN[2:]] == [0, 0, 3, 5, 9]


def test_keys_sort_as_times_do(db: psycopg.Connection[Any]) -> None:
    """The rule compares the text that PostgreSQL sends."""
    times = db.execute(
        "SELECT (timestamp '2026-01-31 09:00' + n * interval '37 ms')::text FROM generate_series(0, 99) AS n"
    ).fetchall()
    assert times == sorted(times)


def test_an_open_snapshot_has_it_look_behind(dsn: str, db: psycopg.Connection[Any]) -> None:
    """The statement finds behind a key exactly what the other one finds from the start."""
    statements = Statements()
    db.execute(
        "INSERT INTO oban_jobs (worker, priority, scheduled_at)"
        " SELECT 'w', n % 3, timestamp '2026-01-01' + n * interval '1 s' FROM generate_series(1, 60) AS n"
    )
    every = db.execute("SELECT priority, scheduled_at::text, id FROM oban_jobs ORDER BY 1, 2, 3").fetchall()
    keys = {0: every[9][1:], 2: every[45][1:]}
    after = [keys.get(priority, search.START) for priority in range(search.PRIORITIES)]
    params = {
        "node": "node", "owner": "owner", "queue": "default", "free": 100, "demand": 25,
        "times": [time for time, _ in after], "ids": [id for _, id in after],
    }  # fmt: skip
    rows = db.execute(statements["fetch_jobs_after"], params).fetchall()
    expected = [key for key in every if key[1:] > tuple(keys.get(key[0], search.START))]
    assert sorted(row[0] for row in rows) == sorted(key[2] for key in expected[:25])
