"""How workers find the instance that enqueues their jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from oban_sync import Job, Oban, instances, worker
from oban_sync.errors import InstanceNotFound, ObanError


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Begin without instances, and give those of other tests back."""
    before = dict(instances._instances)
    instances._instances.clear()
    yield
    instances._instances.clear()
    instances._instances.update(before)


@worker(name="instances.Email", oban="mailer")
class Email:
    def process(self, job: Job) -> None: ...


def test_an_instance_is_found_by_its_name_once_it_is_made() -> None:
    default = Oban(dsn="dbname=nowhere")
    mailer = Oban(dsn="dbname=nowhere", name="mailer")
    assert instances.get("Oban") is Oban.get_instance() is default
    assert instances.get("mailer") is Oban.get_instance("mailer") is mailer
    assert (default.name, mailer.name) == ("Oban", "mailer")
    assert list(instances.every()) == [default, mailer]


def test_a_later_instance_takes_the_name() -> None:
    Oban(dsn="dbname=nowhere")
    second = Oban(dsn="dbname=nowhere")
    assert Oban.get_instance() is second
    assert list(instances.every()) == [second]


def test_an_instance_that_could_not_be_made_takes_no_name() -> None:
    first = Oban(dsn="dbname=nowhere")
    with pytest.raises(ValueError, match="limit of queue"):
        Oban(dsn="dbname=nowhere", queues={"default": 0})
    assert Oban.get_instance() is first


def test_a_missing_instance_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(InstanceNotFound, match=r"Oban instance 'mailer' not found \(made so far: none\)"):
        Email.enqueue()
    Oban(dsn="dbname=nowhere", name="b")
    Oban(dsn="dbname=nowhere", name="a")
    with pytest.raises(InstanceNotFound, match=r"made so far: a, b\): make one by Oban\(dsn=") as caught:
        Oban.get_instance("mailer")
    assert isinstance(caught.value, ObanError)
    assert isinstance(caught.value, RuntimeError)


def test_an_instance_is_still_found_after_it_was_stopped(dsn: str, db: Any) -> None:
    mailer = Oban(dsn=dsn, name="mailer")
    Email.enqueue()
    mailer.stop()
    Email.enqueue()
    mailer.stop()
    mailer.stop()
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (2,)
