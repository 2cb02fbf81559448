"""A queue in a file of SQLite, for tests of the benchmarks: it needs the standard library only, as a peer may."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import clerk
from benchmarks.crowd import crowd
from benchmarks.tally import Lane

_TAKE = """
DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE due <= ? ORDER BY id LIMIT 10) RETURNING id, number
"""


class FakeQueue:
    modes = ("drain", "wait")

    def __init__(self, path: str) -> None:
        self._path = path
        self._stopping = threading.Event()

    def install(self) -> None:
        self._do("CREATE TABLE jobs (id INTEGER PRIMARY KEY, number INTEGER, due REAL)")

    def empty(self) -> None:
        self._do("DELETE FROM jobs")

    def fill(self, jobs: int, kind: str, delay: float) -> None:
        numbers = "WITH RECURSIVE given(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM given WHERE number < ?)"
        self._do(f"INSERT INTO jobs (number, due) {numbers} SELECT number, ? FROM given", jobs, time.time() + delay)

    def check(self) -> dict:
        waiting = self._do("SELECT count(*) FROM jobs")[0][0]
        return {"jobs": waiting, "unfinished": waiting, "completed": None, "flawed": None, "last": None}

    def enqueue(self, jobs: int, threads: int) -> float:
        return crowd(jobs, threads, lambda: self._store)

    def send(self, pauses: list[float]) -> list[tuple[float, float]]:
        return clerk.send(pauses, self._store)

    def schedule(self, delays: list[float]) -> list[float]:
        return clerk.schedule(delays, lambda number, due: self._store(number, due - 0.1))

    def start(self, slots: int, mode: str, lane: list) -> None:
        threading.Thread(target=self._run, args=(Lane(*lane),), daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self, lane: Lane) -> None:
        while not self._stopping.wait(0.001):
            for _, number in self._do(_TAKE, time.time()):
                lane.start(number)

    def _store(self, number: int, due: float = 0.0) -> None:
        self._do("INSERT INTO jobs (number, due) VALUES (?, ?)", number, due)

    def _do(self, statement: str, *given: float) -> list[tuple]:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            return connection.execute(statement, given).fetchall()
        finally:
            connection.close()


class Files:
    """The server: a directory."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def create(self, name: str) -> str:
        return str(self._place / name)

    def settle(self, dsn: str) -> None:
        assert Path(dsn).exists()

    def postmaster(self) -> None:
        return None

    def describe(self) -> dict[str, str]:
        return {"SQLite": sqlite3.sqlite_version}


@contextmanager
def files() -> Iterator[Files]:
    with TemporaryDirectory() as place:
        yield Files(Path(place))


def make(path: str) -> FakeQueue:
    return FakeQueue(path)
