"""What users may rely on: the names in docs/reference.md, their docstrings, the version and the types."""

from __future__ import annotations

import configparser
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import oban_sync
from oban_sync import Oban, errors

ROOT = Path(__file__).parents[1]
DECLARED = [
    "oban_sync",
    "oban_sync.schema",
    "oban_sync.embedded",
    "oban_sync.telemetry",
    "oban_sync.telemetry.logger",
    "oban_sync.testing",
    "oban_sync.integrations.gunicorn",
    "oban_sync.integrations.opentelemetry",
    "oban_sync.integrations.prometheus",
    "oban_sync.integrations.pytest",
]
MODULES = ["oban_sync", *(module.name for module in pkgutil.walk_packages(oban_sync.__path__, "oban_sync."))]


def documented(heading: str) -> list[str]:
    """Give the names in the table under a heading of docs/reference.md."""
    text = (ROOT / "docs" / "reference.md").read_text()
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `([\w.]+)` \| \S", section[1], re.MULTILINE)


@pytest.mark.parametrize("name", DECLARED)
def test_the_documented_names_are_the_public_ones(name: str) -> None:
    assert sorted(documented(name)) == sorted(importlib.import_module(name).__all__)


def test_the_documented_errors_are_the_family() -> None:
    family = [name for name, value in vars(errors).items() if inspect.isclass(value)]
    assert sorted(documented("oban_sync.errors")) == sorted(family)


def test_the_documented_members_are_those_of_oban() -> None:
    members = [f"Oban.{name}" for name in vars(Oban) if not name.startswith("_")]
    assert sorted(documented("Oban")) == sorted(members)


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    found = [(name, module)]
    for key, value in vars(module).items():
        if (
            not key.startswith("_")
            and getattr(value, "__module__", None) == name
            and not isinstance(value, type(module))
        ):
            found += [(key, value)] if inspect.isroutine(value) or inspect.isclass(value) else []
            if inspect.isclass(value):
                members = [(f"{key}.{at}", member) for at, member in vars(value).items() if not at.startswith("_")]
                found += [
                    (at, member) for at, member in members if inspect.isroutine(member) or isinstance(member, property)
                ]
    assert [at for at, value in found if not (inspect.getdoc(value) or "").strip()] == []


def test_the_version_is_the_same_everywhere() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == "attr: oban_sync._version.__version__"
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == oban_sync.__version__
    done = subprocess.run([sys.executable, "-m", "oban_sync", "version"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{oban_sync.__version__}\n"


def test_the_wheel_ships_types_and_statements(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "setup.cfg", "README.md", "LICENSE", "oban_sync"):
        (source / name).symlink_to(ROOT / name)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "oban_sync").rglob("*") if path.is_file()}
    wanted = {name for name in ours if name.endswith((".py", ".sql", "py.typed"))}
    assert "oban_sync/py.typed" in shipped
    assert wanted - shipped == set()


def test_a_package_imports_no_optional_library() -> None:
    """With the packages that it depends on, every module but the demo's and those for one library can be imported."""
    optional = ("django", "flask", "msgspec", "opentelemetry", "prometheus_client", "psycopg2", "rich", "sqlalchemy")
    named = tuple(f"oban_sync.integrations.{library}" for library in ("opentelemetry", "prometheus", "pytest"))
    modules = [name for name in MODULES if not name.startswith(("oban_sync.cli.demo.", *named))]
    program = (
        f"import importlib, sys\n"
        f"for name in {modules!r}: name.endswith('__main__') or importlib.import_module(name)\n"
        f"print([name for name in {optional!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
