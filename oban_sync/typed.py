"""Args with types: what JSON cannot hold as it is becomes JSON at the enqueue, is checked there, and is rebuilt to run.

A type is one of ours to rebuild if JSON has no word for it: a dataclass, a class of attrs, msgspec or pydantic, a
NamedTuple, datetime, date, time, timedelta, UUID, Decimal, Enum, tuple, set, frozenset, bytes, and what holds one of
these, such as `list[Order]` or `Order | None`. The library msgspec does the work, and is imported where such a type is
declared.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal, NewType, Protocol, get_args, get_origin, get_type_hints
from uuid import UUID

from oban_sync import codec, durations
from oban_sync.durations import Durations
from oban_sync.errors import ArgsError, WorkerError


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Attrs(Protocol):
    __attrs_attrs__: ClassVar[Any]


class _Struct(Protocol):
    __struct_fields__: ClassVar[tuple[str, ...]]


class _Model(Protocol):
    __pydantic_fields__: ClassVar[dict[str, Any]]


Args = Mapping[str, Any] | _Dataclass | _Attrs | _Struct | _Model
"""What a worker's args may be given as."""

_RICH = (date, time, timedelta, UUID, Decimal, Enum, tuple, set, frozenset, bytes, bytearray)
_MARKS = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "__pydantic_fields__")
_KEPT = (datetime, timedelta)  # left to our own codec, which writes them in UTC, and in seconds
_EXPECTED = re.compile(r"Expected `(.*)`, got `(.*)`")
_PLACE = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_WRITTEN = "nothing was written"
_RUN = "the job did not run"


def check(kind: Any, what: str) -> None:
    """Check, where it is declared, that a type can be rebuilt.

    Raises:
        WorkerError: It cannot, names what cannot be found, or msgspec is not installed.
    """
    try:
        import msgspec
    except ImportError:
        raise WorkerError(
            f"expected msgspec to be installed, which rebuilds {what} of type {_name(kind)}: "
            f"pip install 'oban-sync[typed]', or annotate it with a type that JSON has"
        ) from None
    try:
        msgspec.json.Decoder(kind, dec_hook=_decoded)
    except Exception as error:  # an annotation that names what is not there raises whatever its evaluation does
        raise WorkerError(
            f"expected {what} of a type that JSON can be turned into, got {_name(kind)}: {error}"
        ) from None


def check_needs_nothing(kind: Any) -> None:
    """Check that args of a type can be made of no values, as those of a periodic job are.

    Raises:
        WorkerError: They cannot.
    """
    try:
        load(kind, {}, "args", then="nobody gives a job of cron= any")
    except ArgsError as error:
        raise WorkerError(f"expected args of {_name(kind)} with cron= to need no values: {error}") from None


def dump(kind: Any, value: Any, what: str) -> tuple[Any, Any]:
    """Turn a value into what JSON has, checked against its type.

    Args:
        kind: The type.
        value: An object of that type, or what JSON has for one.
        what: Its path in the args, for errors.

    Returns:
        What the row will hold, and the object that a job will get for it.

    Raises:
        ArgsError: It does not fit the type, or cannot be stored; the message has the path.
    """
    places = _durations(kind)
    kept = _KEPT if places is None or places.plain else _KEPT[:1]
    try:
        plain = _flattened(value, kept)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgsError(f"expected {what} to be {_name(kind)}, got: {error}; {_WRITTEN}") from None
    root, _, key = what.partition(".")
    found = codec.decode(codec.encode({key: plain} if key else plain, what=root, max_bytes=sys.maxsize))
    stored = found[key] if key else found
    return stored, load(kind, stored, what, then=_WRITTEN)


def plain(value: Any) -> Any:
    """Turn args into what a row holds, given as any worker takes them, with types or without.

    Args:
        value: A mapping with str keys, or where msgspec is installed an object that stands for one.

    Raises:
        ArgsError: It cannot be stored; the message has the path.
    """
    try:
        return codec.decode(codec.encode(value))
    except ArgsError as error:
        if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
            raise
        refused = error
    try:
        flat = _flattened(value, _KEPT)
    except (ImportError, TypeError, ValueError, RecursionError):
        raise refused from None
    return codec.decode(codec.encode(flat))


def load(kind: Any, stored: Any, what: str, *, then: str = _RUN) -> Any:
    """Rebuild an object from what a row holds.

    Raises:
        ArgsError: It does not fit the type; the message has the path, and says what happens then.
    """
    import msgspec

    places = _durations(kind)
    found = stored if places is None else places.rebuilt(stored)
    try:
        return msgspec.convert(found, kind, str_keys=True, dec_hook=_decoded)
    except msgspec.ValidationError as error:
        raise ArgsError(f"{_told(str(error), kind, what)}; {then}") from None


