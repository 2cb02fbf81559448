"""Installing the tables: anew, again, at once, over what Oban made, and taking them away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg_pool import ConnectionPool
from sqlalchemy import orm

from oban_sync import Job, Oban, schema, worker
from oban_sync.errors import ConfigError, DatabaseRefused, ObanError, SchemaMissing
from oban_sync.store.statements import Statements
from tests.conftest import Events
from tests.store.callers import engine

# As Oban for Python 0.7.0 and Oban for Elixir (migration 13) make them, reduced to what matters to others.

STATES = "'available', 'scheduled', {}'executing', 'retryable', 'completed', 'discarded', 'cancelled'"

PYTHON = f"""
CREATE TYPE oban_job_state AS ENUM ({STATES.format("'suspended', ")});
CREATE TABLE oban_jobs (
    id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    state oban_job_state NOT NULL DEFAULT 'available',
    queue text NOT NULL DEFAULT 'default',
    worker text NOT NULL,
    attempt smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL DEFAULT 20,
    priority smallint NOT NULL DEFAULT 0,
    args jsonb NOT NULL DEFAULT '{{}}',
    meta jsonb NOT NULL DEFAULT '{{}}',
    tags text[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    errors jsonb NOT NULL DEFAULT '[]',
    attempted_by text[] NOT NULL DEFAULT ARRAY[]::TEXT[],
    inserted_at timestamp WITHOUT TIME ZONE NOT NULL DEFAULT timezone('UTC', now()),
    scheduled_at timestamp WITHOUT TIME ZONE NOT NULL DEFAULT timezone('UTC', now()),
    attempted_at timestamp WITHOUT TIME ZONE,
    cancelled_at timestamp WITHOUT TIME ZONE,
    completed_at timestamp WITHOUT TIME ZONE,
    discarded_at timestamp WITHOUT TIME ZONE,
    CONSTRAINT attempt_range CHECK (attempt >= 0 AND attempt <= max_attempts),
    CONSTRAINT queue_length CHECK (char_length(queue) > 0),
    CONSTRAINT worker_length CHECK (char_length(worker) > 0),
    CONSTRAINT positive_max_attempts CHECK (max_attempts > 0),
    CONSTRAINT non_negative_priority CHECK (priority >= 0)
);
CREATE UNLOGGED TABLE oban_leaders (
    name text PRIMARY KEY DEFAULT 'oban', node text NOT NULL,
    elected_at timestamp NOT NULL, expires_at timestamp NOT NULL
);
CREATE UNLOGGED TABLE oban_producers (
    uuid uuid PRIMARY KEY, name text NOT NULL DEFAULT 'oban', node text NOT NULL, queue text NOT NULL,
    meta jsonb NOT NULL DEFAULT '{{}}',
    started_at timestamp NOT NULL DEFAULT timezone('UTC', now()),
    updated_at timestamp NOT NULL DEFAULT timezone('UTC', now())
);
CREATE INDEX oban_jobs_state_queue_priority_scheduled_at_id_index
ON oban_jobs (state, queue, priority, scheduled_at, id) WITH (fillfactor = 90);
CREATE INDEX oban_jobs_staging_index
ON oban_jobs (scheduled_at, id) INCLUDE (queue) WHERE state IN ('scheduled', 'retryable');
CREATE INDEX oban_jobs_completed_at_index ON oban_jobs (completed_at) WHERE state = 'completed';
CREATE INDEX oban_jobs_cancelled_at_index ON oban_jobs (cancelled_at) WHERE state = 'cancelled';
CREATE INDEX oban_jobs_discarded_at_index ON oban_jobs (discarded_at) WHERE state = 'discarded';
ALTER TABLE oban_jobs SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 50,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 100,
    autovacuum_vacuum_cost_limit = 2000, autovacuum_vacuum_cost_delay = 1,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_insert_threshold = 1000,
    fillfactor = 85
);
"""

ELIXIR = f"""
CREATE TYPE oban_job_state AS ENUM ({STATES.format("")});
CREATE TABLE oban_jobs (
    id bigserial PRIMARY KEY,
    state oban_job_state NOT NULL DEFAULT 'available',
    queue text NOT NULL DEFAULT 'default',
    worker text NOT NULL,
    args jsonb NOT NULL DEFAULT '{{}}',
    errors jsonb[] NOT NULL DEFAULT ARRAY[]::jsonb[],
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 20,
    inserted_at timestamp NOT NULL DEFAULT timezone('UTC', now()),
    scheduled_at timestamp NOT NULL DEFAULT timezone('UTC', now()),
    attempted_at timestamp,
    completed_at timestamp,
    attempted_by text[],
    discarded_at timestamp,
    priority integer NOT NULL DEFAULT 0,
    tags varchar(255)[] DEFAULT ARRAY[]::varchar[],
    meta jsonb DEFAULT '{{}}',
    cancelled_at timestamp,
    CONSTRAINT attempt_range CHECK (attempt >= 0 AND attempt <= max_attempts),
    CONSTRAINT positive_max_attempts CHECK (max_attempts > 0),
    CONSTRAINT queue_length CHECK (char_length(queue) > 0 AND char_length(queue) < 128),
    CONSTRAINT worker_length CHECK (char_length(worker) > 0 AND char_length(worker) < 128),
    CONSTRAINT non_negative_priority CHECK (priority >= 0)
);
CREATE UNLOGGED TABLE oban_peers (
    name text PRIMARY KEY, node text NOT NULL, started_at timestamp NOT NULL, expires_at timestamp NOT NULL
);
CREATE INDEX oban_jobs_args_index ON oban_jobs USING gin (args);
CREATE INDEX oban_jobs_meta_index ON oban_jobs USING gin (meta);
CREATE INDEX oban_jobs_state_queue_priority_scheduled_at_id_index
ON oban_jobs (state, queue, priority, scheduled_at, id);
CREATE INDEX oban_jobs_state_cancelled_at_index ON oban_jobs (state, cancelled_at);
CREATE INDEX oban_jobs_state_discarded_at_index ON oban_jobs (state, discarded_at);
COMMENT ON TABLE oban_jobs IS '13';
"""

MADE_BY = pytest.mark.parametrize("ddl", [PYTHON, ELIXIR], ids=["Oban for Python", "Oban for Elixir"])
HOWS = pytest.mark.parametrize("how", ["install", "script"])


@worker(name="schema.Twice")
class Twice:
    """Fails at its first attempt."""

    def process(self, job: Job) -> None:
        if job.attempt == 1:
            raise LookupError("the first attempt")
        seen.append(job.errors)

    def backoff(self, job: Job) -> float:
        return 0


@worker(name="schema.Once", max_attempts=1)
class Once:
    """Fails for good."""

    def process(self, job: Job) -> None:
        raise LookupError("for good")


seen: list[list[dict[str, Any]]] = []


@pytest.fixture
def db(empty_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection in autocommit to a database without tables."""
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        yield connection


