"""The commands say what they did, or in one line why not."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from oban_sync import __version__, instances
from oban_sync.cli import main
from oban_sync.telemetry import logger

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `oban-sync` as its own process, in an environment without options of ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OBAN_")}
    return subprocess.run(
        [sys.executable, "-m", "oban_sync", *arguments],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    assert done.returncode == status, done
    assert done.stdout == ""
    assert done.stderr.startswith("oban-sync: "), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def tables(dsn: str, schema: str = "public") -> set[str]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,))
        return {name for (name,) in found.fetchall()}


def test_version() -> None:
    assert command("version").stdout == f"{__version__}\n"


@pytest.mark.parametrize("prefix", ["public", "Jobs"])
def test_install_twice_and_uninstall_twice(empty_dsn: str, prefix: str) -> None:
    for _ in range(2):
        done = command("install", "--dsn", empty_dsn, "--prefix", prefix)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"installed in schema {prefix}\n", "")
    assert tables(empty_dsn, prefix) == {
        *("oban_jobs", "oban_leaders", "oban_producers"),
        *("oban_sync_crons", "oban_sync_migrations", "oban_sync_queues"),
    }
    for _ in range(2):
        done = command("uninstall", "--yes", "--prefix", prefix, OBAN_DSN=empty_dsn)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"uninstalled from schema {prefix}\n", "")
    assert tables(empty_dsn, prefix) == set()


def test_what_is_installed_is_json_for_programs(empty_dsn: str) -> None:
    for arguments, printed in (
        (["version"], {"version": __version__}),
        (["install", "--dsn", empty_dsn], {"installed": "public"}),
        (["uninstall", "--yes", "--dsn", empty_dsn], {"uninstalled": "public"}),
    ):
        assert json.loads(command(*arguments, "--json").stdout) == printed


def test_uninstall_asks_first(dsn: str) -> None:
    assert command("uninstall", "--dsn", dsn).returncode == 1
    assert "oban_jobs" in tables(dsn)


def test_a_role_without_rights_is_told_so(empty_dsn: str, dsn: str) -> None:
    role = "oban_sync_nobody"
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}")
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        try:
            assert "permission denied" in refused(command("install", "--dsn", make_conninfo(empty_dsn, user=role)))
        finally:
            connection.execute(f"DROP ROLE {role}")


def test_a_database_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    for arguments in (
        ["install"],
        ["uninstall", "--yes"],
        ["start", "--queues", "a:1", "--import", "tests.nodes_work"],
    ):
        assert "No such file or directory" in refused(command(*arguments, "--dsn", f"host={tmp_path}"))


START = ["start", "--dsn", "host=/nowhere", "--queues", "a:1", "--import", "tests.nodes_work"]
REHEARSED = ["start", "--dry-run", "--dsn", "host=/nowhere", "--queues", "a:1", "--import", "shop_of_commands"]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory with a module of workers, and nothing else that commands in this process could find."""
    for name in [name for name in os.environ if name.startswith("OBAN_")]:
        monkeypatch.delenv(name)
    (tmp_path / "shop_of_commands.py").write_text("from oban_sync import job\n\n\n@job()\ndef tidy(): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(import_module("oban_sync.worker"), "_registry", {})  # the name itself is the decorator
    monkeypatch.setattr(instances, "_instances", {})
    level = logging.getLogger("psycopg.pool").level
    yield
    sys.modules.pop("shop_of_commands", None)
    logger.detach()  # `start` attaches it and sets a level, as long as its process lives
    logging.getLogger("psycopg.pool").setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["start"], "expected a database: pass --dsn"),
        (["install"], "expected a database: pass --dsn"),
        (["start", "--dsn", "host=/nowhere"], "expected queues to run"),
        ([*REHEARSED, "--queues", "a"], "expected queues as name:limit"),
        ([*REHEARSED, "--queues", "a:0"], "expected limit of queue 'a' to be positive"),
        ([*REHEARSED, "--queues", "a:1.5"], "expected limit of queue 'a' to be a positive integer"),
        ([*REHEARSED, "--import", "tests.no_such_module"], "found none called tests.no_such_module"),
        ([*REHEARSED, "--import", ""], "expected --import to name a module such as shop.workers, got ''"),
        ([*REHEARSED, "--import", ".nodes_work"], "expected --import to name a module such as shop.workers"),
        ([*REHEARSED, "--import", "tests/nodes_work"], "found none called tests/nodes_work"),
        (["cron", "list", "--import", ""], "expected --import to name a module such as shop.workers"),
        ([*REHEARSED[:-2]], "expected workers to run, found none"),
        ([*REHEARSED, "--grace", "-1"], "expected shutdown_grace_period to be None or zero or more"),
        ([*REHEARSED, "--prefix", "a b"], "expected prefix to be a schema's name"),
        ([*REHEARSED, "--config", "/no/such/file"], "expected a file of options at /no/such/file"),
        ([*REHEARSED, "--dsn", "postgres:/x=%"], "expected dsn"),
        ([*REHEARSED, "--pool-min-size", "5", "--pool-max-size", "2"], "expected pool_min_size <= pool_max_size"),
        ([*REHEARSED, "--pool-max-size", "none"], "expected pool_max_size to be a number"),
        ([*REHEARSED, "--cron-modules", "tests.no_such_module"], "expected --cron-modules to name a module"),
        ([*REHEARSED, "--cron-paths", "no/such/path"], "expected --cron-paths to name directories or files"),
        ([*START, "--json"], "expected --json together with --dry-run"),
        (["start", "--no-such-option"], "No such option"),
        (["no-such-command"], "No such command"),
        (["--no-such-option"], "No such option"),
        (["jobs", "list"], "expected a database: pass --dsn"),
        (["jobs", "list", "--dsn", "host=/nowhere", "--args", "{"], "expected --args to be a JSON object"),
        (["jobs", "list", "--dsn", "host=/nowhere", "--meta", "[]"], "expected --meta to be a JSON object"),
        (["jobs", "list", "--inserted-after", "noon"], "expected --inserted-after to be like 2026-01-31T08:00"),
        (["jobs", "list", "--inserted-after", "999999999d"], "expected --inserted-after to be like"),
        (["jobs", "list", "--state", "lost"], "'lost' is not one of"),
        (["top", "--interval", "nan"], "expected --interval to be positive, got nan"),
        (["top", "--interval", "1e9"], "is not in the range"),
        (["jobs", "delete", "--dsn", "host=/nowhere"], "expected ids, or options that choose jobs"),
        (["jobs", "show", "one"], "'one' is not a valid integer"),
        (["queues", "pause"], "expected the name of a queue or --all, got neither"),
        (["queues", "resume", "mail", "--all"], "expected the name of a queue or --all, got both"),
        (["queues", "pause", "--all", "--durable"], "expected --durable with the name of one queue"),
        (["explain"], "Missing argument 'JOB'"),
    ],
)
def test_bad_input_is_refused_in_one_line(bare: None, arguments: list[str], reason: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert done.stderr.startswith("oban-sync: ")
    assert reason in done.stderr


def test_output_that_cannot_be_written_is_told_in_one_line() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m oban_sync version > /dev/full"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "oban-sync: expected to write the output, got: No space left on device\n",
    )


