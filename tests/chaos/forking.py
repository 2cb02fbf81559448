"""A program whose threads use a pool while it makes children that use it too; each process prints what it saw."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import warnings

import orjson

from oban_sync import Job, Oban

THREADS = 3


class Asker:
    """Asks with three threads at once."""

    def __init__(self, oban: Oban, base: int, questions: int) -> None:
        self._oban, self._base, self._questions = oban, base, questions
        self._backends: set[int] = set()
        self._asked = self._wrong = 0
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._work, args=(number,)) for number in range(THREADS)]

    def start(self) -> Asker:
        """Begin."""
        for thread in self.threads:
            thread.start()
        return self

    def finish(self) -> None:
        """Wait for the last answer, and print what was seen."""
        for thread in self.threads:
            thread.join()
        found = {"asked": self._asked, "wrong": self._wrong, "backends": sorted(self._backends)}
        os.write(1, orjson.dumps(found) + b"\n")

    def _work(self, number: int) -> None:
        for question in range(self._questions):
            wanted = self._base + number * 100_000 + question
            with self._oban._connection() as connection:
                answer, backend = connection.execute(f"SELECT {wanted}, pg_backend_pid()").fetchone()
            self._oban.enqueue(Job("nobody", args={"number": wanted}))
            with self._lock:
                self._asked += 1
                self._wrong += answer != wanted
                self._backends.add(backend)


def child(dsn: str, number: int, questions: int) -> None:
    """Ask in a process that was made by other ways than a fork."""
    oban = Oban(dsn=dsn, name="forking")
    Asker(oban, (number + 1) * 1_000_000, questions).start().finish()
    oban.stop()


def main(way: str, dsn: str, children: int, questions: int) -> None:
    """Ask, and have children ask at the same time."""
    oban = Oban(dsn=dsn, name="forking")
    with oban._connection() as connection:
        connection.execute("SELECT 1")
    parent = Asker(oban, 0, questions).start()
    if way == "os.fork":
        _fork(oban, children, questions)
    else:
        _spawn(oban if way == "fork" else None, way, dsn, children, questions)
    parent.finish()
    oban.stop()


def _fork(oban: Oban, children: int, questions: int) -> None:
    pids = []
    for number in range(children):
        pid = os.fork()
        if pid == 0:
            Asker(oban, (number + 1) * 1_000_000, questions).start().finish()
            oban.stop()
            sys.exit(0)
        pids.append(pid)
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        assert status == 0, status


def _spawn(oban: Oban | None, way: str, dsn: str, children: int, questions: int) -> None:
    context = multiprocessing.get_context(way)

    def inherited(number: int) -> None:
        assert oban is not None
        Asker(oban, (number + 1) * 1_000_000, questions).start().finish()
        oban.stop()

    target = child if oban is None else inherited
    made = [
        context.Process(target=target, args=(dsn, number, questions) if oban is None else (number,))  # type: ignore[attr-defined]
        for number in range(children)
    ]
    for process in made:
        process.start()
    for process in made:
        process.join()
        assert process.exitcode == 0, process.exitcode


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of forks beside threads, which is what this is about
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
