"""Several processes on one database: they share its jobs, outlive each other, and stop in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oban_sync import Oban
from tests import nodes_work

JOBS = 10_000

Node = subprocess.Popen[str]


@pytest.fixture
def start_node(dsn: str, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start `oban-sync start` processes, and see that none outlives the test."""
    nodes: list[Node] = []

    def start(queues: str = "default:10", *options: str) -> Node:
        command = [sys.executable, "-m", "oban_sync", "start", "--dsn", dsn, "--queues", queues]
        command += ["--import", "tests.nodes_work", "--log-level", "WARNING", *options]
        environment = {**os.environ, "EFFECTS_DSN": dsn}
        root = Path(__file__).parent.parent
        with (tmp_path / f"node-{len(nodes)}.log").open("w") as log:
            nodes.append(subprocess.Popen(command, env=environment, cwd=root, stdout=log, stderr=log, text=True))
        return nodes[-1]

    yield start
    for node in nodes:
        if node.poll() is None:
            node.kill()
        node.wait()


def counts(db: psycopg.Connection) -> dict[str, int]:
    return dict(db.execute("SELECT state::text, count(*) FROM oban_jobs GROUP BY 1").fetchall())


def executing(db: psycopg.Connection, at_least: int = 1) -> Callable[[], bool]:
    return lambda: counts(db).get("executing", 0) >= at_least