def put(db: psycopg.Connection[Any], how: str = "install", prefix: str = "public") -> None:
    """Install in one of the two ways."""
    if how == "install":
        schema.install(db, prefix)
    else:
        with db.transaction():
            db.execute(schema.install_sql(prefix))


def columns(db: psycopg.Connection[Any], prefix: str = "public", *tables: str) -> list[tuple[Any, ...]]:
    return db.execute(
        "SELECT table_name, column_name, data_type, udt_name, column_default, is_nullable, is_identity"
        " FROM information_schema.columns WHERE table_schema = %s AND table_name = ANY (%s) ORDER BY 1, 2",
        (prefix, list(tables or ("oban_jobs", "oban_leaders", "oban_producers"))),
    ).fetchall()


def constraints(db: psycopg.Connection[Any], prefix: str = "public") -> list[tuple[Any, ...]]:
    return db.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(c.oid) FROM pg_constraint AS c"
        " JOIN pg_namespace AS n ON n.oid = connamespace WHERE nspname = %s AND contype <> 'n' ORDER BY 1, 2",
        (prefix,),
    ).fetchall()


def indexes(db: psycopg.Connection[Any], prefix: str = "public") -> dict[str, str]:
    found = db.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = 'oban_jobs'", (prefix,)
    )
    return dict(found.fetchall())


