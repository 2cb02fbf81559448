"""The examples: every code block of the README and of docs/*.md, and every docstring of the package.

The blocks of a page run in its order, on a real PostgreSQL:

| in the page | here |
|---|---|
| a fence `python` | runs, in one namespace a page; with `>>>` in it, what it prints is compared |
| a fence `console` | each `$ oban-sync ...` runs, and its output is compared; `^C` is sent after the lines before it |
| `<!-- run` lines `-->` | runs as `python` and is not shown: what an example needs, and the proof of what a page says |
| `<!-- file: NAME -->` before a fence | the block becomes that file in the page's directory, instead of running |
| `<!-- alone` lines `-->` before a fence | the lines and the block run as a program of their own |
| a fence `sh`, `text`, `toml`, `sql` | is for reading only |

In what is compared, `...` stands for anything.

A page finds `DATABASE_URL` in its environment, a database of its own with the tables installed, and `eventually` (see
conftest.py) in its namespace.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import Engine

from oban_sync import Oban, instances, periodic

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
KINDS = {"python", "console", "sh", "text", "toml", "sql"}
TIMEOUT = 60
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "oban_sync").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

_BLOCK = re.compile(
    r"(?:<!-- (?:file: (?P<file>\S+) -->|alone\n(?P<alone>.*?)-->)\n+)?"
    r"(?:^```(?P<kind>\w*)\n(?P<code>.*?)^```$|<!-- run\n(?P<hidden>.*?)-->)",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """A piece of a page; `line` is that of its first line of code."""

    page: Path
    line: int
    kind: str
    code: str
    file: str | None = None
    before: str | None = None

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        part = "hidden" if found["kind"] is None else "code"
        line = text.count("\n", 0, found.start(part)) + 1
        yield Block(page, line, found["kind"] or "hidden", found[part], found["file"], found["alone"])


def check(test: doctest.DocTest) -> None:
    report: list[str] = []
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False).failed
    assert not failed, "".join(report)


class Runner:
    """Runs the blocks of one page, one after the other."""

    def __init__(self, directory: Path, module: types.ModuleType) -> None:
        self.directory = directory
        self.names = module.__dict__

    def run(self, block: Block) -> None:
        if block.file is not None:
            path = self.directory / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)
        elif block.before is not None:
            self._alone(block)
        elif block.kind == "console":
            self._console(block)
        elif block.kind == "python" and ">>>" in block.code:
            self._doctest(block)
        elif block.kind in ("python", "hidden"):
            # blank lines before the code give tracebacks the line numbers of the page
            exec(compile("\n" * (block.line - 1) + block.code, block.page, "exec"), self.names)  # noqa: S102

    def _doctest(self, block: Block) -> None:
        test = doctest.DocTestParser().get_doctest(block.code, {}, block.name, str(block.page), block.line - 1)
        test.globs = self.names
        check(test)

    def _alone(self, block: Block) -> None:
        program = [sys.executable, "-c", f"{block.before}\n{block.code}"]
        done = subprocess.run(program, cwd=self.directory, capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == 0, f"{block.name}: {done.stderr}"

    def _console(self, block: Block) -> None:
        for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            printed = self._command(command, wanted)
            wanted = wanted.replace("^C\n", "")
            same = doctest.OutputChecker().check_output(wanted, printed, FLAGS)
            assert same, f"{block.name}: $ {command}\nexpected:\n{wanted}\ngot:\n{printed}"

    def _command(self, command: str, wanted: str) -> str:
        """Run a command as bash does; where the page shows ^C, interrupt it once it printed what stands before."""
        assert command.startswith("oban-sync "), f"expected a command of ours, got {command}"
        command = command.replace("oban-sync", f"exec '{sys.executable}' -m oban_sync", 1)
        before, interrupted, _ = wanted.partition("^C\n")
        output = self.directory / "printed.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        try:
            deadline = time.monotonic() + TIMEOUT
            while interrupted and process.poll() is None and time.monotonic() < deadline:
                if doctest.OutputChecker().check_output(before, printed(output), FLAGS):
                    process.send_signal(signal.SIGINT)
                    break
                time.sleep(0.02)
            process.wait(TIMEOUT)
        finally:
            process.kill()
            process.wait()
        return printed(output)


def printed(output: Path) -> str:
    """Give what a command printed so far, but for who leads, which a node says at any time or is too short-lived to."""
    return re.sub(r"^.* oban_sync\.runtime\.steward .* leads\n", "", output.read_text(), flags=re.MULTILINE)


def url_of(dsn: str) -> str:
    """Write a connection string as the URL that hosting services give."""
    with psycopg.connect(dsn) as connection:
        info = connection.info
        password = f":{quote(info.password)}" if info.password else ""
        return f"postgresql://{info.user}{password}@/{info.dbname}?host={quote(info.host)}&port={info.port}"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to be in, with nothing registered and nothing left behind."""
    monkeypatch.setattr(instances, "_instances", {})
    monkeypatch.setattr(import_module("oban_sync.worker"), "_registry", {})  # the name itself is the decorator
    monkeypatch.setattr(periodic, "_periodic", {})
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for instance in instances.every():
        instance.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_runs(
    page: Path, alone: Path, dsn: str, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., object]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of(dsn))
    module = types.ModuleType("shop")  # what workers in the page are named after
    module.eventually = eventually
    monkeypatch.setitem(sys.modules, module.__name__, module)
    runner = Runner(alone, module)
    try:
        for block in blocks(page):
            assert block.kind in KINDS | {"hidden"}, f"{block.name}: a fence of kind {block.kind!r} is not looked at"
            runner.run(block)
    finally:
        for value in list(runner.names.values()):  # open ones, after a failure, would bury its report
            close = getattr(value, "stop", None) or getattr(value, "dispose", None) or getattr(value, "close", None)
            if isinstance(value, Oban | psycopg.Connection | Engine):
                close()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_hold(name: str) -> None:
    tests = [test for test in doctest.DocTestFinder(exclude_empty=True).find(import_module(name)) if test.examples]
    assert tests
    for test in tests:
        check(test)


def test_no_code_block_is_overlooked() -> None:
    for page in PAGES:
        fences = len(re.findall(r"^```\w", page.read_text(), re.MULTILINE))
        assert len([block for block in blocks(page) if block.kind != "hidden"]) == fences, page


def test_links_between_the_documents_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_example_of_the_readme_is_short() -> None:
    (example,) = [block for block in blocks(ROOT / "README.md") if block.kind == "python"]
    assert len([line for line in example.code.splitlines() if line.strip()]) <= 22


def test_ci_runs_the_test_command_of_the_readme() -> None:
    commands = [block.code.strip() for block in blocks(ROOT / "README.md") if block.kind == "sh"]
    assert commands == [
        "python3.11 -m venv .venv && .venv/bin/pip install '.[demo]' && .venv/bin/oban-sync demo",
        "python3.11 -m venv .venv && .venv/bin/pip install '.[dev]' && .venv/bin/python -m pytest -n 3",
    ]
    assert "README.md" in (ROOT / ".ci" / "run").read_text()
