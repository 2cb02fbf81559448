"""A node that only leads, for which a minute goes by in a tenth of a second: `python -m tests.cron_node DSN NODE`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from oban_sync import Job, cron
from oban_sync.lifecycle import lead
from oban_sync.lifecycle.cron import Rules, Term, tick
from oban_sync.periodic import Periodic
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

SPEED = 600
SCHEDULE = cron.parse({"expr": "* * * * *", "catch_up": "all"})
ENTRY = Periodic(SCHEDULE.name("w"), "w", SCHEDULE, "Oban", lambda: Job("w"))


def fast(epoch: float) -> datetime:
    """Give the time of the test at an instant of the database's clock."""
    return datetime.fromtimestamp(epoch % 1_000_000 * SPEED, UTC)


def run(dsn: str, node: str) -> None:
    """Take part in elections, and enqueue while it leads."""
    link, statements = Link(dsn, name=node), Statements()
    since, term = None, Term(fast(0))
    while True:
        elected = lead.elect(link, statements, name="Oban", node=node, since=since)
        if elected.since != since:
            since, term = elected.since, Term(fast(elected.now))
        if since is not None:
            until, _ = tick(link, statements, [ENTRY], rules=Rules(), term=term, now=fast(elected.now))
            term = Term(term.since, until)
        time.sleep(0.02)


if __name__ == "__main__":
    run(*sys.argv[1:])
