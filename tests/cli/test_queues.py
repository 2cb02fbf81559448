"""Queues are listed, paused, resumed and scaled from the command line, on a node that runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
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
    sent = {"action": "scale", "dry_run": False, "queue": "mail", "nodes": ["web.1"]}
    assert rows(dsn, "queues", "scale", "mail", 2) == [sent]
    eventually(lambda: node.check_queue("mail").limit == 2)
    assert rows(dsn, "queues", "pause", "--all") == [sent | {"action": "pause", "queue": "*"}]
    eventually(lambda: node.check_queue("mail").paused)
    done = ran(dsn, "queues", "resume", "--all", "--node", "web.2")
    assert done.stdout == "told web.2 to resume every queue; it does not run there now\n"
    ran(dsn, "queues", "resume", "--all")
    eventually(lambda: not node.check_queue("mail").paused)


def test_a_node_is_reached_whatever_its_instance_is_called(dsn: str, eventually: Callable[..., object]) -> None:
    with (
        Oban(dsn=dsn, name="Shop", queues={"mail": 5}, node="web.1") as shop,
        Oban(dsn=dsn, name="Back", queues={"mail": 5, "night": 1}, node="web.1") as back,
        Oban(dsn=dsn, name="Shop", queues={"mail": 5}, node="web.2") as other,
    ):
        rehearsed = ran(dsn, "queues", "pause", "mail", "--node", "web.1", "--dry-run")
        assert rehearsed.stdout == "would tell web.1 to pause queue mail; 1 node: web.1\n"
        told = ran(dsn, "queues", "pause", "mail", "--node", "web.1").stdout
        assert told == rehearsed.stdout.replace("would tell", "told")
        eventually(lambda: shop.check_queue("mail").paused and back.check_queue("mail").paused)
        sent = {"action": "scale", "dry_run": False, "queue": "night", "nodes": ["web.1"]}
        assert rows(dsn, "queues", "scale", "night", 2, "--node", "web.1") == [sent]
        eventually(lambda: back.check_queue("night").limit == 2)
        assert not other.check_queue("mail").paused
        assert not back.check_queue("night").paused


@pytest.mark.parametrize(
    ("arguments", "action", "queue", "says"),
    [
        (["pause", "mail"], "pause", "mail", "all nodes to pause queue mail; 1 node: web.1"),
        (["pause", "mail", "--durable"], "pause", "mail", "all nodes to pause queue mail; 1 node: web.1"),
        (["pause", "--all"], "pause", "*", "all nodes to pause every queue; 1 node: web.1"),
        (["resume", "mail", "--node", "web.1"], "resume", "mail", "web.1 to resume queue mail; 1 node: web.1"),
        (["resume", "night"], "resume", "night", "all nodes to resume queue night; no node runs it now"),
        (["scale", "mail", "7"], "scale", "mail", "all nodes to scale queue mail; 1 node: web.1"),
    ],
)
def test_a_dry_run_tells_nobody(
    dsn: str, db: Connection, arguments: list[str], action: str, queue: str, says: str
) -> None:
    db.execute("INSERT INTO oban_producers (uuid, node, queue, meta) VALUES (gen_random_uuid(), 'web.1', 'mail', '{}')")
    db.execute("INSERT INTO oban_sync_queues (queue) VALUES ('night')")
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute('LISTEN "public.oban_signal"')
        assert ran(dsn, "queues", *arguments, "--dry-run").stdout == f"would tell {says}\n"
        nodes = ["web.1"] if queue != "night" else []
        assert rows(dsn, "queues", *arguments, "--dry-run") == [
            {"action": action, "dry_run": True, "queue": queue, "nodes": nodes}
        ]
        assert list(listener.notifies(timeout=0)) == []
    assert db.execute("SELECT array_agg(queue) FROM oban_sync_queues").fetchone() == (["night"],)


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
    db.execute("INSERT INTO oban_sync_queues (queue) VALUES ('mail')")
    assert "mail   2      6      durably, 1 of 2  " in ran(dsn, "queues", "list").stdout
    db.execute("UPDATE oban_producers SET meta = meta || '{\"paused\": true}'")
    assert "mail   2      6      durably  " in ran(dsn, "queues", "list").stdout


@pytest.mark.parametrize("rehearsed", [[], ["--dry-run"]], ids=["told", "rehearsed"])
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["scale", "mail", "0"], "expected limit to be positive"),
        (["scale", "mail", "3000000000"], "expected limit to be at most 2,147,483,647, got 3,000,000,000"),
        (["scale", "", "5"], "expected queue to be a str that is not blank"),
        (["scale", "*", "5"], "expected the name of one queue, got '*'"),
        (["pause", "mail", "--node", ""], "expected node to be a str that is not blank"),
        (["pause", "mail", "--durable", "--node", "web.1"], "expected a durable pause to be for all nodes"),
        (["resume", " "], "expected queue to be a str that is not blank"),
    ],
)
def test_values_that_cannot_be_are_refused(arguments: list[str], reason: str, rehearsed: list[str]) -> None:
    done = ran("host=/nowhere", "queues", *arguments, *rehearsed, status=2)
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
