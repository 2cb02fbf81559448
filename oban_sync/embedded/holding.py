"""Locks on files that die with the process that took them, and with no other."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from types import TracebackType

from oban_sync.embedded.binaries import Account

SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX

_open_locks: set[LockFile] = set()  # every lock file open in this process; guarded by _fork_gate
_fork_gate = threading.RLock()  # held across a fork, so that no lock file is open and unlisted while it happens
_hooks_installed = False  # guarded by _fork_gate


class LockFile:
    """An open lock file; what is locked stays so until `close()` or until this process dies.

    Programs that this process starts do not inherit it (close-on-exec), and forked children close it at birth.
    """

    def __init__(self, path: Path, owner: Account | None = None) -> None:
        with _fork_gate:
            _install_hooks()
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            _open_locks.add(self)
        if owner:
            os.fchown(self._fd, *owner)

    def lock(self, kind: int) -> LockFile:
        """Wait for the lock and take it."""
        fcntl.flock(self._fd, kind)
        return self

    def try_lock(self, kind: int) -> bool:
        """Take the lock if that needs no waiting; what was locked before through this object is given up."""
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self) -> str:
        """Return what the file says."""
        return os.pread(self._fd, 100, 0).decode()

    @property
    def closed(self) -> bool:
        """Whether this process has let go of the file, or was forked from one that holds it."""
        return self not in _open_locks

    def close(self) -> None:
        """Close the file, once; that gives the lock up."""
        with _fork_gate:
            if self in _open_locks:
                _open_locks.discard(self)
                os.close(self._fd)

    def __enter__(self) -> LockFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _install_hooks() -> None:
    """Have forked children close what they inherit: a child that shares the lock would hold it for ever."""
    global _hooks_installed
    if not _hooks_installed:
        os.register_at_fork(
            before=_fork_gate.acquire, after_in_parent=_fork_gate.release, after_in_child=_close_inherited
        )
        _hooks_installed = True


def _close_inherited() -> None:
    for lock in _open_locks:
        os.close(lock._fd)
    _open_locks.clear()
    _fork_gate.release()
