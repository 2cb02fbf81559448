"""Connections that fail in every way, and what is said of it: never a password."""

from __future__ import annotations

import io
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from oban_sync import Job, Oban
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage

PASSWORD = "pa55-that-nobody-may-see"  # noqa: S105 - this is what is looked for
ROOT = Path(__file__).parents[3]


def passwords(stage: Stage, directory: Path) -> Iterator[Counted]:
    """Have every part connect with every DSN that cannot work, and look for the password in all that it says (S7)."""
    said: list[str] = []
    tries = 0
    with _refusing() as port, _logged() as log:
        for dsn in _wrong(directory, port):
            for act in (*_in_process(stage, dsn), *_commands(dsn)):
                said.append(_told(act))
                tries += 1
    silent = sum(not text for text in said)
    said.append(log.getvalue())  # may be empty: what other tests had logged is not said again for a while
    counts = {
        "ways to fail": tries,
        "characters said": sum(map(len, said)),
        "that told nothing": silent,
        "passwords": sum(text.count(PASSWORD) for text in said),
    }
    kept = not counts["passwords"] and not counts["that told nothing"]
    claim, line = "logs and errors never carry passwords", "passwords 0"
    fault = "unreachable, refusing and nonsensical servers, by pool, links, engines and commands"
    yield Counted("S7", claim, fault, f"{tries} failures", None, counts, line, kept)


ENDS = ("complete", "error", "cancel", "record", "snooze")


def arguments(stage: Stage, directory: Path) -> Iterator[Counted]:
    """Have jobs end in every way on a node that logs all it can, and look for their args in its log (S7)."""
    with Fleet(stage.dsn, directory) as fleet:
        node = fleet.start("", "", "--log-level", "DEBUG")
        jobs = [Job("chaos.Ending", args={"way": way, "seconds": 0, "card": PASSWORD}, max_attempts=1) for way in ENDS]
        unknown = Job("nobody.knows", args={"card": PASSWORD}, max_attempts=1)
        stage.enqueue([*jobs, unknown])
        stage.need(lambda: stage.unended() <= 1)
        stage.need(lambda: "nobody.knows" in node.log())
        said = node.log()
    counts = {
        "jobs": len(jobs) + 1,
        "lines": len(said.splitlines()),
        "of these about jobs": sum("chaos.Ending" in line or "nobody.knows" in line for line in said.splitlines()),
        "values of args": said.count(PASSWORD),
    }
    kept = not counts["values of args"] and counts["of these about jobs"] >= len(jobs) + 1
    claim, line = "logs have no args unless asked for", "values of args 0"
    fault = "jobs with secrets in args end in every way on a node that logs at DEBUG"
    yield Counted("S7", claim, fault, f"{counts['jobs']} jobs", None, counts, line, kept)


def _wrong(directory: Path, port: int) -> list[str]:
    """Give connection strings that cannot work."""
    return [
        f"host={directory} user=u password={PASSWORD} dbname=x",
        f"postgresql://u:{PASSWORD}@127.0.0.1:1/x",
        f"postgresql://u:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/x?target_session_attrs=read-write",
        f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/x?sslmode=disable",
        f"postgresql://u:{PASSWORD}@127.0.0.1:1/x?sslmode=nonsense",
        f"postgresql://u:{PASSWORD}@127.0.0.1:1/x?nonsense=1",
        f"postgresql://u:{PASSWORD}%zz@127.0.0.1:1/x",
        f"postgresql://u:{PASSWORD}@[bad/x",
        f"password={PASSWORD} host",
    ]


def _in_process(stage: Stage, dsn: str) -> list[Callable[[], object]]:
    """Give ways to use a DSN in this process."""
    return [
        lambda: Oban(dsn=dsn, name="secrets", queues={"default": 1}).start(),
        lambda: Oban(dsn=stage.dsn, name="secrets", queues={"default": 1}, notifier={"dsn": dsn}).start(),
        lambda: _enqueue(pool=Oban.create_pool(dsn, min_size=1, timeout=0.3)),
        lambda: _enqueue(engine=_engine(dsn, "psycopg")),
        lambda: _enqueue(engine=_engine(dsn, "psycopg2")),
        lambda: Oban(engine=_engine(dsn, "psycopg"), name="secrets", queues={"default": 1}).start(),
    ]


def _commands(dsn: str) -> list[Callable[[], object]]:
    """Give ways to use it in a command."""
    return [
        lambda: _command("start", "--queues", "default:1", "--dsn", dsn),
        lambda: _command("install", OBAN_DSN=dsn),
    ]


def _enqueue(**source: Any) -> None:
    oban = Oban(**source, name="secrets")
    try:
        oban.enqueue(Job("nobody"))
    finally:
        oban.stop()
        for pool in source.values():
            if hasattr(pool, "close"):
                pool.close()


def _engine(dsn: str, driver: str) -> sa.Engine:
    if "://" in dsn:
        return sa.create_engine(dsn.replace("postgresql:", f"postgresql+{driver}:"))
    return sa.create_engine(
        f"postgresql+{driver}://", connect_args={"dsn" if driver == "psycopg2" else "conninfo": dsn}
    )


def _command(*arguments: str, **environment: str) -> None:
    """Run a command, and raise what it says.

    Raises:
        RuntimeError: Always.
    """
    done = subprocess.run(
        [sys.executable, "-m", "oban_sync", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    raise RuntimeError(f"{done.returncode} {done.stdout} {done.stderr}") from None


def _told(act: Callable[[], object]) -> str:
    """Give all that an error says, with its causes, as a log would show it; empty where there was none."""
    try:
        act()
    except Exception as error:
        lines = traceback.TracebackException.from_exception(error)
        return "".join(line for line in lines.format() if not line.startswith("  File ")) + repr(error)
    return ""


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """Gather all that is logged in this process, however unimportant."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@contextmanager
def _refusing() -> Iterator[int]:
    """Listen as a server that asks for a password and refuses it; give the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_refuse, args=(client,), daemon=True).start()

    threading.Thread(target=work, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _refuse(client: socket.socket) -> None:
    with suppress(OSError), client:
        client.recv(10_000)
        client.sendall(b"R" + struct.pack("!II", 8, 3))
        client.recv(10_000)
        fields = b'SFATAL\0C28P01\0Mpassword authentication failed for user "u"\0\0'
        client.sendall(b"E" + struct.pack("!I", 4 + len(fields)) + fields)
