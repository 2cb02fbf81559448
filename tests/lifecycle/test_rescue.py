"""Who is judged dead, who never, and what becomes of their jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from oban_sync import Oban
from oban_sync.lifecycle import rescue
from oban_sync.runtime import heartbeat
from oban_sync.runtime.service import new_owner
from oban_sync.store.connection import Link
from oban_sync.store.statements import LOCK_CLASS, Statements

FOREIGN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(autouse=True)
def mature(db: psycopg.Connection, eventually: Any) -> None:
    """Nobody is judged in the first 10 s of a server; wait for them here, so that no beat grows old meanwhile."""
    eventually(lambda: db.execute("SELECT clock_timestamp() - pg_postmaster_start_time() > '10.1 s'").fetchone()[0])


@pytest.fixture
def beat(db: psycopg.Connection) -> Callable[..., str]:
    """Make an owner whose last beat is so many seconds old."""

    def insert(age: float, owner: str = "", *, started: float = 3600, locks: str = "true") -> str:
        owner = owner or new_owner()
        db.execute(
            """
            INSERT INTO oban_producers (uuid, node, queue, meta, started_at, updated_at)
            SELECT %s::uuid, 'node', 'default', jsonb_build_object('oban_sync', '0', 'locks', %s::boolean),
                now - make_interval(secs => %s), now - make_interval(secs => %s)
            FROM (SELECT timezone('UTC', clock_timestamp()) AS now) AS moment
            """,
            (owner, locks, started, age),
        )
        return owner

    return insert


@pytest.fixture
def lock(dsn: str) -> Iterator[Callable[[str], None]]:
    """Hold the session lock of an owner."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield (
            lambda owner: connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (LOCK_CLASS, owner)) and None
        )


@pytest.fixture
def judge(
    link: Link, statements: Statements, beat: Callable[..., str], executing: Callable[..., list[int]]
) -> Callable[..., list[int]]:
    """Judge once, as a node that was here long enough; a job that is surely dead proves that it did judge."""

    def judging(**options: Any) -> list[int]:
        judge = beat(0, **options)
        (dead,) = executing(beat(3600))

        def taken() -> list[int]:
            return rescue.rescue(link, statements, judge=judge, rescue_after=300)

        ids = taken()
        assert dead in ids
        return [id for id in ids if id != dead]

    return judging


@pytest.mark.parametrize(
    ("age", "locked", "locks", "dead"),
    [
        (1, False, "true", False),
        (7, False, "true", True),
        (7, True, "true", False),
        (50, True, "true", False),
        (70, True, "true", True),
        (7, False, "false", False),
        (17, False, "false", True),
    ],
)
def test_an_owner_of_ours_is_judged_by_beat_and_lock(
    judge: Any, beat: Any, lock: Any, executing: Any, rows: Any, age: float, locked: bool, locks: str, dead: bool
) -> None:
    owner = new_owner()
    if locked:
        lock(owner)
    ids = executing(beat(age, owner, locks=locks), 2, age=1)
    found = judge()
    assert found == (ids if dead else [])
    expected = ("available", 1, {"rescued": 1}) if dead else ("executing", 1, {})
    assert rows("state::text, attempt, meta", *ids) == [expected] * 2


@pytest.mark.parametrize(
    ("locked", "age", "started", "dead"),
    [(False, 30, 30, True), (True, 30, 30, False), (False, 5, 30, False), (False, 30, 5, False)],
)
def test_an_owner_without_a_row_is_judged_only_by_a_senior_and_a_free_lock(
    judge: Any, lock: Any, executing: Any, locked: bool, age: float, started: float, dead: bool
) -> None:
    owner = new_owner()
    if locked:
        lock(owner)
    ids = executing(owner, age=age)
    assert judge(started=started) == (ids if dead else [])


