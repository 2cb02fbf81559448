"""One leader among nodes of both libraries, and one job a tick whoever leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Oban, job
from oban_sync.periodic import _periodic, every
from oban_sync.runtime import steward
from oban_sync.worker import _registry
from tests.interop import work

Wait = Callable[..., Any]


def test_one_leads_and_the_other_follows_when_it_stops(
    start_peer: Any, dsn: str, db: psycopg.Connection, hear: Any, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their lease is written for 3 seconds and renewed after 15: it holds meanwhile, although it looks over."""
    monkeypatch.setattr(steward, "ELECTION_SECONDS", 0.1)
    theirs = start_peer(queues={"theirs": 1})
    eventually(lambda: theirs.call("leads"))
    db.execute("UPDATE oban_leaders SET expires_at = timezone('UTC', now()) - interval '11 seconds'")
    elections = hear("oban.leader.election.stop")
    with Oban(dsn=dsn, node="ours", queues={"ours": 1}) as ours:
        elections.wait(3)
        assert theirs.call("leads")
        assert not ours.is_leader
        theirs.stop()
        eventually(lambda: ours.is_leader)
        again = start_peer(node="again", queues={"theirs": 1})
        assert not again.call("leads")
        assert db.execute("SELECT name, node FROM oban_leaders").fetchall() == [("Oban", "ours")]
    eventually(lambda: again.call("leads"))
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


def ticks(db: psycopg.Connection, worker: str = f"{work.PEER}.Tick") -> list[datetime]:
    """Give the minutes for which jobs of a worker were enqueued."""
    rows = db.execute("SELECT meta ->> 'cron_at' FROM oban_jobs WHERE worker = %s ORDER BY id", (worker,))
    return [datetime.fromisoformat(at) for (at,) in rows]


def test_a_tick_of_theirs_is_not_doubled_when_we_lead_next(
    start_peer: Any, dsn: str, db: psycopg.Connection, ticking: None, hear: Any, eventually: Wait
) -> None:
    """We look back over the minute at which they led: what they do not know of is enqueued, and nothing else."""
    job(name="interop.alone", queue="cron", cron="* * * * *")(lambda: None)
    theirs = start_peer(queues={"theirs": 1})
    eventually(lambda: theirs.call("leads"))
    theirs.call("tick_every_minute")
    evaluations = hear("oban.scheduler.evaluate.stop")
    with Oban(dsn=dsn, node="ours", queues={"ours": 1}) as ours:
        eventually(lambda: db.execute("SELECT count(*) FROM oban_sync_crons").fetchone() == (2,))
        (minute,) = db.execute(
            "UPDATE oban_sync_crons SET last_at = date_trunc('minute', now()) - interval '1 minute'"
            " RETURNING timezone('UTC', last_at) + interval '1 minute'"
        ).fetchone()
        theirs.call("tick", minute.isoformat())
        theirs.stop()
        evaluations.wait(1)
        assert ours.is_leader
        found = ticks(db, "interop.alone")
        assert found
        assert sorted(ticks(db)) == sorted({minute.replace(tzinfo=UTC), *found})  # two: a minute has begun since
        (made, *_) = ours.list_jobs(worker=f"{work.PEER}.Tick", order="asc")
    ours_as_well = {entry.worker: entry.name for entry in every()}
    assert (made.meta["cron_name"], made.meta["cron_expr"]) == (ours_as_well[made.worker], "* * * * *")


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
