"""Nodes of Oban for Python from PyPI, beside nodes of this process, on one database."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks import venvs
from benchmarks.family import end_with_parent
from oban_sync import Oban, telemetry
from tests.conftest import Events
from tests.interop import work

ROOT = Path(__file__).parents[2]


class Peer:
    """A node of Oban for Python in a process of its own, which does what it is told.

    Args:
        door: The socket at which such processes are had.
        dsn: The database.
        idle: Whether its queues wait for `call("start")`.
        **options: Of its Oban.
    """

    def __init__(self, door: Path, dsn: str, *, idle: bool = False, **options: Any) -> None:
        self._log = door.with_suffix(".log")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(door))
        self._lines = self._socket.makefile("rw")
        self._process = os.pidfd_open(self._ask([dsn, {"node": "theirs", **options}, not idle]))

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Call one of its methods, and give what it gives, as JSON has it."""
        return self._ask([name, args, options])

    def stop(self) -> None:
        """Stop it as its users do."""
        self._socket.shutdown(socket.SHUT_WR)
        self._end()

    def kill(self) -> None:
        """End it, whatever it does, unless it has ended."""
        if not self._lines.closed:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            self._end()

    def _end(self) -> None:
        assert select.select([self._process], [], [], 30)[0], "the peer does not end"
        os.close(self._process)
        self._lines.close()
        self._socket.close()

    def _ask(self, question: list[Any]) -> Any:
        self._lines.write(json.dumps(question) + "\n")
        self._lines.flush()
        line = self._lines.readline()
        assert line, f"the peer ended: {self._log.read_text()[-4000:]}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]


@pytest.fixture(scope="session")
def door(peer_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a process that has imported Oban for Python, and forks a node for each connection."""
    path = tmp_path_factory.mktemp("peers") / "door"
    command = [peer_python, "-c", "from tests.interop.peer import main; main()", str(path)]
    with (
        path.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=venvs._clean(), stdout=subprocess.PIPE, stderr=log, preexec_fn=end_with_parent
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n", path.with_suffix(".log").read_text()
        yield path
        process.kill()


@pytest.fixture
def start_peer(door: Path, dsn: str) -> Iterator[Callable[..., Peer]]:
    """Start nodes of Oban for Python on the database of the test."""
    peers: list[Peer] = []

    def start(*, dsn: str = dsn, **options: Any) -> Peer:
        peers.append(Peer(door, dsn, **options))
        return peers[-1]

    yield start
    work.going.set()
    for peer in peers:
        peer.kill()


@pytest.fixture
def hear() -> Iterator[Callable[[str], Events]]:
    """Collect an event of our nodes from now on."""
    heard: list[str] = []

    def begin(event: str) -> Events:
        heard.append(event)
        seen = Events()
        telemetry.attach(event, [event], seen)
        return seen

    yield begin
    for event in heard:
        telemetry.detach(event)


@pytest.fixture
def theirs(start_peer: Callable[..., Peer], db: psycopg.Connection, eventually: Callable[..., Any]) -> Peer:
    """A node of Oban for Python that runs the queue `theirs`, does not lead, and has the instance name of ours.

    Its start does not wait until it listens, so this does.
    """
    peer = start_peer(queues={"theirs": 5}, leadership=False)
    for action, paused in (("pause", True), ("resume", False)):
        signal = json.dumps({"action": action, "queue": "theirs"})

        def obeyed(signal: str = signal, paused: bool = paused) -> bool:
            db.execute("SELECT pg_notify('public.oban_signal', %s)", (signal,))
            return bool(peer.call("check_queue", "theirs")["paused"] is paused)

        eventually(obeyed)
    return peer


@pytest.fixture
def ours(dsn: str) -> Iterator[Oban]:
    """A node of this process that runs the queue `ours`."""
    work.going.clear()
    with Oban(dsn=dsn, node="ours", queues={"ours": 5}) as oban:
        yield oban
        work.going.set()


@pytest.fixture
def ran(db: psycopg.Connection) -> Iterator[None]:
    """A table of the runs, for workers `Ran`."""
    db.execute("CREATE TABLE ran (job bigint, node text)")
    yield
    db.execute("DROP TABLE ran")


@pytest.fixture
def states(db: psycopg.Connection) -> Callable[..., list[str]]:
    """The states of jobs, in the order of their ids."""

    def look(*ids: int) -> list[str]:
        query = "SELECT state::text FROM oban_jobs WHERE id = ANY (%s) ORDER BY id"
        return [state for (state,) in db.execute(query, (list(ids),))]

    return look