def options(db: psycopg.Connection[Any]) -> set[str]:
    row = db.execute("SELECT reloptions FROM pg_class WHERE oid = 'oban_jobs'::regclass").fetchone()
    return set(row[0] or ()) if row else set()


def objects(db: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Everything that is not the system's, down to its identity and the transaction that last wrote it."""
    return db.execute(
        "SELECT 'class', c.oid, c.relname, c.relfilenode, c.xmin::text FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = relnamespace"
        " WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        " UNION ALL SELECT 'function', p.oid, proname, 0, p.xmin::text FROM pg_proc AS p WHERE proname LIKE 'oban%'"
        " UNION ALL SELECT 'type', t.oid, typname, 0, t.xmin::text FROM pg_type AS t WHERE typname LIKE 'oban\\_job%'"
        " UNION ALL SELECT 'schema', oid, nspname, 0, xmin::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'"
        " ORDER BY 1, 2"
    ).fetchall()


def states(db: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in db.execute("SELECT unnest(enum_range(NULL::oban_job_state))::text").fetchall()]


def live(dsn: str, events: Events, **given: Any) -> tuple[Job, Job]:
    """Enqueue a job that succeeds at its second attempt and one that fails for good, and wait for both."""
    seen.clear()
    with Oban(dsn=dsn, name="schema", queues={"default": 2}, **given) as oban:
        twice, once = oban.enqueue_many(Twice.new({"a": [1]}, tags=["b", "a"], meta={"m": 1}), Once.new(scheduled_in=0))
        events.wait(2, "exception")
        events.wait(1, "stop")
    return twice, once


# Anew ----------------------------------------------------------------------------------------------------------------


@HOWS
def test_the_tables_are_those_of_oban_column_for_column(how: str, db: Any, make_database: Any) -> None:
    put(db, how)
    with psycopg.connect(make_database("template0"), autocommit=True) as theirs:
        theirs.execute(PYTHON)
        assert columns(db) == columns(theirs)
        assert [row for row in constraints(db) if "oban_sync" not in row[0]] == constraints(theirs)
        assert options(db) == options(theirs)
        assert states(db) == states(theirs)
    logged = db.execute("SELECT relname::text, relpersistence::text FROM pg_class WHERE relname ~ '^oban_[a-z]+$'")
    persistence = {
        name: kind for name, kind in logged.fetchall() if name in ("oban_jobs", "oban_leaders", "oban_producers")
    }
    assert persistence == {"oban_jobs": "p", "oban_leaders": "u", "oban_producers": "u"}
    assert db.execute("SELECT oban_count_estimate('available', 'default') >= 0").fetchone() == (True,)
    assert db.execute("SELECT obj_description('oban_jobs'::regclass)").fetchone() == (None,)


def test_both_ways_of_installing_make_the_same(db: Any, make_database: Any) -> None:
    put(db, "install")
    with psycopg.connect(make_database("template0"), autocommit=True) as other:
        put(other, "script")
        assert columns(db) == columns(other)
        assert constraints(db) == constraints(other)
        assert indexes(db) == indexes(other)
        assert options(db) == options(other)


@HOWS
def test_a_second_installation_changes_nothing(how: str, db: Any) -> None:
    put(db, how)
    db.execute("INSERT INTO oban_jobs (worker) VALUES ('w')")
    before = objects(db)
    put(db, "install")
    assert objects(db) == before
    put(db, "script")
    assert [row[:4] for row in objects(db)] == [row[:4] for row in before]
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (1,)
    assert db.execute("SELECT array_agg(version) FROM oban_sync_migrations").fetchone() == ([1, 2, 3],)


def test_a_second_installation_needs_no_rights(db: Any) -> None:
    schema.install(db)
    db.execute("CREATE ROLE oban_sync_reader")
    try:
        db.execute("GRANT SELECT ON oban_sync_migrations TO oban_sync_reader")
        db.execute("SET ROLE oban_sync_reader")
        schema.install(db)
    finally:
        db.execute("RESET ROLE")
        db.execute("DROP OWNED BY oban_sync_reader")
        db.execute("DROP ROLE oban_sync_reader")


def test_the_script_is_all_or_nothing(db: Any) -> None:
    before = objects(db)
    with pytest.raises(ZeroDivisionError), db.transaction():
        db.execute(schema.install_sql("jobs") + f"SELECT {1 / len(columns(db))}")
    assert objects(db) == before


def test_a_pool_installs_and_gets_its_connections_back_as_they_were(empty_dsn: str) -> None:
    pool = ConnectionPool(empty_dsn, min_size=1, max_size=2, open=False)
    schema.install(pool)
    schema.install(pool)
    with pool.connection() as connection:
        assert not connection.autocommit
        assert connection.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
    schema.uninstall(pool)
    pool.close()


def test_several_may_install_at_once(empty_dsn: str, db: Any) -> None:
    barrier, failures = threading.Barrier(6), []

    def install() -> None:
        try:
            with psycopg.connect(empty_dsn, autocommit=True) as connection:
                barrier.wait()
                schema.install(connection)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=install) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert db.execute("SELECT count(*) FROM oban_sync_migrations").fetchone() == (3,)
    assert db.execute("SELECT bool_and(indisvalid) FROM pg_index").fetchone() == (True,)
    locks = db.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    assert locks.fetchone() == (0,)


