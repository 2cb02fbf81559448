"""The helpers for users' tests: modes, assertions, drains, with a clock that a test moves, in a test's transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import freezegun
import psycopg
import psycopg2
import pytest
import sqlalchemy
from sqlalchemy import orm

from oban_sync import Cancel, Job, JobState, Oban, Record, Snooze, clock, current_job, job, schema, testing, worker
from oban_sync.errors import ArgsError, ConfigError, JobError, SchemaMissing, UnknownWorker

NOWHERE = "postgresql://nowhere.invalid/app?connect_timeout=1"


@pytest.fixture(autouse=True)
def undone(forgotten_workers: None) -> Iterator[None]:
    yield
    testing.set_mode(None)


@pytest.fixture
def ran() -> list[Any]:
    """What the jobs of a test did."""
    return []


@pytest.fixture
def act(ran: list[Any]) -> Any:
    """A worker that does what its args say."""

    @worker(name="acts", queue="acts", max_attempts=3)
    class Acts:
        def process(self, job: Job) -> Any:
            ran.append(job.args)
            match job.args:
                case {"raise": text}:
                    raise ValueError(text)
                case {"snooze": seconds} if "snoozed" not in job.meta:
                    return Snooze(seconds)
                case {"cancel": reason}:
                    return Cancel(reason)
                case {"record": value}:
                    return Record(value)
                case {"then": args}:
                    Acts.enqueue(args)
            return "done"

    return Acts


@pytest.fixture
def adrift() -> Iterator[Oban]:
    """An instance whose database cannot be reached."""
    oban = Oban(dsn=NOWHERE, queues={"acts": 1})
    yield oban
    oban.stop()


# modes ---------------------------------------------------------------------------------------------------------------


def test_inline_runs_a_job_where_it_is_enqueued_without_a_database(adrift: Oban, act: Any, ran: list[Any]) -> None:
    with testing.mode("inline"):
        done = act.enqueue({"id": UUID(int=1)})
        kept, later = adrift.enqueue_many(act.new({"record": [1]}), act.new({"a": 1}, scheduled_in=60))
    assert ran == [{"id": str(UUID(int=1))}, {"record": [1]}, {"a": 1}]
    assert (done.state, done.attempt, later.state) == (JobState.COMPLETED, 1, JobState.COMPLETED)
    assert done.completed_at is not None
    assert kept.recorded == [1]
    assert len({done.id, kept.id, later.id}) == 3


@pytest.mark.parametrize(
    ("args", "state"),
    [({"cancel": "why"}, JobState.CANCELLED), ({"snooze": 60}, JobState.SCHEDULED), ({}, JobState.COMPLETED)],
)
@pytest.mark.usefixtures("adrift")
def test_inline_gives_the_state_in_which_a_job_ended(act: Any, args: Any, state: JobState) -> None:
    with testing.mode("inline"):
        ended = act.enqueue(args)
    assert ended.state == state
    if state is JobState.CANCELLED:
        assert [(error["attempt"], error["error"]) for error in ended.errors] == [(1, "why")]
    if state is JobState.SCHEDULED:
        assert (ended.attempt, ended.meta) == (0, {"snoozed": 1})
        assert ended.scheduled_at > clock.now() + timedelta(seconds=50)


@pytest.mark.usefixtures("adrift")
def test_inline_raises_what_the_job_raised_once_its_end_is_noted(act: Any) -> None:
    made = act.new({"raise": "no"})
    with testing.mode("inline"), pytest.raises(ValueError, match=r"^no$"):
        Oban.get_instance().enqueue(made)
    assert made.state == JobState.RETRYABLE
    assert "ValueError: no" in made.errors[0]["error"]
    assert made.scheduled_at > clock.now()


def test_inline_refuses_what_could_not_be_stored_before_anything_runs(adrift: Oban, act: Any, ran: list[Any]) -> None:
    with testing.mode("inline"):
        with pytest.raises(ArgsError, match=r"args\.a"):
            adrift.enqueue_many(act.new({}), act.new({"a": {1}}))
        with pytest.raises(UnknownWorker):
            adrift.enqueue(Job("nobody"))
        twice = act.new()
        with pytest.raises(JobError, match="several times"):
            adrift.enqueue_many(twice, twice)
    assert ran == []


def test_inline_holds_in_every_thread_and_current_job_is_known(adrift: Oban) -> None:
    seen = []

    @job(name="inline function")
    def note(text: str) -> None:
        seen.append((text, current_job().worker, threading.current_thread().name))

    with testing.mode("inline"):
        thread = threading.Thread(target=note.enqueue, args=("a",), name="a view")
        thread.start()
        thread.join()
    assert seen == [("a", "inline function", "a view")]
    assert current_job() is None


def test_modes_nest_and_end_with_their_block() -> None:
    testing.set_mode("manual")
    with testing.mode("inline"):
        with testing.mode(None):
            pass
        with pytest.raises(KeyError), testing.mode("manual"):
            raise KeyError
        from oban_sync import mode

        assert mode.active() == "inline"
    assert mode.active() == "manual"
    with pytest.raises(ConfigError, match="expected a testing mode out of inline, manual, or None, got 'off'"):
        testing.set_mode("off")
    assert mode.active() == "manual"


def test_in_a_mode_nothing_is_started(adrift: Oban) -> None:
    for mode in ("inline", "manual"):
        with testing.mode(mode):
            adrift.start()
            assert not adrift.running


def test_a_node_that_runs_fetches_nothing_in_a_mode(
    dsn: str, act: Any, ran: list[Any], eventually: Callable[..., Any]
) -> None:
    with Oban(dsn=dsn, queues={"acts": 1}, stager={"interval": 0.05}):
        act.enqueue({"a": 0})
        eventually(lambda: ran)
        with testing.mode("manual"):
            act.enqueue({"a": 1})
            testing.refute_enqueued(timeout=0, args={"a": 2})
            testing.assert_enqueued(worker=act, args={"a": 1})
        eventually(lambda: len(ran) == 2)


# what is enqueued ----------------------------------------------------------------------------------------------------


def test_all_enqueued_lists_what_waits_for_its_first_run_newest_first(oban: Oban, act: Any, db: Any) -> None:
    first = act.enqueue({"a": 1})
    later = act.enqueue({"a": 2}, scheduled_in=60)
    held = oban.enqueue(Job("acts", state="suspended"))
    ended = act.enqueue({"a": 3})
    db.execute("UPDATE oban_jobs SET state = 'completed' WHERE id = %s", (ended.id,))
    found = testing.all_enqueued()
    assert [(job.id, str(job.state)) for job in found] == [
        (held.id, "suspended"),
        (later.id, "scheduled"),
        (first.id, "available"),
    ]
    assert (found[2].args, found[2].queue, found[2].inserted_at) == ({"a": 1}, "acts", first.inserted_at)


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"worker": "acts"}, True),
        ({"worker": "other"}, False),
        ({"queue": "acts", "priority": 3}, True),
        ({"priority": 2}, False),
        ({"args": {"a": 1}}, True),
        ({"args": {"a": 1, "id": UUID(int=1)}}, True),
        ({"args": {"a": 1, "c": 3}}, False),
        ({"args": {"b": {}}}, False),
        ({"meta": {"team": "x"}}, True),
        ({"meta": {"team": "y"}}, False),
        ({"tags": ["Two", "one"]}, True),
        ({"tags": ["one"]}, False),
        ({"state": "scheduled"}, True),
        ({"scheduled_in": 60}, True),
        ({"schedule_in": timedelta(minutes=1)}, True),
        ({"scheduled_in": 62}, False),
        ({"max_attempts": 3}, True),
    ],
)
def test_filters_fit_or_do_not(oban: Oban, act: Any, filters: dict[str, Any], fits: bool) -> None:
    args = {"a": 1, "b": {"c": 2}, "id": UUID(int=1)}
    made = act.enqueue(args, priority=3, meta={"team": "x", "more": 1}, tags=["one", "two"], scheduled_in=60)
    if fits:
        assert testing.assert_enqueued(**filters).id == made.id
        with pytest.raises(AssertionError, match="expected no job to be enqueued with"):
            testing.refute_enqueued(**filters)
    else:
        testing.refute_enqueued(**filters)
        with pytest.raises(AssertionError, match="expected a job to be enqueued with"):
            testing.assert_enqueued(**filters)


def test_a_worker_is_found_by_its_class_and_a_function_by_itself(oban: Oban, act: Any) -> None:
    @job(name="a function")
    def send(to: str) -> None: ...

    act.enqueue()
    send.enqueue("ann")
    assert [job.worker for job in testing.all_enqueued(worker=act)] == ["acts"]
    assert testing.assert_enqueued(worker=send, args={"to": "ann"}).worker == "a function"


def test_a_failed_assertion_lists_what_is_there(oban: Oban, act: Any) -> None:
    with pytest.raises(AssertionError, match=r"^expected a job to be enqueued at all, got none$"):
        testing.assert_enqueued()
    for number in range(25):
        act.enqueue({"number": number})
    with pytest.raises(AssertionError) as caught:
        testing.assert_enqueued(worker=act, args={"number": 30}, timeout=0.01)
    lines = str(caught.value).splitlines()
    assert lines[0] == ("expected a job to be enqueued within 0.01 s with worker='acts', args={'number': 30}, got 25:")
    assert "worker='acts', queue='acts', state='available') with args {'number': 24}, scheduled at" in lines[1]
    assert lines[-1] == "  and 5 more"
    with pytest.raises(AssertionError, match=r"expected no job to be enqueued within 5 s .*, got 1:\n  Job\(id=1,"):
        testing.refute_enqueued(args={"number": 0}, timeout=5)


def test_a_filter_that_no_job_has_is_refused(oban: Oban) -> None:
    with pytest.raises(ConfigError, match=r"expected filters out of .*, got workers"):
        testing.refute_enqueued(workers="acts")


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        ({"worker": ValueError}, "expected worker to be a str, got type <class 'ValueError'>"),
        ({"worker": ""}, "worker must not be blank"),
        ({"queue": ["acts"]}, r"expected queue to be a str, got list \['acts'\]"),
        ({"state": "waiting"}, "expected state to be one of available, scheduled, suspended, got 'waiting'"),
        ({"state": "completed"}, "expected state to be one of available, scheduled, suspended, got 'completed'"),
        ({"priority": "2"}, "expected priority to be an integer, got str '2'"),
        ({"tags": "one"}, "expected tags to be a list of str, got str 'one'"),
        ({"scheduled_at": datetime(2026, 1, 1)}, "expected scheduled_at to be an aware datetime, got the naive 2026"),
        ({"inserted_at": "2026-01-01"}, "expected inserted_at to be an aware datetime, got str '2026-01-01'"),
        ({"scheduled_in": -1}, "expected scheduled_in to be zero or more seconds, got -1"),
        ({"args": {"a": object()}}, r"expected args\.a to be a value that JSON can hold, got object"),
        ({"args": 7}, "expected args to be a mapping with str keys, got int 7"),
    ],
)
def test_a_filter_that_no_job_can_fit_is_refused(oban: Oban, filters: dict[str, Any], reason: str) -> None:
    for check in (testing.refute_enqueued, testing.assert_enqueued, testing.all_enqueued):
        with pytest.raises(ConfigError, match=reason):
            check(**filters)


def test_times_are_filters_wherever_they_are_from(oban: Oban, act: Any) -> None:
    at = datetime(2040, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    made = act.enqueue(scheduled_at=at)
    assert testing.assert_enqueued(scheduled_at=at, completed_at=None).id == made.id
    testing.refute_enqueued(scheduled_at=at + timedelta(hours=1))


def test_an_assertion_waits_for_another_thread(oban: Oban, act: Any) -> None:
    thread = threading.Timer(0.05, lambda: act.enqueue({"late": True}))
    thread.start()
    assert testing.assert_enqueued(args={"late": True}, timeout=20).args == {"late": True}
    thread.join()


def test_other_instances_are_named_or_given(oban: Oban, dsn: str, act: Any) -> None:
    other = Oban(dsn=dsn, name="other")
    act.enqueue({"a": 1})
    assert testing.assert_enqueued(oban="other").args == {"a": 1}
    assert testing.drain_queue("acts", other) == {**NONE, "completed": 1}
    testing.reset_oban(other)
    other.stop()


def test_reset_empties_the_tables_and_begins_ids_anew(oban: Oban, act: Any, db: Any) -> None:
    act.enqueue()
    db.execute("INSERT INTO oban_leaders (name, node, elected_at, expires_at) VALUES ('Oban', 'n', now(), now())")
    testing.reset_oban()
    assert testing.all_enqueued() == []
    assert db.execute("SELECT count(*) FROM oban_leaders").fetchone() == (0,)
    assert act.enqueue().id == 1


def test_reset_leaves_no_trace_of_pauses_and_ticks(oban: Oban, db: Any) -> None:
    oban.pause_queue("acts", durable=True)
    db.execute("INSERT INTO oban_sync_crons (name, last_at) VALUES ('nightly', now())")
    testing.reset_oban(conn=db)
    tables = [name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    filled = [name for name in tables if db.execute(f'SELECT EXISTS (SELECT FROM "{name}")').fetchone() == (True,)]
    assert filled == ["oban_sync_migrations"]


def test_reset_empties_the_tables_of_another_oban(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        schema.install(connection)
        connection.execute("DROP TABLE oban_sync_crons, oban_sync_queues, oban_sync_migrations")
        oban = Oban(dsn=empty_dsn, name="theirs")
        oban.enqueue(Job("w"))
        testing.reset_oban("theirs")
        assert oban.count_jobs() == 0
        connection.execute("DROP TABLE oban_leaders")
        with pytest.raises(SchemaMissing, match="The 'oban_leaders' table is missing in schema 'public'"):
            testing.reset_oban("theirs")
        oban.stop()


# drains --------------------------------------------------------------------------------------------------------------

NONE = dict.fromkeys(("cancelled", "completed", "discarded", "retryable", "scheduled"), 0)


def test_a_drain_runs_a_queue_to_its_end(oban: Oban, act: Any, ran: list[Any], db: Any) -> None:
    for args in ({"then": {"a": 1}}, {"snooze": 3600}, {"cancel": "why"}, {"record": 1}):
        act.enqueue(args)
    act.enqueue({"later": True}, scheduled_in=86_400)
    act.enqueue({"elsewhere": True}, queue="other")
    assert testing.drain_queue("acts") == {**NONE, "completed": 5, "cancelled": 1, "scheduled": 1}
    assert [args for args in ran if args == {"a": 1}] == [{"a": 1}]
    assert {"elsewhere": True} not in ran
    rows = db.execute("SELECT state, attempt, attempted_by FROM oban_jobs WHERE queue = 'acts' ORDER BY id").fetchall()
    assert {state for state, *_ in rows} == {"completed", "cancelled"}
    assert {attempt for _, attempt, _ in rows} == {1}
    assert {tuple(by) for *_, by in rows} == {("drain", "drain")}
    assert testing.drain_queue("acts") == NONE


def test_jobs_run_in_the_order_of_a_queue(oban: Oban, act: Any, ran: list[Any]) -> None:
    for number, priority in ((1, 5), (2, 0), (3, 5), (4, 1)):
        act.enqueue({"number": number}, priority=priority)
    testing.drain_queue("acts")
    assert [args["number"] for args in ran] == [2, 4, 1, 3]


def test_a_drain_raises_what_a_job_raises_once_it_is_written(oban: Oban, act: Any, ran: list[Any], db: Any) -> None:
    act.enqueue({"raise": "no"})
    act.enqueue({"a": 1})
    with pytest.raises(ValueError, match=r"^no$"):
        testing.drain_queue("acts")
    rows = db.execute("SELECT state, attempt, jsonb_array_length(errors) FROM oban_jobs ORDER BY id").fetchall()
    assert rows == [("retryable", 1, 1), ("available", 0, 0)]


def test_with_safety_failures_are_written_until_attempts_run_out(oban: Oban, act: Any, ran: list[Any]) -> None:
    act.enqueue({"raise": "no"})
    assert testing.drain_queue("acts", with_safety=True) == {**NONE, "retryable": 2, "discarded": 1}
    assert len(ran) == 3


def test_without_recursion_each_job_that_is_there_runs_once(oban: Oban, act: Any, ran: list[Any]) -> None:
    act.enqueue({"then": {"a": 1}})
    act.enqueue({"raise": "no"})
    act.enqueue({"snooze": 1})
    summary = testing.drain_queue("acts", with_recursion=False, with_safety=True)
    assert summary == {**NONE, "completed": 1, "retryable": 1, "scheduled": 1}
    assert testing.assert_enqueued(args={"a": 1}).state == JobState.AVAILABLE


def test_without_scheduled_a_drain_runs_what_is_due(oban: Oban, act: Any, ran: list[Any]) -> None:
    act.enqueue({"at": "once"}, scheduled_at=datetime(2020, 1, 1, tzinfo=UTC))
    act.enqueue({"at": "tomorrow"}, scheduled_in=86_400)
    act.enqueue({"at": "next week"}, scheduled_in=7 * 86_400)
    assert testing.drain_queue("acts", with_scheduled=False) == {**NONE, "completed": 1}
    assert testing.drain_queue("acts", with_scheduled=clock.now() + timedelta(days=2)) == {**NONE, "completed": 1}
    assert [args["at"] for args in ran] == ["once", "tomorrow"]
    with pytest.raises(JobError, match="naive"):
        testing.drain_queue("acts", with_scheduled=datetime(2040, 1, 1))


def test_an_unknown_worker_is_said_so(oban: Oban) -> None:
    oban.enqueue(Job("nobody"))
    with pytest.raises(UnknownWorker, match="nobody"):
        testing.drain_queue()


# the clock -----------------------------------------------------------------------------------------------------------


def test_a_frozen_clock_is_that_of_the_rows(oban: Oban, act: Any, db: Any) -> None:
    with testing.mode("manual"), freezegun.freeze_time("2031-05-01 12:00:00") as frozen:
        made = act.enqueue({"a": 1}, scheduled_in=86_400)
        assert (made.inserted_at.year, made.scheduled_at) == (2031, datetime(2031, 5, 2, 12, tzinfo=UTC))
        testing.assert_enqueued(scheduled_in=86_400)
        assert testing.drain_queue("acts", with_scheduled=False) == NONE
        frozen.tick(timedelta(days=1))
        testing.refute_enqueued(scheduled_in=86_400)
        assert testing.drain_queue("acts", with_scheduled=False) == {**NONE, "completed": 1}
    rows = db.execute("SELECT attempted_at, completed_at FROM oban_jobs").fetchall()
    assert rows == [(datetime(2031, 5, 2, 12), datetime(2031, 5, 2, 12))]


def test_a_job_for_tomorrow_is_drained_once_the_clock_is_moved(oban: Oban, act: Any) -> None:
    act.enqueue({"a": 1}, scheduled_in=86_400)
    assert testing.drain_queue("acts", with_scheduled=False) == NONE
    with freezegun.freeze_time(clock.now() + timedelta(days=2)):
        assert testing.drain_queue("acts", with_scheduled=False) == {**NONE, "completed": 1}


def test_errors_and_retries_go_by_the_frozen_clock(oban: Oban, act: Any, db: Any) -> None:
    with testing.mode("manual"), freezegun.freeze_time("2019-01-01"):
        act.enqueue({"raise": "no"})
        testing.drain_queue("acts", with_safety=True, with_scheduled=False)
        at, due = db.execute("SELECT errors -> 0 ->> 'at', scheduled_at FROM oban_jobs").fetchone()
    assert at.startswith("2019-01-01T00:00:00")
    assert datetime(2019, 1, 1, 0, 0, 15) < due < datetime(2019, 1, 1, 0, 1)


def test_a_node_runs_jobs_while_the_clock_is_frozen(
    dsn: str, act: Any, ran: list[Any], db: psycopg.Connection, eventually: Callable[..., Any]
) -> None:
    """Even a node that starts with a frozen clock: its deadlines are those of the kernel's clock."""
    with freezegun.freeze_time("2019-01-01"), Oban(dsn=dsn, queues={"acts": 1}):
        act.enqueue({"a": 1})
        act.enqueue({"a": 2}, scheduled_in=0.05)
        eventually(lambda: len(ran) == 2)
    states = db.execute("SELECT DISTINCT state, inserted_at > '2020-01-01' FROM oban_jobs").fetchall()
    assert states == [("completed", True)]


