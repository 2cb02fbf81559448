"""Queues split over two PostgreSQL servers by two instances in one process: one may stop or die without the other."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
import pytest

from oban_sync import Job, Oban, current_job, embedded, schema, worker
from oban_sync.errors import DatabaseUnavailable

_meeting = threading.Barrier(2)
_entered, _release = threading.Event(), threading.Event()


@worker(queue="mail", name="shards.Mail", oban="shards.mail")
class Mail:
    def process(self, job: Job) -> None: ...


@worker(queue="media", name="shards.Media", oban="shards.media")
class Media:
    def process(self, job: Job) -> None: ...


@worker(queue="mail", name="shards.MailThatMeets", oban="shards.mail")
class MailThatMeets:
    def process(self, job: Job) -> None:
        _meeting.wait(20)


@worker(queue="media", name="shards.MediaThatMeets", oban="shards.media")
class MediaThatMeets:
    def process(self, job: Job) -> None:
        _meeting.wait(20)


@worker(queue="media", name="shards.Long", oban="shards.media")
class Long:
    def process(self, job: Job) -> None:
        _entered.set()
        assert _release.wait(60)


@worker(queue="mail", name="shards.Forward", oban="shards.mail")
class Forward:
    """A job of one server that stores one on the other."""

    def process(self, job: Job) -> None:
        running = current_job()
        assert running is not None
        Media.enqueue({"of": running.id})


class Shard(NamedTuple):
    """One server and the database of this test on it."""

    server: embedded.Server
    dsn: str

    def rows(self) -> list[Any]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute("SELECT worker, state::text, attempt FROM oban_jobs ORDER BY id").fetchall()

    def ended(self, jobs: int) -> bool:
        return [row[1:] for row in self.rows()] == [("completed", 1)] * jobs


@pytest.fixture(scope="module")
def servers() -> Iterator[list[embedded.Server]]:
    with embedded.start() as mail, embedded.start() as media:
        yield [mail, media]


@pytest.fixture
def shards(servers: list[embedded.Server]) -> list[Shard]:
    """A database with the tables on each server: that of the mail, and that of the media."""
    found = [Shard(server, server.create_database(f"shard_{uuid.uuid4().hex[:12]}")) for server in servers]
    for shard in found:
        with psycopg.connect(shard.dsn, autocommit=True) as connection:
            schema.install(connection)
    return found


@pytest.fixture
def mail(shards: list[Shard]) -> Iterator[Oban]:
    with Oban(dsn=shards[0].dsn, name="shards.mail", queues={"mail": 2}) as oban:
        yield oban


@pytest.fixture
def media(shards: list[Shard]) -> Iterator[Oban]:
    with Oban(dsn=shards[1].dsn, name="shards.media", queues={"media": 2}, stager={"interval": 0.5}) as oban:
        yield oban


@contextmanager
def killed(server: embedded.Server) -> Iterator[None]:
    """Kill a server, and keep it down for the block."""
    supervisor = int((server.directory / "supervisor.lock").read_text())
    os.kill(supervisor, signal.SIGSTOP)  # it would start the server again at once
    try:
        os.kill(server.pid, signal.SIGKILL)
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)


def test_jobs_go_to_the_server_of_their_worker(shards: list[Shard]) -> None:
    clients = [
        Oban(dsn=shard.dsn, name=f"shards.{name}") for name, shard in zip(("mail", "media"), shards, strict=True)
    ]
    Mail.enqueue()
    Media.enqueue()
    clients[1].enqueue_many(Media.new({"n": n}) for n in range(2))
    with psycopg.connect(shards[0].dsn) as connection:
        Mail.enqueue(conn=connection)
        connection.rollback()
    for client in clients:
        client.stop()
    assert shards[0].rows() == [("shards.Mail", "available", 0)]
    assert shards[1].rows() == [("shards.Media", "available", 0)] * 3


@pytest.mark.usefixtures("mail", "media")
def test_both_run_at_once(shards: list[Shard], eventually: Callable[..., Any]) -> None:
    _meeting.reset()
    MailThatMeets.enqueue()
    MediaThatMeets.enqueue()
    for shard in shards:
        eventually(lambda shard=shard: shard.ended(1))


@pytest.mark.usefixtures("mail", "media")
def test_a_job_of_one_server_stores_a_job_on_the_other(shards: list[Shard], eventually: Callable[..., Any]) -> None:
    Forward.enqueue()
    eventually(lambda: shards[1].ended(1))
    eventually(lambda: shards[0].ended(1))


def test_one_that_stops_leaves_the_other_running(
    shards: list[Shard], mail: Oban, media: Oban, eventually: Callable[..., Any]
) -> None:
    media.stop()
    assert (mail.running, media.running) == (True, False)
    Mail.enqueue()
    Media.enqueue()
    eventually(lambda: shards[0].ended(1))
    assert shards[1].rows() == [("shards.Media", "available", 0)]
    media.start()
    eventually(lambda: shards[1].ended(1))


@pytest.mark.usefixtures("mail")
def test_one_whose_server_is_killed_leaves_the_other_running_and_goes_on_when_it_is_back(
    shards: list[Shard], media: Oban, eventually: Callable[..., Any]
) -> None:
    """What ran then completes at its first attempt: the end of its run is written when the server is back."""
    _entered.clear()
    _release.clear()
    Long.enqueue()
    assert _entered.wait(20)
    media.enqueue_many([Media.new(scheduled_in=3600), *(Media.new() for _ in range(20)), Long.new(), Long.new()])
    with killed(shards[1].server):
        eventually(lambda: unreachable(shards[1]))
        with Oban.create_pool(shards[1].dsn, timeout=0.5) as pool, pytest.raises(DatabaseUnavailable):
            Oban(pool=pool, name="shards.other").enqueue(Media.new())
        for _ in range(20):
            Mail.enqueue()
        eventually(lambda: shards[0].ended(20))
        _release.set()
    eventually(lambda: not unreachable(shards[1]), timeout=60)
    states = [("completed", 1), ("scheduled", 0)] + [("completed", 1)] * 22
    eventually(lambda: [row[1:] for row in shards[1].rows()] == states, timeout=60)


def unreachable(shard: Shard) -> bool:
    try:
        psycopg.connect(shard.dsn).close()
    except psycopg.OperationalError:
        return True
    return False
