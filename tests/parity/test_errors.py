"""Where Oban raises a built-in error, ours is one too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oban_sync import Job, Oban, Record, cron
from oban_sync.errors import ObanError
from oban_sync.worker import WorkerResolutionError, resolve


def made(**options: object) -> Oban:
    return Oban(dsn="dbname=nowhere", name="refused", **options)


CASES: list[tuple[Callable[[Oban], object], type[Exception], str]] = [
    (lambda _: Oban.get_instance("nobody"), RuntimeError, "Oban instance 'nobody' not found"),
    (lambda _: made(stager={"interval": "soon"}), TypeError, "stager.interval to be a number"),
    (lambda _: made(stager={"interval": 0}), ValueError, "stager.interval to be positive"),
    (lambda _: made(lifeline={"rescue_after": None}), TypeError, "lifeline.rescue_after to be a number"),
    (lambda _: made(pruner={"limit": []}), TypeError, "pruner.limit to be a number"),
    (lambda _: made(queues={5: 1}), TypeError, "expected queue to be a str"),
    (lambda _: made(queues={" ": 1}), ValueError, "expected queue to be a str that is not blank"),
    (lambda _: made(queues={"a": 0}), ValueError, "limit of queue 'a' to be positive"),
    (lambda _: made(notifier={"type": "redis"}), ValueError, "unknown notifier type: 'redis'"),
    (lambda _: Job(""), ValueError, "worker must not be blank"),
    (lambda _: Job("w", queue=" "), ValueError, "queue must not be blank"),
    (lambda _: Job("w", max_attempts=0), ValueError, "max_attempts must be greater than 0"),
    (lambda _: Job("w", priority=10), ValueError, "priority must be between 0 and 9"),
    (lambda _: Record("x" * 100, limit=10), ValueError, "at most 10 bytes"),
    (lambda _: cron.parse("* * *"), ValueError, "expected"),
    (lambda _: resolve("nobody"), WorkerResolutionError, "'nobody' is not registered"),
    (lambda oban: oban.retry_job(Job("w")), ValueError, "expected"),
    (lambda oban: oban.cancel_job(Job("w")), ValueError, "expected"),
    (lambda oban: oban.delete_job(Job("w")), ValueError, "expected"),
    (lambda oban: oban.update_job(404, {"priority": 1}), ValueError, "404"),
]


@pytest.mark.parametrize(("call", "kind", "text"), CASES)
def test_what_oban_raises_as_a_built_in_is_that_here(
    oban: Oban, call: Callable[[Oban], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        call(oban)
    assert isinstance(caught.value, ObanError)
