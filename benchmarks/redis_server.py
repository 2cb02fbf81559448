"""A Redis of our own, for the queues that keep their jobs in one: as it comes, with snapshots and without a log."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.family import end_with_parent
from benchmarks.remote import BenchmarkError
from benchmarks.servers import Missing

PROGRAM = "redis-server"
START_SECONDS = 20.0
SAVE_SECONDS = 60.0


class RedisServer:
    """A running Redis, which all of its queues share: each deletes everything before its turn.

    Args:
        process: Its process id.
        path: Its Unix socket.
    """

    def __init__(self, process: int, path: Path) -> None:
        self._process, self._path = process, path

    def create(self, name: str) -> str:  # noqa: ARG002 - only one of them has its turn
        """Give the URL."""
        return f"unix://{self._path}"

    def settle(self, dsn: str) -> None:  # noqa: ARG002 - there is one place
        """Take a snapshot, so that none is likely to fall into the measurement.

        Raises:
            BenchmarkError: Redis refuses.
        """
        deadline = time.monotonic() + SAVE_SECONDS
        said = ask(self._path, "SAVE")
        while "in progress" in said and time.monotonic() < deadline:  # one that it began by itself
            time.sleep(0.01)
            said = ask(self._path, "SAVE")
        if said != "+OK":
            raise BenchmarkError(f"expected Redis to answer +OK to SAVE, got {said}")

    def postmaster(self) -> int | None:
        """Give its process."""
        return self._process

    def describe(self) -> dict[str, str]:
        """Give its version and how durable it is."""
        told = dict(line.split(":", 1) for line in ask(self._path, "INFO server").splitlines() if ":" in line)
        return {"Redis": f"{told['redis_version']}, as it comes: snapshots, no log of writes"}


@contextmanager
def redis() -> Iterator[RedisServer]:
    """Start a Redis for the block.

    Raises:
        Missing: There is none on this machine, or it does not start.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise Missing(f"needs {PROGRAM}, found none on PATH; on Debian, `apt-get install redis-server` would help")
    with tempfile.TemporaryDirectory(prefix="benchmarks-redis-") as place:
        path, log = Path(place, "socket"), Path(place, "log")
        arguments = ["--port", "0", "--unixsocket", str(path), "--dir", place, "--logfile", str(log)]
        process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=end_with_parent
        )
        try:
            _await_ready(process, path, log)
            yield RedisServer(process.pid, path)
        finally:
            process.kill()
            process.wait()


def ask(path: Path, command: str) -> str:
    """Send one command to a Redis, and give its answer as it comes, without the end of its last line."""
    with closing(socket.socket(socket.AF_UNIX)) as connection, connection.makefile("rb") as answers:
        connection.connect(str(path))
        connection.sendall(command.encode() + b"\r\n")
        line: bytes = answers.readline()
        if line.startswith(b"$"):
            line = answers.read(int(line[1:]))
        return line.decode().rstrip("\r\n")


def _await_ready(process: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ask(path, "PING") == "+PONG":
                return
        except OSError:
            pass  # not yet there
        time.sleep(0.01)
    lines = log.read_text().splitlines() if log.exists() else []
    raise Missing(f"needs {PROGRAM}, and it did not start: {lines[-1] if lines else 'it said nothing'}")
