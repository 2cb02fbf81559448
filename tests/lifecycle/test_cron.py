"""Periodic jobs become rows at their ticks, one a tick, whoever leads.

Time is a parameter here: the minutes of a day go by as fast as the database answers.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pydantic
import pytest

from oban_sync import Job, Oban, cron, job, telemetry, worker
from oban_sync.errors import ConfigError, DatabaseRefused, SchemaMissing, WorkerError
from oban_sync.lifecycle.cron import Rules, Term, tick
from oban_sync.periodic import Periodic, _periodic, every
from oban_sync.runtime import steward
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements
from oban_sync.worker import _registry
from tests import cron_node
from tests.conftest import Events

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EARLIER = Term(NOON - timedelta(days=1))
"""Of a leader who leads for a day."""


@dataclass
class Day:
    day: date


class Month(pydantic.BaseModel):
    month: date


@dataclass
class Week:
    first: date = date(2026, 1, 5)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Schedules that a test declares must not reach the leaders of other tests."""
    kept = dict(_registry), dict(_periodic)
    yield
    for registry, before in zip((_registry, _periodic), kept, strict=True):
        registry.clear()
        registry.update(before)


def entry(schedule: Any = "* * * * *", name: str = "cron.Note", new: Callable[[], Job] | None = None) -> Periodic:
    parsed = cron.parse(schedule)
    return Periodic(parsed.name(name), name, parsed, "Oban", new or (lambda: Job(name)))


@pytest.fixture
def run(link: Link, statements: Statements) -> Callable[..., list[str]]:
    """Let a leader look at a time; gives the times of the ticks that it enqueued."""

    def at(now: datetime, *entries: Periodic, term: Term = EARLIER, rules: Rules | None = None) -> list[str]:
        until, jobs = tick(link, statements, entries or (entry(),), rules=rules or Rules(), term=term, now=now)
        assert until == now
        return [job.meta["cron_at"][11:16] for job in jobs]

    return at


@pytest.fixture
def remembered(db: psycopg.Connection) -> Callable[..., None]:
    """Have the newest tick of a periodic job been at a time."""

    def write(at: datetime, *entries: Periodic) -> None:
        for each in entries or (entry(),):
            db.execute(
                "INSERT INTO oban_sync_crons VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at",
                (each.name, at),
            )

    return write


def test_a_job_is_enqueued_at_its_tick_with_the_meta_of_oban(
    run: Any, remembered: Any, rows: Callable[..., Any]
) -> None:
    each = entry(
        {"expr": "*/2 8 * * *", "timezone": "America/New_York"}, new=lambda: Job("w", queue="q", meta={"a": 1})
    )
    remembered(NOON - MINUTE, each)
    assert run(NOON - timedelta(microseconds=1), each) == []
    assert run(NOON, each) == ["12:00"]
    assert run(NOON + timedelta(seconds=59), each) == []
    assert run(NOON + MINUTE, each) == []
    assert run(NOON + 2 * MINUTE, each) == ["12:02"]
    meta = {"a": 1, "cron": True, "cron_at": "2026-05-05T12:00:00+00:00", "cron_expr": "*/2 8 * * *"}
    assert rows("worker, queue, state::text, args, meta")[0] == (
        "w",
        "q",
        "available",
        {},
        {**meta, "cron_name": each.name},
    )


def test_an_evaluation_says_for_which_minute_it_was(run: Any, remembered: Any) -> None:
    remembered(NOON - MINUTE)
    seen = Events()
    telemetry.attach("evaluations", ["oban.scheduler.evaluate.stop"], seen)
    try:
        assert run(NOON + timedelta(seconds=30)) == ["12:00"]
    finally:
        telemetry.detach("evaluations")
    ((_, meta),) = seen.seen
    assert (meta["cron_at"], meta["enqueued_count"]) == ("2026-05-05T12:00:00+00:00", 1)


