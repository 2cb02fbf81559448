"""A real PostgreSQL for every test: embedded, or the one that OBAN_SYNC_TEST_DSN names.

Each test that asks for `dsn` gets a database of its own, copied from a template with the tables installed.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from benchmarks import venvs
from benchmarks.peers import PEERS
from benchmarks.servers import Missing
from oban_sync import Oban, embedded, schema, telemetry
from oban_sync.telemetry.core import _handlers
from oban_sync.worker import _registry

PEER = "oban==0.7.0"
TEMPLATE = f"oban_sync_template_{os.getpid()}"


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A server that tests may make databases on."""
    given = os.environ.get("OBAN_SYNC_TEST_DSN")
    if given:
        yield given
    else:
        with embedded.start() as server:
            yield server.dsn()


@pytest.fixture(scope="session")
def peer_python() -> str:
    """The interpreter of a virtual environment with Oban for Python."""
    found = PEERS["oban"]
    packages = [PEER if package.startswith("oban>") else package for package in found.packages]
    try:
        return venvs.prepare("oban-interop", packages, found.python)
    except Missing as missing:
        pytest.skip(f"Oban for Python cannot be had here: {missing}")


@pytest.fixture(scope="session")
def template(server_dsn: str) -> Iterator[str]:
    """The name of a database with the tables installed, on which nothing stays connected."""
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
        with psycopg.connect(make_conninfo(server_dsn, dbname=TEMPLATE), autocommit=True) as inside:
            schema.install(inside)
        yield TEMPLATE
        connection.execute(f"DROP DATABASE {TEMPLATE} WITH (FORCE)")


@pytest.fixture
def make_database(server_dsn: str) -> Iterator[Callable[[str], str]]:
    """Make databases that go with the test: from a template to a DSN."""
    names: list[str] = []

    def make(template: str = "template0") -> str:
        names.append(f"oban_sync_{uuid.uuid4().hex[:12]}")
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {names[-1]} TEMPLATE {template}")
        return make_conninfo(server_dsn, dbname=names[-1])

    yield make
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def empty_dsn(make_database: Callable[[str], str]) -> str:
    """A database of this test's own, without tables."""
    return make_database("template0")


@pytest.fixture(scope="session")
def clean(server_dsn: str) -> Iterator[list[str]]:
    """Databases with empty tables that no test uses, to spare making one a test."""
    names: list[str] = []
    yield names
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def dsn(server_dsn: str, template: str, clean: list[str]) -> Iterator[str]:
    """A database of this test's own, with the tables installed."""
    name = clean.pop() if clean else f"oban_sync_{uuid.uuid4().hex[:12]}"
    found = make_conninfo(server_dsn, dbname=name)
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield found
        if _left(connection, name) and _emptied(found, make_conninfo(server_dsn, dbname=template)):
            clean.append(name)
        else:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _left(connection: psycopg.Connection, name: str) -> bool:
    """Say whether nobody is connected to a database, or nobody any more after a moment: sessions end a little late."""
    users = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    for _ in range(20):
        if connection.execute(users, (name,)).fetchone() == (0,):
            return True
        time.sleep(0.01)
    return False


MADE = """
    SELECT array_agg(made ORDER BY made) FROM (
        SELECT 'class ' || relname FROM pg_class WHERE relnamespace >= 2200 AND relkind IN ('r', 'v', 'S', 'i')
        UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE connamespace >= 2200
        UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace >= 2200 AND oid >= 16384
        UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE oid >= 16384
    ) AS objects (made) WHERE made !~ 'pg_toast|pg_temp'
"""


def _emptied(dsn: str, template_dsn: str) -> bool:
    """Empty the tables; say whether the database holds what the template holds and nothing else."""
    with psycopg.connect(template_dsn) as connection:
        expected = connection.execute(MADE).fetchone()
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute(MADE).fetchone() != expected:
            return False
        connection.execute(
            "TRUNCATE oban_jobs, oban_producers, oban_leaders, oban_sync_crons, oban_sync_queues RESTART IDENTITY"
        )
        return True


@pytest.fixture
def db(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit, to look at the rows with."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def pool(dsn: str) -> Iterator[ConnectionPool]:
    with ConnectionPool(dsn, min_size=1, max_size=5, open=True) as pool:
        yield pool


@pytest.fixture
def oban(dsn: str) -> Iterator[Oban]:
    """A client of the default name."""
    oban = Oban(dsn=dsn)
    yield oban
    oban.stop()


class Events:
    """Waits for what jobs do, by their telemetry."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.seen: list[tuple[str, dict]] = []

    def __call__(self, event: str, meta: dict) -> None:
        with self._changed:
            self.seen.append((event, meta))
            self._changed.notify_all()

    def wait(self, count: int, event: str = "", timeout: float = 20.0) -> list[dict]:
        """Wait for so many events, whose name ends so."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._matching(event)) >= count, timeout), self.seen
            return self._matching(event)

    def _matching(self, event: str) -> list[dict]:
        return [meta for name, meta in self.seen if name.endswith(event)]


@pytest.fixture
def events() -> Iterator[Events]:
    """All events of jobs in this process from now on."""
    events = Events()
    telemetry.attach("tests", ("oban.job.start", "oban.job.stop", "oban.job.exception"), events)
    yield events
    telemetry.detach("tests")


@pytest.fixture(autouse=True)
def _no_handler_stays() -> Iterator[None]:
    """Fail the test that leaves a handler of events to those after it, not one of these."""
    before = _attached()
    yield
    assert _attached() <= before


def _attached() -> set[str]:
    return {id for handlers in list(_handlers.values()) for id, _ in handlers}


@pytest.fixture
def eventually() -> Callable[..., object]:
    """Wait until a function gives something true, and give that."""

    def wait(probe: Callable[[], object], timeout: float = 20.0) -> object:
        deadline = time.monotonic() + timeout
        while not (found := probe()):
            assert time.monotonic() < deadline, f"not in {timeout} s: {probe}"
            time.sleep(0.01)
        return found

    return wait


@pytest.fixture
def forgotten_workers() -> Iterator[None]:
    """Forget what a test registers."""
    before = dict(_registry)
    yield
    _registry.clear()
    _registry.update(before)
