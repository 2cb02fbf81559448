"""The loops that take jobs by bare SQL: one for a full queue, one for an idle one."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Callable

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from benchmarks.rows import QUEUE, Connection
from benchmarks.systems import bare_sql
from benchmarks.tally import Lane

GROUP = 100
_ARGS = 5  # the column of FETCH


class Node:
    """A thread that takes jobs, from construction until `stop`.

    Args:
        mode: The loop.
        dsn: The database.
        lane: Where it writes what it took.
    """

    def __init__(self, mode: str, dsn: str, lane: Lane) -> None:
        self._connection = connect(dsn)
        self._lane = lane
        self._stopping = threading.Event()
        self._doorbell, self._button = os.pipe()
        loops: dict[str, Callable[[], None]] = {"drain": self._drain, "wait": self._wait}
        self._announced: list[float] = []  # written by the thread only, once it runs
        if mode == "wait":
            self._connection.add_notify_handler(lambda notify: self._announced.append(float(notify.payload)))
            self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(bare_sql.CHANNEL)))
        self._thread = threading.Thread(target=loops[mode], daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have it end."""
        self._stopping.set()
        os.write(self._button, b"!")
        self._thread.join()
        self._connection.close()

    def _drain(self) -> None:
        """Fetch a group and ack the one before in one round trip, until there is none."""
        ack, fetch = self._connection.cursor(), self._connection.cursor()
        done: list[int] = []
        while True:
            with self._connection.pipeline():
                if done:
                    ack.execute(bare_sql.ACK, (done,))
                fetch.execute(bare_sql.FETCH, (QUEUE, GROUP))
            fresh = [row[0] for row in fetch.fetchall()]
            if not fresh and not done:
                return
            self._lane.start_all(fresh)
            done = fresh

    def _wait(self) -> None:
        """Sleep until a notification or the next due time, and take what is ready then."""
        dues: list[float] = []
        while not self._stopping.is_set():
            dues += self._notified()  # the socket says nothing of what was read while a statement ran
            wait = max(0.0, min(dues) - time.time()) if dues else 60.0
            select.select([self._connection.pgconn.socket, self._doorbell], [], [], wait)
            dues += self._notified()
            now = time.time()
            if any(0 < due <= now for due in dues):
                self._connection.execute(bare_sql.STAGE)
            if any(due <= now for due in dues):
                self._take()
            dues = [due for due in dues if due > now]

    def _take(self) -> None:
        rows = self._connection.execute(bare_sql.FETCH, (QUEUE, GROUP)).fetchall()
        self._lane.start_all([json.loads(row[_ARGS])["id"] for row in rows])
        self._connection.execute(bare_sql.ACK, ([row[0] for row in rows],))

    def _notified(self) -> list[float]:
        """Give the due times of jobs that were announced, 0 for those that are ready."""
        self._connection.pgconn.consume_input()
        while (notify := self._connection.pgconn.notifies()) is not None:
            self._announced.append(float(notify.extra))
        found, self._announced = self._announced, []
        return found


def connect(dsn: str) -> Connection:
    """Connect as is fastest: without transactions around statements, prepared at once, JSON and times left as text."""
    connection: Connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
    for kind in ("json", "jsonb", "timestamp"):
        connection.adapters.register_loader(kind, TextLoader)
    return connection
