"""Queues on two PostgreSQL servers, run by one process: `python docs/examples/shards.py`.

Each server has an `Oban` of its own name, and each worker says which one its jobs belong to. MAIL_DSN and MEDIA_DSN
name the servers; for one that is not named, a PostgreSQL is started for as long as the program runs.
"""

import os
from contextlib import ExitStack
from queue import SimpleQueue

from oban_sync import Oban, embedded, schema, worker

done = SimpleQueue()  # what the jobs did, put by the threads that run them


@worker(queue="mail", name="examples.Letter", oban="mail")
class Letter:
    def process(self, job):
        done.put(f"letter to {job.args['to']}")


@worker(queue="media", name="examples.Picture", oban="media")
class Picture:
    def process(self, job):
        done.put(f"picture of {job.args['of']}")


def shard(stack, name, dsn, queues):
    """Run the queues of one server until the stack ends."""
    dsn = dsn or stack.enter_context(embedded.start()).dsn()
    pool = stack.enter_context(Oban.create_pool(dsn, max_size=2))
    schema.install(pool)
    stack.enter_context(Oban(name=name, pool=pool, queues=queues))


def main():
    with ExitStack() as stack:
        shard(stack, "mail", os.environ.get("MAIL_DSN"), {"mail": 5})
        shard(stack, "media", os.environ.get("MEDIA_DSN"), {"media": 2})
        Letter.enqueue({"to": "Ada"})  # goes to the server of the mail
        Picture.enqueue({"of": "Grace"})  # goes to the server of the media
        for _ in range(2):
            print(done.get(timeout=30))


if __name__ == "__main__":
    main()
