"""Tables that one library made are used by the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync import Oban, schema
from tests.interop import work
from tests.interop.work import PEER, Hold, Ran


@pytest.fixture
def look(empty_dsn: str) -> Any:
    """A connection in autocommit to the database that begins empty."""
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("prefix", ["public", "jobs"])
def test_tables_of_theirs_are_adopted(
    start_peer: Any, empty_dsn: str, look: psycopg.Connection, eventually: Callable[..., Any], prefix: str
) -> None:
    """A job that waits is run, one that runs is left alone, and their node goes on with the tables as they are then."""
    look.execute("CREATE TABLE ran (job bigint, node text)")
    if prefix != "public":
        look.execute(f"CREATE SCHEMA {prefix}")
    theirs = start_peer(dsn=empty_dsn, idle=True, prefix=prefix, queues={"theirs": 2}, leadership=False)
    theirs.call("install", prefix)
    theirs.call("start")
    held, waiting = theirs.call(
        "enqueue", {"worker": f"{PEER}.Hold", "queue": "theirs"}, {"worker": f"{PEER}.Ran", "queue": "ours"}
    )
    eventually(lambda: theirs.call("get_job", held["id"])["state"] == "executing")
    schema.install(look, prefix)
    work.going.clear()
    with Oban(dsn=empty_dsn, node="ours", prefix=prefix, queues={"ours": 2}) as ours:
        eventually(lambda: ours.get_job(waiting["id"]).state == "completed")
        there = ours.enqueue(Ran.new(queue="theirs"))
        eventually(lambda: theirs.call("get_job", there.id)["state"] == "completed")

        def cancelled() -> bool:
            ours.cancel_job(held["id"])  # again, since their node hears a signal only once it listens
            return str(ours.get_job(held["id"]).state) == "cancelled"

        eventually(cancelled)
    assert look.execute("SELECT node FROM ran ORDER BY job").fetchall() == [("ours",), ("theirs",)]
    schema.install(look, prefix)


def test_tables_of_ours_are_used_by_them(
    start_peer: Any, empty_dsn: str, look: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    schema.install(look, "jobs")
    look.execute("CREATE TABLE ran (job bigint, node text)")
    theirs = start_peer(dsn=empty_dsn, prefix="jobs", queues={"theirs": 2}, stager={"interval": 0.1})
    eventually(lambda: theirs.call("leads"), 40)
    with Oban(dsn=empty_dsn, prefix="jobs") as ours:
        jobs = [ours.enqueue(Ran.new(queue="theirs", scheduled_in=delay)) for delay in (None, 0.1)]
        held = ours.enqueue(Hold.new(queue="theirs"))
        eventually(lambda: [job.state for job in ours.list_jobs(state="completed", order="asc")] == ["completed"] * 2)
        ours.cancel_job(held)
        eventually(lambda: ours.get_job(held.id).state == "cancelled")
    assert look.execute("SELECT job, node FROM ran ORDER BY job").fetchall() == [(job.id, "theirs") for job in jobs]
