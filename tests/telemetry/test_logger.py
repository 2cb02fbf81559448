"""What is logged of events, for people and for programs, and the job that a record belongs to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from oban_sync import Job, telemetry, testing, worker
from oban_sync.errors import ConfigError
from oban_sync.telemetry import logger as job_log


@pytest.fixture(autouse=True)
def undone(forgotten_workers: None) -> Iterator[None]:
    yield
    job_log.detach()


@pytest.fixture
def work() -> Any:
    @worker(name="works", queue="logs", tags=["t"], max_attempts=2)
    class Works:
        def process(self, job: Job) -> None:
            logging.getLogger("shop").info("within")
            if job.args.get("fail"):
                raise ValueError("no " * 200)

    return Works


def test_the_end_of_a_job_is_a_line_with_fields(work: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job_log.attach()
    testing.process_job(work.new({"a": 1}, meta={"m": 1}))
    (record,) = [record for record in caplog.records if record.name == "oban_sync.jobs"]
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("completed job ")
    assert " works of queue logs, attempt 1/2: waited 0.0 ms, ran " in record.getMessage()
    fields = json.loads(json.dumps(record.oban))
    assert fields.pop("id") > 0
    assert isinstance(fields.pop("duration"), float)
    assert fields == {
        "event": "oban.job.stop",
        "state": "completed",
        "worker": "works",
        "queue": "logs",
        "attempt": 1,
        "max_attempts": 2,
        "args": {"a": 1},
        "meta": {"m": 1},
        "tags": ["t"],
        "queue_time": 0.0,
    }


def test_a_failed_attempt_warns_with_its_error(work: Any, caplog: pytest.LogCaptureFixture) -> None:
    job_log.attach()
    with pytest.raises(ValueError, match="no"):
        testing.process_job(work.new({"fail": True}))
    (record,) = [record for record in caplog.records if record.name == "oban_sync.jobs"]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("retryable job ")
    assert record.getMessage().endswith(": ValueError: " + ("no " * 200)[:200])
    assert (record.oban["error_type"], record.oban["error_message"]) == ("ValueError", "no " * 200)
    assert "traceback" not in record.oban


def test_level_logger_and_events_are_chosen(work: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    mine = logging.getLogger("shop.jobs")
    job_log.attach(level=logging.DEBUG, logger=mine, events=["oban.job.start", "oban.stager.stage.stop"])
    testing.process_job(work.new())
    with telemetry.span("oban.stager.stage") as collector:
        collector.add({"staged_count": 2, "available_queues": ["a"]})
    records = [record for record in caplog.records if record.name == "shop.jobs"]
    assert [record.levelno for record in records] == [logging.DEBUG, logging.DEBUG]
    assert records[0].getMessage().startswith("started job ")
    assert records[1].getMessage().startswith("oban.stager.stage.stop took ")
    assert records[1].getMessage().endswith(" ms staged_count=2 available_queues=['a']")
    assert records[1].oban["staged_count"] == 2
    with pytest.raises(ConfigError, match="expected events"):
        job_log.attach(events=["oban.job.ended"])


def test_what_a_part_raised_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    job_log.attach(events=telemetry.EVENTS)
    with pytest.raises(OSError, match="gone"), telemetry.span("oban.producer.get", {"queue": "a"}):
        raise OSError("gone")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("oban.producer.get.exception took ")
    assert record.getMessage().endswith(" ms queue='a': OSError: gone")


@pytest.mark.parametrize(("orphaned", "logged"), [([], 0), ([3, 4], 1)])
def test_a_stop_is_logged_where_it_left_jobs_running(
    orphaned: list[int], logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    job_log.attach()
    telemetry.execute("oban.queue.shutdown", {"queue": "a", "elapsed": 2_000_000, "orphaned": orphaned})
    assert len(caplog.records) == logged
    for record in caplog.records:
        assert record.getMessage() == "queue a stopped, but jobs still run: [3, 4]"
        assert record.oban == {"event": "oban.queue.shutdown", "queue": "a", "elapsed": 2.0, "orphaned": [3, 4]}


def test_nothing_is_logged_once_it_is_detached(work: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job_log.attach()
    job_log.detach()
    testing.process_job(work.new())
    assert [record.name for record in caplog.records] == ["shop"]


def test_every_record_of_a_job_names_it(work: Any) -> None:
    lines = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines()
    handler.addFilter(job_log.JobFilter())
    handler.setFormatter(logging.Formatter("%(job_id)s %(worker)s %(queue)s %(message)s"))
    shop = logging.getLogger("shop")
    shop.addHandler(handler)
    shop.setLevel(logging.INFO)
    try:
        made = work.new()
        testing.process_job(made)
        shop.info("outside")
    finally:
        shop.removeHandler(handler)
        shop.setLevel(logging.NOTSET)
    assert lines == [f"{made.id} works logs within", "None None None outside"]