def test_a_missing_schema_names_the_command(empty_dsn: str) -> None:
    message = refused(command(*START, "--dsn", empty_dsn))
    assert "run `oban-sync install --dsn ...` first" in message


def test_a_password_is_in_no_message(empty_dsn: str, tmp_path: Path) -> None:
    valid = make_conninfo(empty_dsn, password="s3cret", host=str(tmp_path))  # noqa: S106 - the one that is looked for
    for dsn, status in ((valid, 1), ("postgresql://a:s3cret@[bad/x", 2), ("password=s3cret host", 2)):
        assert "s3cret" not in refused(command(*START, "--dsn", dsn), status)


def every_command(words: list[str], found: click.Command) -> list[list[str]]:
    """Give the words of a command, and of those in it."""
    inner = getattr(found, "commands", {}).items()
    return [words, *(each for name, one in inner for each in every_command([*words, name], one))]


@pytest.mark.parametrize("words", every_command([], main), ids=" ".join)
def test_every_command_and_group_shows_its_help(words: list[str]) -> None:
    short, long = (CliRunner().invoke(main, [*words, option]) for option in ("-h", "--help"))
    assert (short.exit_code, short.stderr) == (0, "")
    assert short.stdout == long.stdout
    assert short.stdout.startswith("Usage:")


def test_a_group_without_a_command_shows_its_help() -> None:
    done = command("jobs")
    assert (done.returncode, done.stdout) == (2, "")
    assert "List, show, retry, cancel and delete jobs." in done.stderr


def test_shells_complete_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from oban_sync.cli import main; main(prog_name='oban-sync')"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_OBAN_SYNC_COMPLETE": "bash_complete",
            "COMP_WORDS": "oban-sync queues p",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("plain,pause\n", "")
