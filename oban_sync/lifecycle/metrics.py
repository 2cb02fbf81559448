"""What Oban's dashboards show of a cluster: how many jobs there are, and what its nodes say of themselves."""

from __future__ import annotations

import base64
import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from oban_sync.job import JobState
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

COUNTED = tuple(str(state) for state in JobState if state is not JobState.SUSPENDED)
"""States with an index of their own."""
MAX_PAYLOAD = 7900
"""Most bytes of a notification; PostgreSQL's end is 8,000."""


class Counts(NamedTuple):
    """How many jobs there are.

    Attributes:
        found: (state, queue, count) of each.
        many: States with so many jobs that their counts are guesses.
    """

    found: list[tuple[str, str, int]]
    many: frozenset[str]


def count(link: Link, statements: Statements, *, many: frozenset[str], limit: int) -> Counts:
    """Count jobs by state and queue, and guess where there are more than `limit`.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        many: What the last call gave; those states are guessed first.
        limit: Most jobs of a state that are counted.
    """
    few = [state for state in COUNTED if state not in many]
    exact = link.execute(statements["count_states"], {"states": few, "limit": limit})
    over = _over(exact, limit)
    guessed = sorted(many | over)
    found = [(state, queue, number) for state, queue, number in exact if state not in over]
    if guessed:
        rows = link.execute(statements["estimate_states"], {"states": guessed})
        return Counts([*found, *((state, queue, number) for state, queue, number in rows)], over | _over(rows, limit))
    return Counts(found, frozenset())


def _over(rows: Sequence[tuple[Any, ...]], limit: int) -> frozenset[str]:
    sums: Counter[str] = Counter()
    for state, _, number in rows:
        sums[state] += number
    return frozenset(state for state, total in sums.items() if total > limit)


def broadcast(
    link: Link, statements: Statements, channel: str, key: str, items: list[Any], about: dict[str, Any]
) -> None:
    """Tell everybody who listens a list of things, in as many notifications as it needs.

    Args:
        link: Connection to work on.
        statements: Tables to work on.
        channel: Where.
        key: Name of the list.
        items: The list; nothing is sent of an empty one.
        about: What each notification says beside it.
    """
    if items:
        payloads = list(_payloads(key, items, about))
        link.execute(statements["notify_payloads"], {"channel": channel, "payloads": payloads})


def _payloads(key: str, items: list[Any], about: dict[str, Any]) -> Iterator[str]:
    payload = base64.b64encode(gzip.compress(orjson.dumps({key: items, **about}))).decode()
    if len(payload) <= MAX_PAYLOAD or len(items) == 1:
        yield payload
        return
    half = len(items) // 2
    yield from _payloads(key, items[:half], about)
    yield from _payloads(key, items[half:], about)