def test_periodic_jobs_have_the_events_of_an_enqueue_which_may_add_to_their_meta(
    run: Any, remembered: Any, rows: Callable[..., Any]
) -> None:
    entries = entry(), entry(name="cron.broken", new=lambda: Job("")), entry(name="cron.Other")
    remembered(NOON - MINUTE, *entries)
    seen: list[tuple[str, list[tuple[str, bool]]]] = []

    def handle(event: str, meta: dict[str, Any]) -> None:
        seen.append((event.rpartition(".")[2], [(made.worker, made.id is None) for made in meta["jobs"]]))
        for made in meta["jobs"] if event.endswith("start") else ():
            made.meta = {**made.meta, "traceparent": "00-1"}

    telemetry.attach("enqueues", telemetry.ENQUEUE_EVENTS, handle)
    try:
        assert run(NOON, *entries) == ["12:00", "12:00"]
        assert run(NOON, *entries) == []
    finally:
        telemetry.detach("enqueues")
    workers = ("cron.Note", "cron.Other")
    assert seen == [("start", [(name, True) for name in workers]), ("stop", [(name, False) for name in workers])]
    assert rows("worker, meta ->> 'traceparent'") == [(name, "00-1") for name in workers]


def test_a_start_of_the_cluster_is_enqueued_once(run: Any, db: psycopg.Connection) -> None:
    first = entry("@reboot", "cron.First")
    boot = Term(NOON, boot=True)
    assert run(NOON, first, term=Term(NOON)) == []
    assert run(NOON, first, term=boot) == ["12:00"]
    assert run(NOON + MINUTE, first, term=replace(boot, evaluated=NOON)) == []
    assert run(NOON + timedelta(seconds=5), first, term=boot) == []  # the first leader died at once
    db.execute("UPDATE oban_jobs SET inserted_at = '2026-05-05 12:00'")
    assert run(NOON + timedelta(seconds=15), first, term=Term(NOON + timedelta(seconds=14), boot=True)) == []
    assert run(NOON + MINUTE, first, term=Term(NOON + MINUTE, boot=True)) == ["12:01"]


def test_a_node_that_follows_enqueues_nothing_at_its_start(
    dsn: str, db: psycopg.Connection, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job(name="cron.First", cron="@reboot", queue="idle")(lambda: None)
    found = "SELECT count(*), min(state::text), min(meta ->> 'cron_expr') FROM oban_jobs"
    looks = Events()
    with Oban(dsn=dsn, queues={"a": 1}) as first:
        eventually(lambda: db.execute(found).fetchone() == (1, "available", "@reboot"))
        db.execute("UPDATE oban_jobs SET inserted_at = '2026-05-05 12:00'")
        monkeypatch.setattr(steward, "BOOT_SECONDS", 0.0)  # as if the second were there for long when the first stops
        with Oban(dsn=dsn, node="late", queues={"a": 1}) as late:
            telemetry.attach("looks", ["oban.scheduler.evaluate.stop"], looks)
            first.stop()
            looks.wait(1)
            telemetry.detach("looks")
            assert late.is_leader
    assert db.execute(found).fetchone() == (1, "available", "@reboot")


def test_the_first_look_enqueues_nothing_of_the_past(run: Any, db: psycopg.Connection) -> None:
    assert run(NOON) == []
    now = db.execute("SELECT abs(extract(epoch FROM clock_timestamp() - last_at)) < 60 FROM oban_sync_crons").fetchall()
    assert now == [(True,)]


def test_a_schedule_that_is_new_to_a_leader_begins_with_its_last_look(run: Any) -> None:
    assert run(NOON, term=Term(EARLIER.since, evaluated=NOON - timedelta(seconds=30))) == ["12:00"]
    assert run(NOON, entry("@hourly"), term=Term(EARLIER.since, evaluated=NOON)) == []


def test_a_clock_that_is_set_back_enqueues_nothing_again(run: Any, remembered: Any) -> None:
    remembered(NOON - MINUTE)
    assert run(NOON) == ["12:00"]
    assert run(NOON - timedelta(seconds=1)) == []
    assert run(NOON) == []


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("skip", ["12:05"]), ("once", ["12:05"]), ("all", ["12:01", "12:02", "12:03", "12:04", "12:05"])],
)
def test_missed_ticks_are_caught_up_on_as_told(run: Any, remembered: Any, catch_up: str, expected: list[str]) -> None:
    remembered(NOON)
    assert run(NOON + 5 * MINUTE, rules=Rules(catch_up=catch_up)) == expected
    assert run(NOON + 5 * MINUTE, rules=Rules(catch_up="all")) == []


