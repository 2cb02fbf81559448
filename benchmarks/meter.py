"""What a system costs while it works: write-ahead log, the server's CPU, transactions, and its own CPU."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks import machine
from benchmarks.results import Figure
from benchmarks.rows import CHECKS, Connection
from benchmarks.subject import Subject

_WRITTEN = "SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS float8)"
_BEGUN = "SELECT CAST(pg_snapshot_xmax(pg_current_snapshot())::text AS float8)"
_OTHERS = "SELECT pid FROM pg_stat_activity WHERE application_name = %s OR pid = pg_backend_pid()"


class Reading(NamedTuple):
    """What was used until now.

    Attributes:
        written: Bytes of the write-ahead log.
        begun: Transactions that wrote.
        server: CPU seconds of the server's processes, those that check aside; empty: they are not to be seen.
        python: CPU seconds of the system's processes.
        busy: CPU seconds of the whole machine.
        time: Seconds of CLOCK_MONOTONIC.
    """

    written: float
    begun: float
    server: dict[int, float]
    python: dict[int, float]
    busy: float
    time: float


class Meter:
    """Reads what the processes of a system and its server use.

    Args:
        subject: The system.
        processes: Its processes.
        connection: To its database.
    """

    def __init__(self, subject: Subject, processes: Iterable[int], connection: Connection) -> None:
        self._postmaster = subject.server.postmaster()
        self._processes = tuple(processes)
        self._connection = connection

    def read(self) -> Reading:
        """Read all of it."""
        others = {pid for (pid,) in self._connection.execute(_OTHERS, (CHECKS,))}
        server = {} if self._postmaster is None else machine.cpu_of_family(self._postmaster)
        return Reading(
            written=self._value(_WRITTEN),
            begun=self._value(_BEGUN),
            server={process: seconds for process, seconds in server.items() if process not in others},
            python={thread: seconds for process in self._processes for thread, seconds in machine.cpu(process).items()},
            busy=machine.busy(),
            time=time.monotonic(),
        )

    def _value(self, query: str) -> float:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return float(row[0])


@contextmanager
def metered(subject: Subject, processes: Iterable[int]) -> Iterator[Meter]:
    """Give a meter for the block."""
    with subject.connection() as connection:
        yield Meter(subject, processes, connection)


def costs(before: Reading, after: Reading, jobs: int) -> dict[str, Figure]:
    """Give what each of so many jobs cost, and how many cores everything else on the machine used meanwhile."""
    python = machine.spent(before.python, after.python)
    found = {
        "WAL a job": _figure((after.written - before.written) / jobs, "bytes"),
        "jobs a transaction": _figure(jobs / max(1.0, after.begun - before.begun), ""),
        "Python CPU a job": _figure(1e6 * python / jobs, "us"),
    }
    if after.server:
        server = machine.spent(before.server, after.server)
        others = (after.busy - before.busy - python - server) / (after.time - before.time)
        found["PostgreSQL CPU a job"] = _figure(1e6 * server / jobs, "us")
        found["used by others"] = _figure(max(0.0, others), "cores")
    return found


def _figure(value: float, unit: str) -> Figure:
    return Figure(value, unit, compared=False)