def test_an_index_that_a_crash_left_half_built_is_built_again(db: Any) -> None:
    db.execute(PYTHON)
    db.execute("DROP INDEX oban_jobs_staging_index")
    db.execute("INSERT INTO oban_jobs (worker, scheduled_at) VALUES ('w', now()), ('w', now())")
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("CREATE UNIQUE INDEX CONCURRENTLY oban_jobs_staging_index ON oban_jobs (worker)")
    schema.install(db)
    assert "(scheduled_at, id) INCLUDE (queue)" in indexes(db)["oban_jobs_staging_index"]
    assert db.execute("SELECT bool_and(indisvalid) FROM pg_index").fetchone() == (True,)


def test_installing_over_a_table_in_use_waits_for_nobody_s_reads(db: Any, empty_dsn: str, make_database: Any) -> None:
    db.execute(PYTHON)
    db.execute("INSERT INTO oban_jobs (worker) VALUES ('w')")
    with psycopg.connect(empty_dsn) as user:
        user.execute("SELECT * FROM oban_jobs")  # an open transaction that holds a lock on the table
        db.execute("SET lock_timeout = '5s'")
        schema.install(db)


# A schema of one's own -----------------------------------------------------------------------------------------------


@HOWS
@pytest.mark.parametrize("prefix", ["jobs", "Jobs_2", "select", "_", "a" * 49])
def test_a_prefix_holds_everything_and_lives_beside_others(
    prefix: str, how: str, db: Any, empty_dsn: str, events: Events
) -> None:
    put(db, how, prefix)
    assert [row[0] for row in columns(db, "public")] == []
    assert len({row[0] for row in columns(db, prefix)}) == 3
    assert len(indexes(db, prefix)) >= 6
    put(db)
    twice, once = live(empty_dsn, events, prefix=prefix)
    rows = db.execute(f'SELECT id, state::text FROM "{prefix}".oban_jobs ORDER BY id').fetchall()
    assert rows == [(twice.id, "completed"), (once.id, "discarded")]
    assert db.execute("SELECT count(*) FROM public.oban_jobs").fetchone() == (0,)

    schema.uninstall(db, prefix)
    assert columns(db, prefix) == []
    assert len({row[0] for row in columns(db, "public")}) == 3
    assert db.execute("SELECT to_regnamespace(%s) IS NOT NULL", (f'"{prefix}"',)).fetchone() == (True,)


INVALID = ["", " ", "my jobs", "1st", "a" * 50, 'a"b', "a;b", "a-b", "a.b", "jöbs", "jobs\n", "a\0", None, 5, b"jobs"]


@pytest.mark.parametrize("prefix", INVALID, ids=repr)
@pytest.mark.parametrize(
    "use",
    [
        lambda db, prefix: schema.install(db, prefix),
        lambda db, prefix: schema.uninstall(db, prefix),
        lambda db, prefix: schema.install_sql(prefix),
        lambda db, prefix: schema.uninstall_sql(prefix),
        lambda db, prefix: Statements(prefix),
        lambda db, prefix: Oban(dsn="dbname=x", prefix="" if prefix is None else prefix),
    ],
    ids=["install", "uninstall", "install_sql", "uninstall_sql", "Statements", "Oban"],
)
def test_what_is_no_plain_name_is_refused_as_a_prefix(use: Any, prefix: Any) -> None:
    with pytest.raises(ConfigError, match="expected prefix to be a schema's name of letters, digits and _, at most 49"):
        use(None, prefix)


