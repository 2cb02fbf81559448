"""A program that forks while its queues run: `python -m tests.examples.forking DSN`. It prints what a test looks at."""

import os
import sys
import threading
import time

from oban_sync import Oban, worker


@worker(name="tests.Note")
class Note:
    """Note which process runs it."""

    def process(self, job):
        with Oban.get_instance()._connection() as connection:
            connection.execute("INSERT INTO notes VALUES (%s, %s, %s)", [job.id, job.args["by"], os.getpid()])


def note(oban, by, count=20):
    for _ in range(count):
        oban.enqueue(Note.new({"by": by}))


def in_child(oban, work):
    """Fork, do the work in the child, and give its exit status; the child ends as a program does."""
    child = os.fork()
    if not child:
        work(oban)
        sys.exit(0)
    note(oban, "parent")  # both use their pools at once
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def enqueue_only(oban):
    note(oban, "child that enqueues")
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("oban-")]
    sys.stdout.write(f"child: running {oban.running}, threads {threads}\n")


def run_too(oban):
    oban.start()
    note(oban, "child that runs")
    oban.stop()


def stop_only(oban):
    """Stop what the child never started: that must not touch the parent's queues."""
    oban.stop()
    note(oban, "child that stops")
    oban.stop()


def main(dsn, *, own_pool):
    pool = Oban.create_pool(dsn)
    oban = Oban(dsn=dsn, queues={"default": 5}) if own_pool else Oban(pool=pool, queues={"default": 5})
    with oban:
        note(oban, "parent")
        statuses = [in_child(oban, work) for work in (enqueue_only, run_too, stop_only)]
        note(oban, "parent")
        with oban._connection() as connection:
            while connection.execute("SELECT 1 FROM oban_jobs WHERE state <> 'completed' LIMIT 1").fetchone():
                time.sleep(0.01)
        sys.stdout.write(f"children ended {statuses}, parent {os.getpid()}\n")
    pool.close()


if __name__ == "__main__":
    main(sys.argv[1], own_pool=sys.argv[2] == "dsn")
