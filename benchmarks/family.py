"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def end_with_parent() -> None:
    """Have this process killed when the thread that started it ends; called after a fork."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