@pytest.mark.parametrize(
    ("beat_age", "job_age", "dead"), [(None, 3600, False), (10, 3600, False), (70, 3600, True), (70, 200, False)]
)
def test_owners_of_other_libraries_are_judged_by_age_and_a_stale_row(
    judge: Any, beat: Any, executing: Any, beat_age: float | None, job_age: float, dead: bool
) -> None:
    if beat_age is not None:
        beat(beat_age, FOREIGN)
    ids = executing(FOREIGN, age=job_age)
    assert judge() == (ids if dead else [])


def test_a_rescued_job_without_attempts_left_is_discarded(judge: Any, beat: Any, executing: Any, rows: Any) -> None:
    ids = executing(beat(3600), attempt=3, max_attempts=3)
    assert judge() == ids
    state, attempt, errors = rows("state::text, attempt, errors", *ids)[0]
    assert (state, attempt, len(errors)) == ("discarded", 3, 1)
    assert "node node" in errors[0]["error"]


def test_the_first_three_rescues_cost_no_attempt(
    judge: Any, beat: Any, executing: Any, rows: Any, db: psycopg.Connection
) -> None:
    owner = beat(3600)
    (id,) = executing(owner, attempt=1, max_attempts=2)
    seen = []
    for _ in range(5):
        judge()
        seen += rows("state::text, attempt, max_attempts, meta", id)
        db.execute(
            "UPDATE oban_jobs SET state = 'executing', attempt = attempt + 1 WHERE id = %s AND state = 'available'",
            (id,),
        )
    assert seen == [
        ("available", 1, 3, {"rescued": 1}),
        ("available", 2, 4, {"rescued": 2}),
        ("available", 3, 5, {"rescued": 3}),
        ("available", 4, 5, {"rescued": 4}),
        ("discarded", 5, 5, {"rescued": 5}),
    ]


def test_the_largest_number_of_attempts_stays(judge: Any, beat: Any, executing: Any, rows: Any) -> None:
    ids = executing(beat(3600), max_attempts=32_767)
    assert judge() == ids
    assert rows("max_attempts", *ids) == [(32_767,)]


def test_one_node_at_a_time_judges(
    link: Link, statements: Statements, judge: Any, beat: Any, executing: Any, db: psycopg.Connection
) -> None:
    judge()
    executing(beat(3600))
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s, hashtext('public'))", (LOCK_CLASS,))
        assert rescue.rescue(link, statements, judge=new_owner(), rescue_after=300) == []


