"""What networks do, done by a relay between a node and PostgreSQL."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from oban_sync import Job, pace
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet, Node
from tests.chaos.proxy import CUTS, Proxy, proxied
from tests.chaos.server import Stage

POLL_SECONDS = 1.0
_OLDEST_BEAT = """
SELECT extract(epoch FROM timezone('UTC', clock_timestamp()) - min(updated_at))::float8 FROM oban_producers
"""
_STARTS = "SELECT count(*) FROM ledger WHERE job = ANY (%s)"
_ROLE = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
_DELAYS = """
SELECT extract(epoch FROM min(ledger.began) - timezone('UTC', oban_jobs.scheduled_at))::float8
FROM ledger JOIN oban_jobs ON oban_jobs.id = ledger.job WHERE oban_jobs.id = ANY (%s) GROUP BY oban_jobs.id
"""


@contextmanager
def relayed(stage: Stage, directory: Path, queues: str) -> Iterator[tuple[Proxy, Fleet, Node]]:
    """Run a node that reaches PostgreSQL through a relay; what its jobs do themselves goes past it."""
    config = directory / "relayed.toml"
    config.write_text(f"[stager]\ninterval = {POLL_SECONDS}\n")
    with proxied(stage.dsn) as proxy, Fleet(proxy.dsn, directory, queues=queues, ledger=stage.dsn) as fleet:
        node = fleet.start("", "", "--config", str(config))
        stage.need(lambda: stage.one("SELECT count(*) FROM oban_producers") >= 1)
        yield proxy, fleet, node


ROLES = ("notifier", "heartbeat", "scheduler", "default")


SILENCES = ("no byte passes on connections that stay open", "SIGSTOP of the backends")


def silent(stage: Stage, directory: Path, *, fault: str = SILENCES[0]) -> Iterator[Counted]:
    """Silence a node's connections, of `SILENCES`, and count how long until new ones are there (R11)."""
    with relayed(stage, directory, "default:5") as (proxy, _, node), Fleet(stage.dsn, directory) as others:
        others.start("watcher", "other:1")
        names = [f"oban_sync:{node.name}:{role}" for role in ROLES]
        stage.need(lambda: all(stage.ask(_ROLE, (name,)) for name in names))
        long = stage.enqueue([Job("chaos.Sibling", args={"seconds": 25})])
        stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == 1)
        before = {name: stage.ask(_ROLE, (name,)) for name in names}
        with _silenced(proxy, fault, [pid for found in before.values() for (pid,) in found]):
            began, seen = time.monotonic(), dict[str, float]()

            def anew() -> bool:
                for name in names:
                    if set(stage.ask(_ROLE, (name,))) - set(before[name]):
                        seen.setdefault(name, time.monotonic() - began)
                return len(seen) == len(names)

            stage.wait(anew, 40)
            since = stage.enqueue(Job("chaos.Sibling", args={"seconds": 0}) for _ in range(20))
            stage.wait(lambda: stage.unended() == 0, 60)
        counts = {
            "connections made anew": len(seen),
            "after at most s": max(seen.values(), default=0.0),
            "completed": stage.states().get("completed", 0),
            "starts of a job that ran meanwhile": stage.one(_STARTS, (long,)),
        }
        told = len(seen) == len(names) and counts["after at most s"] <= 15
        kept = told and counts["completed"] == len(since) + 1 and counts["starts of a job that ran meanwhile"] == 1
        claim, line = "a silent network is noticed within 15 s", "all made anew within 15 s, all jobs run once"
        yield Counted("R11", claim, fault, f"{len(names)} connections", None, counts, line, kept)


