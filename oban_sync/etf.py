"""Erlang's external term format, as far as recorded results need it.

Oban stores what a job records as such a term in base64, so that its dashboards can read it. The decoder creates no
atoms, runs nothing and stops at `MAX_DEPTH` and `MAX_NODES`. Source of the format: the "External Term Format" chapter
of Erlang's ERTS reference.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

from oban_sync.errors import JobError

MAX_DEPTH = 100
MAX_NODES = 1_000_000

_VERSION = 131
_NEW_FLOAT, _SMALL_INT, _INT, _ATOM = 70, 97, 98, 100
_SMALL_TUPLE, _LARGE_TUPLE, _NIL, _STRING, _LIST, _BINARY = 104, 105, 106, 107, 108, 109
_SMALL_BIG, _LARGE_BIG, _SMALL_ATOM, _MAP, _ATOM_UTF8, _SMALL_ATOM_UTF8 = 110, 111, 115, 116, 118, 119
_ATOMS = {None: b"nil", True: b"true", False: b"false"}
_CONSTANTS = {"nil": None, "true": True, "false": False}


def encode(value: Any) -> str:
    """Encode a value of None, bool, int, float, str, bytes, list, tuple or dict as unpadded base64.

    Raises:
        JobError: The value holds another type or no finite number, or nests deeper than `MAX_DEPTH`.
    """
    parts: list[bytes] = [bytes([_VERSION])]
    _put(value, parts, 0)
    return base64.b64encode(b"".join(parts)).decode("ascii").rstrip("=")


def decode(text: object) -> Any:
    """Decode what `encode`, or Oban for Elixir, wrote. Binaries in UTF-8 become str; atoms become str too.

    Raises:
        JobError: The text is no term, holds a kind of term that results have no use for, or is too deep or large.
    """
    try:
        if not isinstance(text, str):
            raise ValueError(f"a {type(text).__name__}")
        reader = _Reader(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
        if reader.byte() != _VERSION:
            raise ValueError("no version byte")
        return reader.term(0)
    except (ValueError, struct.error, IndexError) as error:
        raise JobError(
            f"expected a recorded value in Erlang's term format, got one that cannot be read: {error}"
        ) from None


def _put(value: Any, parts: list[bytes], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise JobError(f"expected a recorded value at most {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, bool):
        atom = _ATOMS[value]
        parts.append(bytes([_SMALL_ATOM, len(atom)]) + atom)
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise JobError(f"expected a recorded value of finite numbers, which Erlang can read, got {value}")
        parts.append(struct.pack(">Bd", _NEW_FLOAT, value))
    elif isinstance(value, str | bytes):
        data = value.encode("utf-8", "backslashreplace") if isinstance(value, str) else value
        parts.append(struct.pack(">BI", _BINARY, len(data)) + data)
    elif isinstance(value, dict):
        parts.append(struct.pack(">BI", _MAP, len(value)))
        for pair in value.items():
            for item in pair:
                _put(item, parts, depth + 1)
    elif isinstance(value, list | tuple):
        _put_list(value, parts, depth)
    else:
        raise JobError(
            f"expected a recorded value of None, bool, int, float, str, bytes, list or dict, got {type(value).__name__}"
        )


def _put_list(value: list[Any] | tuple[Any, ...], parts: list[bytes], depth: int) -> None:
    if value:
        parts.append(struct.pack(">BI", _LIST, len(value)))
        for item in value:
            _put(item, parts, depth + 1)
    parts.append(bytes([_NIL]))


def _integer(value: int) -> bytes:
    if 0 <= value < 256:
        return bytes([_SMALL_INT, value])
    if -(2**31) <= value < 2**31:
        return struct.pack(">Bi", _INT, value)
    data = abs(value).to_bytes((abs(value).bit_length() + 7) // 8, "little")
    head = struct.pack(">BB", _SMALL_BIG, len(data)) if len(data) < 256 else struct.pack(">BI", _LARGE_BIG, len(data))
    return head + bytes([value < 0]) + data


class _Reader:
    """Walks the bytes of one term; every length is checked against what is there before anything is built."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._nodes = data, 0, 0

    def byte(self) -> int:
        return self.take(1)[0]

    def size(self) -> int:
        size: int = struct.unpack(">I", self.take(4))[0]
        return size

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("it ends too early")
        taken, self._at = self._data[self._at : end], end
        return taken

    def term(self, depth: int) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ValueError(f"it is over {MAX_DEPTH} levels deep or {MAX_NODES} terms long")
        tag = self.byte()
        if tag in (_LIST, _SMALL_TUPLE, _LARGE_TUPLE, _MAP):
            return self._compound(tag, depth + 1)
        return self._scalar(tag)

    def _compound(self, tag: int, depth: int) -> Any:
        size = self.byte() if tag == _SMALL_TUPLE else self.size()
        if tag == _MAP:
            return {_key(self.term(depth)): self.term(depth) for _ in range(size)}
        items = [self.term(depth) for _ in range(size)]
        if tag == _LIST and self.byte() != _NIL:
            raise ValueError("a list has an improper tail")
        return items

    def _scalar(self, tag: int) -> Any:
        match tag:
            case 97:
                return self.byte()
            case 98:
                return struct.unpack(">i", self.take(4))[0]
            case 70:
                return struct.unpack(">d", self.take(8))[0]
            case 109:
                return _text(self.take(self.size()))
            case 106:
                return []
            case 107:
                return list(self.take(struct.unpack(">H", self.take(2))[0]))
            case 115 | 119:
                return _atom(self.take(self.byte()))
            case 100 | 118:
                return _atom(self.take(struct.unpack(">H", self.take(2))[0]))
            case 110 | 111:
                size = self.byte() if tag == _SMALL_BIG else self.size()
                sign = self.byte()
                return int.from_bytes(self.take(size), "little") * (-1 if sign else 1)
        raise ValueError(f"it holds a term with tag {tag}")


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _atom(data: bytes) -> Any:
    name = data.decode("utf-8", "replace")
    return _CONSTANTS.get(name, name)


def _key(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError("a map has a map as its key")
    return tuple(map(_key, value)) if isinstance(value, list) else value
