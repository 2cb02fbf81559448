"""Nodes of Oban for Python from PyPI, beside nodes of this process, on one database."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks import venvs
from benchmarks.family import end_with_parent
from oban_sync import Oban
from tests.interop import work

ROOT = Path(__file__).parents[2]
MAIN = "from tests.interop.peer import main; main()"


class Peer:
    """A node of Oban for Python in a process of its own, which does what it is told.

    Args:
        python: That of its virtual environment.
        dsn: The database.
        log: Where its complaints go.
        idle: Whether its queues wait for `call("start")`.
        **options: Of its Oban.
    """

    def __init__(self, python: str, dsn: str, log: Path, *, idle: bool = False, **options: Any) -> None:
        self._log = log
        command = [python, "-c", MAIN, dsn, json.dumps({"node": "theirs", **options}), *(["idle"] if idle else [])]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=venvs._clean(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                preexec_fn=end_with_parent,
            )
        assert self._answer() == "ready"

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Call one of its methods, and give what it gives, as JSON has it."""
        self._process.stdin.write(json.dumps([name, args, options]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """Stop it as its users do."""
        if not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self.stop()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        assert line, f"the peer ended: {self._log.read_text()}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]


@pytest.fixture
def start_peer(peer_python: str, dsn: str, tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Start nodes of Oban for Python on the database of the test."""
    peers: list[Peer] = []

    def start(**options: Any) -> Peer:
        place = options.pop("dsn", dsn)
        peers.append(Peer(peer_python, place, tmp_path / f"peer-{len(peers)}.log", **options))
        return peers[-1]

    yield start
    work.going.set()
    for peer in peers:
        peer.kill()


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
