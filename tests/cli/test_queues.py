"""Queues are listed, paused, resumed and scaled from the command line, on a node that runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection

from oban_sync import Job, Oban
from tests.cli.ran import ran, rows


@pytest.fixture
def node(dsn: str) -> Iterator[Oban]:
    """A node that runs a queue."""
    with Oban(dsn=dsn, queues={"mail": 5}, node="web.1") as oban:
        yield oban


def test_queues_are_listed_with_their_nodes_and_jobs(dsn: str, node: Oban) -> None:
    node.enqueue(Job("shop.Tidy", queue="night"))
    heading, mail, night = ran(dsn, "queues", "list").stdout.splitlines()
    assert heading.split()[:5] == ["queue", "nodes", "limit", "paused", "available"]
    assert mail.split() == ["mail", "1", "5", "no", "0", "0", "0", "0", "-"]
    assert night.split()[:8] == ["night", "0", "0", "no", "1", "0", "0", "0"]
    found = rows(dsn, "queues", "list")
    assert [(row["queue"], row["limit"], [each["node"] for each in row["nodes"]]) for row in found] == [
        *(("mail", 5, ["web.1"]), ("night", 0, []))
    ]


def test_without_queues_it_says_so(dsn: str) -> None:
    assert ran(dsn, "queues", "list").stdout == "no queue runs or has jobs\n"


def test_pause_resume_and_scale_reach_the_node(dsn: str, node: Oban, eventually: Callable[..., object]) -> None:
    assert ran(dsn, "queues", "pause", "mail").stdout == "told all nodes to pause queue mail; 1 node: web.1\n"
    eventually(lambda: node.check_queue("mail").paused)
    done = ran(dsn, "queues", "resume", "mail", "--node", "web.1")
    assert done.stdout == "told web.1 to resume queue mail; 1 node: web.1\n"
    eventually(lambda: not node.check_queue("mail").paused)
    assert rows(dsn, "queues", "scale", "mail", 2) == [{"action": "scale", "queue": "mail", "nodes": ["web.1"]}]
    eventually(lambda: node.check_queue("mail").limit == 2)
    assert rows(dsn, "queues", "pause", "--all") == [{"action": "pause", "queue": "*", "nodes": ["web.1"]}]
    eventually(lambda: node.check_queue("mail").paused)
    ran(dsn, "queues", "resume", "--all", "--node", "web.2")
    ran(dsn, "queues", "resume", "--all")
    eventually(lambda: not node.check_queue("mail").paused)


def test_a_durable_pause_is_kept_and_shown(dsn: str, db: Connection) -> None:
    done = ran(dsn, "queues", "pause", "mail", "--durable")
    assert done.stdout == "told all nodes to pause queue mail; no node runs it now\n"
    assert ran(dsn, "queues", "list").stdout.splitlines()[1].split()[3] == "durably"
    ran(dsn, "queues", "resume", "mail")
    assert db.execute("SELECT count(*) FROM oban_sync_queues").fetchone() == (0,)


def test_a_pause_on_some_nodes_is_told_from_one_on_all(dsn: str, db: Connection) -> None:
    for paused in ("true", "false"):
        db.execute(
            "INSERT INTO oban_producers (uuid, node, queue, meta) VALUES (gen_random_uuid(), 'n', 'mail', %s)",
            (f'{{"local_limit": 3, "paused": {paused}}}',),
        )
    assert "mail   2      6      1 of 2" in ran(dsn, "queues", "list").stdout


def test_values_that_cannot_be_are_refused(dsn: str) -> None:
    assert "expected limit to be positive" in ran(dsn, "queues", "scale", "mail", 0, status=2).stderr
    assert (
        "expected a durable pause to be for all"
        in ran(dsn, "queues", "pause", "mail", "--durable", "--node", "web.1", status=2).stderr
    )
