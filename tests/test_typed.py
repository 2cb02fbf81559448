"""Args with types: they come back as what they were, and what does not fit is refused where it is enqueued."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import attrs
import msgspec
import psycopg
import pydantic
import pytest

from oban_sync import Job, Oban, job, testing, typed, worker
from oban_sync.errors import ArgsError, FilterError, WorkerError

if TYPE_CHECKING:
    from elsewhere import Unknown


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


@dataclass
class Line:
    sku: str
    price: Decimal


@dataclass
class Order:
    id: UUID
    lines: list[Line]
    at: datetime
    colour: Colour = Colour.RED
    note: str | None = None
    tags: set[str] = field(default_factory=set)
    parent: Order | None = None


@attrs.define
class Box:
    size: Size
    lines: list[Line]


class Parcel(msgspec.Struct, rename="camel"):
    sent_on: date
    box: Box | None = None


class Invoice(pydantic.BaseModel):
    total: Decimal = pydantic.Field(alias="sum")
    order: UUID


class Empty(msgspec.Struct):
    pass


class Point(NamedTuple):
    x: int
    y: int


Sku = NewType("Sku", UUID)

LINE = Line("A-1", Decimal("9.90"))
ORDER = Order(UUID(int=7), [LINE], datetime(2026, 1, 31, 9, tzinfo=UTC), tags={"a"}, parent=None)
VALUES: dict[str, tuple[Any, Any]] = {
    "dataclass": (Order, ORDER),
    "nested": (Order, Order(UUID(int=8), [], ORDER.at, note="n", parent=ORDER)),
    "list": (list[Line], [LINE, LINE]),
    "dict": (dict[str, Line], {"one": LINE}),
    "dict by UUID": (dict[UUID, int], {UUID(int=1): 1}),
    "optional": (Order | None, ORDER),
    "none": (Order | None, None),
    "attrs": (Box, Box(Size.SMALL, [LINE])),
    "msgspec": (Parcel, Parcel(date(2026, 1, 1), Box(Size.SMALL, []))),
    "pydantic": (Invoice, Invoice(sum=Decimal("1.5"), order=UUID(int=1))),
    "named tuple": (Point, Point(1, 2)),
    "new type": (Sku, Sku(UUID(int=3))),
    "datetime": (datetime, ORDER.at),
    "naive datetime": (datetime, datetime(2026, 1, 1, 12)),
    "date": (date, date(2026, 1, 31)),
    "time": (time, time(12, 30)),
    "timedelta": (timedelta, timedelta(days=-1, microseconds=1)),
    "uuid": (UUID, UUID(int=5)),
    "decimal": (Decimal, Decimal("0.10")),
    "enum": (Colour, Colour.RED),
    "tuple": (tuple[int, ...], (1, 2)),
    "frozen set": (frozenset[UUID], frozenset({UUID(int=1)})),
    "bytes": (bytes, b"\0\xff"),
}


pytestmark = pytest.mark.usefixtures("forgotten_workers")


@pytest.mark.parametrize("name", VALUES)
def test_a_parameter_comes_back_as_what_it_was(name: str, oban: Oban) -> None:
    kind, value = VALUES[name]
    seen = []

    def take(thing, other=1):
        seen.append((thing, other))

    take.__annotations__ = {"thing": kind, "other": int}
    job(name="takes")(take).enqueue(value, other=2)
    testing.drain_queue()
    assert seen == [(value, 2)]
    assert type(seen[0][0]) is type(value)


WAIT = timedelta(minutes=5, microseconds=1)


@dataclass
class Step:
    wait: timedelta | None
    ratio: float = 300.0
    then: list[Step] = field(default_factory=list)


@attrs.define
class Pause:
    wait: timedelta


class Late(msgspec.Struct, rename="camel", tag=True):
    late_by: timedelta


class Early(msgspec.Struct, tag=True):
    by: float


class Flat(msgspec.Struct, array_like=True, tag="flat"):
    name: str
    wait: timedelta
    more: int = 1


class Span(NamedTuple):
    number: int
    wait: timedelta


class Told(TypedDict):
    wait: timedelta


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (timedelta, WAIT, 300.000001),
        (timedelta | None, WAIT, 300.000001),
        (Annotated[timedelta, msgspec.Meta(description="wait", extra={"a": []})], WAIT, 300.000001),
        (list[timedelta], [WAIT, -WAIT], [300.000001, -300.000001]),
        (dict[str, timedelta], {"a": WAIT}, {"a": 300.000001}),
        (tuple[int, timedelta], (7, WAIT), [7, 300.000001]),
        (tuple[timedelta, ...], (WAIT,), [300.000001]),
        (set[timedelta], {WAIT}, [300.000001]),
        (Step, Step(WAIT, then=[Step(None)]), None),
        (Step, Step(None, then=[Step(WAIT, 1.0, [Step(WAIT)])]), None),
        (Pause, Pause(WAIT), {"wait": 300.000001}),
        (Late | Early, Late(WAIT), {"type": "Late", "lateBy": 300.000001}),
        (Late | Early | None, Early(300.5), {"type": "Early", "by": 300.5}),
        (Late, Late(WAIT), {"type": "Late", "lateBy": 300.000001}),
        (Flat, Flat("a", WAIT), ["flat", "a", 300.000001, 1]),
        (Span, Span(7, WAIT), [7, 300.000001]),
        (Told, {"wait": WAIT}, {"wait": 300.000001}),
        (int | timedelta, WAIT, "PT300.000001S"),
        (int | timedelta, 300, 300),
        (dict[timedelta, int], {WAIT: 1}, {"PT300.000001S": 1}),
    ],
    ids=str,
)
def test_a_timedelta_is_stored_as_its_seconds(kind: Any, value: Any, stored: Any) -> None:
    found, rebuilt = typed.dump(kind, value, "args.wait")
    assert (rebuilt, type(rebuilt)) == (value, type(value))
    assert stored in (None, found)
    assert "PT" not in str(found) or stored is not None
    assert typed.load(kind, found, "args.wait") == value


def test_a_timedelta_is_rebuilt_from_text_and_from_a_whole_number() -> None:
    for stored in ({"wait": "PT5M"}, {"wait": 300}, {"wait": 300.0}):
        assert typed.load(Step, stored, "args") == Step(timedelta(minutes=5))
    for wrong in (True, 1e300, [300], {"a": 1}):
        with pytest.raises(ArgsError, match=r"expected args\.wait to be duration \| null, got "):
            typed.load(Step, {"wait": wrong}, "args")
    for wrong in (None, 7, [], ["flat"], ["other", "a", 1], "flat"):
        with pytest.raises(ArgsError):
            typed.load(Flat, wrong, "args")


def test_a_timedelta_is_found_by_a_filter(oban: Oban) -> None:
    @job(name="takes")
    def take(wait: timedelta) -> None: ...

    made = take.enqueue(WAIT)
    assert made.args == {"wait": 300.000001}
    assert [found.id for found in oban.list_jobs(args={"wait": WAIT})] == [made.id]


@pytest.mark.parametrize("name", [name for name in VALUES if name != "none"])
def test_filters_take_what_a_parameter_takes(name: str, oban: Oban) -> None:
    kind, value = VALUES[name]

    def take(thing): ...

    take.__annotations__ = {"thing": kind}
    made = job(name="takes")(take).enqueue(value)
    assert testing.assert_enqueued(args={"thing": value}).id == made.id
    assert [found.id for found in oban.list_jobs(args={"thing": value})] == [made.id]


@pytest.mark.parametrize("name", ["dataclass", "nested", "attrs", "msgspec", "pydantic"])
def test_filters_take_what_a_worker_takes(name: str, oban: Oban) -> None:
    kind, value = VALUES[name]

    @worker(name="takes", args=kind)
    class Takes:
        def process(self, job: Job) -> None: ...

    made = Takes.enqueue(value)
    assert testing.assert_enqueued(worker=Takes, args=value).id == made.id
    assert oban.count_jobs(args=value) == 1
    testing.refute_enqueued(args=Line("other", Decimal(1)))
    with pytest.raises(FilterError, match="expected args to be a mapping with a key or more, got Empty"):
        oban.list_jobs(args=Empty())


def test_a_set_is_stored_in_one_order_where_it_can_be_sorted() -> None:
    many, mixed = {f"tag {number}" for number in range(50)}, {1, "a"}
    assert typed.dump(set[str], many, "args.tags")[0] == sorted(many)
    assert typed.plain({"tags": many}) == {"tags": sorted(many)}
    assert typed.dump(set[int | str], mixed, "args.tags")[1] == mixed


@pytest.mark.parametrize("name", ["dataclass", "nested", "attrs", "msgspec", "pydantic"])
def test_a_worker_s_args_come_back_as_an_object(name: str, oban: Oban, db: psycopg.Connection) -> None:
    kind, value = VALUES[name]
    seen = []

    @worker(name="takes", args=kind)
    class Takes:
        def process(self, job: Job) -> None:
            seen.append((job.typed, job.args))

    made = Takes.enqueue(value, priority=2)
    assert (made.typed, made.priority) == (value, 2)
    testing.drain_queue()
    (stored,) = db.execute("SELECT args FROM oban_jobs").fetchone()
    assert seen == [(value, stored)]
    assert made.args == stored
    assert isinstance(stored, dict)


def test_what_json_has_for_an_object_will_do_as_well(oban: Oban) -> None:
    seen = []

    @job(name="takes")
    def take(order: Order, colour: Colour = Colour.RED) -> None:
        seen.append((order, colour))

    @worker(name="typed", args=Line)
    class Typed:
        def process(self, job: Job) -> None:
            seen.append(job.typed)

    take.enqueue({"id": str(UUID(int=7)), "lines": [], "at": "2026-01-31T10:00:00+01:00"}, "red")
    Typed.enqueue({"sku": "A", "price": "1"})
    testing.drain_queue()
    assert seen == [(Order(UUID(int=7), [], ORDER.at), Colour.RED), Line("A", Decimal(1))]


def test_the_row_holds_what_untyped_args_would() -> None:
    @job(name="takes")
    def take(order: Order, at: datetime) -> None: ...

    at = datetime.fromisoformat("2026-01-31T10:00:00+01:00")
    assert take.new(ORDER, at).args == {
        "at": "2026-01-31T09:00:00+00:00",
        "order": {
            "id": str(UUID(int=7)),
            "lines": [{"sku": "A-1", "price": "9.90"}],
            "at": "2026-01-31T09:00:00+00:00",
            "colour": "red",
            "note": None,
            "tags": ["a"],
            "parent": None,
        },
    }


def test_parameters_of_every_kind_are_rebuilt(oban: Oban) -> None:
    seen = []

    @job(name="takes")
    def take(first: date, /, *rest: Decimal, by: Line = LINE, plain: Any = None, **more: UUID) -> None:
        seen.append((first, rest, by, plain, more))

    take.enqueue(date(2026, 1, 1), Decimal(1), Decimal(2), a=UUID(int=1))
    take.enqueue(date(2026, 1, 1), plain={"a": 1})
    testing.drain_queue()
    assert seen == [
        (date(2026, 1, 1), (Decimal(1), Decimal(2)), LINE, None, {"a": UUID(int=1)}),
        (date(2026, 1, 1), (), LINE, {"a": 1}, {}),
    ]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({}, r"expected args\.order to fit Order, got: Object missing required field `id`"),
        (Line("a", Decimal(1)), r"expected args\.order to fit Order, got: Object missing"),
        (
            Order(UUID(int=1), [Line(7, Decimal(1))], ORDER.at),
            r"expected args\.order\.lines\[0\]\.sku to be str, got int",
        ),
        (Order("no", [], ORDER.at), r"expected args\.order\.id to fit Order, got: Invalid UUID"),
        (Order(UUID(int=1), [], object()), r"expected args\.order to be Order, got: object <object"),
        (Order(UUID(int=1), [Line("a\0", Decimal(1))], ORDER.at), r"expected args\.order\.lines\[0\]\.sku to be text"),
        ("text", r"expected args\.order to be object, got str"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_is_enqueued(order: Any, words: str, oban: Oban) -> None:
    @job(name="takes")
    def take(order: Order) -> None: ...

    for call in (take.new, take.enqueue):
        with pytest.raises(ArgsError, match=f"{words}.*; nothing was written"):
            call(order)
    assert testing.all_enqueued() == []


def test_args_of_a_worker_that_do_not_fit_are_refused() -> None:
    @worker(name="takes", args=Line)
    class Takes:
        def process(self, job: Job) -> None: ...

    with pytest.raises(ArgsError, match=r"expected args\.price to fit Line, got: .*; nothing was written"):
        Takes.new({"sku": "a", "price": "cheap"})
    with pytest.raises(ArgsError, match=r"expected args to fit Line, got: Object missing"):
        Takes.new()
    with pytest.raises(ArgsError, match=r"expected args to be a mapping"):
        Takes.new([1])


def test_a_row_that_does_not_fit_fails_its_attempt_with_the_path(oban: Oban) -> None:
    @worker(name="takes", args=Line)
    class Takes:
        def process(self, job: Job) -> None: ...

    @job(name="function")
    def take(line: Line) -> None: ...

    for name, args in (("takes", {"sku": 1}), ("function", {"line": {"sku": 1}})):
        with pytest.raises(ArgsError, match=r"expected args.*\.sku to be str, got int; the job did not run"):
            testing.process_job(Job(name, args=args))


@pytest.mark.parametrize("value", [7, "text", None, [1], {"a": 1}])
def test_parameters_that_json_has_are_left_as_they_are(value: Any) -> None:
    @job(name="takes")
    def take(a: str, b: list[int], c: dict[str, Any] | None, d: Literal["x"], e: Any, f, g: bool = True) -> None: ...

    given = dict.fromkeys("abcdef", value)
    assert take.new(**given).args == {**given, "g": True}
    assert take._types is None


def test_an_annotation_that_cannot_be_found_is_passed_over() -> None:
    @job(name="takes")
    def take(thing: Unknown, at: date) -> None: ...

    assert take.new({"a": 1}, date(2026, 1, 1)).args == {"thing": {"a": 1}, "at": "2026-01-01"}


def test_a_class_of_the_function_around_is_found() -> None:
    @dataclass
    class Local:
        at: date

    @job(name="takes")
    def take(thing: Local) -> Local:
        return thing

    assert testing.process_job(take.new(Local(date(2026, 1, 1)))) == Local(date(2026, 1, 1))


def test_what_cannot_be_rebuilt_is_refused_where_it_is_declared() -> None:
    with pytest.raises(WorkerError, match=r"expected parameter thing of .*take of a type .*, got .*more than one"):

        @job(name="takes")
        def take(thing: Line | Order) -> None: ...

    with pytest.raises(WorkerError, match=r"expected args of a type that JSON can be turned into"):
        worker(args=Line | Order)


def test_a_class_with_an_annotation_that_cannot_be_found_is_refused_where_it_is_declared() -> None:
    @dataclass
    class Late:
        thing: Unknown

    with pytest.raises(WorkerError, match=r"expected args of a type .*, got .*Late: name 'Unknown' is not defined"):
        worker(args=Late)
    with pytest.raises(WorkerError, match=r"expected parameter late of .*take of a type .*name 'Unknown' is not"):

        @job(name="takes")
        def take(late: Late) -> None: ...


def test_calling_a_function_needs_no_types_at_all() -> None:
    @job(name="takes")
    def take(order: Order) -> Any:
        return order

    assert take("anything") == "anything"


def test_types_hold_in_queues(dsn: str, db: psycopg.Connection, eventually: Callable[..., Any]) -> None:
    seen, ran = [], threading.Event()

    @job(name="takes")
    def take(order: Order) -> None:
        seen.append(order)

    @worker(name="typed", args=Order)
    class Typed:
        def process(self, job: Job) -> None:
            seen.append(job.typed)
            ran.set()

    with Oban(dsn=dsn, queues={"default": 1}) as oban:
        oban.enqueue_many(take.new(ORDER), Typed.new(ORDER))
        assert ran.wait(20)
    assert seen == [ORDER, ORDER]


def test_types_hold_under_the_command_whose_log_names_the_job(
    dsn: str, db: psycopg.Connection, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    (tmp_path / "typed_work.py").write_text(
        "import logging\n"
        "from dataclasses import dataclass\n"
        "from datetime import date\n"
        "from oban_sync import Record, job\n\n\n"
        "@dataclass\nclass Order:\n    id: int\n    due: date\n\n\n"
        "@job(name='typed')\n"
        "def take(order: Order):\n"
        "    logging.getLogger('shop').warning('order %s', order)\n"
        "    return Record(order.due.year)\n"
    )
    with Oban(dsn=dsn) as oban:
        made = oban.enqueue(Job("typed", args={"order": {"id": 1, "due": "2031-01-01"}}))
    command = [
        sys.executable,
        "-m",
        "oban_sync",
        "start",
        "--dsn",
        dsn,
        "--queues",
        "default:1",
        "--import",
        "typed_work",
    ]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: db.execute("SELECT 1 FROM oban_jobs WHERE state = 'completed'").fetchone())
        finally:
            process.terminate()
            _, log = process.communicate(timeout=60)
    (meta,) = db.execute("SELECT meta FROM oban_jobs").fetchone()
    assert Job("typed", meta=meta).recorded == 2031
    order = "order Order(id=1, due=datetime.date(2031, 1, 1))"
    assert f"WARNING shop {order} [job {made.id} typed of queue default]\n" in log
    (end,) = [line for line in log.splitlines() if "oban_sync.jobs" in line]
    assert "[job" not in end


def test_without_msgspec_a_type_to_rebuild_is_refused_where_it_is_declared(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["msgspec"] = None
from datetime import date
from oban_sync import job
from oban_sync.errors import WorkerError

@job(name="plain")
def plain(a: int): ...

try:
    @job(name="rich")
    def rich(at: date): ...
except WorkerError as error:
    print(error)

from oban_sync import typed
print(typed.plain({"at": date(2026, 1, 1)}))
try:
    typed.plain({"tags": {1}})
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout == (
        "expected msgspec to be installed, which rebuilds parameter at of rich of type date: "
        "pip install 'oban-sync[typed]', or annotate it with a type that JSON has\n"
        "{'at': '2026-01-01'}\n"
        "expected args.tags to be a value that JSON can hold, got set {1}; nothing was written\n"
    ), done.stderr


def test_a_type_is_rich_where_json_has_no_word_for_it() -> None:
    assert typed.is_rich(list[dict[str, tuple[int, str]]])
    assert typed.is_rich(dict[str, Any] | Line)
    assert not typed.is_rich(Any)
    assert not typed.is_rich(list)