# Over what Oban made -------------------------------------------------------------------------------------------------


@HOWS
@MADE_BY
def test_a_database_of_oban_s_is_taken_as_it_is(ddl: str, how: str, db: Any) -> None:
    db.execute(ddl)
    db.execute("INSERT INTO oban_jobs (worker, tags) VALUES ('Their.Worker', '{a,b}')")
    before = columns(db, "public", "oban_jobs"), constraints(db), options(db), indexes(db)
    comment = db.execute("SELECT obj_description('oban_jobs'::regclass)").fetchone()
    file = db.execute("SELECT relfilenode FROM pg_class WHERE oid = 'oban_jobs'::regclass").fetchone()

    put(db, how)

    assert columns(db, "public", "oban_jobs") == before[0]
    assert set(before[1]) <= set(constraints(db))
    assert before[2] <= options(db)
    assert before[3].items() <= indexes(db).items()
    assert "oban_jobs_available_index" not in indexes(db)  # beside Oban's own it would cost more than it gives
    assert db.execute("SELECT obj_description('oban_jobs'::regclass)").fetchone() == comment
    assert db.execute("SELECT relfilenode FROM pg_class WHERE oid = 'oban_jobs'::regclass").fetchone() == file
    assert db.execute("SELECT worker, tags::text[] FROM oban_jobs").fetchall() == [("Their.Worker", ["a", "b"])]
    assert "suspended" in states(db)
    before_again = [row[:4] for row in objects(db)]
    put(db, how)
    assert [row[:4] for row in objects(db)] == before_again


def test_elixir_s_version_in_the_comment_stays_elixir_s(db: Any) -> None:
    db.execute(ELIXIR)
    schema.install(db)
    assert db.execute("SELECT obj_description('oban_jobs'::regclass)").fetchone() == ("13",)


@HOWS
@MADE_BY
def test_jobs_live_on_a_database_of_oban_s(ddl: str, how: str, db: Any, empty_dsn: str, events: Events) -> None:
    db.execute(ddl)
    put(db, how)
    twice, once = live(empty_dsn, events)
    rows = db.execute(
        "SELECT id, state::text, attempt, to_jsonb(errors), tags::text[], meta, args, attempted_by[1] IS NOT NULL"
        " FROM oban_jobs ORDER BY id"
    ).fetchall()
    assert [row[:3] for row in rows] == [(twice.id, "completed", 2), (once.id, "discarded", 1)]
    assert [[error["attempt"] for error in row[3]] for row in rows] == [[1], [1]]
    assert "LookupError: the first attempt" in rows[0][3][0]["error"]
    assert "LookupError: for good" in rows[1][3][0]["error"]
    assert rows[0][4:] == (["a", "b"], {"m": 1}, {"a": [1]}, True)
    assert seen == [rows[0][3]]  # what the worker saw of its first attempt
    kept = "SELECT completed_at IS NOT NULL, discarded_at IS NOT NULL FROM oban_jobs ORDER BY id"
    assert db.execute(kept).fetchall() == [(True, False), (False, True)]


@MADE_BY
def test_jobs_that_oban_inserted_are_run(ddl: str, db: Any, empty_dsn: str, events: Events) -> None:
    db.execute(ddl)
    db.execute("INSERT INTO oban_jobs (worker, args) VALUES ('schema.Twice', '{\"a\": 1}')")
    schema.install(db)
    seen.clear()
    with Oban(dsn=empty_dsn, name="schema", queues={"default": 1}):
        events.wait(1, "stop")
    assert db.execute("SELECT state::text, attempt FROM oban_jobs").fetchall() == [("completed", 2)]


# Away ----------------------------------------------------------------------------------------------------------------


