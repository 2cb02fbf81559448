"""The testing mode of this process, which `oban_sync.testing` sets.

| mode | `enqueue` | queues |
|---|---|---|
| None | stores a job | run |
| `inline` | runs a job at once, and stores nothing | fetch nothing |
| `manual` | stores a job, by this process's clock | fetch nothing |
"""

from __future__ import annotations

from oban_sync.errors import ConfigError

MODES = ("inline", "manual")

_active: str | None = None  # replaced by `put`, in one store; all threads of the process read it


def active() -> str | None:
    """Give the mode, or None."""
    return _active


def put(mode: str | None) -> str | None:
    """Set the mode, and give the one before.

    Raises:
        ConfigError: There is no such mode.
    """
    global _active
    if mode is not None and mode not in MODES:
        raise ConfigError(f"expected a testing mode out of {', '.join(MODES)}, or None, got {mode!r}")
    before, _active = _active, mode
    return before
