"""The same fault done to a queue and to its peer, each on a node and a database of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oban_sync import Job
from oban_sync.errors import JobError
from tests.chaos import corpus
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet, Node
from tests.chaos.scenarios.poison import insert
from tests.chaos.server import Stage
from tests.chaos.systems import System

GOOD = 5
PATIENCE_SECONDS = 8.0
LONG_SECONDS = 8.0
LIFELINE = {"rescue_after": 3}

Poisoning = Callable[[Stage, System], object]


def named(name: str) -> Poisoning:
    """Have a job do what the corpus names."""
    return lambda stage, system: _insert(stage, system, worker="Poison", args=f'{{"poison": "{name}"}}')


def row(name: str) -> Poisoning:
    """Store a row that the corpus names."""
    return lambda stage, system: _insert(stage, system, **{"worker": "Good", **corpus.ROWS[name]})


def hostile(name: str) -> Poisoning:
    """Store a row whose worker has this name."""
    return lambda stage, _: insert(stage, [{"worker": name}])


def notify(payload: str) -> Poisoning:
    """Send a notification that is none of Oban's."""
    return lambda stage, _: stage.ask("SELECT pg_notify('public.oban_insert', %s)", (payload,))


def _insert(stage: Stage, system: System, **columns: str) -> None:
    insert(stage, [columns | {"worker": f"{system.workers}.{columns['worker']}"}])


CASES: dict[str, Poisoning] = {
    **{
        f"a job ends by {name}" if name in corpus.ENDS else f"a job raises: {name}": named(name)
        for name in (
            "NUL in the text",
            "a lone surrogate in the text",
            "Cancel with NUL",
            "Snooze(10**10)",
            "Snooze meta with a datetime",
            "Snooze meta with NaN",
            "sys.exit()",
            "KeyboardInterrupt",
            "GeneratorExit",
            "BaseException",
            "__str__ that raises",
        )
    },
    "`backoff()` raises": lambda stage, system: _insert(stage, system, worker="Sabotage", args='{"in": "backoff"}'),
    **{
        f"a row has {name}": row(name)
        for name in (
            "an integer of 5,000 digits in args",
            "3,000 levels of JSON in args",
            "inserted_at in infinity",
            "inserted_at before Christ",
        )
    },
    "a row's worker is `unittest.__main__.X`": hostile("unittest.__main__.X"),
    "a malformed notification": notify("{malformed"),
}


@dataclass(slots=True)
class Watch:
    """Looks at a node that something was done to."""

    stage: Stage
    node: Node

    def settled(self) -> bool:
        """Say whether nothing waits or runs, or nobody is there to run it."""
        return not self.node.alive or not self.stage.states().keys() & {"available", "executing"}

    def good(self) -> int:
        """Count the good jobs that completed."""
        query = "SELECT count(*) FROM oban_jobs WHERE state = 'completed' AND args @> '{\"good\": true}'"
        return int(self.stage.one(query))


def cost(stage: Stage, directory: Path, system: System, name: str) -> Iterator[Counted]:
    """Do one thing to a node, and count what becomes of good jobs that come after it."""
    with Fleet(stage.dsn, directory, "tests.chaos.poison_work", f"default:{GOOD}") as fleet:
        watch = Watch(stage, _ready(stage, fleet, system))
        CASES[name](stage, system)
        stage.wait(watch.settled, 2)
        began = time.monotonic()
        insert(stage, [{"worker": f"{system.workers}.Good", "args": '{"good": true}'}] * GOOD)
        stage.wait(lambda: watch.good() == GOOD or not watch.node.alive, PATIENCE_SECONDS)
        counts = {
            "good jobs completed": watch.good(),
            "in s": time.monotonic() - began,
            "jobs left executing": stage.states().get("executing", 0),
            "processes ended": int(not watch.node.alive),
        }
    kept = counts["good jobs completed"] == GOOD and not counts["jobs left executing"] and not counts["processes ended"]
    line = f"{GOOD} completed, none left executing, process alive"
    yield Counted("beside", name, "", f"{GOOD} good jobs after it", None, counts, line, kept, system.name)


def long_job(stage: Stage, directory: Path, system: System) -> Iterator[Counted]:
    """Run a healthy job for longer than `rescue_after`."""
    with Fleet(stage.dsn, directory, "tests.chaos.poison_work", f"default:{GOOD}") as fleet:
        lifeline = LIFELINE if system.python is None else LIFELINE | {"interval": 1}
        node = system.start(fleet, lifeline=lifeline)
        stage.need(lambda: stage.one("SELECT count(*) FROM oban_producers"))
        insert(stage, [{"worker": f"{system.workers}.Shared", "args": f'{{"seconds": {LONG_SECONDS}}}'}])
        stage.wait(lambda: stage.unended() == 0 or not node.alive, 2 * LONG_SECONDS)
        stage.wait(lambda: stage.one("SELECT count(*) FROM ledger WHERE ended IS NULL") == 0, LONG_SECONDS)
        counts = {"starts": stage.one("SELECT count(*) FROM ledger"), "completed": stage.states().get("completed", 0)}
    fault = f"a healthy job of {LONG_SECONDS:g} s, `rescue_after` of {LIFELINE['rescue_after']} s"
    kept = counts == {"starts": 1, "completed": 1}
    yield Counted("beside", fault, "", "1 job", None, counts, "1 start, completed", kept, system.name)


def imports(stage: Stage, directory: Path, system: System) -> Iterator[Counted]:
    """Store rows with hostile names, and count which modules they had imported."""
    with Fleet(stage.dsn, directory, "tests.chaos.poison_work", f"default:{GOOD}") as fleet:
        watch = Watch(stage, _ready(stage, fleet, system))
        insert(stage, [{"worker": "tests.chaos.trap.Trap"}])
        stage.wait(watch.settled, 5)
        _insert(stage, system, worker="Look", args='{"look": 1}')
        stage.wait(watch.settled, 10)
        found = stage.one("SELECT count(*) FROM modules WHERE name = 'tests.chaos.trap'")
    counts = {"modules imported": found}
    name = "a row's worker is `tests.chaos.trap.Trap`, a module that nobody imported"
    yield Counted("beside", name, "", "1 row", None, counts, "0", found == 0, system.name)


def inputs(stage: Stage, directory: Path, system: System) -> Iterator[Counted]:
    """Enqueue what cannot be meant, and count what is accepted and stored."""
    accepted = _offered(stage, system, directory)
    for name in corpus.INPUTS:
        counts = {"accepted": int(name in accepted)}
        yield Counted(
            "beside",
            f"a job is enqueued with {name}",
            "",
            "1 job",
            None,
            counts,
            "0",
            name not in accepted,
            system.name,
        )


def _offered(stage: Stage, system: System, directory: Path) -> list[str]:
    if system.python is None:
        return [name for name, fields in corpus.INPUTS.items() if _accepted(stage, fields())]
    with Fleet(stage.dsn, directory) as fleet:
        node = fleet.launch("client", [system.python, "-c", "from tests.chaos.peer_node import client; client()"])
        node.process.wait(60)
        found: list[str] = json.loads(node.log().splitlines()[-1])
        return found


def _accepted(stage: Stage, fields: dict[str, Any]) -> bool:
    try:
        return bool(stage.enqueue([Job("chaos.Input", **fields)]))
    except JobError:
        return False


def _ready(stage: Stage, fleet: Fleet, system: System) -> Node:
    """Start a node, and wait until it has run a job."""
    node = system.start(fleet)
    insert(stage, [{"worker": f"{system.workers}.Good"}])
    stage.need(lambda: stage.states().get("completed"))
    return node
