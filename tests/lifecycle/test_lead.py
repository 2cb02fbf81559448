"""One node of a name leads: who may, until when, and what becomes of the leaders of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync import Oban
from oban_sync.lifecycle import lead
from oban_sync.runtime.service import new_owner
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements


@pytest.fixture
def elect(link: Link, statements: Statements) -> Callable[..., str | None]:
    def run(node: str, since: str | None = None) -> str | None:
        return lead.elect(link, statements, name="Oban", node=node, since=since).since

    return run


@pytest.fixture
def node_of_ours(db: psycopg.Connection) -> Callable[[str], None]:
    """Have a node run a queue, by which it is known as one of ours."""

    def insert(node: str) -> None:
        db.execute(
            "INSERT INTO oban_producers (uuid, name, node, queue, meta) VALUES (%s, 'Oban', %s, 'q', %s)",
            (new_owner(), node, '{"oban_sync": "0"}'),
        )

    return insert


def expired(db: psycopg.Connection, seconds: float) -> None:
    db.execute(
        "UPDATE oban_leaders SET expires_at = timezone('UTC', clock_timestamp()) - make_interval(secs => %s)",
        (seconds,),
    )


def test_the_first_leads_and_stays_leader_by_what_it_was_told(elect: Any, db: psycopg.Connection) -> None:
    since = elect("a")
    assert since is not None
    assert elect("b") is None
    before = db.execute("SELECT expires_at FROM oban_leaders").fetchone()
    assert elect("a", since) == since
    assert elect("b") is None
    assert db.execute("SELECT name, node, expires_at > %s FROM oban_leaders", before).fetchall() == [
        ("Oban", "a", True)
    ]


def test_a_node_of_the_same_name_is_not_taken_for_the_leader(elect: Any) -> None:
    assert elect("a") is not None
    assert elect("a") is None
    assert elect("a", "2020-01-01 00:00:00") is None


def test_a_leader_of_ours_is_followed_at_the_end_of_its_lease(
    elect: Any, db: psycopg.Connection, node_of_ours: Callable[[str], None]
) -> None:
    node_of_ours("a")
    since = elect("a")
    expired(db, 0.001)
    other = elect("b")
    assert other is not None
    assert elect("a", since) is None
    assert elect("b", other) == other


def test_a_leader_of_ours_that_was_late_leads_on_where_nobody_followed(elect: Any, db: psycopg.Connection) -> None:
    since = elect("a")
    expired(db, 3600)
    assert elect("a", since) == since


@pytest.mark.parametrize(("age", "follows"), [(26.0, False), (27.5, True)])
def test_a_leader_of_another_library_is_waited_for(
    elect: Any, db: psycopg.Connection, age: float, follows: bool
) -> None:
    db.execute("INSERT INTO oban_leaders VALUES ('Oban', 'theirs', timezone('UTC', now()), timezone('UTC', now()))")
    expired(db, age)
    assert (elect("a") is not None) == follows


def test_names_elect_leaders_of_their_own(link: Link, statements: Statements) -> None:
    for name in ("one", "two"):
        assert lead.elect(link, statements, name=name, node="a", since=None).since is not None


def test_who_resigns_says_so_after_its_row_is_gone(
    elect: Any, link: Link, statements: Statements, dsn: str, db: psycopg.Connection
) -> None:
    since = elect("a")
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute('LISTEN "public.oban_leader"')
        lead.resign(link, statements, name="Oban", node="a", since="2020-01-01 00:00:00")
        assert db.execute("SELECT count(*) FROM oban_leaders").fetchone() == (1,)
        lead.resign(link, statements, name="Oban", node="a", since=since)
        assert db.execute("SELECT count(*) FROM oban_leaders").fetchone() == (0,)
        (heard,) = listener.notifies(timeout=20, stop_after=1)
    assert heard.payload == '{"action" : "resign", "node" : "a", "name" : "Oban"}'


# Nodes ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def node(dsn: str) -> Iterator[Callable[..., Oban]]:
    nodes: list[Oban] = []

    def start(node: str, **given: Any) -> Oban:
        nodes.append(Oban(dsn=dsn, node=node, **{"queues": {"default": 1}, **given}))
        return nodes[-1].start()

    yield start
    for each in nodes:
        each.stop()


def test_a_leader_that_stops_is_followed_at_once(node: Callable[..., Oban], eventually: Any) -> None:
    first = node("a")
    eventually(lambda: first.is_leader)
    second = node("b")
    assert not second.is_leader
    first.stop()
    assert not first.is_leader
    eventually(lambda: second.is_leader, timeout=5)


@pytest.mark.parametrize(
    ("given", "leads"),
    [
        ({"queues": None, "leadership": True}, True),
        ({"leadership": False}, False),
        ({"queues": None}, False),
    ],
    ids=str,
)
def test_who_takes_part_is_an_option(
    node: Callable[..., Oban], eventually: Any, db: psycopg.Connection, given: dict[str, Any], leads: bool
) -> None:
    asked = node("a", **given)
    if leads:
        eventually(lambda: asked.is_leader)
    else:
        other = node("b", name="other")
        eventually(lambda: other.is_leader)
    assert asked.is_leader == leads
    assert db.execute("SELECT count(*) FROM oban_leaders WHERE name = 'Oban'").fetchone() == (int(leads),)


def test_a_table_that_a_crash_emptied_is_filled_again(
    node: Callable[..., Oban], eventually: Any, db: psycopg.Connection
) -> None:
    leader = node("a")
    eventually(lambda: leader.is_leader)
    db.execute("TRUNCATE oban_leaders")
    eventually(lambda: db.execute("SELECT node FROM oban_leaders").fetchall() == [("a",)])
    assert leader.is_leader