def test_a_rescue_wakes_the_queue(judge: Any, beat: Any, executing: Any, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute('LISTEN "public.oban_insert"')
        executing(beat(3600), 3)
        judge()
        assert [notify.payload for notify in listener.notifies(timeout=5, stop_after=1)] == ['{"queue" : "default"}']


def test_cleaning_forgets_old_producers_of_ours_and_discards_spent_jobs(
    link: Link, statements: Statements, beat: Any, db: psycopg.Connection, rows: Any
) -> None:
    beat(400)
    fresh = beat(100)
    db.execute(
        "INSERT INTO oban_producers (uuid, node, queue, updated_at) VALUES (%s, 'n', 'q', '2000-01-01')", (FOREIGN,)
    )
    db.execute("INSERT INTO oban_jobs (worker, attempt, max_attempts) VALUES ('w', 2, 2), ('w', 0, 2)")
    rescue.clean(link, statements, ["default"])
    assert {str(row[0]) for row in db.execute("SELECT uuid FROM oban_producers")} == {fresh, FOREIGN}
    assert rows("state::text") == [("discarded",), ("available",)]


def test_a_release_restores_the_attempt_of_what_was_not_begun(
    link: Link, statements: Statements, executing: Any, rows: Any
) -> None:
    owner = new_owner()
    unbegun, begun, spent, lost = (
        executing(owner)[0],
        executing(owner)[0],
        executing(owner, attempt=2, max_attempts=2)[0],
        executing(new_owner())[0],
    )
    jobs = [(unbegun, 1, False), (begun, 1, True), (spent, 2, True), (lost, 1, True)]
    assert rescue.release(link, statements, owner, jobs) == 3
    assert rows("state::text, attempt, meta, jsonb_array_length(errors)") == [
        ("available", 0, {}, 0),
        ("available", 0, {"handed_back": 1}, 0),
        ("discarded", 2, {"handed_back": 1}, 1),
        ("executing", 1, {}, 0),
    ]


def test_from_its_third_hand_back_on_a_job_pays_the_attempt(
    link: Link, statements: Statements, executing: Any, rows: Any, db: psycopg.Connection
) -> None:
    owner = new_owner()
    (id,) = executing(owner)
    attempts = []
    for _ in range(4):
        (attempt,) = rows("attempt")[0]
        rescue.release(link, statements, owner, [(id, attempt, True)])
        attempts += [attempt for (attempt,) in rows("attempt")]
        db.execute("UPDATE oban_jobs SET state = 'executing', attempt = attempt + 1")
    assert attempts == [0, 0, 1, 2]


def test_jobs_of_a_fetch_whose_answer_was_lost_go_back(
    link: Link, statements: Statements, executing: Any, rows: Any
) -> None:
    owner = new_owner()
    known, stray, again = *executing(owner, 2), *executing(owner, attempt=2)
    (other,) = executing(new_owner())
    cancelled: list[list[int]] = []
    assert rescue.reconcile(link, statements, owner, lambda: {(known, 1), (again, 1)}, cancelled.append) == 0
    assert cancelled == []
    assert rows("id, state::text, attempt") == [
        (known, "executing", 1),
        (stray, "available", 0),
        (again, "available", 1),
        (other, "executing", 1),
    ]


def test_a_locked_row_does_not_keep_others_from_going_back(
    link: Link, statements: Statements, executing: Any, rows: Any, dsn: str
) -> None:
    locked, free = executing(owner := new_owner(), 2)
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (locked,))
        assert rescue.reconcile(link, statements, owner, set, lambda _: None) == 1
        assert rows("id, state::text") == [(locked, "executing"), (free, "available")]
    assert rescue.reconcile(link, statements, owner, set, lambda _: None) == 0
    assert rows("id, state::text") == [(locked, "available"), (free, "available")]


@pytest.mark.parametrize(
    ("when", "expected"),
    [("clock_timestamp()", True), ("attempted_at", True), ("attempted_at - interval '1 ms'", False), ("'{}'", False)],
)
def test_a_job_that_was_asked_to_stop_since_it_began_is_found_by_its_row(
    link: Link, statements: Statements, executing: Any, db: psycopg.Connection, when: str, expected: bool
) -> None:
    owner = new_owner()
    asked, _ = executing(owner, 2, age=0.5)
    moment = when.replace("clock_timestamp()", "timezone('UTC', clock_timestamp())")
    db.execute(
        f"UPDATE oban_jobs SET meta = jsonb_build_object('cancel_attempted_at', {moment}) WHERE id = %s", (asked,)
    )
    found: list[int] = []
    rescue.reconcile(link, statements, owner, lambda: {(asked, 1), (asked + 1, 1)}, found.extend)
    assert found == ([asked] if expected else [])


ASKED = """
    UPDATE oban_jobs SET meta = jsonb_build_object('cancel_attempted_at', timezone('UTC', clock_timestamp()))
    WHERE id = ANY (%s)
"""


def test_a_job_that_was_asked_to_stop_is_not_run_again_by_others(
    judge: Any, beat: Any, executing: Any, rows: Any, db: psycopg.Connection, link: Link, statements: Statements
) -> None:
    asked, last, other = *executing(dead := beat(3600), 1), *executing(dead, attempt=20), *executing(dead)
    db.execute(ASKED, ([asked, last],))
    assert judge() == [asked, last, other]
    mine, unbegun = executing(owner := new_owner(), 2)
    db.execute(ASKED, ([mine, unbegun],))
    assert rescue.release(link, statements, owner, [(mine, 1, True), (unbegun, 1, False)]) == 2
    found = rows("state::text, cancelled_at IS NOT NULL, discarded_at IS NULL", asked, last, mine, unbegun)
    assert found == [("cancelled", True, True)] * 4
    assert rows("state::text, cancelled_at", other) == [("available", None)]


