"""Modules with periodic workers are found by reading files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oban_sync.cli.discover import discover
from oban_sync.errors import ConfigError

PERIODIC = "from oban_sync import job\n\n\n@job(cron='@daily')\ndef tidy() -> None: ...\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a package, a loose module, and what is to be left out."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "app/__init__.py": PERIODIC,
        "app/jobs/__init__.py": "",
        "app/jobs/night.py": PERIODIC,
        "app/jobs/attribute.py": "import oban_sync\n\n\n@oban_sync.worker(name='x', cron='@daily')\nclass Tidy: ...\n",
        "app/jobs/plain.py": "from oban_sync import job\n\n\n@job(name='cron')\ndef tidy() -> None: ...\n",
        "app/jobs/other.py": "@schedule(cron='@daily')\ndef tidy() -> None: ...\n",
        "app/jobs/broken.py": "cron = (",
        "loose.py": PERIODIC,
        "notes.txt": PERIODIC,
        ".hidden/night.py": PERIODIC,
        "node_modules/night.py": PERIODIC,
        "env/pyvenv.cfg": "",
        "env/night.py": PERIODIC,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "app" / "jobs" / "binary.py").write_bytes(b"cron=\xff\0")
    (tmp_path / "app" / "again").symlink_to(tmp_path / "app")
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["."], ["app", "app.jobs.attribute", "app.jobs.night", "loose"]),
        (["app"], ["app", "app.jobs.attribute", "app.jobs.night"]),
        (["app/jobs/night.py", "app/jobs"], ["app.jobs.night", "app.jobs.attribute"]),
        (["app/jobs/plain.py"], []),
        ([], []),
    ],
)
def test_modules_are_named_from_where_they_can_be_imported(tree: Path, paths: list[str], names: list[str]) -> None:
    before = list(sys.path)
    assert discover(paths) == names
    assert sys.path == ([str(tree), *before] if names else before)


def test_a_path_that_is_not_there(tree: Path) -> None:
    with pytest.raises(ConfigError, match="found none at no/such"):
        discover(["no/such"])
