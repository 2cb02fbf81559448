"""gunicorn, whose workers are forked from a master that used the pool, and run queues beside their requests."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import orjson

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet, Node
from tests.chaos.scenarios.shutdown import GRACE, OVERTIME, WAYS
from tests.chaos.server import Stage

WORKERS, THREADS = 2, 4


def stop(stage: Stage, directory: Path, *, times: int = 1) -> Iterator[Counted]:
    """Stop gunicorn while jobs of its workers do not end, and see who runs these then (R14)."""
    waits, exits = list[float](), list[float]()
    with Fleet(stage.dsn, directory, queues=f"default:{len(WAYS)}") as fleet:
        for number in range(times):
            web = _serve(stage, fleet, directory, 1)
            before = stage.one("SELECT count(*) FROM ledger")
            stage.enqueue(Job("chaos.Stubborn", args={"way": way}) for way in WAYS)
            stage.need(partial(_more, stage, before + len(WAYS)))
            other = fleet.start(f"other{number}")
            stage.need(partial(_up, stage, other))
            web.send(signal.SIGTERM)
            began, at = time.monotonic(), _ended(stage, web)
            exits.append(float("inf") if web.seconds_to_exit(60) is None else time.monotonic() - began)
            stage.wait(lambda: stage.unended() == 0, 40)
            waits += [seconds for (seconds,) in stage.ask(_AGAIN, (at, other.name))]
            other.kill()
    counts = {
        "exits": sum(seconds < float("inf") for seconds in exits),
        "slowest exit s": max(exits),
        "jobs handed back": len(waits),
        "run elsewhere from ms": min(waits, default=float("inf")) * 1000,
        "run elsewhere after s": max(waits, default=float("inf")),
    }
    exact = len(waits) == times * len(WAYS) and counts["run elsewhere after s"] <= 2
    kept = exact and counts["slowest exit s"] <= GRACE + OVERTIME
    fault = f"SIGTERM to gunicorn while jobs are {', '.join(WAYS)}; grace {GRACE:g} s"
    line = f"exit <= grace + {OVERTIME:g} s, jobs handed back run elsewhere <= 2 s"
    yield Counted("R14", "shutdown is bounded", fault, f"{times} times", None, counts, line, kept)


def _ended(stage: Stage, web: Node) -> datetime:
    """Wait until the worker is gone, and give the time."""
    (worker,) = re.findall(r"Booting worker with pid: (\d+)", web.log())
    stage.need(lambda: not Path(f"/proc/{worker}").exists())
    at: datetime = stage.one("SELECT clock_timestamp()")
    return at


_AGAIN = "SELECT extract(epoch FROM began - %s)::float8 FROM ledger WHERE node = %s"


def _more(stage: Stage, runs: int) -> bool:
    return bool(stage.one("SELECT count(*) FROM ledger") >= runs)


def _up(stage: Stage, node: Node) -> bool:
    return bool(stage.one("SELECT count(*) FROM oban_producers WHERE node = %s", (node.name,)))


def preloaded(stage: Stage, directory: Path, *, questions: int) -> Iterator[Counted]:
    """Ask gunicorn's workers by many threads at once, after the pool was used before the fork (R15)."""
    with Fleet(stage.dsn, directory) as fleet:
        web = _serve(stage, fleet, directory, WORKERS, "--preload", "--threads", str(THREADS))
        address = re.findall(r"Listening at: http://(\S+)", web.log())[0]
        with ThreadPoolExecutor(WORKERS * THREADS) as threads:
            found = [one for part in threads.map(partial(_ask, address, questions), range(8)) for one in part]
        web.send(signal.SIGTERM)
        exited = web.seconds_to_exit(60)
    processes = defaultdict[int, set[int]](set)
    for _, answer in found:
        processes[answer["backend"]].add(answer["process"])
    counts = {
        "questions": len(found),
        "wrong answers": sum(wanted != answer["answer"] for wanted, answer in found),
        "connections": len(processes),
        "connections shared": sum(len(users) > 1 for users in processes.values()),
        "jobs stored": stage.one("SELECT count(DISTINCT args ->> 'number') FROM oban_jobs"),
        "workers that answered": len(set[int]().union(*processes.values())),
    }
    right = not counts["wrong answers"] and not counts["connections shared"] and exited is not None
    exact = counts["questions"] == counts["jobs stored"] == 8 * questions
    kept = right and exact and counts["workers that answered"] == WORKERS
    claim, line = "forking is safe", "wrong answers 0, no connection shared, all jobs stored"
    fault = "gunicorn --preload --threads after the master used the pool"
    sizes = f"{WORKERS} workers, {THREADS} threads each"
    yield Counted("R15", claim, fault, sizes, None, counts, line, kept)


def _ask(address: str, questions: int, asker: int) -> list[tuple[int, dict[str, int]]]:
    """Ask numbers, each on a connection of its own; give them with the answers."""
    found = []
    for number in range(asker * questions, (asker + 1) * questions):
        web = HTTPConnection(address, timeout=60)
        web.request("GET", f"/{number}")
        found.append((number, orjson.loads(web.getresponse().read())))
        web.close()
    return found


def _serve(stage: Stage, fleet: Fleet, directory: Path, workers: int, *options: str) -> Node:
    """Start gunicorn with the settings of the examples, and wait until its workers are there."""
    command = [sys.executable, "-m", "gunicorn", "--config", "docs/examples/gunicorn.conf.py"]
    command += ["--bind", "127.0.0.1:0", "--workers", str(workers), *options, "tests.chaos.site:application"]
    settings = {"CHAOS_GRACE": f"{GRACE:g}", "HOME": str(directory)}
    web = fleet.launch("web", command, **settings)
    stage.need(lambda: web.log().count("Booting worker") >= workers)
    return web
