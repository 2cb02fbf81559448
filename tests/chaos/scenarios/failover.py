"""The server is dead for a while, or for good, and its standby takes over (R10)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from oban_sync import Job, Oban, schema
from oban_sync.errors import DatabaseUnavailable
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import stage as play
from tests.chaos.standby import pair, single


def promote(directory: Path, *, jobs: int, long_seconds: float) -> Iterator[Counted]:
    """Kill the primary under load and promote the standby, where the tables of leases and leaders are empty.

    Args:
        directory: For logs.
        jobs: Short jobs.
        long_seconds: Time of five jobs that run meanwhile.
    """
    with pair() as (first, second):
        dsn = f"host={first.home},{second.home} port=5432,5432 user=postgres dbname=postgres"
        dsn += " target_session_attrs=read-write"
        with psycopg.connect(dsn, autocommit=True) as connection:
            schema.install(connection)
        with play(dsn) as stage, Fleet(dsn, directory, queues="default:10,long:5") as fleet:
            client = Oban(dsn=dsn, name="failover")
            nodes = [fleet.start() for _ in range(2)]
            stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == 2)
            long = stage.enqueue(Job("chaos.Sibling", queue="long", args={"seconds": long_seconds}) for _ in range(5))
            stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == len(long))
            client.enqueue_many(Job("chaos.Effect", args={"seconds": 0.05}, max_attempts=20) for _ in range(jobs))
            stage.need(lambda: stage.one(_EFFECTS) > jobs // 10)
            first.kill()
            ((had,),) = second.ask(_EFFECTS)
            second.ask("SELECT pg_promote()")
            began = time.monotonic()
            enqueued = stage.wait(lambda: _enqueues(client), 60)
            works = time.monotonic() - began
            stage.wait(lambda: stage.one(_EFFECTS) > had, 60)
            resumed = time.monotonic() - began
            empty = not second.ask("SELECT 1 FROM pg_class WHERE relname = 'oban_producers' AND relpersistence <> 'u'")
            stage.wait(lambda: stage.unended() == 0, 120 + long_seconds)
            client.stop()
            counts = {
                "lost": stage.unended(),
                "completed": stage.states().get("completed", 0),
                "enqueue works again after s": works,
                "jobs run again after s": resumed,
                "effects missing or doubled": stage.one(_WRONG),
                "starts of long jobs": stage.one("SELECT count(*) FROM ledger WHERE job = ANY (%s)", (long,)),
                "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
                "log lines": sum(node.log().count(" oban_sync.") for node in nodes),
            }
            whole = counts["completed"] == jobs + len(long) + 1 and not counts["effects missing or doubled"]
            kept = enqueued and empty and whole and counts["starts of long jobs"] == len(long) and resumed <= 5
            claim = "work resumes at a promoted standby"
            line = "lost 0, effects exact, healthy jobs started once, both again within 5 s"
            fault = "SIGKILL of the primary, promotion of its standby, with a DSN that names both"
            yield Counted("R10", claim, fault, f"{jobs} jobs, 2 nodes", None, counts, line, kept)


_EFFECTS = "SELECT count(*) FROM effects"
_WRONG = """
SELECT count(*) FROM (
    SELECT oban_jobs.id FROM oban_jobs LEFT JOIN effects ON effects.job = oban_jobs.id WHERE worker = 'chaos.Effect'
    GROUP BY oban_jobs.id HAVING count(effects.job) <> 1
) AS wrong
"""


def _enqueues(client: Oban) -> bool:
    try:
        client.enqueue(Job("chaos.Sibling", args={"seconds": 0}))
    except DatabaseUnavailable:
        return False
    return True


def outage(directory: Path, *, seconds: float) -> Iterator[Counted]:
    """Have PostgreSQL be dead for a while, and count how long until jobs run again, and what is said.

    Args:
        directory: For logs.
        seconds: For how long; jobs that run meanwhile end 8 s later.
    """
    with single() as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            schema.install(connection)
        with play(server.dsn) as stage, Fleet(server.dsn, directory) as fleet:
            client = Oban(dsn=server.dsn, name="outage")
            nodes = [fleet.start() for _ in range(2)]
            stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == 2)
            running = stage.enqueue(Job("chaos.Sibling", args={"seconds": seconds + 8}) for _ in range(6))
            _enqueues(client)
            stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == len(running) + 1)
            server.kill()
            time.sleep(seconds)
            server.start()
            began = time.monotonic()
            refused = 0
            while not _enqueues(client):
                refused += 1
                time.sleep(0.02)
            stage.wait(lambda: stage.one("SELECT count(*) FROM ledger") == len(running) + 2, 60)
            resumed = time.monotonic() - began
            stage.wait(lambda: stage.unended() == 0, 60)
            client.stop()
            said = [sum(bool(_SAID.search(line)) for line in node.log().splitlines()) for node in nodes]
            counts = {
                "lost": stage.unended(),
                "starts": stage.one("SELECT count(*) FROM ledger"),
                "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
                "enqueues refused since": refused,
                "resumed after s": resumed,
                "log lines of a node": max(said),
            }
        exact = not counts["lost"] and counts["starts"] == len(running) + 2 and not refused
        kept = exact and resumed <= 5 and max(said) <= 2 + seconds / 10
        claim = "work resumes within 5 s of PostgreSQL coming back"
        line = "lost 0, each started once, no enqueue refused, one log line in 10 s"
        fault = f"SIGKILL of PostgreSQL, which starts again {seconds:g} s later"
        yield Counted("R10", claim, fault, f"{counts['starts']} jobs, 2 nodes", None, counts, line, kept)


_SAID = re.compile(r" (WARNING|ERROR|CRITICAL) \w")