def test_deadlines_of_this_package_do_not_see_the_frozen_clock() -> None:
    with freezegun.freeze_time("2019-01-01"):
        began = clock.monotonic()
        with pytest.raises(AssertionError):
            _waits()
        assert clock.monotonic() > began


def _waits() -> None:
    deadline = clock.monotonic() + 0.02
    while clock.monotonic() < deadline:
        pass
    raise AssertionError("the clock went on")


# conn= ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["psycopg", "psycopg2", "session", "connection", "cursor"])
def transaction(request: pytest.FixtureRequest, dsn: str) -> Iterator[Any]:
    """A transaction that is rolled back, by a handle of each kind."""
    with ExitStack() as opened:
        if request.param in ("session", "connection"):
            engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
            opened.callback(engine.dispose)
            connection = opened.enter_context(engine.connect())
            yield opened.enter_context(orm.Session(connection)) if request.param == "session" else connection
            connection.rollback()
            return
        connect = psycopg2.connect if request.param == "psycopg2" else psycopg.connect
        connection = connect(dsn)
        opened.callback(connection.close)
        yield connection.cursor() if request.param == "cursor" else connection
        connection.rollback()


def test_helpers_work_in_a_transaction_that_nobody_else_sees(
    oban: Oban, act: Any, ran: list[Any], transaction: Any
) -> None:
    act.enqueue({"a": 1, "text": "50 % 'quoted'"}, conn=transaction, tags=["t"])
    act.enqueue({"raise": "no"}, conn=transaction, max_attempts=1)
    act.enqueue({"record": {"k": 1}}, conn=transaction, scheduled_in=60)
    assert testing.all_enqueued() == []
    assert testing.assert_enqueued(conn=transaction, scheduled_in=60).args == {"record": {"k": 1}}
    testing.refute_enqueued(conn=transaction, args={"a": 2})
    summary = testing.drain_queue("acts", with_safety=True, conn=transaction)
    assert summary == {**NONE, "completed": 2, "discarded": 1}
    assert {"a": 1, "text": "50 % 'quoted'"} in ran
    assert testing.all_enqueued(conn=transaction) == []
    act.enqueue(conn=transaction)
    testing.reset_oban(conn=transaction)
    assert testing.all_enqueued(conn=transaction) == []


