"""A WSGI application without a framework, which enqueues in its own transactions and runs the jobs beside its requests.

    python docs/examples/wsgi.py [port]        the server of the standard library, one process
    OBAN_DSN=... gunicorn -c docs/examples/gunicorn.conf.py --chdir docs/examples 'wsgi:make_application()'

The first uses the database that OBAN_DSN names, or a PostgreSQL of its own for as long as it runs, and makes the
tables; for the second, run `python docs/examples/wsgi.py --install` before.

    curl -d customer=ann http://127.0.0.1:8000/orders               stores an order and its job
    curl -d customer=ann -d fail=1 http://127.0.0.1:8000/orders     stores neither
    curl http://127.0.0.1:8000/orders
"""

import json
import os
import signal
import sys
from contextlib import ExitStack
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIServer, make_server

from oban_sync import Oban, embedded, schema, worker


@worker(name="examples.SendReceipt")
class SendReceipt:
    def process(self, job):
        with Oban.get_instance()._connection() as conn:
            conn.execute("UPDATE orders SET receipts = receipts + 1 WHERE id = %s", [job.args["order"]])


def make_application(dsn=None):
    """Make the application; nothing is connected and nothing started until the first request."""
    pool = Oban.create_pool(dsn)  # without a dsn it asks OBAN_DSN
    oban = Oban(pool=pool, queues={"default": 5})

    def application(environ, start_response):
        pool.open()  # both change nothing from the second request on; and the first is after any fork
        oban.start()
        if environ["PATH_INFO"] != "/orders":
            return answer(start_response, "404 Not Found", {"error": "only /orders is here"})
        if environ["REQUEST_METHOD"] != "POST":
            return answer(start_response, "200 OK", orders(pool))
        try:
            return answer(start_response, "201 Created", order(pool, oban, form(environ)))
        except Declined as error:
            return answer(start_response, "409 Conflict", {"error": str(error)})

    return application


class Declined(Exception):
    """The payment of an order was declined."""


def order(pool, oban, fields):
    """Store an order and its job in one transaction."""
    with pool.connection() as conn:
        customer = fields.get("customer", "somebody")
        (id,) = conn.execute("INSERT INTO orders (customer) VALUES (%s) RETURNING id", [customer]).fetchone()
        job = oban.enqueue(SendReceipt.new({"order": id}), conn=conn)
        if fields.get("fail"):
            raise Declined("declined: neither the order nor its job was stored")
        return {"order": id, "job": job.id}


def orders(pool):
    with pool.connection() as conn:
        rows = conn.execute("SELECT id, customer, receipts FROM orders ORDER BY id").fetchall()
    return [{"order": id, "customer": customer, "receipts": receipts} for id, customer, receipts in rows]


def form(environ):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return {name: values[-1] for name, values in parse_qs(body.decode()).items()}


def answer(start_response, status, value):
    body = json.dumps(value).encode() + b"\n"
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def install(dsn=None):
    with Oban.create_pool(dsn) as pool:
        schema.install(pool)
        with pool.connection() as conn:
            conn.execute(
                "CREATE TABLE IF NOT EXISTS orders ("
                "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, "
                "receipts int NOT NULL DEFAULT 0)"
            )


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 resets connections that come at once


def serve(port):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # end by the way of `finally` and `with`, as Ctrl-C does
    with ExitStack() as stack:
        dsn = os.environ.get("OBAN_DSN") or stack.enter_context(embedded.start()).dsn()
        install(dsn)
        server = stack.enter_context(make_server("127.0.0.1", port, make_application(dsn), ThreadingServer))
        stack.callback(Oban.get_instance().stop)
        print(f"http://127.0.0.1:{server.server_port}/orders", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        install() if "--install" in sys.argv else serve(int([*sys.argv, "8000"][1]))
    except KeyboardInterrupt:
        pass
