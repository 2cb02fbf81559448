"""Bare SQL through psycopg: what PostgreSQL and the driver allow when no queue is in the way.

It works on the table of oban_sync, and leaves out all that a queue adds: nothing is run, no owner is fenced, no lease
renewed, no failure handled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import ClassVar

import orjson

from benchmarks.agent import LaneArgs, Stored, System
from benchmarks.crowd import Store, crowd
from benchmarks.rows import NOOP, QUEUE
from benchmarks.systems import bare_sql
from benchmarks.systems.bare_node import Node, connect
from benchmarks.systems.oban_table import Table
from benchmarks.tally import Lane
from oban_sync import schema


class Bare(Table):
    """One process that sends the statements of `bare_sql`."""

    modes: ClassVar[tuple[str, ...]] = ("drain", "strict", "wait", "idle", "large", "rows")

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._node: Node | None = None

    def install(self) -> None:
        schema.install(self.connection)

    def enqueue(self, jobs: int, threads: int) -> float:
        return crowd(jobs, threads, self._storing)

    def bulk(self, calls: int, size: int) -> Stored:
        begin = time.monotonic()
        texts = [_text(call * size, size) for call in range(calls + 1)]
        making = (time.monotonic() - begin) * calls / (calls + 1)
        cursor = connect(self.dsn).cursor()
        cursor.execute(bare_sql.INSERT_MANY, (texts[0],)).fetchall()
        begin = time.monotonic()
        for text in texts[1:]:
            cursor.execute(bare_sql.INSERT_MANY, (text,)).fetchall()
        seconds = time.monotonic() - begin
        self.check_order((calls + 1) * size)
        return Stored(calls=seconds, whole=seconds + making)

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:  # noqa: ARG002 - nothing is run in slots
        self._node = Node("drain" if mode == "strict" else mode, self.dsn, Lane(*lane))

    def stop(self) -> None:
        if self._node is not None:
            self._node.stop()

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        times = []
        for number, pause in enumerate(pauses, 1):
            time.sleep(pause)
            called = time.monotonic()
            self.connection.execute(bare_sql.INSERT_AND_NOTIFY, _row(number))
            times.append((called, time.monotonic()))
        return times

    def schedule(self, delays: Sequence[float]) -> list[float]:
        dues = []
        for number, delay in enumerate(delays, 1):
            row = self.connection.execute(bare_sql.INSERT_SCHEDULED, (*_row(number), delay)).fetchone()
            assert row is not None
            dues.append(float(row[0]))
        return dues

    def _storing(self) -> Store:
        cursor = connect(self.dsn).cursor()
        return lambda number: cursor.execute(bare_sql.INSERT, _row(number)).fetchone()


def make(dsn: str) -> System:
    """Make the system of one process."""
    return Bare(dsn)


def _row(number: int) -> tuple[str, str, str]:
    return NOOP, QUEUE, json.dumps({"id": number})


def _text(after: int, size: int) -> str:
    numbers = range(after + 1, after + size + 1)
    return orjson.dumps([{"worker": NOOP, "queue": QUEUE, "args": {"id": number}} for number in numbers]).decode()