def test_the_last_missed_tick_is_caught_up_on_once(run: Any, remembered: Any) -> None:
    hourly = entry({"expr": "@hourly", "catch_up": "once"})
    remembered(NOON, hourly)
    assert run(NOON + timedelta(hours=4, minutes=30), hourly) == ["16:00"]
    assert run(NOON + timedelta(hours=4, minutes=31), hourly) == []


def test_a_tick_is_not_missed_while_one_leader_follows_another(run: Any, remembered: Any) -> None:
    remembered(NOON - MINUTE)
    assert run(NOON + timedelta(seconds=8), term=Term(NOON + timedelta(seconds=8))) == ["12:00"]


@pytest.mark.parametrize(
    ("at", "led_since", "expected"),
    [
        (NOON, NOON + timedelta(seconds=5), []),  # the leader before it may have been an Oban, and was
        (NOON, NOON - timedelta(seconds=5), ["12:00"]),  # this node led: the row is somebody's imitation
        (NOON - MINUTE, NOON + timedelta(seconds=5), ["12:00"]),  # that is another tick
    ],
)
def test_a_tick_that_an_oban_enqueued_before_is_not_enqueued_again(
    run: Any, remembered: Any, db: psycopg.Connection, at: datetime, led_since: datetime, expected: list[str]
) -> None:
    remembered(NOON - MINUTE)
    meta = f'{{"cron": true, "cron_at": "{at.isoformat()}", "cron_name": "{entry().name}"}}'
    insert = "INSERT INTO oban_jobs (worker, meta, inserted_at) SELECT 'w', %s, %s FROM generate_series(1, %s)"
    db.execute(insert, ("{}", NOON - timedelta(hours=1), 3000))
    db.execute(insert, (meta, NOON, 1))
    db.execute(insert, ("{}", NOON, 20_000))
    assert run(NOON + timedelta(seconds=9), term=Term(led_since)) == expected


def test_a_tick_among_few_jobs_is_found(run: Any, remembered: Any, db: psycopg.Connection) -> None:
    remembered(NOON - MINUTE)
    meta = f'{{"cron_at": "{NOON.isoformat()}", "cron_name": "{entry().name}"}}'
    db.execute(
        "INSERT INTO oban_jobs (worker, meta, inserted_at) VALUES ('w', %s, %s), ('w', '{}', %s)", (meta, NOON, NOON)
    )
    assert run(NOON + timedelta(seconds=9), term=Term(NOON + timedelta(seconds=5))) == []


