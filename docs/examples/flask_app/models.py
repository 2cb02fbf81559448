"""The tables of the shop. Jobs are rows of `oban_jobs`, which is Oban's; an order keeps the ids of its own."""

from datetime import datetime

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, DateTime, ForeignKey, String, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Order(db.Model):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(String(100))
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    jobs: Mapped[list["OrderJob"]] = relationship(back_populates="order", order_by="OrderJob.job_id")


class OrderJob(db.Model):
    """Which jobs belong to an order."""

    __tablename__ = "order_jobs"

    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    order: Mapped[Order] = relationship(back_populates="jobs")


class Step(db.Model):
    """What a job did for an order: one row for each run."""

    __tablename__ = "order_steps"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    job_id: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int]
    what: Mapped[str] = mapped_column(String(100))