def test_two_nodes_complete_every_job_although_one_is_killed(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    db.execute(nodes_work.EFFECTS)
    oban.enqueue_many(nodes_work.Effect.new({"n": n}) for n in range(JOBS))
    first, _ = start_node(), start_node()
    eventually(lambda: counts(db).get("completed", 0) > JOBS // 4)
    first.send_signal(signal.SIGKILL)
    first.wait()
    start_node()
    eventually(lambda: counts(db) == {"completed": JOBS}, timeout=60)
    effects, runs, most = db.execute("SELECT count(*), sum(runs), max(runs) FROM effects").fetchone()
    assert effects == JOBS
    rescued = db.execute("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'").fetchone()
    assert (runs - effects,) <= rescued, "only what the killed node held may run twice"
    assert most <= 2
    errors = db.execute("SELECT count(*) FROM oban_jobs WHERE attempt > 1 AND errors::text NOT LIKE '%ended before%'")
    assert errors.fetchone() == (0,)


def test_jobs_of_a_killed_lone_node_run_again_when_it_is_back(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    jobs = oban.enqueue_many(nodes_work.Sleep.new({"seconds": 3600}) for _ in range(3))
    node = start_node("default:3")
    eventually(executing(db, 3))
    node.kill()
    node.wait()
    db.execute("UPDATE oban_jobs SET args = '{\"seconds\": 0}'")
    start_node("default:3")
    eventually(lambda: counts(db) == {"completed": 3}, timeout=40)
    rows = db.execute("SELECT id, attempt, meta->'rescued', jsonb_array_length(errors) FROM oban_jobs ORDER BY id")
    assert rows.fetchall() == [(job.id, 2, 1, 1) for job in jobs]


def test_a_killed_last_attempt_is_discarded_and_not_run_again(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    oban.enqueue(nodes_work.Sleep.new({"seconds": 3600}, max_attempts=1))
    node = start_node()
    eventually(executing(db))
    node.kill()
    node.wait()
    start_node()
    eventually(lambda: counts(db) == {"discarded": 1}, timeout=40)
    attempt, errors = db.execute("SELECT attempt, errors FROM oban_jobs").fetchone()
    assert attempt == 1
    assert "ended before the job did" in errors[0]["error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_node_and_hands_back_what_does_not_end(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any], number: int
) -> None:
    oban.enqueue_many(nodes_work.Sleep.new({"seconds": seconds}) for seconds in (3600, 0.5, 0))
    node = start_node("default:2", "--grace", "1")
    eventually(lambda: counts(db) == {"executing": 2, "completed": 1} or counts(db) == {"executing": 2, "available": 1})
    node.send_signal(number)
    assert node.wait(timeout=20) == (0 if number == signal.SIGTERM else 1)
    eventually(lambda: counts(db).get("available", 0) >= 1)
    long = db.execute("SELECT state::text, attempt, meta FROM oban_jobs ORDER BY id LIMIT 1").fetchone()
    assert long == ("available", 0, {"handed_back": 1})
    assert counts(db).get("executing", 0) == 0


def test_a_locked_row_does_not_hold_up_the_end_of_a_node(
    dsn: str, oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    oban.enqueue(nodes_work.Sleep.new({"seconds": 3600}))
    node = start_node("default:1", "--grace", "0.5")
    eventually(executing(db))
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM oban_jobs FOR UPDATE")
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=6) == 0


def test_a_second_signal_ends_a_node_at_once(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    oban.enqueue(nodes_work.Sleep.new({"seconds": 3600}))
    node = start_node("default:1", "--grace", "3600")
    eventually(executing(db))
    node.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 20
    while node.poll() is None and time.monotonic() < deadline:
        node.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert node.wait(timeout=1) == 128 + signal.SIGTERM


def test_a_killed_leader_is_followed_by_one_of_the_others(
    db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    nodes = {name: start_node("default:1", "--node", name) for name in ("a", "b", "c")}
    eventually(lambda: db.execute("SELECT count(DISTINCT node) FROM oban_producers").fetchone() == (3,))
    led = "SELECT node FROM oban_leaders WHERE expires_at > timezone('UTC', now())"
    (first,) = eventually(lambda: db.execute(led).fetchone())
    nodes[first].kill()
    (second,) = eventually(lambda: db.execute(f"{led} AND node <> %s", (first,)).fetchone())
    assert second in nodes.keys() - {first}


LISTENS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() AND state = 'idle' AND query LIKE 'LISTEN%%.oban_signal"'
"""
"""A node has its rows, and runs jobs, before it hears of commands; this is the last thing that it does to."""


def queues(db: psycopg.Connection) -> dict[str, tuple[int, bool]]:
    """Give limit and pause of each queue, as its row says them."""
    rows = db.execute("SELECT queue, (meta->>'local_limit')::int, (meta->>'paused')::bool FROM oban_producers")
    return {queue: (limit, paused) for queue, limit, paused in rows.fetchall()}


def test_nodes_are_commanded_from_another_process(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    start_node("default:2,mail:1", "--node", "one")
    eventually(lambda: queues(db) == {"default": (2, False), "mail": (1, False)})
    eventually(lambda: db.execute(LISTENS, ("oban_sync:one:notifier",)).fetchone() == (1,))
    jobs = oban.enqueue_many(nodes_work.Hold.new() for _ in range(3))
    eventually(executing(db, 2))
    oban.scale_queue(queue="default", limit=3)
    eventually(executing(db, 3))
    oban.pause_queue("mail", node="one")
    oban.start_queue(queue="reports", limit=4, node="two")
    oban.start_queue(queue="reports", limit=5)
    eventually(lambda: queues(db) == {"default": (3, False), "mail": (1, True), "reports": (5, False)})
    oban.cancel_job(jobs[1])
    eventually(lambda: counts(db) == {"executing": 2, "cancelled": 1})
    assert oban.get_job(jobs[1].id).state == "cancelled"
    assert oban.cancel_many_jobs(state="executing") == 2
    eventually(lambda: counts(db) == {"cancelled": 3})
    oban.enqueue(nodes_work.Sleep.new({"seconds": 0}, queue="reports"))
    eventually(lambda: counts(db) == {"cancelled": 3, "completed": 1})
    oban.stop_queue("reports")
    eventually(lambda: queues(db) == {"default": (3, False), "mail": (1, True)})


def test_a_durable_pause_outlives_the_node(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    node = start_node("default:1")
    eventually(lambda: queues(db) == {"default": (1, False)})
    oban.pause_queue("default", durable=True)
    eventually(lambda: queues(db) == {"default": (1, True)})
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=20) == 0
    oban.enqueue(nodes_work.Sleep.new({"seconds": 0}))
    start_node("default:1")
    eventually(lambda: queues(db) == {"default": (1, True)})
    assert counts(db) == {"available": 1}
    oban.resume_queue("default")
    eventually(lambda: counts(db) == {"completed": 1})


def test_jobs_that_kill_their_process_are_discarded_alone_and_no_job_beside_them_is_lost(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    killers = [nodes_work.Killer.new({"how": how, "beside": 52}) for how in ("exit", "segfault")]
    oban.enqueue_many([*killers, *(nodes_work.Beside.new() for _ in range(50))])
    for death in range(2):
        node = start_node("default:52")
        assert node.wait(60) in (1, -signal.SIGSEGV), f"death {death + 1}"
    last = start_node("default:52")
    eventually(lambda: counts(db) == {"completed": 50, "discarded": 2}, timeout=60)
    rows = db.execute(
        "SELECT state::text, attempt, errors -> -1 ->> 'error' FROM oban_jobs WHERE id = ANY (%s) ORDER BY id",
        ([job.id for job in killers],),
    )
    (first, *_, left), (second, *_, crashed) = rows.fetchall()
    assert (first, second) == ("discarded", "discarded")
    assert "process ended with exit code 1 while it ran this job alone, after 2 others" in left
    assert "process ended by signal 11 (SIGSEGV) while it ran this job alone, after 2 others" in crashed
    beside = db.execute("SELECT DISTINCT attempt, max_attempts, meta FROM oban_jobs WHERE worker = 'nodes.Beside'")
    assert beside.fetchall() == [(3, 4, {"rescued": 2})]
    assert last.poll() is None, "no process was lost to a job that ran alone"


def test_a_thread_that_was_given_up_does_not_hold_up_the_end_of_a_node(
    oban: Oban, db: psycopg.Connection, start_node: Callable[..., Node], eventually: Callable[..., Any]
) -> None:
    oban.enqueue(nodes_work.Deaf.new())
    node = start_node("default:1", "--grace", "3600")
    eventually(lambda: counts(db) == {"retryable": 1})
    oban.enqueue(nodes_work.Sleep.new({"seconds": 0}))
    eventually(lambda: counts(db) == {"retryable": 1, "completed": 1})
    node.send_signal(signal.SIGTERM)
    assert node.wait(timeout=20) == 0
    assert counts(db) == {"retryable": 1, "completed": 1}