def test_of_many_leaders_at_once_one_enqueues_each_tick(
    dsn: str, statements: Statements, remembered: Any, db: psycopg.Connection
) -> None:
    entries = [entry(name=f"cron.{letter}") for letter in "dacb"] + [entry("*/3 * * * *", name="cron.e")]
    remembered(NOON, *entries)
    leaders, minutes = 6, 30
    barrier, failures = threading.Barrier(leaders), []

    def lead(turn: int) -> None:
        link = Link(dsn, name="oban_sync:test")
        evaluated = None
        try:
            for minute in range(1, minutes + 1):
                barrier.wait(60)
                now = NOON + minute * MINUTE + timedelta(seconds=turn)
                term = Term(EARLIER.since, evaluated)
                evaluated, _ = tick(link, statements, entries[:: (-1) ** turn], rules=Rules(), term=term, now=now)
        except BaseException as error:
            barrier.abort()
            failures.append(error)
        link.close()

    threads = [threading.Thread(target=lead, args=(turn,)) for turn in range(leaders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = db.execute("SELECT worker, count(*), count(DISTINCT meta->>'cron_at') FROM oban_jobs GROUP BY 1 ORDER BY 1")
    assert found.fetchall() == [*((f"cron.{letter}", minutes, minutes) for letter in "abcd"), ("cron.e", 10, 10)]


def test_what_could_not_be_inserted_is_enqueued_at_the_next_try(
    run: Any, remembered: Any, db: psycopg.Connection
) -> None:
    remembered(NOON - MINUTE)
    db.execute("ALTER TABLE oban_jobs ADD CONSTRAINT full_disk CHECK (worker <> 'cron.Note')")
    with pytest.raises(DatabaseRefused, match="full_disk"):
        run(NOON)
    db.execute("ALTER TABLE oban_jobs DROP CONSTRAINT full_disk")
    assert run(NOON) == ["12:00"]


def test_a_job_that_cannot_be_made_hinders_no_other(
    run: Any, remembered: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = entry(name="cron.broken", new=lambda: Job("")), entry()
    remembered(NOON - MINUTE, broken, sound)
    assert run(NOON, broken, sound) == ["12:00"]
    assert "periodic job cron.broken could not be made and is left out" in caplog.text


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Job("cron.broken", args={"path": Path("a.csv")}),
        lambda: Job("cron.broken", meta={"limit": math.inf}),
        lambda: Job("cron.broken", args={"text": "x" * 2000}),
        lambda: Job("cron.broken", state="completed"),
        partial(lambda job: job, Job("cron.broken")),
    ],
    ids=["args", "meta", "size", "state", "the same twice"],
)
def test_a_job_that_cannot_be_stored_hinders_no_other(
    run: Any, remembered: Any, caplog: pytest.LogCaptureFixture, broken: Callable[[], Job]
) -> None:
    entries = entry(name="cron.broken", new=broken), entry()
    remembered(NOON - 2 * MINUTE, *entries)
    assert run(NOON, *entries, rules=Rules(catch_up="all", max_bytes=1000)) == ["11:59", "12:00"]
    assert caplog.text.count("periodic job cron.broken could not be made and is left out") == 1
    assert run(NOON, *entries) == []


# Declarations --------------------------------------------------------------------------------------------------------


def test_workers_and_functions_take_a_schedule() -> None:
    @worker(cron="@daily", name="cron.Daily", queue="q")
    class Daily:
        def process(self, job: Job) -> None:
            """Only its schedule matters."""

    @job(cron={"expr": "0 9 * * mon-fri", "timezone": "Europe/Paris"}, name="cron.morning", oban="other")
    def morning(greeting: str = "Hello") -> None:
        """Only its schedule matters."""

    found = {each.worker: each for each in every() if each.worker in ("cron.Daily", "cron.morning")}
    assert [(each.cron.expression, each.oban) for each in found.values()] == [
        ("@daily", "Oban"),
        ("0 9 * * mon-fri", "other"),
    ]
    assert found["cron.Daily"].new().queue == "q"
    assert found["cron.morning"].new().args == {"greeting": "Hello"}
    assert Daily.new().meta == {}

    worker(name="cron.Daily")(Daily)
    assert "cron.Daily" not in [each.worker for each in every()]
    assert morning.new("Hi").args == {"greeting": "Hi"}


def test_a_schedule_that_cannot_work_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ConfigError, match="no month of it has that day"):
        worker(cron="0 0 31 2 *", name="cron.never")
    with pytest.raises(WorkerError, match="to need no arguments, since nobody gives it any: missing a required"):

        @job(cron="@daily", name="cron.needs")
        def needs(what: str) -> None:
            """Nobody would say what."""

    with pytest.raises(WorkerError, match=r"args of Day with cron= to need no values: .* missing required field `day`"):
        worker(cron="@daily", name="cron.needs", args=Day)
    with pytest.raises(WorkerError, match=r"(?s)args of Month with cron= to need no values: .*\nmonth"):
        worker(cron="@daily", name="cron.needs", args=Month)

    assert not {"cron.never", "cron.needs"} & {each.worker for each in every()}


