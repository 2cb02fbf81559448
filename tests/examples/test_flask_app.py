"""The Flask example under gunicorn, with real processes, and what may go wrong with it.

What was measured is logged: `pytest --log-cli-level=INFO tests/examples`.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from docs.examples.flask_app import create_app
from docs.examples.flask_app.__main__ import install
from docs.examples.flask_app.models import db
from oban_sync import Job, Oban, embedded
from tests.examples.clients import Client, listed, place_orders
from tests.examples.commands import Web, await_end, exists, gunicorn

SHOP = "tests.examples.shop:create_app()"
GRACE = 1.5

logger = logging.getLogger(__name__)


@pytest.fixture
def shop_dsn(dsn):
    """A database with the shop's tables."""
    install(dsn)
    return dsn


@pytest.fixture
def shop_db(shop_dsn):
    with psycopg.connect(shop_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def client(shop_dsn):
    oban = Oban(dsn=shop_dsn, name="client of the tests")
    yield oban
    oban.stop()


def enqueue_sleep(oban, seconds, **params):
    return oban.enqueue(Job("tests.sleep", args={"seconds": seconds}, queue="receipts", max_attempts=3, **params)).id


def row(db, id):
    return db.execute(
        "SELECT state::text, attempt, (meta ->> 'handed_back')::int FROM oban_jobs WHERE id = %s", [id]
    ).fetchone()


def serving(db):
    """Count the processes that run queues."""
    return db.execute("SELECT count(DISTINCT node) FROM oban_producers").fetchone()[0]


def all_ended(db):
    return not db.execute("SELECT 1 FROM oban_jobs WHERE state::text NOT IN ('completed', 'discarded')").fetchall()


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])
def test_every_order_that_commits_has_its_jobs_run_once(preload, tmp_path, eventually):
    with Web("-m", "docs.examples.flask_app", *preload, home=tmp_path, OBAN_DSN=None) as web:
        directory, dsn = web.expect(r"PostgreSQL runs in (\S+): (.+)")[0].groups()
        postmaster = int((Path(directory) / "pgdata" / "postmaster.pid").read_text().splitlines()[0])
        workers = web.workers()
        load = place_orders(web.address, 500)
        assert load.statuses == {201: 450, 409: 50}
        with psycopg.connect(dsn, autocommit=True) as db:
            eventually(lambda: all_ended(db), 60)
            runs = db.execute("SELECT job_id, attempt, order_id FROM order_steps").fetchall()
            stored = db.execute("SELECT id, state::text, attempt, attempted_by[1] FROM oban_jobs").fetchall()
            orders = [id for (id,) in db.execute("SELECT id FROM orders")]
        assert sorted(orders) == sorted(load.orders)
        assert len(runs) == len(stored) == 2 * len(orders)
        assert {(id, attempt) for id, attempt, _ in runs} == {(id, 1) for id, *_ in stored}
        assert {(state, attempt) for _, state, attempt, _ in stored} == {("completed", 1)}
        assert {int(node.rpartition(".")[2]) for *_, node in stored} <= set(workers)  # none ran in the master
        assert listed(web.address) == {id: ["completed", "completed"] for id in orders}

        workers_gone, master_gone = web.stop()
        load.close()
    assert not exists(postmaster)
    assert not Path(directory).exists()
    assert web.workers() == workers  # none died on the way
    logger.info(
        f"{' '.join(preload) or 'no preload'}: {load.statuses.total()} requests in {load.seconds:.2f} s, "
        f"{len(orders)} commits, {len(runs)} runs, workers gone {workers_gone:.2f} s after SIGTERM, "
        f"master and PostgreSQL {master_gone:.2f} s"
    )


