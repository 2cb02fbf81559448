"""Bare SQL through psycopg: what PostgreSQL and the driver allow when no queue is in the way.

It works on the table of oban_sync, and leaves out all that a queue adds: nothing is run, no owner is fenced, no lease
renewed, no failure handled.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from benchmarks.agent import LaneArgs, System
from benchmarks.systems import bare_sql
from benchmarks.systems.oban_table import NOOP, QUEUE, Connection, Table
from benchmarks.tally import Lane

GROUP = 100
CHANNEL = "bench_bare"


class Bare(Table):
    """One process that sends the statements of `bare_sql`."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._stopping = threading.Event()
        self._doorbell, self._button = os.pipe()
        self._thread: threading.Thread | None = None

    def start(self, slots: int, mode: str, lane: LaneArgs) -> None:
        loop = {"drain": self._drain, "wait": self._wait}[mode]
        ready = threading.Event()
        self._thread = threading.Thread(target=loop, args=(Lane(*lane), ready), daemon=True)
        self._thread.start()
        ready.wait(10)

    def stop(self) -> None:
        self._stopping.set()
        os.write(self._button, b"!")
        if self._thread is not None:
            self._thread.join(10)

    def send(self, pauses: Sequence[float]) -> list[tuple[float, float]]:
        times = []
        for number, pause in enumerate(pauses, 1):
            time.sleep(pause)
            called = time.monotonic()
            with self.connection.transaction():
                self.connection.execute(bare_sql.INSERT, _row(number))
                self.connection.execute("SELECT pg_notify(%s, '0')", (CHANNEL,))
            times.append((called, time.monotonic()))
        return times

    def _drain(self, lane: Lane, ready: threading.Event) -> None:
        """Fetch a group and ack the one before in one round trip, until there is none."""
        connection = _connect(self.dsn)
        ack, fetch = connection.cursor(), connection.cursor()
        done: list[int] = []
        ready.set()
        while True:
            with connection.pipeline():
                if done:
                    ack.execute(bare_sql.ACK, (done,))
                fetch.execute(bare_sql.FETCH, (QUEUE, GROUP))
            fresh = [row[0] for row in fetch.fetchall()]
            if fresh:
                lane.start_all(fresh)
            elif not done:
                break
            done = fresh
        connection.close()

    def _wait(self, lane: Lane, ready: threading.Event) -> None:
        """Sleep until a notification or the next due time, and take what is ready."""
        connection = _connect(self.dsn)
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        dues: list[float] = []
        ready.set()
        while not self._stopping.is_set():
            wait = max(0.0, min(dues) - time.time()) if dues else 60.0
            select.select([connection.pgconn.socket, self._doorbell], [], [], wait)
            dues += _notified(connection)
            passed = [due for due in dues if due <= time.time()]
            dues = [due for due in dues if due > time.time() and due not in passed]
            if passed:
                self._take(connection, lane, staging=max(passed) > 0)
        connection.close()

    def _take(self, connection: Connection, lane: Lane, *, staging: bool) -> None:
        if staging:
            connection.execute(bare_sql.STAGE)
        while rows := connection.execute(bare_sql.FETCH, (QUEUE, GROUP)).fetchall():
            ids = [row[0] for row in rows]
            lane.start_all(ids)
            connection.execute(bare_sql.ACK, (ids,))


def make(dsn: str) -> System:
    """Make the system of one process."""
    return Bare(dsn)


def _connect(dsn: str) -> Connection:
    connection: Connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
    for kind in ("json", "jsonb", "timestamp"):
        connection.adapters.register_loader(kind, TextLoader)
    return connection


def _row(number: int) -> tuple[object, ...]:
    return (NOOP, QUEUE, json.dumps({"id": number}))


def _notified(connection: Connection) -> list[float]:
    connection.pgconn.consume_input()
    found = []
    while (notify := connection.pgconn.notifies()) is not None:
        found.append(float(notify.extra))
    return found
