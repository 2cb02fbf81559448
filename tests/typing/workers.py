"""User code that must type-check under mypy --strict; nothing here is run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import assert_type

import attrs
import msgspec
import pydantic

from oban_sync import Cancel, Job, JobState, Record, Snooze, Worker, current_job, job, worker


@worker(queue="mail", max_attempts=5, tags=["mail"], scheduled_in=timedelta(minutes=1))
class Receipt(Worker):
    """A worker that ends in every way."""

    def process(self, job: Job) -> Cancel | Record | Snooze | None:
        if job.args.get("unknown"):
            return Cancel("no such order")
        if job.attempt == 1:
            return Snooze(60, meta={"why": "too early"})
        if job.attempt == 2:
            return Snooze(timedelta(hours=1))
        return Record({"sent": True})

    def backoff(self, job: Job) -> float:
        return 2.0 * job.attempt


@worker(name="stores.nothing", timeout=timedelta(minutes=1), isolation="process")
class Quiet(Worker):
    def process(self, job: Job) -> None:
        assert_type(job.id, int | None)
        assert job.state == JobState.EXECUTING
        assert_type(job.scheduled_at, datetime | None)
        assert_type(job.cancelled(), bool)
        assert_type(job.deadline, float | None)
        assert_type(job.lease_lost, bool)
        job.check()
        with job.transaction() as connection:
            connection.execute("SELECT 1")


@job(queue="stock", priority=3)
def restock(sku: str, amount: int = 1) -> int:
    return amount


def build() -> list[Job]:
    assert_type(restock("A-1"), int)
    return [
        Receipt.new({"order_id": 1}, priority=0),
        Receipt.new(schedule_in=5),
        Quiet.new({}, scheduled_at=datetime(2040, 1, 1, tzinfo=UTC)),
        restock.new("A-1", amount=2, scheduled_in=1.5),
    ]


def choose(urgent: bool) -> type[Worker]:
    return Receipt if urgent else Quiet


def store() -> None:
    assert_type(Receipt.enqueue({"order_id": 1}), Job)
    assert_type(restock.enqueue("A-1", tags=["night"]), Job)
    assert_type(choose(True).enqueue({}), Job)
    assert_type(current_job(), Job | None)


@dataclass
class Order:
    id: int


@attrs.define
class Box:
    id: int


class Parcel(msgspec.Struct):
    id: int


class Invoice(pydantic.BaseModel):
    id: int


@worker(args=Order)
class Ship(Worker):
    def process(self, job: Job) -> None:
        order: Order = job.typed
        assert_type(order.id, int)


def typed() -> None:
    assert_type(Ship.enqueue(Order(1), priority=2), Job)
    assert_type(Ship.new({"id": 1}), Job)
    for args in (Box(1), Parcel(1), Invoice(id=1)):
        Ship.new(args)


def misuse() -> None:
    restock(1)  # type: ignore[arg-type]
    Receipt.enqueue([1])  # type: ignore[arg-type]
    Receipt.send({})  # type: ignore[attr-defined]


assert_type(Receipt(), Receipt)  # a unit test of a worker makes one