def test_a_rolled_back_drain_leaves_the_rows_as_they_were(oban: Oban, act: Any, dsn: str) -> None:
    act.enqueue({"a": 1})
    with psycopg.connect(dsn) as connection:
        assert testing.drain_queue("acts", conn=connection)["completed"] == 1
        connection.rollback()
    assert testing.assert_enqueued(args={"a": 1}).attempt == 0


# what a running job can ask ------------------------------------------------------------------------------------------


@pytest.fixture
def books() -> Any:
    """A worker that keeps books in the transaction that completes its job."""

    @worker(name="books", queue="acts", timeout=60, max_attempts=3)
    class Books:
        def process(self, job: Job) -> None:
            assert 0 < job.deadline <= 60
            job.check()
            with job.transaction(self.conn) as connection:
                connection.execute("INSERT INTO books VALUES (1)")
                if job.args:
                    raise ValueError("no")

    Books.conn = None
    return Books


def test_a_drain_completes_a_job_in_its_own_transaction(oban: Oban, db: Any, books: Any) -> None:
    db.execute("CREATE TABLE books (amount int)")
    books.enqueue()
    books.enqueue({"fail": True})
    summary = testing.drain_queue("acts", with_safety=True, with_recursion=False)
    assert summary == {**NONE, "completed": 1, "retryable": 1}
    assert db.execute("SELECT count(*) FROM books").fetchone() == (1,)
    states = db.execute("SELECT state FROM oban_jobs ORDER BY id").fetchall()
    assert states == [("completed",), ("retryable",)]


