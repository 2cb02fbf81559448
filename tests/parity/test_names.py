"""Names of Oban's that have two forms, both of which are taken."""

from __future__ import annotations

from typing import Any

import pytest

from oban_sync import Job, Oban, job, worker
from oban_sync.testing import all_enqueued


@worker(name="parity.Delayed", schedule_in=60)
class Delayed:
    def process(self, job: Job) -> None: ...


@job(name="parity.delayed")
def delayed() -> None: ...


@pytest.mark.parametrize("name", ["scheduled_in", "schedule_in"])
def test_both_names_of_a_delay_are_taken_everywhere_without_a_warning(oban: Oban, name: str) -> None:
    late: dict[str, Any] = {name: 3600}
    jobs = [Job("w", **late), Delayed.new(**late), delayed.new(**late), Job("w").update(late)]
    stored = [*oban.enqueue_many(jobs), Delayed.enqueue(**late), delayed.enqueue(**late)]
    assert {made.state for made in stored} == {"scheduled"}
    assert [found.id for found in all_enqueued(**late)] == [made.id for made in reversed(stored)]
    changed = oban.update_job(oban.enqueue(Job("w")), late)
    assert abs((changed.scheduled_at - stored[0].scheduled_at).total_seconds()) < 60
    assert abs((Delayed.new().scheduled_at - Job("w", scheduled_in=60).scheduled_at).total_seconds()) < 60


def test_many_jobs_are_an_iterable_or_arguments(oban: Oban) -> None:
    ways = (
        lambda: oban.enqueue_many(Job("w"), Job("w")),
        lambda: oban.enqueue_many([Job("w"), Job("w")]),
        lambda: oban.enqueue_many(Job("w") for _ in range(2)),
        lambda: oban.enqueue_many([Job("w")], Job("w")),
    )
    ids = [made.id for way in ways for made in way()]
    assert ids == list(range(1, 9))
