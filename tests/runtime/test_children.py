"""Jobs in processes of their own: the same ends as in threads, and what kills the process costs only its job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from sqlalchemy import NullPool, create_engine

from oban_sync import Job, Oban, worker
from oban_sync.errors import WorkerError
from tests.conftest import Events
from tests.runtime.isolated_work import Does, add

Eventually = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(dsn: str) -> Iterator[Oban]:
    options = {"stager": {"interval": 60}, "shutdown_grace_period": 5}
    with Oban(dsn=dsn, queues={"default": 2}, **options) as oban:
        yield oban


@pytest.fixture
def ended(db: psycopg.Connection, eventually: Eventually) -> Callable[[Job], dict[str, Any]]:
    """Wait until a job runs no more, and give its row."""

    def wait(job: Job) -> dict[str, Any]:
        def row() -> dict[str, Any] | None:
            with db.cursor(row_factory=psycopg.rows.dict_row) as cursor:
                found = cursor.execute(
                    "SELECT state::text, attempt, errors, meta, scheduled_at FROM oban_jobs WHERE id = %s", (job.id,)
                ).fetchone()
            return found if found["state"] not in ("available", "executing") else None

        return eventually(row)

    return wait


def do(what: str, **args: Any) -> Job:
    return Does.enqueue({"what": what, **args})


def recorded(row: dict[str, Any]) -> Any:
    return Job("w", meta=row["meta"]).recorded


def begun(file: Path, eventually: Eventually) -> int:
    return int(eventually(lambda: file.exists() and file.read_text()))


def gone(pid: int) -> bool:
    """Say whether a process ended; a zombie did."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_job_runs_in_another_process_which_is_used_again(server: Oban, ended: Any) -> None:
    pids = set()
    for _ in range(3):
        pid, told = recorded(ended(do("record")))
        assert told == ["executing", "executing", 1, "default", True, False]
        pids.add(pid)
    assert len(pids) == 1
    assert pids != {os.getpid()}
    assert recorded(ended(add.enqueue(1, b=2))) == 3
    server.stop()
    assert gone(pids.pop())


@pytest.mark.parametrize(
    ("what", "state", "attempt", "error", "meta"),
    [
        ("snooze", "scheduled", 0, None, {"snoozed": 1, "k": [1]}),
        ("cancel", "cancelled", 1, "no \ufffd more", {}),
        ("fail", "retryable", 1, "LookupError: nothing \\ud800 there", {}),
        ("exit", "retryable", 1, "SystemExit: 3", {}),
        ("leave", "retryable", 1, "process ended with exit code 3", {}),
        ("segfault", "retryable", 1, "process ended by signal 11 (SIGSEGV)", {}),
        ("kill", "retryable", 1, "process ended by signal 9 (SIGKILL)", {}),
        ("run_a_program", "completed", 1, None, {}),
    ],
)
def test_ends_are_those_of_threads_and_a_death_costs_only_its_job(
    server: Oban, ended: Any, what: str, state: str, attempt: int, error: str | None, meta: dict[str, Any]
) -> None:
    row = ended(do(what))
    assert (row["state"], row["attempt"], row["meta"]) == (state, attempt, meta)
    assert [error in found["error"] for found in row["errors"]] == ([True] if error else [])
    if what == "fail":
        assert "Traceback" in row["errors"][0]["error"]
        assert "isolated_work.py" in row["errors"][0]["error"]
    assert ended(do("record"))["state"] == "completed"


def test_events_of_its_life_happen_in_the_parent(server: Oban, ended: Any, events: Events) -> None:
    ended(do("fail"))
    (failed,) = events.wait(1, "exception")
    assert (failed["error_type"], failed["error_message"], failed["state"]) == (
        "LookupError",
        "nothing \\ud800 there",
        "retryable",
    )
    ended(do("record"))
    assert [meta["state"] for meta in events.wait(1, "job.stop")] == ["completed"]
    assert len(events.wait(2, "job.start")) == 2


def test_a_process_that_died_between_two_jobs_costs_none(server: Oban, ended: Any, eventually: Eventually) -> None:
    pid, _ = recorded(ended(do("record")))
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid))
    other, _ = recorded(ended(do("record")))
    assert other != pid


def test_a_kill_that_comes_as_a_job_ends_hits_no_other_job(dsn: str, db: psycopg.Connection, ended: Any) -> None:
    with Oban(dsn=dsn, queues={"default": 1}):
        jobs = []
        for n in range(20):
            jobs.append(do("nap", seconds=0.02, timeout=0.02 + 0.0002 * n))
            jobs.append(do("nap", seconds=0))
        rows = [ended(job) for job in jobs]
    assert {row["state"] for row in rows[1::2]} == {"completed"}
    assert {row["state"] for row in rows[::2]} <= {"completed", "retryable"}
    assert all("JobTimeoutError" in row["errors"][0]["error"] for row in rows if row["errors"])