@pytest.mark.parametrize("given", [False, True])
def test_a_drain_keeps_such_a_transaction_within_that_of_the_test(
    oban: Oban, db: Any, dsn: str, books: Any, given: bool
) -> None:
    db.execute("CREATE TABLE books (amount int)")
    with psycopg.connect(dsn) as connection:
        books.conn = connection if given else None
        books.enqueue(conn=connection)
        books.enqueue({"fail": True}, conn=connection)
        summary = testing.drain_queue("acts", with_safety=True, with_recursion=False, conn=connection)
        assert summary == {**NONE, "completed": 1, "retryable": 1}
        assert connection.execute("SELECT count(*) FROM books").fetchone() == (1,)
        connection.rollback()
    assert db.execute("SELECT count(*) FROM books").fetchone() == (0,)


def test_inline_and_single_jobs_have_their_transactions_too(oban: Oban, db: Any, dsn: str, books: Any) -> None:
    db.execute("CREATE TABLE books (amount int)")
    with testing.mode("inline"):
        assert books.enqueue().state == JobState.COMPLETED
        with pytest.raises(ValueError, match="no"):
            books.enqueue({"fail": True})
    with pytest.raises(JobError, match="without an instance"):
        testing.process_job(books.new())
    with psycopg.connect(dsn) as books.conn:
        testing.process_job(books.new())
    assert db.execute("SELECT count(*) FROM books").fetchone() == (2,)


# single jobs ---------------------------------------------------------------------------------------------------------


def test_process_job_gives_what_the_worker_returned(act: Any, ran: list[Any]) -> None:
    made = act.new({"when": datetime(2026, 1, 1, tzinfo=UTC)})
    assert testing.process_job(made) == "done"
    assert ran == [{"when": "2026-01-01T00:00:00+00:00"}]
    assert (made.attempt, made.state) == (1, JobState.COMPLETED)
    assert made.id is not None
    snooze = testing.process_job(act.new({"snooze": 5}))
    assert snooze == Snooze(5)


def test_process_job_raises_what_the_worker_raised(act: Any) -> None:
    made = act.new({"raise": "no"}, max_attempts=1)
    with pytest.raises(ValueError, match=r"^no$"):
        testing.process_job(made)
    assert made.state == JobState.DISCARDED
    with pytest.raises(ArgsError):
        testing.process_job(act.new({"a": {1}}))
