"""Handlers, spans, and the events that a node announces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, current_job, telemetry, worker
from oban_sync.errors import ConfigError
from oban_sync.lifecycle.run import run_job

Seen = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def hear() -> Iterator[Callable[..., Seen]]:
    """Collect events by their names."""

    def begin(*names: str) -> Seen:
        seen: Seen = []
        telemetry.attach("tests", names, lambda event, meta: seen.append((event, meta)))
        return seen

    yield begin
    telemetry.detach("tests")


pytestmark = pytest.mark.usefixtures("forgotten_workers")


def test_the_events_are_those_of_oban() -> None:
    spans = """
        job leader.election lifeline.rescue producer.ack producer.get pruner.prune refresher.cleanup refresher.refresh
        scheduler.evaluate stager.stage
    """
    ends = ("exception", "start", "stop")
    expected = {f"oban.{span}.{end}" for span in spans.split() for end in ends} | {"oban.queue.shutdown"}
    assert sorted(expected) == telemetry.EVENTS
    assert len(telemetry.EVENTS) == 31


@pytest.mark.parametrize("event", ["oban.job.ended", "oban_sync.nothing", 7])
def test_an_event_of_ours_that_does_not_exist_is_refused(event: Any) -> None:
    with pytest.raises(ConfigError, match=f"got {event}"):
        telemetry.attach("tests", ["oban.job.stop", event], lambda event, meta: None)
    assert not telemetry.heard("oban.job.stop")


def test_a_handler_hears_its_events_until_it_is_detached(hear: Callable[..., Seen]) -> None:
    seen = hear("shop.sold", "shop.closed")
    telemetry.execute("shop.sold", {"sku": "A"})
    telemetry.execute("shop.opened", {})
    assert telemetry.heard("shop.sold")
    telemetry.detach("tests")
    telemetry.execute("shop.sold", {"sku": "B"})
    assert seen == [("shop.sold", {"sku": "A"})]
    assert not telemetry.heard("shop.sold")


def test_a_second_handler_of_a_name_replaces_the_first(hear: Callable[..., Seen]) -> None:
    first, second = hear("shop.sold"), hear("shop.sold")
    telemetry.execute("shop.sold", {})
    assert (first, second) == ([], [("shop.sold", {})])


def test_what_a_handler_raises_or_writes_harms_nobody(
    hear: Callable[..., Seen], caplog: pytest.LogCaptureFixture
) -> None:
    def spoil(event: str, meta: dict[str, Any]) -> None:
        meta.clear()
        raise SystemExit("a handler")

    telemetry.attach("spoils", ["shop.sold"], spoil)
    seen = hear("shop.sold")
    telemetry.execute("shop.sold", {"sku": "A"})
    telemetry.detach("spoils")
    assert seen == [("shop.sold", {"sku": "A"})]
    assert "handler 'spoils' failed at shop.sold" in caplog.text


def test_a_handler_that_always_fails_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: str, meta: dict[str, Any]) -> None:
        raise ValueError(event)

    for _ in range(2):  # attached anew, it is heard again
        caplog.clear()
        telemetry.attach("fails", ["shop.sold", "shop.bought"], fail)
        for _ in range(5):
            telemetry.execute("shop.sold", {})
            telemetry.execute("shop.bought", {})
        telemetry.detach("fails")
        assert [record.args for record in caplog.records] == [("fails", "shop.sold", 0), ("fails", "shop.bought", 0)]


def test_a_span_announces_its_start_and_its_stop(hear: Callable[..., Seen]) -> None:
    seen = hear("shop.import.start", "shop.import.stop", "shop.import.exception")
    with telemetry.span("shop.import", {"file": "a"}) as collector:
        collector.add({"rows": 2})
        collector.add({"rows": 3})
        assert collector.get_all() == {"rows": 3}
    (start, begun), (stop, ended) = seen
    assert (start, stop) == ("shop.import.start", "shop.import.stop")
    assert begun.keys() == {"system_time", "file"}
    assert ended["duration"] == ended["system_time"] - begun["system_time"]
    assert (ended["file"], ended["rows"]) == ("a", 3)


def test_a_span_announces_what_was_raised_and_lets_it_pass(hear: Callable[..., Seen]) -> None:
    seen = hear("shop.import.stop", "shop.import.exception")
    with pytest.raises(KeyError), telemetry.span("shop.import", {"file": "a"}):
        raise KeyError("sku")
    ((event, meta),) = seen
    assert event == "shop.import.exception"
    assert (meta["file"], meta["error_type"], meta["error_message"]) == ("a", "KeyError", "'sku'")
    assert meta["traceback"].rstrip().endswith("KeyError: 'sku'")


def test_a_job_announces_its_life_in_its_own_thread(hear: Callable[..., Seen]) -> None:
    @worker(name="lives", max_attempts=1)
    class Lives:
        def process(self, job: Job) -> None:
            if job.args:
                raise ValueError("no: good")

    current = []
    seen = hear("oban.job.start", "oban.job.stop", "oban.job.exception")
    telemetry.attach("current", ["oban.job.start", "oban.job.stop"], lambda *_: current.append(current_job()))
    well, badly = Lives.new(), Lives.new({"fail": True})
    badly.attempt = 1
    run_job(well)
    run_job(badly)
    telemetry.detach("current")
    assert [event.rpartition(".")[2] for event, _ in seen] == ["start", "stop", "start", "exception"]
    assert [meta["job"] for _, meta in seen] == [well, well, badly, badly]
    assert current == [well, well, badly]
    assert (seen[1][1]["state"], seen[3][1]["state"]) == ("completed", "discarded")
    assert (seen[3][1]["error_type"], seen[3][1]["error_message"]) == ("ValueError", "no: good")
    assert seen[1][1].keys() == {"monotonic_time", "duration", "queue_time", "job", "state"}


def test_a_node_announces_what_its_parts_do(dsn: str, db: psycopg.Connection, eventually: Callable[..., Any]) -> None:
    ran = threading.Event()

    @worker(name="runs", queue="announced")
    class Runs:
        def process(self, job: Job) -> None:
            ran.set()

    seen: Seen = []
    telemetry.attach("tests", telemetry.EVENTS, lambda event, meta: seen.append((event, meta)))
    try:
        with Oban(dsn=dsn, queues={"announced": 2}) as oban:
            oban.enqueue(Runs.new(scheduled_in=0.01))
            assert ran.wait(20)
            assert eventually(lambda: db.execute("SELECT 1 FROM oban_jobs WHERE state = 'completed'").fetchone())
            eventually(lambda: {"oban.lifeline.rescue.stop", "oban.refresher.cleanup.stop"} <= {e for e, _ in seen})
    finally:
        telemetry.detach("tests")
    found: dict[str, list[dict[str, Any]]] = {}
    for event, meta in seen:
        found.setdefault(event, []).append(meta)
    assert sum(meta["count"] for meta in found["oban.producer.get.stop"]) == 1
    assert sum(meta["count"] for meta in found["oban.producer.ack.stop"]) == 1
    assert {meta["queue"] for meta in found["oban.producer.get.stop"]} == {"announced"}
    staged = [meta for meta in found["oban.stager.stage.stop"] if meta["staged_count"]]
    assert [(meta["staged_count"], meta["available_queues"]) for meta in staged] == [(1, ["announced"])]
    assert {meta["rescued_count"] for meta in found["oban.lifeline.rescue.stop"]} == {0}
    assert {meta["cleanup_count"] for meta in found["oban.refresher.cleanup.stop"]} == {0}
    assert found["oban.refresher.refresh.stop"][0].keys() >= {"refreshed_count", "restored_count", "duration"}
    ((shutdown),) = found["oban.queue.shutdown"]
    assert (shutdown["queue"], shutdown["orphaned"]) == ("announced", [])
    assert not [event for event in found if event.endswith("exception")]


def test_a_beat_says_which_rows_it_wrote_anew(
    dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], hear: Callable[..., Seen]
) -> None:
    seen = hear("oban.refresher.refresh.stop")
    with Oban(dsn=dsn, queues={"a": 1, "b": 1}):
        db.execute("DELETE FROM oban_producers WHERE queue = 'a'")
        eventually(lambda: len(seen) >= 2)
    counts = [(meta["refreshed_count"], meta["restored_count"]) for _, meta in seen]
    assert counts[:2] == [(0, 0), (1, 1)]
