"""Where the demo takes place: a server with the tables on it, which are gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import func, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema, DropSchema

from oban_sync import Oban, embedded, schema
from oban_sync.cli.demo import SCHEMA, tables, workers
from oban_sync.errors import ConfigError
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

GRACE_SECONDS = 2.0
LINK = "oban_sync:demo"


@dataclass(frozen=True, slots=True)
class Place:
    """A server with the tables on it.

    Attributes:
        dsn: How to get there.
        prefix: Schema of the tables.
        engine: SQLAlchemy's way there.
        embedded: Whether the server is the demo's own.
    """

    dsn: str
    prefix: str
    engine: Engine
    embedded: bool

    def link(self) -> closing[Link]:
        """Make a connection to install with, for a block."""
        return closing(Link(self.dsn, name=LINK))

    def check(self) -> None:
        """Connect once, which says in a sentence what is wrong with a dsn, and look at the prefix.

        Raises:
            ConfigError: The prefix cannot be one.
            DatabaseUnavailable: The server cannot be reached.
        """
        Statements(self.prefix)
        with self.link() as link:
            link.connect()

    @property
    def version(self) -> str:
        """Version of the server."""
        with self.engine.connect() as connection:
            return ".".join(map(str, connection.dialect.server_version_info or ()))

    @contextmanager
    def running(self) -> Iterator[Oban]:
        """Run the queues of the demo; an interrupt leaves jobs two seconds."""
        oban = Oban(
            engine=self.engine,
            dsn=self.dsn,
            name=workers.INSTANCE,
            prefix=self.prefix,
            queues=workers.QUEUES,
            shutdown_grace_period=GRACE_SECONDS,
        )
        with oban:
            yield oban


@contextmanager
def prepared(dsn: str | None, prefix: str, *, keep: bool) -> Iterator[Place]:
    """Install the tables, on a server of the demo's own where no `dsn` is given, and take away what was made.

    Raises:
        ConfigError: Another demo is at work in that schema, or the prefix cannot be one.
        DatabaseUnavailable: The server cannot be reached.
    """
    with ExitStack() as stack:
        own = stack.enter_context(embedded.start()) if dsn is None else None
        dsn = own.dsn() if own else str(dsn)
        place = Place(dsn, prefix, tables.engine(dsn, prefix), embedded=own is not None)
        stack.callback(place.engine.dispose)
        place.check()
        stack.enter_context(_alone(place))
        found = _found(place)
        if not (own or keep):
            stack.callback(_clean, place, found)
        _install(place, found)
        yield place


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Refuse to share a schema with another demo, which would drop it at its end."""
    with place.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(select(func.pg_try_advisory_lock(func.hashtext(f"{LINK}:{place.prefix}")))):
            raise ConfigError(f"another demo is at work in schema {place.prefix}: wait for its end, or pass --prefix")
        yield


class Found(NamedTuple):
    """What was there before the demo and stays: the schema, the queue's tables in it."""

    schema: bool
    tables: bool


def _found(place: Place) -> Found:
    catalog = inspect(place.engine)
    there = catalog.has_schema(place.prefix)
    return Found(there, there and catalog.has_table("oban_jobs", schema=place.prefix))


def _install(place: Place, found: Found) -> None:
    if not found.schema:
        with place.engine.begin() as connection:
            connection.execute(CreateSchema(place.prefix))
    if not found.tables:
        with place.link() as link:
            schema.install(link.connect(), place.prefix)
    tables.Base.metadata.create_all(place.engine)
    tables.Sessions.configure(bind=place.engine)


def _clean(place: Place, found: Found) -> None:
    """Take away what the demo made; in the schema that is named after it, what an earlier one left too."""
    tables.Base.metadata.drop_all(place.engine)
    ours = place.prefix == SCHEMA
    if found.tables and not ours:
        tables.forget_jobs(place.engine, workers.QUEUES, workers.NAMES)
    else:
        with place.link() as link:
            schema.uninstall(link.connect(), place.prefix)
    if ours or not found.schema:
        _drop_schema(place)


def _drop_schema(place: Place) -> None:
    """Drop the schema, unless it holds what the demo did not make."""
    try:
        with place.engine.begin() as connection:
            connection.execute(DropSchema(place.prefix))
    except DBAPIError:
        pass