@contextmanager
def _silenced(proxy: Proxy, fault: str, backends: list[int]) -> Iterator[None]:
    """Have connections that stay open say nothing for the block, or for good."""
    if fault == SILENCES[0]:
        proxy.silence(new=False)
        yield
        return
    for process in backends:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in backends:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def deaf(stage: Stage, directory: Path, *, jobs: int) -> Iterator[Counted]:
    """Take every notification out of what the server sends (R12)."""
    with relayed(stage, directory, "default:10") as (proxy, _, node):
        proxy.deaf = True
        ids = []
        for _ in range(jobs):
            ids += stage.enqueue([Job("chaos.Sibling", args={"seconds": 0})])
            time.sleep(0.1)
        stage.wait(lambda: stage.unended() == 0)
        said = stage.wait(lambda: "notifications do not arrive" in node.log(), 60)
        delays = [seconds for (seconds,) in stage.ask(_DELAYS, (ids,))]
        counts = {
            "started": len(delays),
            "max start delay s": max(delays, default=0.0),
            "warnings that LISTEN is dead": node.log().count("notifications do not arrive"),
        }
        kept = said and len(delays) == jobs and counts["max start delay s"] <= POLL_SECONDS + 0.5
        claim, line = "a lost notification costs only latency", "all run, start delay <= poll + 0.5 s, one warning"
        fault = "every NOTIFY dropped"
        yield Counted("R12", claim, fault, f"{jobs} jobs, poll {POLL_SECONDS:g} s", None, counts, line, kept)


EXPECTED = {
    "complete": ("completed", 1, 0, None, None),
    "error": ("discarded", 1, 1, None, None),
    "cancel": ("cancelled", 1, 1, None, None),
    "record": ("completed", 1, 0, None, True),
    "snooze": ("completed", 1, 0, 1, None),
}
"""State, attempt, number of errors, meta's `snoozed` and `recorded` of each way to end, once all is over."""


def cut(stage: Stage, directory: Path, seed: int, *, cuts: int) -> Iterator[Counted]:
    """Cut the connection at acks, before they arrive, right behind them, or before their answer comes (R13).

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws which acks, and when.
        cuts: How many.
    """
    random = Random(seed)

    def choose(text: str) -> str | None:
        wanted = "AS done (" in text and sum(proxy.cuts.values()) < cuts and random.random() < 0.6
        return random.choice(CUTS) if wanted else None

    with relayed(stage, directory, "default:5") as (proxy, _, node):
        proxy.cut = choose
        while sum(proxy.cuts.values()) < cuts and node.alive:
            jobs = [Job("chaos.Ending", args={"way": way, "seconds": 0.05}, max_attempts=1) for way in EXPECTED]
            stage.enqueue(jobs)
            stage.need(lambda: stage.unended() < 20, 120)
        proxy.cut = None
        stage.wait(lambda: stage.unended() == 0, 60)
        yield _ended(stage, dict(proxy.cuts), node.refused(), seed)


_ENDS = """
SELECT args ->> 'way', state::text, attempt, jsonb_array_length(errors), (meta ->> 'snoozed')::int,
    (meta ->> 'recorded')::boolean, count(*)
FROM oban_jobs GROUP BY 1, 2, 3, 4, 5, 6
"""
_TWICE = """
SELECT count(*) FROM (
    SELECT job FROM ledger JOIN oban_jobs ON oban_jobs.id = job GROUP BY job, args
    HAVING count(*) > CASE args ->> 'way' WHEN 'snooze' THEN 2 ELSE 1 END
) AS again
"""


def _ended(stage: Stage, cuts: dict[str, int], refused: int, seed: int) -> Counted:
    rows = stage.ask(_ENDS)
    wrong = [row for row in rows if row[1:6] != EXPECTED[row[0]]]
    counts = {
        "jobs": sum(row[6] for row in rows),
        **{f"cut {when}": count for when, count in cuts.items()},
        "lost": stage.unended(),
        "rows with another end": sum(row[6] for row in wrong),
        "run once too often": stage.one(_TWICE),
        "repeated acks that changed nothing": refused,
    }
    kept = not wrong and not counts["lost"] and not counts["run once too often"] and min(cuts.values()) > 0
    claim, line = "repeating an ack is safe", "state, attempt, errors and meta of every job exact"
    fault = "the connection is cut before, right behind, or after an ack"
    return Counted("R13", claim, fault, f"{sum(cuts.values())} cuts", seed, counts, line, kept)


