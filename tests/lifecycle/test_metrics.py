"""What dashboards are told: counts that cost no more than they may, in notifications that PostgreSQL takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, job, periodic, worker
from oban_sync.lifecycle import metrics
from oban_sync.periodic import _periodic
from oban_sync.runtime.notifier import decode
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements


@worker(name="metrics.Work", queue="default")
class Work:
    def process(self, job: Job) -> None:
        if job.args.get("fail"):
            raise LookupError


Heard = Callable[..., Any]


@pytest.fixture
def heard(dsn: str) -> Iterator[Heard]:
    """Wait for a decoded payload on a channel of which something is true."""
    with psycopg.connect(dsn, autocommit=True) as listener:
        for channel in ("metrics", "cronitor", "gossip"):
            listener.execute(f'LISTEN "public.oban_{channel}"')

        def wait(channel: str, wanted: Callable[[Any], object]) -> Any:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                for notify in listener.notifies(timeout=1, stop_after=1):
                    payload = decode(notify.payload)
                    if notify.channel == f"public.oban_{channel}" and wanted(payload):
                        return payload
            raise AssertionError(f"nothing such on {channel}")

        yield wait


def test_jobs_are_counted_by_state_and_queue(link: Link, statements: Statements, db: psycopg.Connection) -> None:
    db.execute(
        "INSERT INTO oban_jobs (worker, state, queue) SELECT 'w', state, queue"
        " FROM unnest(enum_range(NULL::oban_job_state)) AS state, unnest(ARRAY['a', 'a', 'b']) AS queue"
    )
    counts = metrics.count(link, statements, many=frozenset(), limit=100)
    assert sorted(counts.found) == sorted((state, q, n) for state in metrics.COUNTED for q, n in (("a", 2), ("b", 1)))
    assert counts.many == frozenset()


def test_a_state_of_too_many_jobs_is_guessed_until_it_has_fewer(
    link: Link, statements: Statements, db: psycopg.Connection
) -> None:
    db.execute("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'n', 'default')")
    db.execute("INSERT INTO oban_jobs (worker, state) SELECT 'w', 'completed' FROM generate_series(1, 3000)")
    db.execute("INSERT INTO oban_jobs (worker) SELECT 'w' FROM generate_series(1, 5)")
    db.execute("ANALYZE oban_jobs")
    counts = metrics.count(link, statements, many=frozenset(), limit=1000)
    assert counts.many == {"completed"}
    assert ("available", "default", 5) in counts.found
    ((_, _, guess),) = [row for row in counts.found if row[0] == "completed"]
    assert 2500 < guess < 3500
    assert metrics.count(link, statements, many=counts.many, limit=1000).many == {"completed"}
    db.execute("DELETE FROM oban_jobs WHERE state = 'completed'")
    db.execute("ANALYZE oban_jobs")
    assert metrics.count(link, statements, many=counts.many, limit=1000).many == frozenset()


def test_each_state_is_counted_along_its_index(link: Link, statements: Statements, db: psycopg.Connection) -> None:
    db.execute("INSERT INTO oban_jobs (worker, state) SELECT 'w', 'suspended' FROM generate_series(1, 20000)")
    db.execute("ANALYZE oban_jobs")
    params = {"states": list(metrics.COUNTED), "limit": 1000}
    plan = "\n".join(row[0] for row in link.execute(f"EXPLAIN {statements['count_states']}", params))
    assert "Seq Scan" not in plan, plan


def test_a_long_list_is_sent_in_several_notifications(link: Link, statements: Statements, dsn: str) -> None:
    items = [{"worker": f"module.Worker{n * 7919 % 10007}", "value": n * n} for n in range(3000)]
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN things")
        metrics.broadcast(link, statements, "things", "list", [], {})
        metrics.broadcast(link, statements, "things", "list", items, {"node": "n"})
        payloads = [decode(notify.payload) for notify in listener.notifies(timeout=1)]
    assert len(payloads) > 1
    assert [item for payload in payloads for item in payload["list"]] == items
    assert {payload["node"] for payload in payloads} == {"n"}


# Nodes ---------------------------------------------------------------------------------------------------------------


def test_a_node_tells_of_the_jobs_that_it_ran_and_its_leader_of_all(dsn: str, heard: Heard) -> None:
    with Oban(dsn=dsn, node="n", queues={"default": 2}, metrics={"interval": 0.1}) as oban:
        oban.enqueue_many([Work.new(), Work.new(), Work.new({"fail": True}, max_attempts=1)])
        seen: dict[tuple[str, str], int] = {}

        def collect(payload: Any) -> bool:
            assert (payload["name"], payload["node"], type(payload["time"])) == ("Oban", "n", int)
            for each in payload["metrics"]:
                key = each["series"], each["state"]
                value = each["value"]["size"] if each["series"].endswith("time") else each["value"]["data"][0]
                seen[key] = value if each["series"] == "full_count" else seen.get(key, 0) + value
                assert each["queue"] == "default"
                assert each.get("worker", "metrics.Work") == "metrics.Work"
            wanted = {"completed": 2, "discarded": 1}
            series = ("exec_time", "wait_time", "exec_count", "full_count")
            return all(seen.get((name, state)) == count for name in series for state, count in wanted.items())

        heard("metrics", collect)


def test_a_node_tells_how_its_queues_run(dsn: str, heard: Heard) -> None:
    with Oban(dsn=dsn, node="n", queues={"a": 3, "b": {"limit": 2, "paused": True}}, metrics={"interval": 0.1}):
        checks = heard("gossip", lambda payload: len(payload["checks"]) == 2)["checks"]
    about = [(each["name"], each["node"], each["queue"], each["local_limit"], each["paused"]) for each in checks]
    assert about == [("Oban", "n", "a", 3, False), ("Oban", "n", "b", 2, True)]
    assert {each["started_at"][:2] for each in checks} == {"20"}
    assert {len(each["uuid"]) for each in checks} == {36}
    assert [each["running"] for each in checks] == [[], []]


def test_counts_are_an_option(dsn: str, heard: Heard) -> None:
    options = {"interval": 0.1, "counts_enabled": False}
    with Oban(dsn=dsn, queues={"default": 2}, metrics=options) as oban:
        oban.enqueue(Work.new())
        payload = heard("metrics", lambda payload: True)
    assert {each["series"] for each in payload["metrics"]} == {"exec_time", "wait_time", "exec_count"}


def test_periodic_jobs_are_listed_for_dashboards(dsn: str, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic, "_periodic", dict(_periodic))

    @job(cron={"expr": "0 0 1 1 *", "timezone": "Europe/London"}, name="metrics.yearly")
    def yearly() -> None:
        """Only its schedule matters."""

    (entry,) = [entry for entry in periodic.every() if entry.worker == "metrics.yearly"]
    with Oban(dsn=dsn, queues={"default": 1}, metrics={"interval": 0.1, "cronitor_interval": 0.1}):
        payload = heard("cronitor", lambda payload: True)
    assert ["0 0 1 1 *", "metrics.yearly", {"timezone": "Europe/London", "name": entry.name}] in payload["crontab"]


def test_nothing_is_told_unless_it_is_asked_for(dsn: str) -> None:
    with Oban(dsn=dsn, queues={"default": 1}) as oban:
        assert oban._service is not None
        assert oban._service._reporter is None
