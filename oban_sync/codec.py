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
_FLAT = frozenset({str, int, bool, type(None)})
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_EXACT = 2**53  # above it every float is whole


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
    encoded = _quickly(value)
    if encoded is None:
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


def is_unicode(text: str) -> bool:
    """Say whether text has no lone surrogates, which UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _quickly(value: Mapping[str, Any]) -> bytes | None:
    """Encode a flat dict of text, whole numbers, truth values and None; None: it has to be walked through."""
    if type(value) is not dict or not _FLAT.issuperset(map(type, value.values())):
        return None
    try:
        encoded = orjson.dumps(value)
    except TypeError:  # a key that is no text, a number or text that orjson refuses: the walk says which
        return None
    return None if b"\\u0000" in encoded else encoded


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
            # jsonb gives 2.0**60 back as digits that are rounded, but as a whole number: write its own digits then.
            return int(value) if abs(value) > _EXACT and _SMALLEST <= value <= _LARGEST else value
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
    if not (value.isascii() or is_unicode(value)):
        raise _Refused(f"text in Unicode, got a lone surrogate in {value[:40]!a}")
    return value


def _object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    plain = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _Refused(f"an object with str keys, got the key {_shown(key)}")
        try:
            plain[_string(_exact_string(key))] = _plain(item, depth)
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
        return _instant(value)
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
    if isinstance(value, str):
        return _string(_exact_string(value))
    for basic in (int, float):
        if isinstance(value, basic):
            return _plain(basic(value), depth)
    raise _Refused(f"a value that JSON can hold, got {_shown(value)}")


def _exact_string(value: str) -> str:
    """Give the text of a subclass of str, whose own __str__ may say something else, as that of an Enum does."""
    return str.__str__(value)


def _instant(value: datetime) -> str:
    if value.utcoffset() is None:
        return value.isoformat()
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError:
        raise _Refused(f"an instant between the years 1 and 9999 in UTC, got {value.isoformat()}") from None


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "one whose repr() fails"
    return f"{type(value).__name__} {text[:60]}"
