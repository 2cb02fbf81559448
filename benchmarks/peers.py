"""Other queues that can be measured in the same run, and what each of them needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.redis_server import redis
from benchmarks.remote import SystemSpec
from benchmarks.servers import Server


@dataclass(frozen=True, slots=True)
class Peer:
    """A queue from PyPI.

    Attributes:
        packages: What pip installs for it, with the oldest versions that are known to work; the first is the queue.
        systems: Its ways to be measured, by their names in tables; `python` is filled in when it is known.
        python: The oldest Python that it runs on.
        server: Starts what it keeps its jobs in, or raises `Missing`; None: the PostgreSQL of the run.
    """

    packages: tuple[str, ...]
    systems: dict[str, SystemSpec]
    python: tuple[int, int] = (3, 11)
    server: Callable[[], AbstractContextManager[Server]] | None = None

    @property
    def distributions(self) -> list[str]:
        """The names of the packages alone."""
        return [re.split(r"[\[<>=~!]", package)[0] for package in self.packages]


_SYSTEMS = "benchmarks.systems"
_SLOW_TO_MEASURE = (
    "short",
    "scheduled",
    "idle",
)  # what takes long, and says little of a queue that is not on PostgreSQL
PSYCOPG = "psycopg[binary,pool]>=3.2"

PEERS: dict[str, Peer] = {
    "oban": Peer(
        ("oban>=0.7.0", "uvloop>=0.21", PSYCOPG),
        {"oban": SystemSpec(f"{_SYSTEMS}.oban_peer", strict=False, share=0.3)},
        python=(3, 12),
    ),
    "pgqueuer": Peer(
        ("pgqueuer>=1.0", "asyncpg>=0.29", "uvloop>=0.21", PSYCOPG),
        {
            "pgqueuer at 10": SystemSpec(
                f"{_SYSTEMS}.pgqueuer_peer",
                strict=False,
                variant="capped",
                about="batches of half the slots, and max_concurrent_tasks as many as slots",
            ),
            "pgqueuer best": SystemSpec(
                f"{_SYSTEMS}.pgqueuer_peer",
                strict=False,
                variant="best",
                about="batches of 100 and no limit of how many run: the slots mean nothing to it",
            ),
        },
    ),
    "procrastinate": Peer(
        ("procrastinate>=3.0", PSYCOPG),
        {"procrastinate": SystemSpec(f"{_SYSTEMS}.procrastinate_peer", strict=False, share=0.15)},
    ),
    "chancy": Peer(
        ("chancy>=0.26", PSYCOPG),
        {"chancy": SystemSpec(f"{_SYSTEMS}.chancy_peer", strict=False, share=0.3)},
    ),
    "dramatiq": Peer(
        ("dramatiq[redis]>=2.2",),
        {"dramatiq": SystemSpec(f"{_SYSTEMS}.dramatiq_peer", share=0.3, without=_SLOW_TO_MEASURE)},
        server=redis,
    ),
    "huey": Peer(
        ("huey>=3.5", "redis>=5"),
        {"huey": SystemSpec(f"{_SYSTEMS}.huey_peer", share=0.3, without=_SLOW_TO_MEASURE)},
        server=redis,
    ),
    "celery": Peer(
        ("celery[redis]>=5.5",),
        {"celery": SystemSpec(f"{_SYSTEMS}.celery_peer", share=0.15, without=_SLOW_TO_MEASURE)},
        server=redis,
    ),
    "rq": Peer(
        ("rq>=3.0",),
        {"rq": SystemSpec(f"{_SYSTEMS}.rq_peer", strict=False, share=0.05, without=_SLOW_TO_MEASURE)},
        server=redis,
    ),
}
