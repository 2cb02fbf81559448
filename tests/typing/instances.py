"""User code that must type-check under mypy --strict; nothing here is run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_type

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from oban_sync import Job, JobState, Oban, QueueInfo, embedded, schema, telemetry
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


def manage(job: Job) -> None:
    assert_type(client.get_job(5), Job | None)
    assert_type(
        client.list_jobs(state=["available", JobState.SCHEDULED], worker="shop.Mail", limit=5, order="desc"), list[Job]
    )
    assert_type(client.count_jobs(inserted_at=(None, datetime.now(UTC)), args={"to": "a"}, tags="vip"), int)
    client.cancel_job(job)
    client.retry_job(5)
    assert_type(client.cancel_many_jobs([job, 5]), int)
    assert_type(client.delete_many_jobs(queue="mail", state="completed"), int)
    assert_type(client.update_job(job, {"priority": 1}), Job)
    assert_type(client.update_many_jobs(None, lambda now: {"tags": [*now.tags, "a"]}, queue="mail"), list[Job])
    with Session(engine) as session:
        client.retry_many_jobs((job.id or 0 for job in [job]), conn=session)
    assert_type(job.update({"priority": 1}), Job)


def command() -> None:
    client.pause_queue("mail", durable=True)
    client.resume_all_queues(node="web.1")
    client.scale_queue(queue="mail", limit=5)
    client.start_queue(queue="mail", limit=5, paused=True)
    assert_type(server.check_queue("mail"), QueueInfo | None)
    assert_type(server.check_all_queues(), list[QueueInfo])


def tables() -> None:
    schema.install(pool)
    schema.install(pool, "jobs")
    assert_type(schema.install_sql(), str)
    with embedded.start() as started:
        assert_type(started.dsn(), str)


def watch(event: str, meta: dict[str, Any]) -> None:
    raise ObanError(event, meta["job"])


telemetry.attach("watch", telemetry.EVENTS, watch)