class Parameters:
    """Those parameters of a function that are rebuilt.

    Args:
        kinds: Their types, by name.
        rest: The type of what `**kwargs` takes; None: nothing to rebuild.
        others: The names of all other parameters.
    """

    def __init__(self, kinds: Mapping[str, Any], rest: Any, others: frozenset[str]) -> None:
        self._kinds = kinds
        self._rest = rest
        self._others = others

    def dumped(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Turn args into what JSON has; see `dump`."""
        return self._each(args, lambda kind, value, what: dump(kind, value, what)[0])

    def loaded(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Rebuild args; see `load`."""
        return self._each(args, load)

    def _each(self, args: Mapping[str, Any], turn: Callable[[Any, Any, str], Any]) -> dict[str, Any]:
        turned = dict(args)
        for name, value in args.items():
            kind = None if name in self._others else self._kinds.get(name, self._rest)
            if kind is not None:
                turned[name] = turn(kind, value, f"args.{name}")
        return turned


def parameters(
    function: Callable[..., Any], signature: inspect.Signature, scope: Mapping[str, Any]
) -> Parameters | None:
    """Find the parameters of a function that are to be rebuilt.

    An annotation that names what cannot be found, such as an import for type checkers only, is passed over.

    Args:
        function: The function.
        signature: Its signature.
        scope: Names known where it is defined, beside those of its module.

    Raises:
        WorkerError: One of them cannot be rebuilt.
    """
    kinds, rest = {}, None
    known = getattr(inspect.unwrap(function), "__globals__", {})
    for parameter in signature.parameters.values():
        kind = _resolved(parameter.annotation, known, scope)
        if not is_rich(kind):
            continue
        check(kind, f"parameter {parameter.name} of {signature_name(function)}")
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = kind
        else:
            kinds[parameter.name] = list[kind] if parameter.kind is parameter.VAR_POSITIONAL else kind  # type: ignore[valid-type]
    if not kinds and rest is None:
        return None
    return Parameters(kinds, rest, frozenset(signature.parameters) - kinds.keys())


def signature_name(function: Callable[..., Any]) -> str:
    """Give the name by which to speak of a function."""
    return getattr(function, "__qualname__", repr(function))


def is_rich(kind: Any) -> bool:
    """Say whether JSON has no word for a type, or for one that it holds.

    Example:
        >>> [is_rich(kind) for kind in (int, list[str], dict[str, date], "Decimal | None", UUID | None)]
        [False, False, True, False, True]
    """
    if isinstance(kind, NewType):
        return is_rich(kind.__supertype__)
    if type(kind).__name__ == "TypeAliasType":  # of Python 3.12
        return is_rich(kind.__value__)
    origin = get_origin(kind)
    if origin is Literal:
        return False
    if origin is not None:
        return is_rich(origin) or any(is_rich(part) for part in get_args(kind))
    return isinstance(kind, type) and (issubclass(kind, _RICH) or any(hasattr(kind, mark) for mark in _MARKS))


def _flattened(value: Any, kept: tuple[type, ...]) -> Any:
    """Turn a value into what JSON has, but for some types; a set, where it can be sorted, into the same each time."""
    import msgspec

    flatten = partial(msgspec.to_builtins, value, builtin_types=kept, str_keys=True, enc_hook=_encoded)
    try:
        return flatten(order="deterministic")
    except TypeError:
        return flatten()


def _durations(kind: Any) -> Durations | None:
    try:
        return _known_durations(kind)
    except TypeError:  # an annotation that has no hash
        return durations.find(kind)


_known_durations = lru_cache(maxsize=1024)(durations.find)


def _resolved(annotation: Any, known: Mapping[str, Any], scope: Mapping[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"found": annotation})
    try:
        return get_type_hints(holder, dict(known), dict(scope), include_extras=True)["found"]
    except Exception:
        return Any


def _encoded(value: Any) -> Any:
    """Turn an object that msgspec does not know into what it knows: those of pydantic."""
    dump_model = getattr(value, "model_dump", None)
    if dump_model is None:
        raise TypeError(f"{type(value).__name__} {value!r:.60}")
    return dump_model(mode="json", by_alias=True, round_trip=True)


def _decoded(kind: Any, stored: Any) -> Any:
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise TypeError(f"{_name(kind)} cannot be rebuilt")
    return validate(stored)


def _told(reason: str, kind: Any, what: str) -> str:
    """Say in our own words what msgspec says of a value."""
    place = _PLACE.search(reason)
    path = what + (place[1] if place else "")
    reason = _PLACE.sub("", reason)
    if expected := _EXPECTED.fullmatch(reason):
        return f"expected {path} to be {expected[1]}, got {expected[2]}"
    return f"expected {path} to fit {_name(kind)}, got: {reason}"


def _name(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)
