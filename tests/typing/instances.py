"""User code that must type-check under mypy --strict; nothing here is run."""

from __future__ import annotations

from typing import Any, assert_type

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from oban_sync import Job, Oban, embedded, schema, telemetry
from oban_sync.errors import ObanError

DSN = "postgresql://localhost/shop"
engine = create_engine(DSN)
pool = Oban.create_pool(DSN, min_size=1, max_size=5, timeout=10)

client = Oban(dsn=DSN)
pooled = Oban(pool=pool, name="pooled", prefix="jobs", max_args_bytes=10_000)
server = Oban(
    engine=engine,
    dsn=DSN,
    node="web.1",
    queues={"default": 10, "mail": {"limit": 5, "paused": True}},
    shutdown_grace_period=None,
    stager={"interval": 0.5, "limit": 1000},
    lifeline={"rescue_after": 600},
    notifier={"dsn": DSN},
)


def run() -> None:
    with Oban(dsn=DSN, queues={"default": 1}) as oban:
        assert_type(oban, Oban)
    assert_type(server.start(), Oban)
    assert_type(server.running, bool)
    server.stop()
    server.stop(exiting=True)
    assert_type(Oban.get_instance("pooled"), Oban)


def enqueue(jobs: list[Job]) -> list[Job]:
    assert_type(client.enqueue(jobs[0]), Job)
    client.enqueue_many(*jobs)
    client.enqueue_many(job for job in jobs)
    with Session(engine) as session, session.begin():
        client.enqueue(jobs[0], conn=session)
    client.enqueue(jobs[0], conn=scoped_session(sessionmaker(engine)))
    with engine.begin() as connection:
        client.enqueue_many(jobs, conn=connection)
    with psycopg.connect(DSN) as raw, raw.cursor() as cursor:
        client.enqueue(jobs[0], conn=raw)
        return client.enqueue_many(jobs, conn=cursor)


def tables() -> None:
    schema.install(pool)
    schema.install(pool, "jobs")
    assert_type(schema.install_sql(), str)
    with embedded.start() as started:
        assert_type(started.dsn(), str)


def watch(event: str, meta: dict[str, Any]) -> None:
    raise ObanError(event, meta["job"])


telemetry.attach("watch", telemetry.EVENTS, watch)