@pytest.mark.parametrize("count", ["9" * 131_072, "1.5", "-1", '"x"', "null", "[]", "{}"])
def test_a_count_that_is_none_stops_neither_rescue_nor_release(
    judge: Any,
    beat: Any,
    executing: Any,
    rows: Any,
    db: psycopg.Connection,
    link: Link,
    statements: Statements,
    count: str,
) -> None:
    meta = f'{{"rescued": {count}, "handed_back": {count}}}'
    ids = executing(beat(3600), 2)
    db.execute("UPDATE oban_jobs SET meta = %s::text::jsonb WHERE id = %s", (meta, ids[0]))
    assert judge() == ids
    (mine,) = executing(owner := new_owner())
    db.execute("UPDATE oban_jobs SET meta = %s::text::jsonb WHERE id = %s", (meta, mine))
    assert rescue.release(link, statements, owner, [(mine, 1, True)]) == 1
    assert rows("meta ->> 'rescued'", *ids) == [("1",), ("1",)]
    assert rows("meta ->> 'handed_back'", mine) == [("1",)]


OTHERS = {
    "a node of Oban": (
        "INSERT INTO oban_producers (uuid, node, queue, meta) VALUES (gen_random_uuid(), 'oban', 'default', '{}')"
    ),
    "a leader without queues": (
        "INSERT INTO oban_leaders (name, node, elected_at, expires_at) VALUES ('Oban', 'oban', now(), now())"
    ),
    "Oban for Elixir": "CREATE TABLE oban_peers (name text)",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_long_runs_are_renewed_while_others_go_by_their_age(
    link: Link, statements: Statements, beat: Any, executing: Any, rows: Any, db: psycopg.Connection, other: str
) -> None:
    owner = beat(0)
    old, young, foreign = *executing(owner), *executing(owner, age=50), *executing(FOREIGN)
    before = rows("attempted_at")
    assert rescue.renew(link, statements, [owner]) == []
    db.execute(other)
    assert rescue.renew(link, statements, [owner]) == [old]
    assert rescue.renew(link, statements, [owner]) == []
    renewed = "attempted_at > timezone('UTC', clock_timestamp()) - interval '50 s'"
    assert rows(f"id, {renewed}") == [(old, True), (young, False), (foreign, False)]
    assert rows("attempted_at")[1:] == before[1:]


def test_users_see_when_a_renewed_run_began(
    link: Link, statements: Statements, executing: Any, rows: Any, db: psycopg.Connection, oban: Oban
) -> None:
    (id,) = executing(owner := new_owner())
    db.execute(OTHERS["a node of Oban"])
    began = oban.get_job(id).attempted_at
    for _ in range(2):
        assert rescue.renew(link, statements, [owner]) == [id]
        assert oban.get_job(id).attempted_at == began
        db.execute(
            """
            UPDATE oban_jobs SET attempted_at = earlier, meta = meta || jsonb_build_object('renewed_at', earlier)
            FROM (SELECT attempted_at - interval '61 s' AS earlier FROM oban_jobs) AS moment
            """
        )
    assert oban.get_job(id).attempted_at == began
    db.execute("UPDATE oban_jobs SET attempted_at = timezone('UTC', clock_timestamp())")
    assert oban.get_job(id).attempted_at > began
    db.execute("UPDATE oban_jobs SET meta = jsonb_build_object('renewed_at', attempted_at, 'began_at', 5)")
    assert oban.get_job(id).attempted_at > began


def test_a_job_that_was_asked_to_stop_is_so_after_a_renewal(
    link: Link, statements: Statements, executing: Any, db: psycopg.Connection
) -> None:
    asked, _ = executing(owner := new_owner(), 2)
    db.execute(ASKED, ([asked],))
    db.execute("UPDATE oban_jobs SET meta = meta || '{\"kept\": 1}'")
    db.execute(OTHERS["a node of Oban"])
    assert rescue.renew(link, statements, [owner]) == [asked, asked + 1]
    found: list[int] = []
    rescue.reconcile(link, statements, owner, lambda: {(asked, 1), (asked + 1, 1)}, found.extend)
    assert found == [asked]
    assert db.execute("SELECT count(*) FROM oban_jobs WHERE meta @> '{\"kept\": 1}'").fetchone() == (2,)


def test_a_row_that_somebody_holds_is_renewed_later(
    link: Link, statements: Statements, executing: Any, db: psycopg.Connection, dsn: str
) -> None:
    held, free = executing(owner := new_owner(), 2)
    db.execute(OTHERS["a node of Oban"])
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT 1 FROM oban_jobs WHERE id = %s FOR UPDATE", (held,))
        assert rescue.renew(link, statements, [owner]) == [free]
    assert rescue.renew(link, statements, [owner]) == [held]


def test_a_job_that_runs_again_is_left_to_who_runs_it(
    dsn: str, judge: Any, beat: Any, executing: Any, rows: Any, db: psycopg.Connection, eventually: Any
) -> None:
    """A second judge whose statement began before the first one's commit sees the row of a run that is over."""
    db.execute("CREATE SCHEMA held")
    db.execute(
        """
        CREATE FUNCTION held.hashtext(text) RETURNS integer LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_lock(4712); RETURN pg_catalog.hashtext($1); END $$
        """
    )
    (orphan,) = executing(beat(3600))
    second, living = beat(0), beat(0)
    late = Link(dsn, name="oban_sync:test", kwargs={"options": "-csearch_path=public,held,pg_catalog"})
    db.execute("SELECT pg_advisory_lock(4712)")
    taken: list[int] = []
    thread = threading.Thread(
        target=lambda: taken.extend(rescue.rescue(late, Statements(), judge=second, rescue_after=300))
    )
    thread.start()
    try:
        eventually(lambda: db.execute("SELECT FROM pg_locks WHERE objid = 4712 AND NOT granted").fetchone() is not None)
        assert judge() == [orphan]
        db.execute(
            """
            UPDATE oban_jobs SET state = 'executing', attempt = attempt + 1, attempted_by = ARRAY['node', %s::text]
            WHERE id = %s
            """,
            (living, orphan),
        )
    finally:
        db.execute("SELECT pg_advisory_unlock(4712)")
        thread.join()
        late.close()
        db.execute("DROP SCHEMA held CASCADE")
    assert taken == []
    assert rows("state::text, attempt, attempted_by[2], meta", orphan) == [("executing", 2, living, {"rescued": 1})]


def test_the_next_lapse_is_that_of_the_oldest_beat_that_still_holds(
    link: Link, statements: Statements, beat: Any, db: psycopg.Connection
) -> None:
    assert rescue.next_lapse(link, statements) is None
    beat(3600)
    db.execute("INSERT INTO oban_producers (uuid, node, queue, updated_at) VALUES (%s, 'n', 'q', now())", (FOREIGN,))
    assert rescue.next_lapse(link, statements) is None
    beat(-3600)
    assert rescue.FREE_LEASE < (rescue.next_lapse(link, statements) or 0) <= 3600 + rescue.FREE_LEASE
    beat(-60)
    assert rescue.FREE_LEASE < (rescue.next_lapse(link, statements) or 0) <= 60 + rescue.FREE_LEASE


def test_a_node_looks_when_a_lease_has_ended(
    dsn: str, beat: Any, executing: Any, rows: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "JUDGE_AFTER", (0.0, 0.0))
    (orphan,) = executing(beat(rescue.FREE_LEASE - 2))
    with Oban(dsn=dsn, queues={"other": 1}, lifeline={"interval": 3600}):
        eventually(lambda: rows("state::text", orphan) == [("available",)])