@HOWS
@pytest.mark.parametrize("ddl", ["", PYTHON, ELIXIR], ids=["ours", "Oban for Python", "Oban for Elixir"])
def test_uninstalling_takes_all_of_it_and_nothing_else_and_may_be_repeated(ddl: str, how: str, db: Any) -> None:
    db.execute("CREATE TABLE orders (id serial)")
    before = [row[:3] for row in objects(db)]
    if ddl:
        db.execute(ddl)
    put(db)
    for _ in range(2):
        if how == "install":
            schema.uninstall(db)
        else:
            with db.transaction():
                db.execute(schema.uninstall_sql())
        left = [row[:3] for row in objects(db) if "peers" not in row[2]]
        assert left == before
    put(db)
    assert len({row[0] for row in columns(db)}) == 3


def test_uninstalling_refuses_to_take_what_others_made_of_it(db: Any) -> None:
    schema.install(db)
    db.execute("CREATE VIEW waiting AS SELECT * FROM oban_jobs")
    with pytest.raises(DatabaseRefused, match="view waiting depends on table oban_jobs"):
        schema.uninstall(db)
    assert db.execute("SELECT count(*) FROM waiting").fetchone() == (0,)
    schema.install(db)
    assert len({row[0] for row in columns(db)}) == 3


# Missing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefix", "option"), [("public", ""), ("jobs", " --prefix jobs")])
def test_a_missing_schema_is_one_sentence_with_the_command(prefix: str, option: str, db: Any, empty_dsn: str) -> None:
    oban = Oban(dsn=empty_dsn, name="missing", prefix=prefix, queues={"default": 1})
    with pytest.raises(SchemaMissing) as caught:
        oban.start()
    assert str(caught.value) == (
        f"The 'oban_jobs' table is missing in schema '{prefix}' of database '{db.info.dbname}': "
        f"run `oban-sync install --dsn ...{option}` first"
    )
    assert isinstance(caught.value, (ObanError, RuntimeError))
    assert not oban.running
    oban.stop()
    schema.install(db, prefix)
    with oban:
        assert oban.running


def test_a_table_that_alone_is_missing_is_named(db: Any, empty_dsn: str) -> None:
    schema.install(db)
    db.execute("DROP TABLE oban_producers")
    with pytest.raises(SchemaMissing, match="The 'oban_producers' table is missing"):
        Oban(dsn=empty_dsn, name="missing", queues={"default": 1}).start()


@pytest.mark.parametrize("handle", ["none", "psycopg", "psycopg2", "SQLAlchemy"])
def test_a_client_is_told_so_when_it_enqueues(handle: str, empty_dsn: str) -> None:
    oban = Oban(dsn=empty_dsn, name="missing")
    with (
        psycopg.connect(empty_dsn) as connection,
        engine(empty_dsn, "psycopg2") as made,
        orm.Session(made) as session,
        made.connect() as sqlalchemy_connection,
    ):
        driver: Any = sqlalchemy_connection.connection.driver_connection
        conn = {"none": None, "psycopg": connection, "psycopg2": driver, "SQLAlchemy": session}[handle]
        with pytest.raises(SchemaMissing, match=r"^The 'oban_jobs' table is missing in schema 'public': run"):
            oban.enqueue(Job("w"), conn=conn)
    oban.stop()


def test_a_table_of_the_caller_s_that_is_missing_is_not_taken_for_ours(db: Any, empty_dsn: str) -> None:
    schema.install(db)
    db.execute(
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO missing_table VALUES (1); RETURN NULL; END $$"
    )
    db.execute("CREATE TRIGGER audit AFTER INSERT ON oban_jobs FOR EACH ROW EXECUTE FUNCTION audit()")
    oban = Oban(dsn=empty_dsn, name="missing")
    with pytest.raises(DatabaseRefused, match="missing_table"):
        oban.enqueue(Job("w"))
    oban.stop()


def test_a_migration_tool_may_run_the_script(empty_dsn: str) -> None:
    with engine(empty_dsn, "psycopg") as made, made.begin() as connection:
        connection.execute(sa.text("SELECT 1"))
        connection.exec_driver_sql(schema.install_sql().replace("%", "%%"))
    with engine(empty_dsn, "psycopg2") as made, made.begin() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM oban_jobs")).scalar() == 0
