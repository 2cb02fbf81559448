"""One leader among nodes of both libraries, and one job a tick whoever leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Oban, telemetry
from oban_sync.periodic import _periodic, every
from oban_sync.worker import _registry
from tests.conftest import Events
from tests.interop import work

Wait = Callable[..., Any]


@pytest.fixture
def elections() -> Iterator[Events]:
    """The elections that our nodes take part in."""
    seen = Events()
    telemetry.attach("elections", ["oban.leader.election.stop"], seen)
    yield seen
    telemetry.detach("elections")


@pytest.mark.timeout(180)
def test_one_leads_and_the_other_follows_when_it_stops(
    start_peer: Any, dsn: str, db: psycopg.Connection, elections: Events, eventually: Wait
) -> None:
    """Their lease is written for 3 seconds and renewed after 15: it holds meanwhile, although it looks over."""
    theirs = start_peer(queues={"theirs": 1})
    eventually(lambda: theirs.call("leads"))
    with Oban(dsn=dsn, node="ours", queues={"ours": 1}) as ours:
        elections.wait(1)
        assert not ours.is_leader
        over = "SELECT expires_at < timezone('UTC', now()) FROM oban_leaders"
        eventually(lambda: db.execute(over).fetchone() == (True,))
        elections.wait(len(elections.wait(1)) + 2)
        assert theirs.call("leads")
        assert not ours.is_leader
        theirs.stop()
        eventually(lambda: ours.is_leader, 40)
        again = start_peer(node="again", queues={"theirs": 1})
        assert not again.call("leads")
        assert db.execute("SELECT name, node FROM oban_leaders").fetchall() == [("Oban", "ours")]
    eventually(lambda: again.call("leads"), 40)
    assert db.execute("SELECT name, node FROM oban_leaders").fetchall() == [("Oban", "again")]


@pytest.fixture
def ticking() -> Iterator[None]:
    """Declare the periodic job of theirs as ours too, for the time of a test."""
    kept = dict(_registry), dict(_periodic)
    work.every_minute()
    yield
    for registry, before in zip((_registry, _periodic), kept, strict=True):
        registry.clear()
        registry.update(before)


def ticks(db: psycopg.Connection) -> list[datetime]:
    """Give the minutes for which jobs were enqueued."""
    rows = db.execute("SELECT meta ->> 'cron_at' FROM oban_jobs WHERE worker = %s ORDER BY id", (f"{work.PEER}.Tick",))
    return [datetime.fromisoformat(at) for (at,) in rows]


@pytest.fixture
def evaluations() -> Iterator[Events]:
    """The minutes that our leader looked at."""
    seen = Events()
    telemetry.attach("evaluations", ["oban.scheduler.evaluate.stop"], seen)
    yield seen
    telemetry.detach("evaluations")


@pytest.mark.timeout(200)
def test_a_tick_of_theirs_is_not_doubled_when_we_lead_next(
    start_peer: Any, dsn: str, db: psycopg.Connection, ticking: None, evaluations: Events, eventually: Wait
) -> None:
    theirs = start_peer(queues={"theirs": 1})
    eventually(lambda: theirs.call("leads"))
    theirs.call("tick_every_minute")
    with Oban(dsn=dsn, node="ours", queues={"ours": 1}) as ours:
        eventually(lambda: ticks(db), 90)
        theirs.stop()
        eventually(lambda: ours.is_leader, 40)
        evaluations.wait(1)
        assert len(ticks(db)) == 1
    (found,) = ours.list_jobs(worker=f"{work.PEER}.Tick")
    ours_as_well = {entry.worker: entry.name for entry in every()}
    assert (found.meta["cron_name"], found.meta["cron_expr"]) == (ours_as_well[found.worker], "* * * * *")


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_each_tick_is_enqueued_once_while_both_lead_in_turns(
    start_peer: Any, dsn: str, db: psycopg.Connection, ticking: None, eventually: Wait
) -> None:
    theirs = start_peer(queues={"theirs": 1})
    eventually(lambda: theirs.call("leads"))
    theirs.call("tick_every_minute")
    with Oban(dsn=dsn, node="ours", queues={"ours": 1}) as ours:
        eventually(lambda: len(ticks(db)) == 1, 90)
        theirs.stop()
        eventually(lambda: ours.is_leader, 40)
        again = start_peer(node="again", queues={"theirs": 1})
        again.call("tick_every_minute")
        eventually(lambda: len(ticks(db)) == 2, 90)
    eventually(lambda: again.call("leads"), 40)
    eventually(lambda: len(ticks(db)) == 3, 90)
    found = ticks(db)
    assert found == [found[0] + n * timedelta(minutes=1) for n in range(3)]
