"""A web application for gunicorn, with a queue in each worker; its pool is in use before any worker is forked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from oban_sync import Job, Oban
from tests.chaos import work

__all__ = ["application", "work"]

oban = Oban(dsn=os.environ["CHAOS_DSN"], queues={"default": 3}, shutdown_grace_period=float(os.environ["CHAOS_GRACE"]))
with oban._connection() as in_the_master:
    in_the_master.execute("SELECT 1")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Ask the number that stands in the path, and enqueue a job that holds it."""
    wanted = int(environ["PATH_INFO"].strip("/"))
    with oban._connection() as connection:
        answer, backend = connection.execute(f"SELECT {wanted}, pg_backend_pid()").fetchone()
    oban.enqueue(Job("nobody", queue="elsewhere", args={"number": wanted}))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [orjson.dumps({"answer": answer, "backend": backend, "process": os.getpid()})]
