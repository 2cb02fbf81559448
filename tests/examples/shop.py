"""The Flask example with jobs that a shop had better not have, and with views that tell who answers."""

import logging
import os
import time

from sqlalchemy import text

from docs.examples.flask_app import create_app as _create_app
from docs.examples.flask_app.jobs import in_app_context
from docs.examples.flask_app.models import Order, Step, db
from oban_sync import job


@job(queue="receipts", name="tests.sleep", max_attempts=3)
def sleep(seconds: float):
    time.sleep(seconds)


@job(queue="stock", name="tests.poison", max_attempts=1)
@in_app_context
def poison(order_id: int):
    """Fail in the middle of a transaction, and leave it so."""
    db.session.add(Step(order_id=order_id, job_id=0, attempt=0, what="must not be committed"))
    db.session.execute(text("SELECT 1 / 0"))


def create_app():
    app = _create_app()

    @app.get("/backends")
    def backends():
        """The process that answers, and those of PostgreSQL that serve it by the app's session and by Oban."""
        with app.extensions["oban"]._connection() as connection:
            by_oban = connection.scalar(text("SELECT pg_backend_pid()"))
        by_app = db.session.scalar(text("SELECT pg_backend_pid()"))
        return {"worker": os.getpid(), "backends": [by_app, by_oban]}

    return app


def create_used_app():
    """Do in gunicorn's master all that belongs into a worker: start the queues, and use the pool."""
    app = create_app()
    app.extensions["oban"].start()
    with app.app_context():
        db.session.add(Order(customer="master"))
        db.session.commit()
        backends = db.session.scalars(text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"))
        logging.warning("master's backends: %s", " ".join(map(str, backends)))
        db.session.remove()
    return app
