"""The fixtures, in runs of pytest of their own."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
import pytest
from oban_sync import Oban, job, testing

ran = []


@job(name="greet")
def greet(name):
    ran.append(name)


@pytest.fixture
def oban(oban_dsn, oban_manual):
    oban = Oban(dsn=oban_dsn, queues={"default": 1})
    yield oban
    oban.stop()


@pytest.mark.parametrize("name", ["ann", "bob"])
def test_each_has_a_database(oban, name):
    assert testing.all_enqueued() == []
    assert not oban.start().running
    greet.enqueue(name)
    assert testing.assert_enqueued(worker=greet, args={"name": name}).id == 1
    assert testing.drain_queue()["completed"] == 1
    assert ran.pop() == name


def test_inline(oban_inline):
    Oban(dsn="postgresql://nowhere.invalid/app")
    greet.enqueue("eve")
    assert ran.pop() == "eve"


def test_modes_end_with_their_test():
    from oban_sync import mode

    assert mode.active() is None
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Run pytest on its own where the package is installed, with warnings as errors, and give what it prints."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    installed = tmp_path / "site" / "oban_sync_here-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: oban_sync_here\nVersion: 1.0\n")
    (installed / "RECORD").write_text("oban_sync/__init__.py,,\noban_sync/integrations/pytest.py,,\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{setup['options.entry_points']['pytest11']}\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(installed.parent)])}
    environment.pop("PYTEST_ADDOPTS", None)

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warnings summary" not in done.stdout
        return done.stdout

    return run


def test_the_fixtures_work_with_a_server_that_the_user_names(
    run: Callable[..., str], tmp_path: Path, server_dsn: str
) -> None:
    fixture = f"@pytest.fixture(scope='session')\ndef oban_server_dsn():\n    return {server_dsn!r}\n"
    (tmp_path / "conftest.py").write_text(f"import pytest\n\n\n{fixture}")
    assert "4 passed" in run()


@pytest.mark.skipif("OBAN_SYNC_TEST_DSN" in os.environ, reason="there may be no embedded server here")
def test_the_fixtures_bring_a_server(run: Callable[..., str]) -> None:
    assert "4 passed" in run()


def test_pytest_lists_the_fixtures(run: Callable[..., str]) -> None:
    listed = run("--fixtures")
    for name in ("oban_dsn", "oban_inline", "oban_manual", "oban_server_dsn"):
        assert f"\n{name} " in listed
