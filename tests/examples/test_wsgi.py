"""The WSGI example, by the server of the standard library and under gunicorn."""

from __future__ import annotations

import json
import signal

import psycopg
import pytest

from tests.examples.clients import Client, place_orders
from tests.examples.commands import Command, gunicorn

WSGI = "docs/examples/wsgi.py"


def receipts(address):
    with Client(address) as client:
        status, body = client.get("/orders")
    assert status == 200
    return {order["order"]: order["receipts"] for order in json.loads(body)}


def counts(dsn):
    """Jobs by state, and the starts of queues that this database knows of now."""
    with psycopg.connect(dsn) as db:
        jobs = db.execute("SELECT state::text, attempt, count(*) FROM oban_jobs GROUP BY 1, 2").fetchall()
        starts = db.execute("SELECT node, count(*) FROM oban_producers GROUP BY 1").fetchall()
    return jobs, dict(starts)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)])
def test_the_server_of_the_standard_library_runs_it_on_its_own_postgresql(number, eventually):
    with Command(WSGI, "0", OBAN_DSN=None) as server:
        address = server.expect(r"http://([^/]+)/orders")[0][1]
        load = place_orders(address, 20, threads=4)
        load.close()
        assert load.statuses == {201: 18, 409: 2}
        eventually(lambda: receipts(address) == dict.fromkeys(load.orders, 1))
        server.signal(number)
        assert server.end() == 0, server.output
        assert "Traceback" not in server.output


@pytest.mark.parametrize("preload", [(), pytest.param(("--preload",), marks=pytest.mark.nightly)])
def test_gunicorn_runs_it_and_many_first_requests_start_one_engine(preload, empty_dsn, tmp_path, eventually):
    with Command(WSGI, "--install", OBAN_DSN=empty_dsn) as install:
        assert install.end() == 0, install.output
    arguments = ("--chdir", "docs/examples", "--workers", "1", *preload)
    with gunicorn("wsgi:make_application()", *arguments, home=tmp_path, dsn=empty_dsn) as web:
        load = place_orders(web.address, 40)
        load.close()
        assert load.statuses == {201: 36, 409: 4}
        eventually(lambda: receipts(web.address) == dict.fromkeys(load.orders, 1))
        jobs, starts = counts(empty_dsn)
        assert jobs == [("completed", 1, 36)]
        assert list(starts.values()) == [1]
        web.stop(workers=1)
        assert counts(empty_dsn)[1] == {}


def test_many_first_requests_start_one_engine_without_hooks(empty_dsn, tmp_path, eventually):
    with Command(WSGI, "--install", OBAN_DSN=empty_dsn) as install:
        assert install.end() == 0, install.output
    with Command(WSGI, "0", OBAN_DSN=empty_dsn) as server:
        address = server.expect(r"http://([^/]+)/orders")[0][1]
        place_orders(address, 16, threads=16).close()
        assert list(counts(empty_dsn)[1].values()) == [1]
        eventually(lambda: 0 not in receipts(address).values())
