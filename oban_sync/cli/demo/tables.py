"""The demo's own tables, and its look at those of the queue. Every statement is made by SQLAlchemy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    MetaData,
    Table,
    Text,
    any_,
    cast,
    create_engine,
    delete,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from oban_sync import Job
from oban_sync.cli.demo.count import Counts

Sessions = sessionmaker()
"""Where workers get their sessions from; bound to an engine before the queues start."""

_jobs = Table(
    "oban_jobs", MetaData(), Column("id", BigInteger), *(Column(n, Text) for n in ("state", "worker", "queue"))
)


class Base(DeclarativeBase):
    """Tables in the schema of the demo."""


class Run(Base):
    """A mark that a job of the guide ran."""

    __tablename__ = "oban_sync_demo_runs"
    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    said: Mapped[str]
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ran_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())

    @property
    def late(self) -> float:
        """Milliseconds between the instant it was due and its first statement, both by the database's clock."""
        return (self.ran_at - self.due_at).total_seconds() * 1000


class Order(Base):
    """Data that belongs to a job."""

    __tablename__ = "oban_sync_demo_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    shipped: Mapped[bool] = mapped_column(default=False)


class File(Base):
    """What a job counted in one file."""

    __tablename__ = "oban_sync_demo_files"
    path: Mapped[str] = mapped_column(primary_key=True)
    lines: Mapped[int]
    functions: Mapped[int]
    classes: Mapped[int]
    problem: Mapped[str | None]
    seconds: Mapped[float]

    @property
    def counts(self) -> Counts:
        """What was counted."""
        return Counts(self.lines, self.functions, self.classes, self.problem)


def engine(dsn: str, prefix: str) -> Engine:
    """Make an engine whose tables live in the schema `prefix`."""
    made = create_engine("postgresql+psycopg://", pool_size=4, pool_use_lifo=True, hide_parameters=True)

    @event.listens_for(made, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> None:
        args[:] = [dsn]  # any connection string of libpq's, which a URL of SQLAlchemy's cannot always say
        options["application_name"] = "oban_sync:demo"

    return made.execution_options(schema_translate_map={None: prefix})


def store(path: str, counts: Counts, seconds: float) -> None:
    """Write what was counted in a file; a second time replaces the first."""
    values = {**counts._asdict(), "seconds": seconds}
    statement = insert(File).values(path=path, **values).on_conflict_do_update(index_elements=["path"], set_=values)
    with Sessions.begin() as session:
        session.execute(statement)


def stored(paths: Iterable[str]) -> dict[str, File]:
    """Read what was counted in these files."""
    with Sessions() as session:
        return {file.path: file for file in session.scalars(select(File).where(_among(File.path, paths, Text())))}


def runs(jobs: Iterable[Job]) -> list[Run]:
    """Read the marks that these jobs left."""
    with Sessions() as session:
        return list(session.scalars(select(Run).where(_among(Run.job_id, _ids(jobs), BigInteger()))))


def states(jobs: Iterable[Job]) -> Counter[str]:
    """Count these jobs by their state."""
    state = cast(_jobs.c.state, Text)
    counted = select(state, func.count()).where(_among(_jobs.c.id, _ids(jobs), BigInteger())).group_by(state)
    with Sessions() as session:
        return Counter({row[0]: row[1] for row in session.execute(counted)})


def forget_jobs(engine: Engine, queues: Iterable[str], workers: Iterable[str]) -> None:
    """Delete the jobs of the demo."""
    with engine.begin() as connection:
        ours = _jobs.c.queue.in_(list(queues)) & _jobs.c.worker.in_(list(workers))
        connection.execute(delete(_jobs).where(ours))


def _ids(jobs: Iterable[Job]) -> list[int | None]:
    return [job.id for job in jobs]


def _among(column: Any, values: Iterable[Any], kind: Any) -> ColumnElement[bool]:
    """Compare with one parameter for all values, where `in_` has one for each."""
    return column == any_(literal(list(values), ARRAY(kind)))  # type: ignore[no-any-return]
