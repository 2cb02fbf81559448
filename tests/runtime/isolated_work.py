"""Workers that run in processes of their own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from oban_sync import Cancel, Job, Record, Snooze, job, worker
from oban_sync.job import JobState


def crash() -> None:
    ctypes.string_at(0)


@worker(name="isolated.Does", isolation="process", max_attempts=3)
class Does:
    def process(self, job: Job) -> Any:
        return getattr(self, job.args["what"])(job)

    def backoff(self, job: Job) -> float:
        return 1000

    def timeout(self, job: Job) -> float | None:
        return job.args.get("timeout")

    def record(self, job: Job) -> Record:
        states = [str(JobState.EXECUTING), str(job.state), job.attempt, job.queue, job.deadline is None, job.lease_lost]
        return Record([os.getpid(), states])

    def snooze(self, job: Job) -> Snooze:
        return Snooze(60, {"k": [1]})

    def cancel(self, job: Job) -> Cancel:
        return Cancel("no \0 more")

    def fail(self, job: Job) -> None:
        raise LookupError("nothing \ud800 there")

    def exit(self, job: Job) -> None:
        sys.exit(3)

    def leave(self, job: Job) -> None:
        os._exit(3)

    def segfault(self, job: Job) -> None:
        crash()

    def kill(self, job: Job) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self, job: Job) -> None:
        Path(job.args["file"]).write_text(str(os.getpid()))
        time.sleep(3600)

    def sleep_in_c(self, job: Job) -> None:
        """Holds the interpreter for a minute."""
        Path(job.args["file"]).write_text(str(os.getpid()))
        ctypes.PyDLL(None).usleep(60_000_000)

    def nap(self, job: Job) -> None:
        time.sleep(job.args["seconds"])

    def ask(self, job: Job) -> None:
        Path(job.args["file"]).write_text(str(os.getpid()))
        while True:
            time.sleep(0.01)
            job.check()

    def lease(self, job: Job) -> Record:
        lost = [job.lease_lost]
        Path(job.args["file"]).write_text(str(os.getpid()))
        while not lost[-1]:
            lost.append(job.lease_lost)
        return Record(lost[-1])

    def effect(self, job: Job) -> Snooze:
        with job.transaction() as connection:
            connection.execute("INSERT INTO effects (job) VALUES (%s)", (job.id,))
        return Snooze(1)

    def enqueue_another(self, job: Job) -> None:
        add.enqueue(3, 4)

    def run_a_program(self, job: Job) -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True)


@job(name="isolated.add", isolation="process", timeout=30)
def add(a: int, b: int = 0) -> Record:
    return Record(a + b)
