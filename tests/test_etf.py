"""Erlang's terms: what goes in comes back, and what comes from elsewhere can do no harm."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oban_sync import Job, Record
from oban_sync.errors import JobError
from oban_sync.etf import MAX_DEPTH, MAX_NODES, decode, encode


def term(data: bytes, version: int = 131) -> str:
    return base64.b64encode(bytes([version]) + data).decode()


def is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**4096), 2**4096)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary().filter(lambda value: not is_text(value))
)
KEYS = st.recursive(SCALARS, lambda inner: st.lists(inner).map(tuple), max_leaves=4)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=30)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types throughout."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


@settings(max_examples=80, deadline=None, database=None)
@given(value=VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ((), []),
        (b"text", "text"),
        (b"\xff", b"\xff"),
        ("lone \ud800", "lone \\ud800"),
        ({(1, ("a",)): 1}, {(1, ("a",)): 1}),
    ],
)
def test_what_has_no_term_of_its_own_comes_back_as_its_neighbour(value: Any, expected: Any) -> None:
    assert same(decode(encode(value)), expected)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, b"s\x03nil"),
        (True, b"s\x04true"),
        (False, b"s\x05false"),
        (255, b"a\xff"),
        (256, b"b\0\0\1\0"),
        (-1, b"b\xff\xff\xff\xff"),
        (2**31, b"n\4\0\0\0\0\x80"),
        (-(2**64), b"n\x09\1" + b"\0" * 8 + b"\1"),
        (1.5, b"F" + struct.pack(">d", 1.5)),
        ("é", b"m\0\0\0\2\xc3\xa9"),
        ([1], b"l\0\0\0\1a\1j"),
        ([], b"j"),
        ({"a": 1}, b"t\0\0\0\1m\0\0\0\1aa\1"),
    ],
)
def test_the_bytes_are_those_of_erlang_s_documentation(value: Any, data: bytes) -> None:
    assert encode(value) == term(data).rstrip("=")
    assert same(decode(term(data)), value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"h\2a\1a\2", [1, 2]),  # a small tuple
        (b"i\0\0\0\1a\1", [1]),  # a large tuple
        (b"k\0\2\1\2", [1, 2]),  # a charlist
        (b"w\2ok", "ok"),  # an atom in UTF-8
        (b"d\0\2ok", "ok"),
        (b"v\0\3nil", None),
        (b"w\4true", True),
        (b"s\1\xff", "\ufffd"),
        (b"o\0\0\0\1\1\x05", -5),  # a large big
        (b"n\0\0", 0),
        (b"t\0\0\0\1h\2a\1a\2a\3", {(1, 2): 3}),
    ],
)
def test_terms_that_only_oban_for_elixir_writes_are_read(data: bytes, value: Any) -> None:
    assert same(decode(term(data)), value)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, 1j, range(3), [lambda: None], {"a": {"b": object}}, memoryview(b"")]
)
def test_other_types_are_refused_with_what_may_be(value: Any) -> None:
    with pytest.raises(JobError, match="None, bool, int, float, str, bytes, list or dict, got"):
        encode(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_erlang_cannot_read_are_refused(value: float) -> None:
    with pytest.raises(JobError, match="finite"):
        encode({"a": [value]})


def test_depth_has_an_end_on_both_sides() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(JobError, match=f"at most {MAX_DEPTH} levels deep"):
        encode([value])
    holds: list[Any] = []
    holds.append(holds)
    with pytest.raises(JobError, match="levels deep"):
        encode(holds)
    for opening in (b"l\0\0\0\1", b"h\1", b"t\0\0\0\1a\1"):
        with pytest.raises(JobError, match="levels deep"):
            decode(term(opening * 100_000 + b"a\1"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        "ümlaut",
        "g",
        "AAAA",
        term(b""),
        term(b"a\1", version=130),
        term(b"P\0\0\0\x05"),  # a compressed term: never inflated
        term(b"g"),  # a pid
        term(b"q"),  # a function
        term(b"r"),  # a reference
        term(b"l\xff\xff\xff\xff"),
        term(b"l\xff\xff\xff\xff" + b"j" * 1000),
        term(b"t\xff\xff\xff\xff"),
        term(b"i\xff\xff\xff\xff"),
        term(b"m\xff\xff\xff\xffabc"),
        term(b"o\xff\xff\xff\xff\0abc"),
        term(b"n\xff\0abc"),
        term(b"s\xffabc"),
        term(b"d\xff\xffabc"),
        term(b"k\xff\xffabc"),
        term(b"b\0\0"),
        term(b"F\0\0"),
        term(b"l\0\0\0\1a\1a\2"),  # an improper list
        term(b"t\0\0\0\1t\0\0\0\0a\1"),  # a map as a key
        None,
        5,
        [],
        b"g2EB",
    ],
)
def test_what_is_no_term_is_refused_and_nothing_is_built_for_what_it_promises(text: Any) -> None:
    with pytest.raises(JobError, match="expected a recorded value in Erlang's term format"):
        decode(text)


def test_the_number_of_terms_has_an_end() -> None:
    many = MAX_NODES + 1
    with pytest.raises(JobError, match=f"{MAX_NODES} terms long"):
        decode(term(b"l" + struct.pack(">I", many) + b"j" * many + b"j"))


@settings(max_examples=200, deadline=None, database=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_job_error(data: bytes) -> None:
    try:
        decode(term(data))
    except JobError:
        return


@settings(max_examples=80, deadline=None, database=None)
@given(value=VALUES, at=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_is_a_value_or_a_job_error(value: Any, at: int, byte: int) -> None:
    text = encode(value)
    data = bytearray(base64.b64decode(text + "=" * (-len(text) % 4)))
    data[at % len(data)] = byte
    try:
        decode(base64.b64encode(data).decode())
    except JobError:
        return


def test_atoms_are_text_and_run_nothing() -> None:
    assert decode(term(b"w\x09os.system")) == "os.system"


def test_a_job_gives_its_recorded_value_back() -> None:
    recorded = Record({"total": 3, "names": ["a", "b"]})
    job = Job("w", meta={"recorded": True, "return": recorded.encoded})
    assert job.recorded == {"total": 3, "names": ["a", "b"]}
    assert Job("w").recorded is None
    assert Job("w", meta={"return": recorded.encoded}).recorded is None


@pytest.mark.parametrize("broken", [{}, {"return": 5}, {"return": "x"}, {"return": None}])
def test_a_recorded_value_that_somebody_broke_is_a_job_error(broken: dict[str, Any]) -> None:
    with pytest.raises(JobError, match="cannot be read"):
        _ = Job("w", meta={"recorded": True, **broken}).recorded
