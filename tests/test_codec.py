"""How values become JSON: every refusal names its path, and what goes in comes back."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oban_sync import Job, Oban, codec
from oban_sync.codec import MAX_DEPTH, decode, encode
from oban_sync.errors import ArgsError, JobError, ObanError
from oban_sync.lifecycle import bulk


class Colour(Enum):
    RED = "red"
    PAIR = (1, "x")
    NOTHING = None
    BAD = float("inf")


class Name(StrEnum):
    ANN = "ann"


class Old(str, Enum):  # noqa: UP042 - what code from before StrEnum has
    ANN = "ann"


class Size(IntEnum):
    BIG = 3


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Metres(float):
    pass


class Count(int):
    pass


class Lazy(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


@dataclasses.dataclass
class Point:
    x: int
    at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    points: tuple[Point, ...]
    label: Name = Name.ANN


class Nowhere(tzinfo):
    def utcoffset(self, when: datetime | None) -> None:
        return None


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError


NOON = datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (1.5, 1.5),
        (float(2**60), 2**60),
        ("häh ☃ 😀", "häh ☃ 😀"),
        ("", ""),
        (NOON, "2026-01-31T10:30:00+00:00"),
        (datetime(2026, 1, 31, 12, 30, 0, 5), "2026-01-31T12:30:00.000005"),
        (datetime(2026, 1, 31, tzinfo=Nowhere()), "2026-01-31T00:00:00"),
        (date(2026, 1, 31), "2026-01-31"),
        (time(12, 30), "12:30:00"),
        (time(12, 30, tzinfo=UTC), "12:30:00+00:00"),
        (timedelta(minutes=1, microseconds=500_000), 60.5),
        (UUID("12345678-1234-5678-1234-567812345678"), "12345678-1234-5678-1234-567812345678"),
        (Decimal("0.10"), "0.10"),
        (Decimal("NaN"), "NaN"),
        (Colour.RED, "red"),
        (Colour.PAIR, [1, "x"]),
        (Colour.NOTHING, None),
        (Name.ANN, "ann"),
        (Old.ANN, "ann"),
        (Size.BIG, 3),
        (Shouting("quiet"), "quiet"),
        (Metres(2.5), 2.5),
        (Count(7), 7),
        ((1, (2,)), [1, [2]]),
        ([], []),
        ({}, {}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Lazy(), {"a": 1}),
        ({Name.ANN: 1, Old.ANN + "a": 2}, {"ann": 1, "anna": 2}),
        ({Old.ANN: 1}, {"ann": 1}),
        ({Shouting("quiet"): 1}, {"quiet": 1}),
        (Point(1, NOON), {"x": 1, "at": "2026-01-31T10:30:00+00:00"}),
        (
            Line((Point(1, NOON),)),
            {"points": [{"x": 1, "at": "2026-01-31T10:30:00+00:00"}], "label": "ann"},
        ),
    ],
)
def test_a_value_is_stored_as_json_has_it(value: Any, stored: Any) -> None:
    assert orjson.loads(encode({"value": value})) == {"value": stored}
    assert orjson.loads(encode({"deep": [{"er": value}]})) == {"deep": [{"er": stored}]}


def test_the_objects_given_are_left_as_they_are() -> None:
    given = {"when": NOON, "list": [(1, 2)]}
    encode(given)
    assert given == {"when": NOON, "list": [(1, 2)]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\0b", "NUL"),
        ("a\ud800b", "lone surrogate"),
        ("\udfff", "lone surrogate"),
        (Shouting("a\0b"), "NUL"),
        (math.nan, "a finite number, got nan"),
        (math.inf, "a finite number, got inf"),
        (-math.inf, "a finite number, got -inf"),
        (Metres(math.inf), "a finite number, got inf"),
        (Colour.BAD, "a finite number, got inf"),
        (2**64, "64 bits (or a str), got one of 65 bits"),
        (-(2**63) - 1, "64 bits"),
        pytest.param(1 << 20_000, "one of 20001 bits", id="larger than Python writes"),
        ({1, 2}, "JSON can hold, got set"),
        (b"bytes", "JSON can hold, got bytes b'bytes'"),
        (1j, "JSON can hold, got complex"),
        (object, "JSON can hold, got type"),
        (Point, "JSON can hold, got type"),
        (Unshowable(), "JSON can hold, got Unshowable one whose repr() fails"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))), "between the years 1 and 9999 in UTC"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "between the years 1 and 9999 in UTC"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_path_to_it(value: Any, words: str) -> None:
    with pytest.raises(ArgsError) as caught:
        encode({"users": [{}, {"full name": (0, value)}]})
    assert str(caught.value).startswith("expected args.users[1]['full name'][1] to be ")
    assert words in str(caught.value)
    assert str(caught.value).endswith("; nothing was written")
    assert isinstance(caught.value, (JobError, ObanError, ValueError))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (1, "str keys, got the key int 1"),
        (None, "str keys, got the key NoneType None"),
        (b"a", "str keys, got the key bytes"),
        (Size.BIG, "str keys, got the key Size"),
        ("a\0", "NUL"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_a_key_that_cannot_be_stored_is_refused_with_the_path_to_it(key: Any, words: str) -> None:
    with pytest.raises(ArgsError, match=r"^expected args\.users") as caught:
        encode({"users": {key: 1}})
    assert words in str(caught.value)


def test_a_dataclass_is_part_of_the_path() -> None:
    with pytest.raises(ArgsError, match=r"^expected args\.line\.points\[0\]\.x to be a finite number"):
        encode({"line": Line((Point(math.nan, NOON),))})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [[], (), "text", 5, {1}, Point(1, NOON), Colour.RED, b"{}"])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ArgsError, match="expected meta to be a mapping with str keys, got"):
        encode(value, what="meta")


def nested(levels: int, make: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda value: [value], lambda value: (value,), lambda value: {"a": value}])
def test_depth_ends_at_the_limit_before_python_s_own_does(make: Any) -> None:
    deepest = {"a": nested(MAX_DEPTH - 1, make)}
    assert orjson.loads(encode(deepest)) == orjson.loads(orjson.dumps(deepest))
    with pytest.raises(ArgsError, match=f"at most {MAX_DEPTH} levels deep"):
        encode({"a": nested(MAX_DEPTH, make)})
    with pytest.raises(ArgsError, match=f"at most {MAX_DEPTH} levels deep"):
        encode({"a": nested(50_000, make)})


def test_an_object_that_holds_itself_is_too_deep() -> None:
    holds: list[Any] = []
    holds += [holds, holds]
    with pytest.raises(ArgsError, match=r"^expected args\.a\[0\]\[0\].*levels deep"):
        encode({"a": holds})


def test_size_is_measured_in_bytes_of_json() -> None:
    assert encode({"a": "é" * 10}, max_bytes=28) == '{{"a":"{}"}}'.format("é" * 10).encode()
    with pytest.raises(ArgsError, match="expected args of at most 27 bytes as JSON, got 28; nothing was written"):
        encode({"a": "é" * 10}, max_bytes=27)


def test_the_largest_size_is_one_megabyte_unless_the_instance_says_otherwise(
    oban: Oban, dsn: str, db: psycopg.Connection[Any]
) -> None:
    big = "x" * 1_000_000
    with pytest.raises(ArgsError, match="of at most 1,000,000 bytes"):
        oban.enqueue_many(Job("w", args={"a": "x"}), Job("w", args={"a": big}))
    with pytest.raises(ArgsError, match="expected meta of at most 1,000,000 bytes"):
        oban.enqueue_many(Job("w", args={"a": "x"}), Job("w", meta={"a": big}))
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)

    generous = Oban(dsn=dsn, name="generous", max_args_bytes=2_000_000)
    strict = Oban(dsn=dsn, name="strict", max_args_bytes=10)
    generous.enqueue(Job("w", args={"a": big}))
    strict.enqueue(Job("w", args={"a": 1}))
    with pytest.raises(ArgsError, match="at most 10 bytes"):
        strict.enqueue(Job("w", args={"a": 12345}))
    generous.stop()
    strict.stop()
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (2,)


def test_one_refused_job_keeps_all_others_out(oban: Oban, db: psycopg.Connection[Any]) -> None:
    jobs = [Job("w", args={"at": at}) for at in range(3)] + [Job("w", args={"at": {1}})]
    with pytest.raises(ArgsError, match=r"args\.at"):
        oban.enqueue_many(jobs)
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
    assert [job.id for job in jobs] == [None] * 4


class Untouched:
    """A handle that nothing may be sent to."""

    def execute(self, sql: str, params: Any) -> Any:
        raise AssertionError("the database was asked")


@pytest.mark.parametrize("args", [[], "text", 5, {"a": b"x"}, {1: 2}, {"a": "\0"}])
def test_args_are_refused_before_the_database_is_asked(args: Any, oban: Oban) -> None:
    with pytest.raises(ArgsError, match="expected args"):
        oban.enqueue_many(Job("w"), Job("w", args=args), conn=Untouched())


@pytest.mark.parametrize("meta", [[], (), "", 0, False])
def test_meta_that_is_empty_and_no_mapping_is_refused_too(meta: Any, oban: Oban, db: psycopg.Connection[Any]) -> None:
    with pytest.raises(ArgsError, match="expected meta to be a mapping"):
        oban.enqueue(Job("w", meta=meta))
    for count in (1, bulk.FEWEST):
        with pytest.raises(ArgsError, match="expected meta to be a mapping"):
            oban.enqueue_many([*(Job("w") for _ in range(count)), Job("w", meta=meta)])
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, JSON)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(args=OBJECTS, meta=OBJECTS)
def test_what_json_can_hold_comes_back_equal_from_a_row(
    oban: Oban, db: psycopg.Connection[Any], args: dict[str, Any], meta: dict[str, Any]
) -> None:
    with db.transaction(force_rollback=True):
        job = oban.enqueue(Job("w", args=args, meta=meta), conn=db)
        row = db.execute("SELECT args::text, meta::text FROM oban_jobs WHERE id = %s", (job.id,)).fetchone()
    assert row is not None
    assert (decode(row[0]), decode(row[1])) == (args, meta)


@settings(max_examples=100, deadline=None, database=None)
@given(value=st.recursive(st.text() | st.floats() | st.integers() | st.binary(), st.lists, max_leaves=10))
def test_any_value_is_stored_or_refused_and_nothing_else_happens(value: Any) -> None:
    try:
        encoded = encode({"value": value})
    except ArgsError as refused:
        message = str(refused)
    else:
        message = "expected args.value" if isinstance(decode(encoded)["value"], type(value) | int) else "changed"
    assert message.startswith("expected args.value")


@pytest.mark.parametrize("text", ["", "{", "[1", "nul", b"\xff", "[" * 100_000])
def test_what_is_no_json_is_refused_by_decode(text: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's own words
        codec.decode(text)
