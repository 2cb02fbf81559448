"""Nodes of Oban for Python that do what lines on a socket say; they run in a virtual environment of their own.

python -c 'from tests.interop.peer import main; main()' SOCKET

The process has imported Oban, and forks a node for each connection, to which the first line gives the DSN, the options
and whether it starts. Each other line is a JSON list: what is called, and its arguments. Each answer is a line too:
`value` or `error` in an object.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from oban import Cancel, Job, Oban, Record, Snooze, schema, telemetry, worker
from oban._recorded import decode_recorded
from oban._scheduler import Expression

going = asyncio.Event()


@worker()
class Ran:
    """Writes that it ran, on a connection of the node's."""

    connection: psycopg.AsyncConnection[Any]

    async def process(self, job: Job) -> None:
        await self.connection.execute("INSERT INTO ran (job, node) VALUES (%s, %s)", (job.id, "theirs"))


@worker()
class Hold:
    """Runs until it is cancelled, or told to go on."""

    async def process(self, job: Job) -> Any:
        while not going.is_set():
            if job.cancelled():
                return Cancel("asked to")
            await asyncio.sleep(0.01)
        return None


@worker(max_attempts=2)
class Ends:
    """Ends as its args say."""

    def backoff(self, job: Job) -> int:
        return 3600

    async def process(self, job: Job) -> Any:
        match job.args["how"]:
            case "record":
                return Record(job.args["value"])
            case "snooze":
                return Snooze(3600, {"why": "later"})
            case "cancel":
                return Cancel("no need")
            case "raise":
                raise ValueError(f"broken by {job.args['by']}")


class Tick:
    """Is enqueued each minute by whoever leads, once a node is told so."""

    async def process(self, job: Job) -> None:
        return None


class Node:
    """Calls what lines name."""

    def __init__(self, oban: Oban, pool: Any) -> None:
        self._oban, self._pool = oban, pool
        self._seen: Counter[str] = Counter()
        telemetry.attach("interop", telemetry.EVENTS, lambda name, _: self._seen.update([name]))

    async def enqueue(self, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
        """Enqueue jobs of these fields."""
        return await self._oban.enqueue_many([Job(**fields) for fields in jobs])

    async def recorded(self, job_id: int) -> Any:
        """Decode what a job recorded."""
        job = await self._oban.get_job(job_id)
        return decode_recorded(job.meta["return"])

    def leads(self) -> bool:
        """Say whether this node leads."""
        return self._oban.is_leader

    def seen(self, event: str) -> int:
        """Count events."""
        return self._seen[event]

    def go(self) -> None:
        """Let the jobs that hold end."""
        going.set()

    def tick_every_minute(self) -> None:
        """Declare a periodic job."""
        worker(queue="cron", cron="* * * * *")(Tick)

    async def tick(self, at: str) -> None:
        """Enqueue what is due at a minute, as its scheduler does then."""
        await self._oban._scheduler._evaluate(datetime.fromisoformat(at).replace(tzinfo=UTC))

    def ticks(self, expressions: list[str], start: str, minutes: int) -> list[list[int] | None]:
        """Give the minutes after a start at which each expression is due; None: it is none."""
        times = [datetime.fromisoformat(start) + timedelta(minutes=n) for n in range(minutes)]
        return [_due(expression, times) for expression in expressions]

    async def install(self, prefix: str) -> None:
        """Install the tables."""
        await schema.install(self._pool, prefix)

    async def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        """Do what a line says: something of ours, or else of Oban's."""
        found = getattr(self, name, None) or getattr(self._oban, name)
        value = found(*args, **options)
        return await value if inspect.isawaitable(value) else value


def _due(expression: str, times: list[datetime]) -> list[int] | None:
    try:
        parsed = Expression.parse(expression)
    except ValueError:
        return None
    return [n for n, time in enumerate(times) if parsed.is_now(time)]


def plain(value: Any) -> Any:
    """Give what JSON has for it."""
    if isinstance(value, Job):
        return {name: getattr(value, name) for name in Job.__slots__ if not name.startswith("_")}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


async def serve(talk: socket.socket) -> None:
    """Be the node that the first line describes, and answer lines until there are no more."""
    reader, writer = await asyncio.open_unix_connection(sock=talk, limit=2**26)
    dsn, options, start = json.loads(await reader.readline())
    pool = await Oban.create_pool(dsn, min_size=1, max_size=5)
    node = Oban(pool=pool, **options)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        Ran.connection = connection
        called = Node(node, pool)
        if start:
            await node.start()
        writer.write(encoded({"value": os.getpid()}))
        async for line in reader:
            writer.write(encoded(await answer(called, json.loads(line))))
        going.set()
        await node.stop()
    await pool.close()


def fork_nodes(path: str) -> None:
    """Fork a node for each connection to a socket; the socket is there once this listens."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    while True:
        talk, _ = door.accept()
        if not os.fork():
            door.close()
            asyncio.run(serve(talk))
            return
        talk.close()


async def answer(node: Callable[..., Any], call: list[Any]) -> dict[str, Any]:
    """Do what a line says, and give the answer."""
    name, args, options = call
    try:
        return {"value": await node(name, *args, **options)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def encoded(answer: Any) -> bytes:
    """Give a line."""
    return json.dumps(answer, default=plain).encode() + b"\n"


def main() -> None:
    """Fork nodes at the socket that the command line names."""
    fork_nodes(sys.argv[1])
