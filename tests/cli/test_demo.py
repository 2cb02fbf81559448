"""The demo as its users run it: the real command in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg
import pytest

from oban_sync.cli.demo import count

COMMAND = [sys.executable, "-m", "oban_sync", "demo"]
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")}
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, env=environment, timeout=600)


def read(dsn: str, statement: str) -> list[tuple]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement).fetchall()


def check_output(done: subprocess.CompletedProcess[str], files: int) -> None:
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "Every check holds." in done.stdout
    assert "  NO  " not in done.stdout
    assert f"{files:,} files equal, 0 differing" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "\x1b" not in done.stdout


def test_plays_on_a_given_server_and_leaves_nothing(empty_dsn: str) -> None:
    check_output(run("--dsn", empty_dsn, "--files", "40"), 40)
    assert read(empty_dsn, SCHEMAS) == [("public",)]
    assert read(empty_dsn, TABLES) == []


def test_keeps_its_tables_when_asked_and_may_be_repeated(empty_dsn: str) -> None:
    for _ in range(2):
        check_output(run("--dsn", empty_dsn, "--files", "10", "--prefix", "mine", "--keep"), 10)
        assert read(empty_dsn, "SELECT count(*), sum(lines) > 0 FROM mine.oban_sync_demo_files") == [(10, True)]
    done = run("--dsn", empty_dsn, "--files", "10", "--prefix", "mine")
    check_output(done, 10)
    assert read(empty_dsn, "SELECT count(*) FROM mine.oban_jobs") == [(0,)]


def test_leaves_the_tables_and_jobs_of_others_alone(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO oban_jobs (worker, queue) VALUES ('demo.greet', 'theirs')")
    before = read(dsn, TABLES)
    check_output(run("--dsn", dsn, "--files", "10", "--prefix", "public"), 10)
    assert read(dsn, TABLES) == before
    assert read(dsn, "SELECT worker, queue, state::text FROM oban_jobs") == [("demo.greet", "theirs", "available")]


def test_an_interrupt_ends_it_cleanly(empty_dsn: str) -> None:
    heard = partial(
        signal.signal, signal.SIGINT, signal.default_int_handler
    )  # a shell has what it puts aside ignore it
    with subprocess.Popen(
        [*COMMAND, "--dsn", empty_dsn], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    ) as process:
        assert process.stdout is not None
        while "jobs stored" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint.strip() == "interrupted: everything is stopped and cleaned up"
    assert read(empty_dsn, SCHEMAS) == [("public",)]


def test_says_in_a_sentence_what_cannot_work(empty_dsn: str) -> None:
    done = run("--dsn", f"{empty_dsn} port=1")
    assert done.returncode == 1
    assert done.stderr.startswith("oban-sync: ")
    assert "Traceback" not in done.stderr
    assert "--keep needs --dsn" in run("--keep").stderr


def test_counts_lines_as_wc_does_and_names_what_cannot_be_parsed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(count, "ROOT", tmp_path)
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "foreign.py").write_text("x = 1\n")
    (tmp_path / "good.py").write_text("class A:\n    def f(self): ...\n    async def g(self): ...\nlambda: 0")
    (tmp_path / "bad.py").write_bytes(b"# coding: no-such\r\n\n\r")
    (tmp_path / "nul.py").write_bytes(b"x = 1\n\0")
    names = count.files()
    assert names == ["bad.py", "good.py", "nul.py"]
    assert count.files(2) == names[:2]
    found = dict(count.loop(names))
    assert found["good.py"] == (3, 2, 1, None)
    assert found["bad.py"][:3] == (2, 0, 0)
    assert found["bad.py"].problem == "SyntaxError: unknown encoding: no-such (<unknown>, line 0)"
    assert found["nul.py"].problem
    assert count.wc(names) == sum(counts.lines for counts in found.values()) == 6


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_plays_as_a_whole_on_a_server_of_its_own() -> None:
    check_output(run(), len(count.files()))
