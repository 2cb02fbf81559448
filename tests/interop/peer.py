"""A node of Oban for Python that does what lines on its input say; it runs in a virtual environment of its own.

python -c 'from tests.interop.peer import main; main()' DSN '{"node": "theirs", "queues": {"theirs": 5}}'

Each line is a JSON list: what is called, and its arguments. Each answer is a line too: `value` or `error` in an object.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

import oban.telemetry.logger
import oban.testing  # noqa: F401 - for `signatures`
import psycopg
from oban import Cancel, Job, Oban, Record, Snooze, schema, telemetry, worker
from oban._recorded import decode_recorded

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

    async def install(self, prefix: str) -> None:
        """Install the tables."""
        await schema.install(self._pool, prefix)

    async def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        """Do what a line says: something of ours, or else of Oban's."""
        found = getattr(self, name, None) or getattr(self._oban, name)
        value = found(*args, **options)
        return await value if inspect.isawaitable(value) else value


def plain(value: Any) -> Any:
    """Give what JSON has for it."""
    if isinstance(value, Job):
        return {name: getattr(value, name) for name in Job.__slots__ if not name.startswith("_")}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


async def lines() -> asyncio.StreamReader:
    """Give the lines of the input."""
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def serve(dsn: str, options: dict[str, Any], start: bool) -> None:
    """Answer lines until there are no more."""
    pool = await Oban.create_pool(dsn, min_size=1, max_size=5)
    node = Oban(pool=pool, **options)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        Ran.connection = connection
        called = Node(node, pool)
        reader = await lines()
        if start:
            await node.start()
        say({"value": "ready"})
        async for line in reader:
            say(await answer(called, json.loads(line)))
        going.set()
        await node.stop()
    await pool.close()


async def answer(node: Callable[..., Any], call: list[Any]) -> dict[str, Any]:
    """Do what a line says, and give the answer."""
    name, args, options = call
    try:
        return {"value": await node(name, *args, **options)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def say(answer: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(answer, default=plain) + "\n")
    sys.stdout.flush()


def signatures(names: list[str]) -> dict[str, str]:
    """Give the signature of each name, such as oban.Oban.start, without types."""
    return {name: signature(name) for name in names}


def signature(name: str) -> str:
    """Give one: "class" for errors, enumerations and protocols, the name of its type for what cannot be called."""
    module, _, last = name.rpartition(".")
    rest = [last]
    while module not in sys.modules:
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
    value: Any = sys.modules[module]
    for part in rest:
        value = inspect.getattr_static(value, part) if isinstance(value, type) else getattr(value, part)
    value = getattr(value, "__func__", value)
    if not callable(value):
        return type(value).__name__
    if isinstance(value, type) and (issubclass(value, Exception | Enum) or getattr(value, "_is_protocol", False)):
        return "class"
    return str(inspect.Signature([_untyped(parameter) for parameter in inspect.signature(value).parameters.values()]))


def _untyped(parameter: inspect.Parameter) -> inspect.Parameter:
    default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    return parameter.replace(annotation=parameter.empty, default=default)


def main() -> None:
    """Run what the command line says."""
    if sys.argv[1] == "signatures":
        say(signatures(json.load(sys.stdin)))
    else:
        asyncio.run(serve(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:] != ["idle"]))