def test_a_schedule_may_have_typed_args_that_need_no_values() -> None:
    @worker(cron="@daily", name="cron.Daily", args=Week)
    class Daily:
        def process(self, job: Job) -> None:
            """Only its schedule matters."""

    (each,) = [each for each in every() if each.worker == "cron.Daily"]
    assert (each.new().typed, each.new().args) == (Week(), {})


# Nodes ---------------------------------------------------------------------------------------------------------------


def test_a_leader_catches_up_as_soon_as_it_leads(dsn: str, db: psycopg.Connection, eventually: Any) -> None:
    @job(cron={"expr": "* * * * *", "catch_up": "all"}, name="cron.minutely")
    def minutely() -> None:
        """Only its schedule matters."""

    (each,) = [each for each in every() if each.worker == "cron.minutely"]
    db.execute(
        "INSERT INTO oban_sync_crons VALUES (%s, date_trunc('minute', now()) - interval '10 minutes')", (each.name,)
    )
    with Oban(dsn=dsn, queues={"default": 1}) as first:
        eventually(lambda: first.is_leader)
        with Oban(dsn=dsn, name="second", queues={"default": 1}):
            eventually(lambda: count(db, "state = 'completed'") >= 10)
    assert count(db, "true") == count(db, "true", "DISTINCT meta->>'cron_at'")


def test_a_node_remembers_its_schedules_before_it_leads(dsn: str, db: psycopg.Connection, eventually: Any) -> None:
    """Else the tick would be lost at which the first leader, an Oban that knows no such table, dies."""

    @job(cron="0 0 1 1 *", name="cron.yearly")
    def yearly() -> None:
        """Only its schedule matters."""

    (each,) = [each for each in every() if each.worker == "cron.yearly"]
    db.execute("INSERT INTO oban_leaders VALUES ('Oban', 'theirs', now(), now() + interval '1 hour')")
    with Oban(dsn=dsn, queues={"default": 1}) as oban:
        eventually(
            lambda: db.execute("SELECT FROM oban_sync_crons WHERE name = %s", (each.name,)).fetchone() is not None
        )
        assert not oban.is_leader


def test_a_job_is_enqueued_by_its_own_instance_where_that_runs(
    dsn: str, db: psycopg.Connection, eventually: Any
) -> None:
    @job(cron={"expr": "* * * * *", "catch_up": "once"}, name="cron.mine", oban="cron.one")
    def mine() -> None:
        """Only its schedule matters."""

    (each,) = [each for each in every() if each.worker == "cron.mine"]
    with (
        Oban(dsn=dsn, name="cron.one", queues={"default": 1}, leadership=False),
        Oban(dsn=dsn, name="cron.two", queues={"default": 1}) as two,
    ):
        eventually(lambda: two.is_leader)
        assert db.execute("SELECT count(*) FROM oban_sync_crons WHERE name = %s", (each.name,)).fetchone() == (0,)


def test_tables_without_that_of_periodic_jobs_are_refused_where_there_are_some(
    dsn: str, db: psycopg.Connection
) -> None:
    db.execute("DROP TABLE oban_sync_crons")
    with Oban(dsn=dsn, name="none", queues={"default": 1}) as oban:
        assert oban.running

    @job(cron="@daily", name="cron.daily")
    def daily() -> None:
        """Only its schedule matters."""

    with pytest.raises(SchemaMissing, match="The 'oban_sync_crons' table is missing in schema 'public'"):
        Oban(dsn=dsn, name="some", queues={"default": 1}).start()


