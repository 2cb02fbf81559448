"""Finding the modules that define periodic workers, by reading files and not by running them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from oban_sync.errors import ConfigError

DECORATORS = ("worker", "job")
_LEFT_OUT = ("__pycache__", "node_modules", "site-packages")


def discover(paths: Iterable[str]) -> list[str]:
    """Name the modules under some paths that decorate a worker or job with `cron=`, and have them importable.

    A module is named as from the directory that was given, or from the first one above it that is no package.

    Args:
        paths: Directories, or files of Python.

    Raises:
        ConfigError: One of them is not there.
    """
    found: dict[str, None] = {}
    for given in paths:
        path = Path(given).resolve()
        if not path.exists():
            raise ConfigError(f"expected --cron-paths to name directories or files, found none at {given}")
        root = _root(path)
        names = [_name(file, root) for file in _files(path) if _has_cron(file)]
        if names and str(root) not in sys.path:
            sys.path.insert(0, str(root))
        found.update(dict.fromkeys(names))
    return list(found)


def _root(path: Path) -> Path:
    root = path if path.is_dir() else path.parent
    while (root / "__init__.py").exists():
        root = root.parent
    return root


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.name in _LEFT_OUT or (entry / "pyvenv.cfg").exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.suffix == ".py":
            yield entry


def _name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _has_cron(file: Path) -> bool:
    try:
        text = file.read_text(encoding="utf-8")
        return "cron" in text and any(map(_is_periodic, ast.walk(ast.parse(text))))
    except (OSError, ValueError, SyntaxError):  # no Python of ours: what cannot be read cannot be imported either
        return False


def _is_periodic(node: ast.AST) -> bool:
    if not isinstance(node, ast.ClassDef | ast.FunctionDef):
        return False
    calls = [call for call in node.decorator_list if isinstance(call, ast.Call)]
    return any(_called(call) in DECORATORS and any(key.arg == "cron" for key in call.keywords) for call in calls)


def _called(call: ast.Call) -> str | None:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
