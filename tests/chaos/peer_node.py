"""A node of oban for Python, which runs in a virtual environment of its own.

python -c 'from tests.chaos.peer_node import main; main()' '{"queues": {"default": 5}}'
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import oban
from oban import Job, Oban, worker

from tests.chaos import corpus, ledger


@worker()
class Shared:
    """Runs for some seconds."""

    async def process(self, job: Job) -> None:
        with ledger.entered(job):
            await asyncio.sleep(job.args["seconds"])


@worker()
class Good:
    async def process(self, job: Job) -> None:
        return None


@worker()
class Poison:
    """Does what its args name."""

    async def process(self, job: Job) -> Any:
        return (corpus.ENDS | corpus.ERRORS)[job.args["poison"]](oban)


@worker()
class Sabotage:
    """Has a backoff that exits."""

    def backoff(self, job: Job) -> int:
        raise ValueError(job.args["in"])

    async def process(self, job: Job) -> None:
        raise ValueError("to be retried")


@worker()
class Look:
    """Writes which modules are imported."""

    async def process(self, job: Job) -> None:
        for name in list(sys.modules):
            ledger.write("INSERT INTO modules VALUES (%s, %s)", name, job.args["look"])


async def run(options: dict[str, Any]) -> None:
    """Run until killed."""
    pool = await Oban.create_pool(os.environ["CHAOS_DSN"], min_size=2, max_size=10)
    async with Oban(pool=pool, **options):
        await asyncio.Event().wait()


async def offer() -> list[str]:
    """Enqueue what cannot be meant, and name what was accepted."""
    pool = await Oban.create_pool(os.environ["CHAOS_DSN"])
    instance, accepted = Oban(pool=pool), []
    for name, fields in corpus.INPUTS.items():
        try:
            await instance.enqueue(Job(worker="chaos.Input", **fields()))
            accepted.append(name)
        except Exception as error:
            sys.stderr.write(f"{name}: {error!r:.200}\n")
    await pool.close()
    return accepted


def client() -> None:
    """Print which inputs were accepted."""
    sys.stdout.write(json.dumps(asyncio.run(offer())))


def main() -> None:
    """Run what the command line says."""
    asyncio.run(run(json.loads(sys.argv[1])))
