"""A plain script that enqueues jobs, runs them, and ends: `python docs/examples/script.py`.

It uses the database that OBAN_DSN names, or starts a PostgreSQL of its own for as long as it runs.
"""

import os
from contextlib import ExitStack
from queue import SimpleQueue

from oban_sync import Oban, embedded, schema, worker

done = SimpleQueue()  # lengths by word, put by the threads that run jobs


@worker(queue="words", name="examples.Measure")  # a fixed name: in a script, the module is called __main__
class Measure:
    def process(self, job):
        done.put((job.args["word"], len(job.args["word"])))


def main():
    with ExitStack() as stack:
        dsn = os.environ.get("OBAN_DSN") or stack.enter_context(embedded.start()).dsn()
        pool = stack.enter_context(Oban.create_pool(dsn))
        schema.install(pool)
        oban = Oban(pool=pool, queues={"words": 5})
        oban.start()
        jobs = oban.enqueue_many(Measure.new({"word": word}) for word in ("queue", "thread", "transaction"))
        for _ in jobs:
            word, length = done.get(timeout=30)
            print(f"{word} has {length} letters")
        oban.stop()  # waits for the jobs that still run, and until their ends are written


if __name__ == "__main__":
    main()
