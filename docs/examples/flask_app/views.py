"""Place an order, and list the orders with the states of their jobs."""

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from sqlalchemy import BigInteger, String, column, func, select, table
from sqlalchemy.orm import selectinload

from .jobs import reserve_stock, send_receipt
from .models import Order, OrderJob, db

PAGE = 50

shop = Blueprint("shop", __name__)
oban_jobs = table("oban_jobs", column("id", BigInteger), column("worker", String), column("state", String))


@shop.get("/")
def list_orders():
    before = request.args.get("before", type=int)
    newest = select(Order).options(selectinload(Order.jobs)).order_by(Order.id.desc()).limit(PAGE + 1)
    if before is not None:
        newest = newest.where(Order.id < before)
    found = db.session.scalars(newest).all()
    orders, older = found[:PAGE], len(found) > PAGE
    return render_template(
        "orders.html",
        orders=orders,
        jobs=jobs_of(orders),
        older=orders[-1].id if older else None,
        total=db.session.scalar(select(func.count(Order.id))),
        states=states(),
    )


@shop.post("/orders")
def place_order():
    """Store an order and its two jobs, all or nothing. With `fail`, the payment is declined after all was written."""
    customer = request.form.get("customer", "").strip()
    if not 0 < len(customer) <= 100:
        abort(400, "expected a customer's name of 1 to 100 characters")
    order = Order(customer=customer)
    db.session.add(order)
    db.session.flush()  # gives the order its id
    jobs = current_app.extensions["oban"].enqueue_many(
        send_receipt.new(order.id), reserve_stock.new(order.id), conn=db.session
    )
    order.jobs = [OrderJob(job_id=job.id) for job in jobs]
    db.session.flush()
    if request.form.get("fail"):
        abort(409, "The payment was declined: neither the order nor its jobs were stored.")
    db.session.commit()  # without this line the session is rolled back at the end of the request, jobs and all
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "application/json":
        return {"order": order.id, "jobs": [job.id for job in jobs]}, 201
    return redirect(url_for(".list_orders"), 303)


def jobs_of(orders):
    """Give (worker, state) of each order's jobs, by the id of the order."""
    found = select(OrderJob.order_id, oban_jobs.c.worker, oban_jobs.c.state)
    found = found.join(oban_jobs, oban_jobs.c.id == OrderJob.job_id).order_by(OrderJob.job_id)
    by_order = {order.id: [] for order in orders}
    for order_id, worker, state in db.session.execute(found.where(OrderJob.order_id.in_(by_order))):
        by_order[order_id].append((worker, state))
    return by_order


def states():
    """Count the jobs of all orders by their states."""
    found = select(oban_jobs.c.state, func.count()).join(OrderJob, oban_jobs.c.id == OrderJob.job_id)
    return db.session.execute(found.group_by(oban_jobs.c.state).order_by(oban_jobs.c.state)).all()
