"""The corpus of poison: what jobs return and raise, and rows that somebody wrote, that must cost only themselves.

It knows no queue: what makes a result is given the module of the queue under test, `oban_sync` or `oban`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any


class Unshowable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Wordless(Exception):
    """Says something that is no text."""

    def __str__(self) -> Any:
        return 7


class Rotten(Exception):
    """Raises wherever its cause, its notes or its traceback are looked for."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class Endless(Exception):
    """Its text ends the process, or so it hopes."""

    def __str__(self) -> str:
        raise SystemExit(9)


class Lying:
    """A result that raises wherever it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __bool__(self) -> bool:
        raise KeyboardInterrupt

    def __eq__(self, _: object) -> bool:
        raise GeneratorExit

    __hash__ = None  # type: ignore[assignment]


def raising(error: Callable[[], BaseException]) -> Callable[[Any], Any]:
    """Give a job that raises."""

    def act(_: Any) -> Any:
        raise error()

    return act


def _deep(_: Any) -> Any:
    return _deep(_)


def _noted(_: Any) -> Any:
    error = ValueError("noted")
    error.__notes__ = [Lying(), 7, "\0"]  # type: ignore[list-item]
    raise error


def _misplaced(_: Any) -> Any:
    exec(compile("raise ValueError('misplaced')", "\udcff\n.py", "exec"))  # noqa: S102 - the only way to such a name


def _chained(_: Any) -> Any:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def _group() -> BaseException:
    error: BaseException = ValueError("\0 innermost")
    for depth in range(200):
        error = BaseExceptionGroup(f"depth {depth}", [error])
    return error


async def _coroutine() -> None:
    """Is never awaited."""


ENDS: dict[str, Callable[[Any], Any]] = {
    "Cancel with NUL": lambda queue: queue.Cancel("x\0y"),
    "Cancel with a lone surrogate": lambda queue: queue.Cancel("\ud800"),
    "Cancel without text": lambda queue: queue.Cancel(object()),
    "Snooze(10**10)": lambda queue: queue.Snooze(10**10),
    "Snooze(inf)": lambda queue: queue.Snooze(float("inf")),
    "Snooze(NaN)": lambda queue: queue.Snooze(float("nan")),
    "Snooze(-1)": lambda queue: queue.Snooze(-1),
    "Snooze meta with a datetime": lambda queue: queue.Snooze(60, {"at": datetime(2026, 1, 1, tzinfo=UTC)}),
    "Snooze meta with NaN": lambda queue: queue.Snooze(60, {"x": float("nan")}),
    "Snooze meta with NUL": lambda queue: queue.Snooze(60, {"x": "\0"}),
    "Snooze meta of 5,000 digits": lambda queue: queue.Snooze(60, {"x": 10**4999}),
    "Record of an object": lambda queue: queue.Record(object()),
    "Record of NUL": lambda queue: queue.Record("\0\ud800"),
    "Record of itself": lambda queue: queue.Record(_cycle()),
    "an object that raises": lambda _: Lying(),
    "Snooze of a text": lambda queue: queue.Snooze("soon"),
    "Cancel(None)": lambda queue: queue.Cancel(None),
    "Record over its limit": lambda queue: queue.Record("x" * 100, limit=10),
    "a coroutine": lambda _: _coroutine(),
    "an integer of 5,000 digits": lambda _: 10**4999,
    "a class": lambda queue: queue.Snooze,
    "a generator": lambda _: (n for n in range(3)),
}
"""What jobs return, by name."""

ERRORS: dict[str, Callable[[Any], Any]] = {
    "NUL in the text": raising(lambda: ValueError("a\0b")),
    "a lone surrogate in the text": raising(lambda: ValueError("\ud800")),
    "bytes in the text": raising(lambda: ValueError(b"\xff\0")),
    "a text of 5 MB": raising(lambda: ValueError("x" * 5_000_000)),
    "sys.exit()": raising(lambda: SystemExit(3)),
    "KeyboardInterrupt": raising(KeyboardInterrupt),
    "GeneratorExit": raising(GeneratorExit),
    "StopIteration": raising(StopIteration),
    "MemoryError": raising(MemoryError),
    "BaseException": raising(BaseException),
    "__str__ that raises": raising(Unshowable),
    "__str__ that gives a number": raising(Wordless),
    "__str__ that exits": raising(Endless),
    "attributes that raise": raising(Rotten),
    "notes that are none": _noted,
    "a file's name with a lone surrogate": _misplaced,
    "endless recursion": _deep,
    "a circle of causes": _chained,
    "200 nested groups": raising(_group),
}
"""What jobs raise, by name."""


def _cycle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


DEEP = '{"x": ' + "[" * 3000 + "]" * 3000 + "}"
NUMBER = '{"x": ' + "9" * 5000 + "}"

ROWS: dict[str, dict[str, str]] = {
    "an integer of 5,000 digits in args": {"args": NUMBER},
    "an integer of 5,000 digits in meta": {"meta": NUMBER},
    "3,000 levels of JSON in args": {"args": DEEP},
    "3,000 levels of JSON in meta": {"meta": DEEP},
    "args that are an array": {"args": "[1, 2]"},
    "args that are a number": {"args": "5"},
    "args that are null": {"args": "null"},
    "meta that is an array": {"meta": "[1]"},
    "meta with counters that are none": {"meta": json.dumps({"snoozed": "x", "rescued": [], "unknown_worker": {}})},
    "meta that is null": {"meta": "null"},
    "meta that is a number": {"meta": "7"},
    "a request to cancel at no time": {"meta": json.dumps({"cancel_attempted_at": "9999-soon"})},
    "errors that are an object, on a second attempt": {"errors": '{"a": 1}', "attempt": "1"},
    "errors that are null, on a second attempt": {"errors": "null", "attempt": "1"},
    "a worker's name of 100,000 letters": {"worker": "x" * 100_000},
    "inserted_at in infinity": {"inserted_at": "infinity"},
    "inserted_at before Christ": {"inserted_at": "0044-03-15 BC"},
    "scheduled_at before Christ": {"scheduled_at": "0044-03-15 BC"},
    "scheduled_at at -infinity": {"scheduled_at": "-infinity"},
    "a tag that is null": {"tags": "{NULL}"},
    "tags in two dimensions": {"tags": "{{a,b},{c,d}}"},
    "errors that are none, on a second attempt": {"errors": '["x", 7, null]', "attempt": "1"},
}
"""Columns of rows by what is wrong with them; the worker is a good one where none is named."""

HOSTILE: tuple[str, ...] = (
    "tests.chaos.trap.Trap",
    "tests.chaos.trap",
    "unittest.__main__.X",
    "antigravity.X",
    "this.X",
    "idlelib.idle.X",
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "__import__('tests.chaos.trap')",
    "../../etc/passwd",
    "chaos.Good; DROP TABLE oban_jobs",
    "chaos.Good\n",
    " chaos.Good",
    "",
    ".",
    "a" * 127,
    "ﬁle.Ｘ",
)
"""Names of workers that a row may hold and nobody registered."""

INPUTS: dict[str, Callable[[], dict[str, Any]]] = {
    "a naive `scheduled_at`": lambda: {"scheduled_at": datetime(2030, 1, 1)},
    "args that are an array": lambda: {"args": [1, 2]},
    "args of 30 MB": lambda: {"args": {"x": "x" * 30_000_000}},
    "NaN in args": lambda: {"args": {"x": float("nan")}},
    "NUL in args": lambda: {"args": {"x": "\0"}},
}
"""Fields of jobs that somebody enqueues and that cannot be meant, by what is wrong with them."""
