"""How a run ended, ready to be written: safe text, JSON without surprises, delays that fit."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import orjson

from oban_sync.tracebacks import clipped

MAX_ERROR = 16_000
"""Characters kept of one error; its middle goes first."""
MAX_DELAY = 100 * 365 * 86_400.0


class Outcome(NamedTuple):
    """What an ack writes for one run of a job, named by (id, attempt).

    Attributes:
        written: Whether the job's own transaction wrote it, which leaves nothing to the ack.
    """

    id: int
    attempt: int
    state: str
    attempt_change: int = 0
    delay: float | None = None
    error: str | None = None
    meta: bytes | None = None
    written: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is completed and nothing else."""
        return self.state == "completed" and self.meta is None

    def dump(self) -> dict[str, Any]:
        """Give what `load` reads, as values that JSON has."""
        return self._asdict() | {"meta": None if self.meta is None else self.meta.decode()}

    @classmethod
    def load(cls, fields: dict[str, Any]) -> Self:
        """Read what `dump` gave."""
        meta = fields["meta"]
        return cls(**{**fields, "meta": None if meta is None else meta.encode()})

    def encode(self) -> bytes:
        """Write it as the JSON object that ack_jobs reads."""
        fields: dict[str, Any] = self._asdict()
        if self.meta is not None:
            fields["meta"] = orjson.Fragment(self.meta)
        return orjson.dumps(fields)


def storable(text: str) -> str:
    """Make text that PostgreSQL takes: NUL replaced, lone surrogates escaped, the middle of a long one left out."""
    safe = clipped(text, MAX_ERROR).replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()
    return clipped(safe, MAX_ERROR)


def clamped(seconds: float) -> float:
    """Bring a delay into what a timestamp can be moved by; what is no number becomes 0."""
    return min(max(float(seconds), 0.0), MAX_DELAY) if seconds == seconds else 0.0