@pytest.mark.parametrize(
    ("preload", "how"),
    [
        ((), {}),
        (("--preload",), {}),
        ((), {"number": signal.SIGINT, "group": True}),
        pytest.param(("--preload",), {"number": signal.SIGINT, "group": True, "times": 10}, marks=pytest.mark.nightly),
    ],
    ids=["forked", "preloaded", "ctrl-c", "many ctrl-c"],
)
def test_a_stuck_job_is_handed_back_and_delays_the_stop_no_longer_than_the_grace(
    preload, how, shop_dsn, shop_db, client, tmp_path, eventually
):
    with gunicorn(SHOP, *preload, home=tmp_path, dsn=shop_dsn, grace=GRACE) as web:
        eventually(lambda: serving(shop_db) == 2)
        stuck, brief = enqueue_sleep(client, 60), enqueue_sleep(client, 1)
        with Client(web.address) as browser:
            assert browser.get("/")[0] == 200  # a connection that is kept while gunicorn stops
            eventually(lambda: row(shop_db, stuck)[0] == row(shop_db, brief)[0] == "executing")
            late = enqueue_sleep(client, 0, scheduled_in=1)
            workers_gone, master_gone = web.stop(**how)
        assert row(shop_db, stuck) == ("available", 0, 1)
        assert row(shop_db, brief) == ("completed", 1, None)
        assert row(shop_db, late)[:2] in (("scheduled", 0), ("available", 0))  # nothing begins after the signal
        assert "SIGKILL" not in web.output
        logger.info(f"grace {GRACE} s: workers gone after {workers_gone:.2f} s, master after {master_gone:.2f} s")


def test_the_grace_begins_with_the_signal_although_requests_still_run(shop_dsn, shop_db, client, tmp_path, eventually):
    with gunicorn(SHOP, home=tmp_path, dsn=shop_dsn, grace=GRACE) as web:
        eventually(lambda: serving(shop_db) == 2)
        stuck = enqueue_sleep(client, 60)
        eventually(lambda: row(shop_db, stuck)[0] == "executing")
        browser = Client(web.address)
        browser.connection.putrequest("POST", "/orders")  # a request whose body is late
        browser.connection.putheader("Content-Type", "application/x-www-form-urlencoded")
        browser.connection.putheader("Content-Length", "12")
        browser.connection.endheaders()
        time.sleep(0.3)  # until a thread of gunicorn waits for the body; nothing tells
        sent = time.monotonic()
        web.signal(signal.SIGTERM)
        web.expect("Handling signal: term")
        time.sleep(GRACE)
        browser.connection.send(b"customer=ann")
        response = browser.connection.getresponse()
        assert response.status == 303, response.read()
        browser.close()
        assert web.end() == 0
        assert row(shop_db, stuck) == ("available", 0, 1)
        logger.info(f"grace {GRACE} s, a request as long: gone after {time.monotonic() - sent:.2f} s")


@pytest.mark.nightly
def test_workers_that_are_replaced_hand_their_queues_over(shop_dsn, shop_db, tmp_path, eventually):
    with gunicorn(SHOP, "--max-requests", "30", home=tmp_path, dsn=shop_dsn) as web:
        load = place_orders(web.address, 150, threads=4, keep=False)
        assert load.statuses == {201: 135, 409: 15}
        eventually(lambda: all_ended(shop_db), 60)
        runs = shop_db.execute("SELECT job_id, attempt FROM order_steps").fetchall()
        assert len(runs) == len(set(runs)) == 270
        assert {attempt for _, attempt in runs} == {1}
        assert len(web.workers(5)) >= 5
        web.stop()


def test_workers_end_with_a_master_that_is_killed(shop_dsn, shop_db, client, tmp_path, eventually):
    with gunicorn(SHOP, home=tmp_path, dsn=shop_dsn, grace=GRACE) as web:
        workers = web.workers()
        eventually(lambda: serving(shop_db) == 2)
        stuck = enqueue_sleep(client, 60)
        eventually(lambda: row(shop_db, stuck)[0] == "executing")
        killed = time.monotonic()
        web.signal(signal.SIGKILL)
        await_end(workers)
        logger.info(f"grace {GRACE} s: workers gone {time.monotonic() - killed:.2f} s after their master was killed")
        assert row(shop_db, stuck) == ("available", 0, 1)


