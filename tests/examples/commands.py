"""Programs that run beside a test, and what they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Command:
    """A program in a process group of its own; its output is kept and can be waited for.

    Args:
        *arguments: What follows `python`.
        **environment: Variables beside those of the test; None takes one away.
    """

    def __init__(self, *arguments: str, **environment: str | None) -> None:
        variables = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={name: value for name, value in variables.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._lines: list[str] = []
        self._printed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
        self._reader.join(10)
        self._process.stdout.close()

    @property
    def output(self) -> str:
        with self._printed:
            return "".join(self._lines)

    def expect(self, pattern: str, count: int = 1, timeout: float = 60.0) -> list[re.Match]:
        """Wait until the output matches so many times."""
        with self._printed:
            self._printed.wait_for(lambda: self._ended() or len(self._matches(pattern)) >= count, timeout)
            matches = self._matches(pattern)
            assert len(matches) >= count, f"expected {pattern!r}, got:\n{''.join(self._lines)}"
            return matches

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the program, or to its whole group as a terminal does."""
        (os.killpg if group else os.kill)(self.pid, number)

    def end(self, timeout: float = 45.0) -> int:
        """Wait for the end and give the exit status."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended in {timeout} s:\n{self.output}") from None
        self._reader.join(10)
        return status

    def _ended(self) -> bool:
        return self._process.poll() is not None and not self._reader.is_alive()

    def _matches(self, pattern: str) -> list[re.Match]:
        return list(re.finditer(pattern, "".join(self._lines)))

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._printed:
                self._lines.append(line)
                self._printed.notify_all()
        with self._printed:
            self._printed.notify_all()


class Web(Command):
    """A gunicorn with two workers, which listens on a free port.

    Args:
        *arguments: What follows `python`; gunicorn's own among them.
        home: A directory of the test's own, since gunicorn keeps a socket in its user's.
        **environment: As for Command.
    """

    def __init__(self, *arguments: str, home: Path, **environment: str | None) -> None:
        super().__init__(*arguments, "--bind", "127.0.0.1:0", HOME=str(home), **environment)

    @property
    def address(self) -> str:
        """Host and port, once it listens."""
        return self.expect(r"Listening at: http://(\S+)")[0][1]

    def workers(self, count: int = 2) -> list[int]:
        """The processes of all workers that were started so far, at least so many."""
        return [int(match[1]) for match in self.expect(r"Booting worker with pid: (\d+)", count)]

    def stop(
        self, number: int = signal.SIGTERM, *, group: bool = False, times: int = 1, workers: int = 2
    ) -> tuple[float, float]:
        """Stop it, by several signals perhaps; give the seconds until its workers were gone, and until it was."""
        processes = self.workers(workers)
        sent = time.monotonic()
        for _ in range(times):
            self.signal(number, group=group)
            time.sleep(0.07 if times > 1 else 0)
        await_end(processes)
        workers_gone = time.monotonic() - sent
        assert self.end() == 0, self.output
        return workers_gone, time.monotonic() - sent


def gunicorn(application: str, *arguments: str, home: Path, dsn: str, grace: float = 15.0) -> Web:
    """Start gunicorn with the settings of the examples."""
    settings = ("-m", "gunicorn", "--config", "docs/examples/gunicorn.conf.py")
    return Web(*settings, application, *arguments, home=home, OBAN_DSN=dsn, OBAN_SHUTDOWN_GRACE_PERIOD=f"{grace:g}")


def await_end(processes: list[int], timeout: float = 45.0) -> None:
    """Wait until processes are gone."""
    deadline = time.monotonic() + timeout
    while left := [process for process in processes if exists(process)]:
        assert time.monotonic() < deadline, f"still there after {timeout} s: {left}"
        time.sleep(0.01)


def exists(process: int) -> bool:
    """Whether a process is there, and is no zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text() if sys.platform == "linux" else ""
        os.kill(process, 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return ") Z " not in status
