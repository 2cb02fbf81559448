"""The jobs of an order. They run on threads of the web process, outside of requests."""

from functools import wraps

from oban_sync import current_job, job

from .models import Order, Step, db

_app = None  # the application whose context jobs run in; set when it is created


def run_inside(app):
    """Have jobs run in the context of this application."""
    global _app
    _app = app


def in_app_context(function):
    """Give each run an application context, and with it a database session of its own.

    Flask-SQLAlchemy has one session for each context and discards it with the context, so whatever a job leaves in its
    session, a failed transaction for one, never meets the next job on the same thread.
    """

    @wraps(function)
    def run(*args, **kwargs):
        with _app.app_context():
            return function(*args, **kwargs)

    return run


@job(queue="receipts", name="shop.send_receipt")
@in_app_context
def send_receipt(order_id: int):
    order = db.session.get_one(Order, order_id)
    record(order_id, f"sent a receipt to {order.customer}")
    db.session.commit()


@job(queue="stock", name="shop.reserve_stock")
@in_app_context
def reserve_stock(order_id: int):
    record(order_id, "reserved the goods")
    db.session.commit()


def record(order_id, what):
    """Note what the running job does. It commits with the job's own work, so a run that fails leaves no note."""
    running = current_job()
    db.session.add(Step(order_id=order_id, job_id=running.id, attempt=running.attempt, what=what))
