"""The doctor finds what is wrong, says what to do, and has an exit status for it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from oban_sync import Job, Oban, clock, schema
from oban_sync.errors import DatabaseUnavailable
from oban_sync.lifecycle import diagnose, health, probe
from oban_sync.store.statements import OWNER_MARK, Statements
from tests.chaos import pooler
from tests.cli.ran import ran, rows

NAMES = [
    *("schema", "indexes", "connections", "rows", "snapshots", "clock", "notify", "pool", "orphans", "foreign"),
    *("nodes", "leader", "queues"),
]


def checked(dsn: str, *arguments: object, status: int = 0) -> dict[str, dict]:
    found = rows(dsn, "doctor", *arguments, status=status)
    assert [row["name"] for row in found] == NAMES
    return {row["name"]: row for row in found}


def add_node(db: Connection, *, meta: str, ago: float = 0, node: str = "old.1") -> str:
    owner = str(uuid.uuid4())
    db.execute(
        "INSERT INTO oban_producers (uuid, name, node, queue, meta, updated_at)"
        " VALUES (%s, 'Oban', %s, 'mail', %s, timezone('UTC', clock_timestamp()) - make_interval(secs => %s))",
        (owner, node, meta, ago),
    )
    return owner


def test_a_healthy_database_with_a_node(dsn: str, eventually: Callable[..., object]) -> None:
    with Oban(dsn=dsn, queues={"mail": 5}, node="web.1") as oban:
        eventually(lambda: oban.is_leader)
        found = checked(dsn, "--queues", "mail:5")
        lines = ran(dsn, "doctor").stdout.splitlines()
    assert {row["level"] for row in found.values()} == {"ok"}, found
    assert found["notify"]["evidence"]["seconds"] < 3
    assert abs(found["clock"]["evidence"]["ahead_seconds"]) < 1
    assert found["leader"]["says"] == "web.1 leads Oban"
    assert found["pool"]["says"] == "5 threads of 1 queue share a pool of 10 connections"
    assert lines[0] == "ok: schema: the tables have version 3"


def test_tables_that_are_missing(empty_dsn: str) -> None:
    assert "run `oban-sync install --dsn ...` first" in ran(empty_dsn, "doctor", status=1).stderr


def test_an_old_version_and_indexes_that_are_gone(dsn: str, db: Connection) -> None:
    db.execute("DELETE FROM oban_sync_migrations WHERE version = 3")
    db.execute("DROP INDEX oban_jobs_staging_index")
    db.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'oban_jobs_completed_at_index'::regclass")
    found = checked(dsn, status=1)
    assert (found["schema"]["level"], found["schema"]["says"]) == ("wrong", "the tables have version 2 of 3")
    assert found["indexes"]["evidence"] == {
        "missing": ["oban_jobs_staging_index", "oban_jobs_completed_at_index"],
        "invalid": ['"public".oban_jobs_completed_at_index'],
    }
    ran(dsn, "install")
    found = checked(dsn)
    assert {found[name]["level"] for name in ("schema", "indexes")} == {"ok"}


def test_tables_of_another_oban(dsn: str, db: Connection) -> None:
    db.execute("DROP TABLE oban_sync_migrations, oban_sync_queues, oban_sync_crons")
    found = checked(dsn, status=1)
    assert (found["schema"]["level"], found["schema"]["says"]) == ("wrong", "the tables were made by another Oban")
    assert "leaders" in ran(dsn, "status").stdout
    ran(dsn, "install")
    assert checked(dsn)["schema"]["level"] == "ok"


def test_an_index_that_was_dropped_from_the_newest_version_is_made_again(dsn: str, db: Connection) -> None:
    db.execute("DROP INDEX oban_jobs_available_index")
    found = checked(dsn, status=1)
    assert (found["schema"]["level"], found["indexes"]["says"]) == ("ok", "indexes missing: oban_jobs_available_index")
    ran(dsn, "install")
    assert checked(dsn)["indexes"]["level"] == "ok"


def test_an_index_of_another_oban_stands_for_ours(dsn: str, db: Connection) -> None:
    db.execute("CREATE INDEX theirs ON oban_jobs (state, queue, priority, scheduled_at, id)")
    db.execute("DROP INDEX oban_jobs_available_index, oban_jobs_executing_index")
    assert checked(dsn)["indexes"]["level"] == "ok"


def test_a_role_without_rights_for_a_check_is_told_so(empty_dsn: str) -> None:
    role = "oban_sync_plain"
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        schema.install(connection)
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        connection.execute("REVOKE ALL ON pg_prepared_xacts FROM PUBLIC")
        try:
            found = checked(make_conninfo(empty_dsn, user=role))
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")
    assert found["snapshots"]["level"] == "note"
    assert found["snapshots"]["says"] == "this role may not look: permission denied for view pg_prepared_xacts"
    assert {found[name]["level"] for name in ("schema", "indexes", "rows", "notify", "nodes")} == {"ok"}


SMALL = {"live": 0, "dead": 0, "table_bytes": 8192, "index_bytes": 8192, "expected_bytes": None, "vacuum_seconds": None}


@pytest.mark.parametrize(
    ("seen", "level", "says"),
    [
        ({}, "ok", "0 rows and 0 dead rows in 0.0 MB"),
        ({"dead": 10_000}, "ok", ""),
        ({"dead": 10_001}, "note", "; no vacuum was noted"),
        ({"dead": 10_001, "vacuum_seconds": 75.0}, "note", "; the last vacuum was 1 min 15 s ago"),
        ({"dead": 10_001, "live": 50_005}, "ok", ""),
        ({"dead": 10_001, "live": 50_004}, "note", ""),
        ({"dead": 100_000}, "note", ""),
        ({"dead": 100_001}, "wrong", ""),
        ({"dead": 200_000, "live": 200_000}, "note", ""),
        ({"dead": 200_001, "live": 200_000}, "wrong", ""),
        ({"table_bytes": 100_000_001, "expected_bytes": 25_000_000}, "wrong", ": 4.0 times what its rows need"),
        ({"table_bytes": 100_000_001, "expected_bytes": 25_000_001}, "ok", ""),
        ({"table_bytes": 100_000_000, "expected_bytes": 1_000_000}, "ok", ""),
        ({"table_bytes": 900_000_000}, "ok", ""),
        ({"table_bytes": 900_000_000, "expected_bytes": 1, "dead": 10_001}, "wrong", "times what its rows need"),
    ],
)
def test_the_limits_of_dead_rows_and_of_bloat(seen: dict[str, float], level: str, says: str) -> None:
    found = health.judge_rows(SMALL | seen)
    assert (found.name, found.level) == ("rows", level)
    assert found.says.endswith(says)
    assert bool(found.advice) == (level != "ok")


@pytest.fixture
def leave_rows(db: Connection, eventually: Callable) -> Iterator[Callable[[int, int], None]]:
    """Store jobs and delete all but the last ones, where nobody vacuums."""

    def leave(stored: int, left: int) -> None:
        db.execute("ALTER TABLE oban_jobs SET (autovacuum_enabled = false)")
        db.execute("SELECT pg_stat_reset_single_table_counters('oban_jobs'::regclass)")
        db.execute(
            "INSERT INTO oban_jobs (worker, args) SELECT 'w', %s::jsonb FROM generate_series(1, %s)",
            (f'["{"a" * 100}"]', stored),
        )
        db.execute("DELETE FROM oban_jobs WHERE id <= (SELECT max(id) - %s FROM oban_jobs)", (left,))
        db.execute("SELECT pg_stat_force_next_flush()")
        dead = "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = 'oban_jobs'::regclass"
        eventually(lambda: db.execute(dead).fetchone() == (stored - left,))

    yield leave
    db.execute("ALTER TABLE oban_jobs RESET (autovacuum_enabled)")


def test_dead_rows_that_nobody_takes_away(
    dsn: str, db: Connection, leave_rows: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_rows(30, 5)
    assert checked(dsn, status=1)["rows"]["level"] == "ok"
    monkeypatch.setattr(health, "DEAD_ROWS", (20, 30))
    found = checked(dsn, status=1)["rows"]
    assert (found["level"], found["evidence"]["dead"], found["evidence"]["live"]) == ("note", 25, 5)
    assert found["says"].endswith("no vacuum was noted")
    monkeypatch.setattr(health, "DEAD_ROWS", (10, 20))
    assert checked(dsn, status=1)["rows"]["level"] == "wrong"
    db.execute("VACUUM oban_jobs")
    found = checked(dsn, status=1)["rows"]
    assert (found["level"], found["evidence"]["dead"]) == ("ok", 0)


def test_a_table_that_is_larger_than_its_rows_need(
    dsn: str, db: Connection, leave_rows: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "BLOATED_BYTES", 50_000)
    leave_rows(500, 20)
    db.execute("VACUUM ANALYZE oban_jobs")
    found = checked(dsn, status=1)["rows"]
    assert (found["level"], found["evidence"]["dead"]) == ("wrong", 0)
    assert 4 < found["evidence"]["bloat_times"] < 100
    assert found["says"].endswith(" times what its rows need")
    assert "pg_repack or VACUUM FULL" in found["advice"]
    db.execute("VACUUM (FULL, ANALYZE) oban_jobs")
    found = checked(dsn, status=1)["rows"]
    assert (found["level"], found["evidence"]["bloat_times"] < 4) == ("ok", True)


def test_who_holds_an_old_snapshot(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "HELD_SECONDS", (0.0, 0.0))
    with psycopg.connect(make_conninfo(dsn, application_name="report")) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        found = checked(dsn, status=1)["snapshots"]
        pid = connection.info.backend_pid
    assert found["says"].startswith(f"session {pid} of report (idle in transaction) holds a snapshot for ")
    assert f"pg_terminate_backend({pid})" in found["advice"]


def test_a_pool_without_a_free_connection_is_waited_for_in_short(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "WAIT_SECONDS", 0.1)
    with Oban.create_pool(dsn, max_size=1, timeout=60) as pool, pool.connection():
        found = {finding.name: finding for finding in Oban(pool=pool, name="busy").diagnose()}
    assert list(found) == NAMES
    assert (found["notify"].level, found["clock"].level) == ("wrong", "ok")
    assert found["notify"].says == "nothing could be sent by the pool: couldn't get a connection after 0.10 sec"
    assert "make it larger" in found["notify"].advice


def test_a_database_that_is_away_is_waited_for_in_short(dsn: str, tmp_path: Path) -> None:
    away = Oban(dsn=f"host={tmp_path}", name="away")
    with pytest.raises(DatabaseUnavailable, match="No such file or directory"):
        away.diagnose()
    away.stop()


def test_notifications_that_do_not_arrive(
    dsn: str, empty_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "NOTIFY_SECONDS", 0.1)
    options = tmp_path / "oban.toml"
    options.write_text(f"notifier = {{ dsn = {json.dumps(empty_dsn)} }}\n")
    found = checked(dsn, "--config", options, status=1)["notify"]
    assert (found["level"], found["evidence"]["listens_by"]) == ("wrong", "notifier.dsn")
    assert found["says"] == "LISTEN is dead by notifier.dsn: none arrived in 0.1 s"


def test_clocks_that_differ(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() - timedelta(minutes=1))
    found = checked(dsn, status=1)["clock"]
    assert found["says"].startswith("the clock of this host is 60.0 s behind the database's")


def test_a_pool_that_is_small_for_its_threads(dsn: str) -> None:
    found = checked(dsn, "--queues", "mail:30,default:5")["pool"]
    assert (found["level"], found["says"]) == ("note", "35 threads of 2 queues share a pool of 10 connections")


def test_jobs_of_dead_nodes(dsn: str, db: Connection, oban: Oban) -> None:
    jobs = oban.enqueue_many(Job("shop.Mail", queue="mail") for _ in range(3))
    owners = [f"{OWNER_MARK}-0000-8000-8000-000000000001", str(uuid.uuid4()), add_node(db, meta="{}", ago=3600)]
    for job, owner in zip(jobs, owners, strict=True):
        db.execute(
            "UPDATE oban_jobs SET state = 'executing', attempted_at = now(), attempted_by = %s WHERE id = %s",
            (["old.1", owner], job.id),
        )
    found = checked(dsn, status=1)
    assert found["orphans"]["says"] == "3 jobs of dead nodes wait to be taken back: old.1"
    assert (found["orphans"]["evidence"]["jobs"], found["orphans"]["evidence"]["unjudged"]) == (3, 1)
    assert found["nodes"]["says"] == "0 nodes alive, 1 fell silent: old.1"


def test_nodes_of_another_oban(dsn: str, db: Connection) -> None:
    add_node(db, meta='{"local_limit": 5}', node="elixir.1")
    found = checked(dsn)["foreign"]
    assert (found["level"], found["evidence"]) == ("note", {"nodes": ["elixir.1"], "queues": ["mail"]})
    assert "5 min after they began" in found["advice"]


def test_nodes_without_locks_or_leader_or_of_two_versions(dsn: str, db: Connection) -> None:
    add_node(db, meta='{"oban_sync": "1.0"}', node="a")
    add_node(db, meta='{"oban_sync": "2.0"}', node="b")
    found = checked(dsn)
    assert found["nodes"]["says"] == "2 nodes alive, of versions 1.0, 2.0"
    assert found["leader"]["evidence"] == {"leaders": {}, "without": ["Oban"]}
    add_node(db, meta='{"oban_sync": "2.0", "locks": false}', node="c")
    assert checked(dsn)["nodes"]["says"] == "3 nodes alive; 1 without session locks"


def test_jobs_that_wait_where_nobody_runs_them(dsn: str, oban: Oban, db: Connection) -> None:
    oban.enqueue(Job("shop.Mail", queue="mail"))
    found = checked(dsn, status=1)["queues"]
    assert (found["says"], found["level"]) == ("jobs wait in queues that no node runs: mail", "wrong")
    add_node(db, meta='{"oban_sync": "1.0", "paused": true}')
    assert checked(dsn)["queues"]["says"] == "jobs wait in queues that are paused: mail"


def test_every_channel_fits_the_longest_prefix() -> None:
    statements = Statements("p" * 49)
    channels = [value for name, value in vars(statements).items() if name.endswith("_channel")]
    assert len(channels) >= 5
    assert max(map(len, channels)) <= 63


@pytest.mark.skipif(pooler.program() is None, reason=pooler.MISSING)
def test_a_pooler_between_is_found_and_a_way_past_it_helps(dsn: str, tmp_path: Path) -> None:
    with pooler.pooled(dsn, sessions=3) as through:
        found = checked(through, status=1)["notify"]
        assert (found["level"], found["evidence"]["pooler"], found["evidence"]["seconds"]) == ("wrong", True, None)
        assert "set notifier.dsn to a direct way" in found["advice"]
        options = tmp_path / "oban.toml"
        options.write_text(f"notifier = {{ dsn = {json.dumps(dsn)} }}\n")
        found = checked(through, "--config", options)["notify"]
    assert (found["level"], found["evidence"]["pooler"], found["evidence"]["seconds_by_pool"]) == ("ok", False, None)