@pytest.mark.parametrize("what", ["sleep", "sleep_in_c", "ask"])
def test_it_is_killed_at_its_deadline(
    server: Oban, ended: Any, eventually: Eventually, tmp_path: Path, what: str
) -> None:
    job = do(what, file=str(tmp_path / "pid"), timeout=0.5)
    row = ended(job)
    assert (row["state"], row["attempt"]) == ("retryable", 1)
    assert "JobTimeoutError: job" in row["errors"][0]["error"]
    assert what == "ask" or gone(begun(tmp_path / "pid", eventually))
    assert ended(do("record"))["state"] == "completed"


def test_a_cancel_reaches_it(server: Oban, ended: Any, eventually: Eventually, tmp_path: Path) -> None:
    job = do("ask", file=str(tmp_path / "pid"))
    begun(tmp_path / "pid", eventually)
    assert server._service.producers["default"].cancel([job.id]) == [job.id]
    assert ended(job)["state"] == "cancelled"


def test_it_learns_that_the_lease_may_be_lost(
    server: Oban, ended: Any, eventually: Eventually, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = do("lease", file=str(tmp_path / "pid"))
    begun(tmp_path / "pid", eventually)
    monkeypatch.setattr("oban_sync.runtime.heartbeat.FREE_LEASE", -1.0)
    assert recorded(ended(job)) is True


@pytest.mark.parametrize("kind", ["dsn", "pool", "engine"])
def test_its_transaction_and_its_jobs_reach_the_database(
    dsn: str, db: psycopg.Connection, ended: Any, kind: str
) -> None:
    db.execute("CREATE TABLE effects (job bigint)")
    pool = ConnectionPool(dsn, min_size=0, max_size=2, open=True)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    options: dict[str, Any] = {kind: {"dsn": dsn, "pool": pool, "engine": engine}[kind]}
    with pool, Oban(queues={"default": 1}, **options) as server:
        job = do("effect")
        row = ended(job)
        assert (row["state"], row["attempt"], row["errors"]) == ("completed", 1, [])
        assert db.execute("SELECT job FROM effects").fetchall() == [(job.id,)]
        assert ended(do("enqueue_another"))["state"] == "completed"
        (other,) = db.execute("SELECT id FROM oban_jobs WHERE worker = 'isolated.add'").fetchone()
        assert recorded(ended(Job("w", id=other))) == 7
        assert server._service.producers["default"].ends.refused == 0


def test_children_die_with_a_parent_that_is_killed(dsn: str, tmp_path: Path, eventually: Eventually) -> None:
    """Even one that is held up in C, and never reads that its parent is gone."""
    oban = Oban(dsn=dsn)
    files = [tmp_path / "a", tmp_path / "b"]
    for what, file in zip(("sleep", "sleep_in_c"), files, strict=True):
        oban.enqueue(Does.new({"what": what, "file": str(file)}))
    command = [sys.executable, "-m", "oban_sync", "start", "--dsn", dsn, "--queues", "default:2"]
    with subprocess.Popen([*command, "--import", "tests.runtime.isolated_work"], cwd=ROOT) as node:
        pids = [begun(file, eventually) for file in files]
        node.kill()
        node.wait()
    eventually(lambda: all(gone(pid) for pid in pids))
    oban.stop()


def test_a_stop_kills_them_and_hands_their_jobs_back(
    dsn: str, db: psycopg.Connection, tmp_path: Path, eventually: Eventually
) -> None:
    oban = Oban(dsn=dsn)
    oban.enqueue(Does.new({"what": "sleep_in_c", "file": str(tmp_path / "pid")}))
    command = [sys.executable, "-m", "oban_sync", "start", "--dsn", dsn, "--queues", "default:2", "--grace", "0.2"]
    with subprocess.Popen([*command, "--import", "tests.runtime.isolated_work"], cwd=ROOT) as node:
        pid = begun(tmp_path / "pid", eventually)
        node.send_signal(signal.SIGTERM)
        assert node.wait(20) == 0
    eventually(lambda: gone(pid))
    row = db.execute("SELECT state::text, attempt, errors, meta FROM oban_jobs").fetchone()
    assert row == ("available", 0, [], {"handed_back": 1})
    oban.stop()


def test_a_worker_of_the_script_that_is_run_cannot_be_isolated(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            from oban_sync import worker

            @worker(name="fixed", isolation="process")
            class Here:
                def process(self, job): ...
        """)
    )
    done = subprocess.run([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 1
    assert b"expected worker fixed in a module, which another process can import" in done.stderr


def test_an_unknown_isolation_is_refused() -> None:
    with pytest.raises(
        WorkerError, match=r"expected isolation of isolated\.Odd to be .thread. or .process., got .yes."
    ):

        @worker(name="isolated.Odd", isolation="yes")
        class Odd:
            def process(self, job: Job) -> None: ...


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_the_node_does_not_keep_its_children_alive(server: Oban, ended: Any) -> None:
    ended(do("record"))
    assert server._service is not None
    (child,) = server._service._children._idle
    files = [child._lifeline, child._wire._end.fileno()]
    fork = os.fork()
    if not fork:
        still = [file for file in files if Path(f"/proc/self/fd/{file}").exists()]
        os._exit(len(still))
    assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
    assert [file for file in files if Path(f"/proc/self/fd/{file}").exists()] == files
    assert ended(do("record"))["state"] == "completed"