def count(db: psycopg.Connection, where: str, what: str = "*") -> int:
    found = db.execute(f"SELECT count({what}) FROM oban_jobs WHERE {where}").fetchone()
    assert found is not None
    return int(found[0])


def test_leaders_that_are_killed_cost_no_tick_and_double_none(
    dsn: str, db: psycopg.Connection, remembered: Any, eventually: Any
) -> None:
    """Three processes, two of which are killed while they lead; a minute goes by in a tenth of a second."""
    (now,) = db.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()  # type: ignore[misc]
    remembered(cron_node.fast(now), cron_node.ENTRY)
    program = [sys.executable, "-m", "tests.cron_node", dsn]
    nodes = {name: subprocess.Popen([*program, name], cwd=Path(__file__).parents[2]) for name in ("a", "b", "c")}
    db.execute(
        "INSERT INTO oban_producers (uuid, name, node, queue, meta)"
        " SELECT gen_random_uuid(), 'Oban', node, 'q', '{\"oban_sync\": \"0\"}' FROM unnest(%s::text[]) AS node",
        (list(nodes),),
    )
    try:
        for _ in range(2):
            enough = count(db, "true") + 20
            eventually(partial(seen, db, enough))
            nodes[leader(db)].kill()
        enough = count(db, "true") + 80
        eventually(partial(seen, db, enough))
    finally:
        for node in nodes.values():
            node.kill()
            node.wait()
    ((least, most),) = db.execute("SELECT min(meta->>'cron_at'), max(meta->>'cron_at') FROM oban_jobs")
    most, least = datetime.fromisoformat(most), datetime.fromisoformat(least)
    assert count(db, "true") == count(db, "true", "DISTINCT meta->>'cron_at'") == (most - least) / MINUTE + 1


@pytest.mark.nightly
@pytest.mark.timeout(400)
def test_a_leader_killed_over_the_minute_costs_no_tick_and_doubles_none(
    dsn: str, db: psycopg.Connection, eventually: Any, tmp_path: Path
) -> None:
    """Three processes; twice the one that leads is killed a moment before the minute."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "oban_sync", "start", "--dsn", dsn, "--queues", "default:1"]
    nodes = {}
    with (tmp_path / "nodes.log").open("w") as log:
        for name in ("a", "b", "c"):
            line = [*command, "--import", "tests.cron_work", "--node", name]
            nodes[name] = subprocess.Popen(line, cwd=root, env=dict(os.environ), stdout=log, stderr=log)
    try:
        eventually(lambda: db.execute("SELECT count(DISTINCT node) FROM oban_producers").fetchone() == (3,))
        for _ in range(2):
            eventually(lambda: datetime.now(UTC).timestamp() % 60 > 59.8, timeout=70)
            nodes[leader(db)].kill()
            ticks = count(db, "true") + 1
            eventually(partial(seen, db, ticks), timeout=30)
        late, span = db.execute(
            "SELECT max(inserted_at - cron_at), max(cron_at) - min(cron_at)"
            " FROM oban_jobs, timezone('UTC', (meta->>'cron_at')::timestamptz) AS cron_at"
        ).fetchone()
        assert late < timedelta(seconds=10)
        assert count(db, "true") == count(db, "true", "DISTINCT meta->>'cron_at'") == span / MINUTE + 1
    finally:
        for node in nodes.values():
            node.kill()
            node.wait()


def leader(db: psycopg.Connection) -> str:
    found = db.execute("SELECT node FROM oban_leaders WHERE expires_at > timezone('UTC', now())").fetchone()
    assert found is not None
    return str(found[0])


def seen(db: psycopg.Connection, jobs: int) -> bool:
    return count(db, "true") >= jobs
