"""A virtual environment for each peer, made when it is missing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.servers import Missing

HOME = Path.home() / ".cache" / "oban_sync-benchmarks" / "venvs"
NEWEST = (3, 14)
PROBE_SECONDS = 20.0
INSTALL_SECONDS = 600.0
_PROBE = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
_VERSIONS = """
import importlib.metadata, json, platform, sys
print(json.dumps([platform.python_version()] + [importlib.metadata.version(name) for name in sys.argv[1:]]))
"""
_DONE = "requirements.txt"  # in the environment once all of them are in it


def prepare(name: str, packages: Sequence[str], oldest: tuple[int, int], home: Path = HOME) -> str:
    """Give the interpreter of an environment that has these packages.

    Args:
        name: Of the peer.
        packages: What pip installs.
        oldest: The Python that it needs, or a later one.
        home: The directory of all environments.

    Raises:
        Missing: There is no such Python, or the packages cannot be installed.
    """
    version, base = interpreter(oldest)
    place = home / f"{name}-{version[0]}.{version[1]}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{place.name}.lock").open("w") as lock:  # for who comes second: it is held until the file is closed
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _prepared(name, packages, place, base)


def _prepared(name: str, packages: Sequence[str], place: Path, base: str) -> str:
    python, done, wanted = place / "bin" / "python", place / _DONE, "\n".join(packages) + "\n"
    if done.exists() and done.read_text() == wanted and _answers(str(python)):
        return str(python)
    print(f"{name}: making {place}", file=sys.stderr)
    _run(f"make {place}", base, "-m", "venv", "--clear", str(place))
    if packages:
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20")
        _run(f"install {', '.join(packages)}", str(python), *pip, *packages)
    done.write_text(wanted)
    return str(python)


def interpreter(oldest: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """Find a Python with the module venv: our own version if it will do, or else the next later one.

    Raises:
        Missing: There is none.
    """
    for command in _candidates(oldest):
        version = _answers(command)
        if version is not None and version >= oldest:
            return version, command
    wanted = ".".join(map(str, oldest))
    raise Missing(
        f"needs Python {wanted} or later with its module venv, found none as python{wanted} on PATH or under ~/.pyenv"
    )


def versions(python: str, packages: Sequence[str]) -> tuple[str, list[str]]:
    """Give the version of an interpreter, and of packages in its environment."""
    done = subprocess.run([python, "-c", _VERSIONS, *packages], capture_output=True, text=True, check=True)
    own, *theirs = json.loads(done.stdout)
    return own, theirs


def _candidates(oldest: tuple[int, int]) -> Iterator[str]:
    yield getattr(sys, "_base_executable", sys.executable)  # not that of a venv, whose end would end the new one too
    for minor in range(oldest[1], NEWEST[1] + 1):
        name = f"python{oldest[0]}.{minor}"
        found = shutil.which(name)
        if found is not None:
            yield found
        for version in sorted((Path.home() / ".pyenv" / "versions").glob(f"{oldest[0]}.{minor}*"), reverse=True):
            yield str(version / "bin" / name)


def _answers(python: str) -> tuple[int, int] | None:
    """Give its version; None: it does not run, as a pyenv shim whose version is not chosen, or cannot make a venv."""
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True, env=_clean()
        )
        major, minor = map(int, done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return major, minor


def _run(what: str, *command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=True, env=_clean())
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or error.stderr.splitlines()
        raise Missing(f"could not {what}: {said[-1].strip() if said else f'exit {error.returncode}'}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"could not {what}: {error}") from error


def _clean() -> dict[str, str]:
    """Give our environment without what would lead another interpreter to our packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
