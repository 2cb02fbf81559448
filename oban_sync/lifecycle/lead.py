"""One node of a name leads: it does what is to be done once, such as enqueueing periodic jobs.

A leader holds a row of `oban_leaders`, which Oban's own nodes use too, until it expires by the database's clock. What
it does for others is safe with two leaders for a moment, so a lease is trusted without asking again.
"""

from __future__ import annotations

from typing import NamedTuple

from oban_sync import telemetry
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

LEASE = 6.0
"""Seconds that an election holds."""
FOREIGN_GRACE = 27.0
"""Seconds beyond its expiry for which a leader of another library is waited for: it writes leases of 3 seconds and
renews them every 15, so that it may have missed one renewal."""


class Term(NamedTuple):
    """What an election said.

    Attributes:
        since: When this node was elected, by which it knows its own row again; None: another node leads.
        now: The database's clock, seconds since 1970.
    """

    since: str | None
    now: float


def elect(link: Link, statements: Statements, *, name: str, node: str, since: str | None) -> Term:
    """Become the leader of a name, or stay it, unless another node is.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        name: Name of the Oban instance.
        node: Name of this node.
        since: What the last election gave; None: this node does not lead.
    """
    params = {"name": name, "node": node, "since": since, "lease": LEASE, "foreign_grace": FOREIGN_GRACE}
    with telemetry.span("oban.leader.election", {"leader": since is not None}) as collector:
        ((elected, now),) = link.execute(statements["elect_leader"], params)
        collector.add({"leader": elected is not None})
    return Term(elected, now)


def resign(link: Link, statements: Statements, *, name: str, node: str, since: str) -> None:
    """Let another node lead at once."""
    link.execute(statements["resign_leader"], {"name": name, "node": node, "since": since})
