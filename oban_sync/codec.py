"""How Python values become JSON in a row, and come back.

What goes in as a datetime, date, time, UUID, Decimal or Enum comes back as what JSON has for it:

| in | stored, and what the job sees |
|---|---|
| datetime, aware | str, ISO 8601 in UTC: `2026-01-31T09:00:00+00:00` |
| datetime, naive; date; time | str, ISO 8601 |
| timedelta | float, seconds |
| UUID, Decimal | str |
| Enum | its value |
| dataclass | object with its fields |
| tuple | array |

What JSON or PostgreSQL cannot hold is refused with the path to it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from oban_sync.errors import ArgsError

MAX_DEPTH = 100
MAX_BYTES = 1_000_000
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


class _Refused(Exception):
    """Carries the reason up, collecting the path on its way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def below(self, key: object) -> _Refused:
        self.path.append(f"[{key}]" if isinstance(key, int) else f".{key}" if str(key).isidentifier() else f"[{key!r}]")
        return self


def encode(value: Any, *, what: str = "args", max_bytes: int = MAX_BYTES) -> bytes:
    """Encode a mapping as a JSON object in UTF-8.

    Args:
        value: A mapping with str keys.
        what: The field's name, the root of the path that an error names.
        max_bytes: Size above which the encoded object is refused.

    Raises:
        ArgsError: Part of it cannot be stored; the message holds its path, such as `args.users[3].name`.

    Example:
        >>> encode({"id": 1, "at": date(2026, 1, 31)})
        b'{"id":1,"at":"2026-01-31"}'
        >>> encode({"users": [{"score": float("nan")}]})
        Traceback (most recent call last):
        oban_sync.errors.ArgsError: expected args.users[0].score to be a finite number, got nan; nothing was written
    """
    if not isinstance(value, Mapping):
        raise ArgsError(f"expected {what} to be a mapping with str keys, got {_shown(value)}; nothing was written")
    try:
        encoded = orjson.dumps(_plain(value, 0))
    except _Refused as refused:
        path = what + "".join(reversed(refused.path))
        raise ArgsError(f"expected {path} to be {refused}; nothing was written") from None
    if len(encoded) > max_bytes:
        raise ArgsError(
            f"expected {what} of at most {max_bytes:,} bytes as JSON, got {len(encoded):,}; nothing was written"
        )
    return encoded


def decode(text: str | bytes) -> Any:
    """Decode JSON.

    Raises:
        ValueError: It is no JSON, or nests too deep.
    """
    return orjson.loads(text)


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _string(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        if _SMALLEST <= value <= _LARGEST:
            return value
        raise _Refused(f"an integer of at most 64 bits (or a str), got one of {value.bit_length()} bits")
    if kind is float:
        if math.isfinite(value):
            return value
        raise _Refused(f"a finite number, got {value}")
    if depth >= MAX_DEPTH:
        raise _Refused(f"at most {MAX_DEPTH} levels deep")
    if kind is dict:
        return _object(value, depth + 1)
    if kind is list or kind is tuple:
        return _array(value, depth + 1)
    return _converted(value, depth)


def _string(value: str) -> str:
    if "\0" in value:
        raise _Refused("text without NUL characters, which PostgreSQL cannot store")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refused(f"text in Unicode, got a lone surrogate in {value[:40]!a}") from None
    return value


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _Refused(f"an object with str keys, got the key {_shown(key)}")
        try:
            plain[_string(str(key))] = _plain(item, depth)
        except _Refused as refused:
            raise refused.below(key) from None
    return plain


def _array(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    plain = []
    for index, item in enumerate(value):
        try:
            plain.append(_plain(item, depth))
        except _Refused as refused:
            raise refused.below(index) from None
    return plain


def _converted(value: Any, depth: int) -> Any:
    """Turn what JSON has no word for into what it has one for. Subclasses of the basic types arrive here too."""
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _object(fields, depth + 1)
    if isinstance(value, Mapping):
        return _object(value, depth + 1)
    if isinstance(value, list | tuple):
        return _array(value, depth + 1)
    for basic in (str, int, float):
        if isinstance(value, basic):
            return _plain(basic(value), depth)
    raise _Refused(f"a value that JSON can hold, got {_shown(value)}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "one whose repr() fails"
    return f"{type(value).__name__} {text[:60]}"