def test_what_a_job_leaves_in_its_session_never_meets_the_next_one(shop_dsn, shop_db, client, tmp_path, eventually):
    with gunicorn(SHOP, "--workers", "1", home=tmp_path, dsn=shop_dsn) as web:
        client.enqueue_many(
            Job(worker, args={"order_id": order}, queue="stock", max_attempts=1)
            for order in range(1, 31)
            for worker in ("tests.poison", "shop.reserve_stock")
        )
        shop_db.execute("INSERT INTO orders (customer) SELECT 'c' || n FROM generate_series(1, 30) AS n")
        web.workers(1)
        eventually(lambda: all_ended(shop_db))
    found = shop_db.execute("SELECT worker, state::text, count(*) FROM oban_jobs GROUP BY 1, 2 ORDER BY 1").fetchall()
    assert found == [("shop.reserve_stock", "completed", 30), ("tests.poison", "discarded", 30)]
    assert shop_db.execute("SELECT count(*), count(*) FILTER (WHERE job_id = 0) FROM order_steps").fetchone() == (30, 0)


def test_pool_and_engine_of_the_master_are_never_used_by_its_workers(shop_dsn, shop_db, tmp_path, eventually):
    with gunicorn("tests.examples.shop:create_used_app()", "--preload", home=tmp_path, dsn=shop_dsn) as web:
        masters = set(web.expect(r"master's backends: (.+)")[0][1].split())
        web.expect("was started in gunicorn's master")
        workers = set(web.workers())
        seen: dict[int, set[str]] = {}

        def both_answered():
            with Client(web.address) as browser:
                found = json.loads(browser.get("/backends")[1])
            seen.setdefault(found["worker"], set()).update(map(str, found["backends"]))
            return seen.keys() == workers

        eventually(both_answered)
        first, second = seen.values()
        assert not first & second
        assert not (first | second) & masters
        load = place_orders(web.address, 50, keep=False)
        eventually(lambda: all_ended(shop_db))
        assert shop_db.execute("SELECT count(*) FROM order_steps").fetchone() == (2 * load.statuses[201],)
        nodes = shop_db.execute("SELECT DISTINCT attempted_by[1] FROM oban_jobs").fetchall()
        assert {int(node.rpartition(".")[2]) for (node,) in nodes} <= workers
        web.stop()


@pytest.fixture
def data():
    """A directory for a server, where the account that runs it can enter: pytest's are closed to others."""
    path = tempfile.mkdtemp(prefix="oban-test-", dir="/tmp")
    yield path
    shutil.rmtree(path)


def test_workers_come_up_without_postgresql_and_start_their_queues_when_it_answers(data, tmp_path, eventually):
    with embedded.start(data) as server:
        dsn = server.dsn()
        install(dsn)
    with gunicorn(SHOP, home=tmp_path, dsn=dsn) as web:
        web.expect("starts once PostgreSQL answers", count=2)
        with Client(web.address) as browser:
            assert browser.get("/")[0] == 500
        with embedded.start(data), psycopg.connect(dsn, autocommit=True) as db:
            load = place_orders(web.address, 10, keep=False)
            eventually(lambda: all_ended(db) and db.execute("SELECT count(*) FROM order_steps").fetchone() == (18,))
            assert load.statuses == {201: 9, 409: 1}
            web.stop()


def test_missing_tables_end_gunicorn_with_a_sentence(empty_dsn, tmp_path):
    with gunicorn(SHOP, "--workers", "1", home=tmp_path, dsn=empty_dsn) as web:
        assert web.end() == 3
        assert "oban-sync install" in web.output


@pytest.mark.nightly
def test_a_grace_that_gunicorn_does_not_leave_is_cut_with_a_warning(shop_dsn, shop_db, client, tmp_path, eventually):
    with gunicorn(SHOP, "--graceful-timeout", "3", home=tmp_path, dsn=shop_dsn, grace=20) as web:
        web.expect("expected shutdown_grace_period of Oban 'Oban' to be at most 1 s, .*graceful_timeout of 3 s")
        stuck = enqueue_sleep(client, 60)
        eventually(lambda: row(shop_db, stuck)[0] == "executing")
        web.stop()
        assert row(shop_db, stuck) == ("available", 0, 1)
        assert "SIGKILL" not in web.output


def test_the_page_escapes_what_customers_call_themselves(shop_dsn):
    app = create_app(shop_dsn)
    browser = app.test_client()
    assert browser.post("/orders", data={"customer": "<script>"}).status_code == 303
    assert browser.post("/orders", data={"customer": " "}).status_code == 400
    page = browser.get("/").text
    with app.app_context():
        db.engine.dispose()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
