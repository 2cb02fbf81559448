"""Where a type holds timedeltas: a row has seconds there, which JSON cannot tell from other numbers.

msgspec turns what a row holds into objects and knows a timedelta by ISO text only. So the seconds are made timedeltas
before, in the places that the type names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

_NUMERIC = ("AnyType", "CustomType", "DecimalType", "EnumType", "FloatType", "IntType", "LiteralType", "RawType")
"""Types beside which a number is not surely a timedelta."""


class Durations:
    """The places of one type.

    Args:
        root: What `msgspec.inspect` says of the type.
        holders: Those of its parts, itself among them, that hold a timedelta, by identity: a type may hold itself.

    Attributes:
        plain: Whether seconds can stand in each place; not in the keys of a dict, nor in a union with a number.
    """

    def __init__(self, root: Any, holders: dict[int, Any]) -> None:
        self._root = root
        self._holders = holders
        self.plain = not any(_is_doubtful(node) for node in holders.values())

    def rebuilt(self, stored: Any) -> Any:
        """Give what a row holds with timedeltas for seconds; what does not fit the type is left as it is."""
        return self._turn(self._root, stored)

    def _turn(self, node: Any, stored: Any) -> Any:
        if id(node) not in self._holders:
            return stored
        if isinstance(stored, dict):
            return self._object(node, stored)
        if isinstance(stored, list):
            return self._array(node, stored)
        if type(stored) in (int, float) and _is_duration(node):
            return _duration(stored)
        return stored

    def _object(self, node: Any, stored: dict[str, Any]) -> dict[str, Any]:
        for member in _members(node):
            if hasattr(member, "value_type"):
                return {key: self._turn(member.value_type, value) for key, value in stored.items()}
            if hasattr(member, "fields") and not _is_array(member) and _fits(member, stored.get(_tag(member), member)):
                kinds = {field.encode_name: field.type for field in member.fields}
                return {key: self._turn(kinds.get(key), value) for key, value in stored.items()}
        return stored

    def _array(self, node: Any, stored: list[Any]) -> list[Any]:
        for member in _members(node):
            if hasattr(member, "item_type"):
                return [self._turn(member.item_type, value) for value in stored]
            if hasattr(member, "item_types"):
                return self._paired(member.item_types, stored)
            if hasattr(member, "fields") and _is_array(member) and _fits(member, *stored[:1]):
                tag = [] if _tag(member) is None else [None]
                return self._paired([*tag, *(field.type for field in member.fields)], stored)
        return stored

    def _paired(self, kinds: Sequence[Any], stored: list[Any]) -> list[Any]:
        paired = [self._turn(kind, value) for kind, value in zip(kinds, stored, strict=False)]
        return paired + stored[len(kinds) :]


def find(kind: Any) -> Durations | None:
    """Find the places of timedeltas in a type that msgspec can rebuild; None: there are none."""
    from msgspec import inspect

    root = inspect.type_info(kind)
    nodes, under = {id(root): root}, {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        parts = {id(part): part for part in _parts(node)}
        under[id(node)] = parts.keys()
        waiting += [part for key, part in parts.items() if key not in nodes]
        nodes |= parts
    holding = {key for key, node in nodes.items() if isinstance(node, inspect.TimeDeltaType)}
    while more := {key for key, parts in under.items() if key not in holding and not holding.isdisjoint(parts)}:
        holding |= more
    return Durations(root, {key: nodes[key] for key in holding}) if holding else None


def _parts(node: Any) -> Iterator[Any]:
    """Give the types that a type is made of."""
    for name in ("type", "item_type", "key_type", "value_type"):
        if hasattr(node, name):
            yield getattr(node, name)
    for name in ("types", "item_types"):
        yield from getattr(node, name, ())
    for field in getattr(node, "fields", ()):
        yield field.type


def _members(node: Any) -> list[Any]:
    """Give the types that a value may be of, without what an annotation says beside them."""
    while hasattr(node, "type"):
        node = node.type
    return [inner for member in node.types for inner in _members(member)] if hasattr(node, "types") else [node]


def _is_duration(node: Any) -> bool:
    names = {type(member).__name__ for member in _members(node)}
    return "TimeDeltaType" in names and names.isdisjoint(_NUMERIC)


def _is_doubtful(node: Any) -> bool:
    """Whether seconds could be taken for something else there."""
    names = {type(member).__name__ for member in _members(getattr(node, "key_type", node))}
    return "TimeDeltaType" in names and (hasattr(node, "key_type") or not names.isdisjoint(_NUMERIC))


def _is_array(member: Any) -> bool:
    return type(member).__name__ == "NamedTupleType" or getattr(member, "array_like", False)


def _tag(member: Any) -> Any:
    return getattr(member, "tag_field", None)


def _fits(member: Any, found: Any = None) -> bool:
    """Whether the tag that was found, if the type has one, is that of the type; where there is none, it may be."""
    return _tag(member) is None or found is member or bool(found == member.tag)


def _duration(seconds: float) -> Any:
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return seconds