def saturated(stage: Stage, directory: Path, *, seconds: float) -> Iterator[Counted]:
    """Have jobs hold every connection of the pool while beats go on (R20)."""
    with Fleet(stage.dsn, directory, queues="default:12,other:5") as fleet:
        fleet.start()
        stage.need(lambda: stage.one("SELECT count(*) FROM oban_producers") == 2)
        jobs = stage.enqueue(Job("chaos.Healthy", args={"way": "held", "seconds": seconds}) for _ in range(10))
        stage.need(lambda: stage.one("SELECT count(*) FROM gates") == len(jobs))
        held = stage.one("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        others, ages, until = list[int](), list[float](), time.monotonic() + seconds * 0.8
        while time.monotonic() < until:
            others += stage.enqueue([Job("chaos.Sibling", queue="other", args={"seconds": 0})])
            ages.append(stage.one(_OLDEST_BEAT))
            time.sleep(0.25)
        acked = stage.one("SELECT count(*) FROM oban_jobs WHERE id = ANY (%s) AND state = 'completed'", (others,))
        stage.wait(lambda: stage.unended() == 0)
        counts = {
            "connections held": held,
            "looks": len(ages),
            "oldest beat s": max(ages),
            "acked meanwhile": acked,
            "starts": stage.one("SELECT count(*) FROM ledger WHERE job = ANY (%s)", (jobs,)),
        }
        kept = max(ages) < 5 and acked >= len(others) - 2 and counts["starts"] == held == len(jobs)
        claim, line = "a saturated pool starves neither leases nor acks", "no beat older than 5 s, acks go on"
        fault = "jobs hold all 10 connections of the pool"
        yield Counted("R20", claim, fault, f"{seconds:g} s", None, counts, line, kept)


LIMIT = 10


def slow(stage: Stage, directory: Path, *, delay: float, jobs: int, seconds: float) -> Iterator[Counted]:
    """Let all that a queue sends come late, and count how many jobs it holds meanwhile (R24).

    Args:
        stage: Where.
        directory: For logs.
        delay: By how many seconds.
        jobs: How many are there to take.
        seconds: How long to look.
    """
    limit, ready = LIMIT, pace.MAX_READY
    with relayed(stage, directory, f"default:{limit}") as (proxy, _, node):
        stage.enqueue([Job("chaos.Innocent")])
        stage.need(lambda: stage.unended() == 0)
        proxy.delayed, proxy.delay = ":default", delay
        stage.enqueue(Job("chaos.Innocent") for _ in range(jobs - 1))
        held, memory, until = [0], [_resident(node)], time.monotonic() + seconds
        while time.monotonic() < until:
            held.append(stage.states().get("executing", 0))
            memory.append(_resident(node))
            time.sleep(0.2)
        proxy.delay = 0.0
        stage.wait(lambda: stage.unended() == 0, 120)
        grown = max(memory[len(memory) // 2 :]) - max(memory[: len(memory) // 2])
        counts = {
            "most executing": max(held),
            "memory grown MB in the second half": grown / 2**20,
            "completed": stage.states().get("completed", 0),
            "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
        }
        flat = grown < 8 * 2**20
        kept = limit < max(held) <= limit + ready and flat and counts["completed"] == jobs and not counts["rescued"]
        claim, line = "a slow acker pushes back", f"executing <= limit {limit} + {ready} in hand, memory flat, lost 0"
        fault = f"all that the queue sends comes {delay:g} s later"
        yield Counted("R24", claim, fault, f"{jobs:,} jobs, {seconds:g} s", None, counts, line, kept)


def _resident(node: Node) -> int:
    """Give the bytes of memory that a process has."""
    return int(Path(f"/proc/{node.process.pid}/statm").read_text().split()[1]) * 4096


def broken(stage: Stage, directory: Path, seed: int, *, faults: int, jobs: int) -> Iterator[Counted]:
    """Reset, half-close, refuse and hold connections again and again while jobs run (R1 over a network).

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws the faults.
        faults: How many.
        jobs: How many, of up to 0.2 s.
    """
    random = Random(seed)
    with relayed(stage, directory, "default:10") as (proxy, _, node):
        stage.enqueue(Job("chaos.Sibling", args={"seconds": random.uniform(0, 0.2)}) for _ in range(jobs))
        stage.need(lambda: stage.states().get("completed", 0) > 0)
        for _ in range(faults):
            _inflict(random, proxy)
            time.sleep(random.uniform(0.1, 1.0))
        stage.wait(lambda: stage.unended() == 0, 60 + jobs * 0.05)
        twice = "SELECT job FROM ledger GROUP BY job HAVING count(*) > 1"
        counts = {
            "lost": stage.unended(),
            "completed": stage.states().get("completed", 0),
            "ran twice": stage.one(f"SELECT count(*) FROM ({twice}) AS again"),
            "warnings": node.log().count("WARNING"),
        }
        kept = not counts["lost"] and counts["completed"] == jobs and not counts["ran twice"]
        fault = f"{faults} resets, half-closes, refusals and short silences"
        yield Counted(
            "R1", "no committed job is lost", fault, f"{jobs:,} jobs", seed, counts, "lost 0, none twice", kept
        )


def away(stage: Stage, directory: Path, *, seconds: float) -> Iterator[Counted]:
    """Have PostgreSQL be out of reach for a while, and count how long until jobs run again, and what is said (R10)."""
    with relayed(stage, directory, "default:5,mail:5,media:5") as (proxy, _, node):
        stage.need(lambda: stage.one("SELECT count(*) FROM oban_producers") == 3)
        running = stage.enqueue(Job("chaos.Sibling", args={"seconds": seconds + 3}) for _ in range(3))
        stage.need(lambda: stage.one("SELECT count(*) FROM ledger") == len(running))
        said = len(_lines(node))
        proxy.refuse()
        proxy.reset()
        time.sleep(seconds)
        waiting = stage.enqueue(Job("chaos.Sibling", queue=queue, args={"seconds": 0}) for queue in ("mail", "media"))
        proxy.refuse(False)
        began = time.monotonic()
        begun = "SELECT count(*) FROM ledger WHERE job = ANY (%s)"
        stage.wait(lambda: stage.one(begun, (waiting,)) == len(waiting), 60)
        resumed = time.monotonic() - began
        stage.wait(lambda: stage.unended() == 0, 60)
        counts = {
            "lost": stage.unended(),
            "starts": stage.one("SELECT count(*) FROM ledger"),
            "resumed after s": resumed,
            "log lines": len(_lines(node)) - said,
        }
        exact = not counts["lost"] and counts["starts"] == len(running) + len(waiting)
        kept = exact and resumed <= 5 and counts["log lines"] <= 2 + seconds / 10
        claim, line = "work resumes within 5 s of PostgreSQL coming back", "lost 0, one log line in 10 s"
        fault = f"connections reset, new ones refused for {seconds:g} s"
        yield Counted("R10", claim, fault, f"{len(running) + len(waiting)} jobs", None, counts, line, kept)


def _lines(node: Node) -> list[str]:
    """Give what a node logged, whoever in it spoke; what follows in further lines is part of the first."""
    return [line for line in node.log().splitlines() if _SAID.search(line)]


_SAID = re.compile(r" (WARNING|ERROR|CRITICAL) \w")


def _inflict(random: Random, proxy: Proxy) -> None:
    kind: Callable[[], Any] = random.choice([proxy.reset, proxy.half_close, proxy.silence, proxy.refuse])
    kind()
    if kind == proxy.refuse:
        proxy.reset()
    time.sleep(random.uniform(0.1, 1.5))
    proxy.flow()
    proxy.refuse(False)
