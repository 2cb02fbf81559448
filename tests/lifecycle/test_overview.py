"""What a cluster does, as its rows tell, over every kind of connection."""

from __future__ import annotations

from typing import Any

import psycopg
import psycopg2
import pytest
from sqlalchemy import NullPool, create_engine

from oban_sync import Job, Oban
from oban_sync.lifecycle import overview
from oban_sync.store import handles
from oban_sync.store.statements import Statements


@pytest.fixture
def jobs(oban: Oban, db: psycopg.Connection) -> list[Job]:
    """Three jobs that wait and one that runs."""
    found = oban.enqueue_many(Job("shop.Tidy", queue=queue) for queue in ("night", "night", "mail", "mail"))
    db.execute(
        "UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_by = ARRAY['web.1', 'x'],"
        " attempted_at = timezone('UTC', clock_timestamp()) - interval '1 minute' WHERE id = %s",
        (found[-1].id,),
    )
    return found


def test_jobs_are_counted_by_state_and_queue(oban: Oban, jobs: list[Job]) -> None:
    found = oban.overview()
    assert (found.counts["available"], found.counts["executing"], found.at_least) == (3, 1, frozenset())
    counts = {view.queue: (view.counts["available"], view.counts["executing"]) for view in found.queues}
    assert counts == {"night": (2, 0), "mail": (1, 1)}
    assert all(view.wait_seconds >= 0 for view in found.queues)
    (running,) = found.running
    assert (running.id, running.node, running.worker, running.attempt) == (jobs[-1].id, "web.1", "shop.Tidy", 1)
    assert running.seconds >= 60


def test_a_count_that_was_cut_off_is_said_to_be(db: psycopg.Connection, jobs: list[Job]) -> None:
    found = overview.look(handles.adapt(db), Statements(), most=2)
    assert (found.counts["available"], found.counts["executing"], found.at_least) == (2, 1, {"available"})
    assert [(view.queue, view.at_least) for view in found.queues] == [("mail", {"available"}), ("night", {"available"})]


def test_a_job_that_is_due_since_ever_does_not_count_as_waiting(oban: Oban, db: psycopg.Connection) -> None:
    oban.enqueue(Job("shop.Tidy", queue="night"))
    db.execute("UPDATE oban_jobs SET scheduled_at = '-infinity'")
    (view,) = oban.overview().queues
    assert view.wait_seconds is None


def test_a_durable_pause_shows_where_nothing_runs(oban: Oban) -> None:
    oban.pause_queue("mail", durable=True)
    (view,) = oban.overview().queues
    assert (view.queue, view.nodes, view.paused, view.durable) == ("mail", [], True, True)


@pytest.mark.parametrize("driver", [psycopg, psycopg2])
def test_an_engine_answers_the_same(dsn: str, driver: Any, oban: Oban, jobs: list[Job]) -> None:
    engine = create_engine(f"postgresql+{driver.__name__}://", creator=lambda: driver.connect(dsn), poolclass=NullPool)
    other = Oban(engine=engine, name="engine")
    assert other.overview().counts == oban.overview().counts
    assert [reason.name for reason in other.explain_job(jobs[0])] == ["no_node"]
    names = [finding.name for finding in other.diagnose()]
    assert names == [finding.name for finding in oban.diagnose()]
    other.stop()
    with driver.connect(dsn) as connection:
        assert other.overview(conn=connection).counts == oban.overview().counts
