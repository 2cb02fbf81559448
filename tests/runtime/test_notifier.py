"""A notification is a hint from anybody: what cannot be read is counted and left."""

from __future__ import annotations

import base64
import gzip
import os
import resource
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban, worker
from oban_sync.runtime.notifier import MAX_PAYLOAD, decode
from tests.conftest import Events


@worker(name="notifier.Note")
class Note:
    def process(self, job: Job) -> None:
        """Only that it runs matters."""


def packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def test_payloads_are_json_or_what_oban_compresses() -> None:
    assert decode('{"queue": "a"}') == {"queue": "a"}
    assert decode(packed(b'{"queue":"a"}')) == {"queue": "a"}
    assert decode("1764000000.25") == 1764000000.25


@pytest.mark.parametrize("payload", ["", "{", "no", "%%%", packed(b"{"), packed(b"x" * (MAX_PAYLOAD + 1)), "{}" * 3000])
def test_what_is_neither_is_refused(payload: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode(payload)


BAD = [
    "",
    "{",
    '{"queue": 5}',
    "{}",
    "[]",
    "null",
    "x" * 7000,
    packed(b"x" * MAX_PAYLOAD * 3),
    '{"queue": ["a"]}',
    "-1",
    "1e999",
]


def test_the_listener_survives_what_it_cannot_read(
    dsn: str, db: psycopg.Connection, events: Events, eventually: Callable[..., Any]
) -> None:
    with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 600}) as oban:
        for channel in ("public.oban_insert", "public.oban_sync_due"):
            for payload in BAD:
                db.execute("SELECT pg_notify(%s, %s)", (channel, payload))
        db.execute("INSERT INTO oban_jobs (worker) VALUES ('notifier.Note')")
        db.execute("SELECT pg_notify('public.oban_insert', %s)", (packed(b'{"queue":"default"}'),))
        events.wait(1, "stop")
        assert oban._service is not None
        assert oban._service._notifier.ignored > 10


def test_a_process_with_many_files_listens(dsn: str, events: Events) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with ExitStack() as held:
            for _ in range(1024):
                held.enter_context(open(os.devnull))
            with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 600}):
                Note.enqueue()
                events.wait(1, "stop")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_dropped_listener_listens_again_and_looks_for_what_it_missed(
    dsn: str, db: psycopg.Connection, events: Events, eventually: Callable[..., Any]
) -> None:
    find = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%%:notifier'"
    with Oban(dsn=dsn, queues={"default": 1}, stager={"interval": 600}):
        (before,) = db.execute(find).fetchone()
        db.execute("SELECT pg_terminate_backend(%s)", (before,))
        db.execute("INSERT INTO oban_jobs (worker) VALUES ('notifier.Note')")
        events.wait(1, "stop")
        eventually(lambda: (pid := db.execute(find).fetchone()) and pid != (before,))
        Note.enqueue()
        events.wait(2, "stop")
