"""Queues of one library are commanded by nodes of the other, and running jobs are cancelled across."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oban_sync import Oban
from tests.interop.conftest import Peer
from tests.interop.work import PEER, Hold

Wait = Callable[..., Any]


def seen(theirs: Peer, queue: str) -> tuple[int, bool] | None:
    """Give the limit of a queue of theirs, and whether it is paused; None: it does not run."""
    found = theirs.call("check_queue", queue)
    return None if found is None else (found["limit"], found["paused"])


def known(ours: Oban, queue: str) -> tuple[int, bool] | None:
    """Give the same of a queue of ours."""
    found = ours.check_queue(queue)
    return None if found is None else (found.limit, found.paused)


def test_we_command_their_queues(theirs: Peer, ours: Oban, eventually: Wait) -> None:
    ours.pause_queue("theirs")
    eventually(lambda: seen(theirs, "theirs") == (5, True))
    ours.resume_queue("theirs")
    eventually(lambda: seen(theirs, "theirs") == (5, False))
    ours.scale_queue(queue="theirs", limit=7)
    eventually(lambda: seen(theirs, "theirs") == (7, False))
    ours.start_queue(queue="more", limit=2, paused=True, node="theirs")
    eventually(lambda: seen(theirs, "more") == (2, True))
    assert known(ours, "more") is None
    ours.stop_queue("more", node="theirs")
    eventually(lambda: seen(theirs, "more") is None)
    ours.pause_all_queues(node="theirs")
    eventually(lambda: seen(theirs, "theirs") == (7, True))
    assert known(ours, "ours") == (5, False)
    ours.resume_all_queues()
    eventually(lambda: seen(theirs, "theirs") == (7, False))


def test_they_command_our_queues(theirs: Peer, ours: Oban, eventually: Wait) -> None:
    theirs.call("pause_queue", "ours")
    eventually(lambda: known(ours, "ours") == (5, True))
    theirs.call("resume_queue", "ours")
    eventually(lambda: known(ours, "ours") == (5, False))
    theirs.call("scale_queue", queue="ours", limit=7)
    eventually(lambda: known(ours, "ours") == (7, False))
    theirs.call("start_queue", queue="more", limit=2, paused=True, node="ours")
    eventually(lambda: known(ours, "more") == (2, True))
    assert seen(theirs, "more") is None
    theirs.call("stop_queue", "more", node="ours")
    eventually(lambda: known(ours, "more") is None)
    theirs.call("pause_all_queues", node="ours")
    eventually(lambda: known(ours, "ours") == (7, True))
    assert seen(theirs, "theirs") == (5, False)
    theirs.call("resume_all_queues")
    eventually(lambda: known(ours, "ours") == (7, False))
    for call in (("resume_queue", "ours"), ("resume_all_queues",)):
        ours.pause_queue("ours", durable=True)
        theirs.call(*call)
        eventually(lambda: known(ours, "ours") == (7, False))
        eventually(lambda: not any(view.durable for view in ours.overview().queues))


def test_a_command_to_all_is_obeyed_by_both(theirs: Peer, ours: Oban, eventually: Wait) -> None:
    ours.start_queue(queue="both", limit=3)
    eventually(lambda: seen(theirs, "both") == known(ours, "both") == (3, False))
    theirs.call("scale_queue", queue="both", limit=4)
    eventually(lambda: seen(theirs, "both") == known(ours, "both") == (4, False))
    theirs.call("stop_queue", "both")
    eventually(lambda: seen(theirs, "both") is known(ours, "both") is None)


def test_running_jobs_are_cancelled_across(theirs: Peer, ours: Oban, states: Any, eventually: Wait) -> None:
    here = theirs.call("enqueue", *({"worker": f"{PEER}.Hold", "queue": "ours"} for _ in range(2)))
    there = ours.enqueue_many(Hold.new(queue="theirs") for _ in range(2))
    ids = [*(job["id"] for job in here), *(job.id for job in there)]
    eventually(lambda: states(*ids) == ["executing"] * 4)
    theirs.call("cancel_job", ids[0])
    ours.cancel_job(ids[2])
    eventually(lambda: states(*ids) == ["cancelled", "executing"] * 2)
    for id in (ids[0], ids[2]):
        (error,) = ours.get_job(id).errors
        assert "asked to" in error["error"]
        assert theirs.call("get_job", id)["cancelled_at"] is not None
    assert theirs.call("cancel_many_jobs", ids[1:2]) == ours.cancel_many_jobs(ids[3:]) == 1
    eventually(lambda: states(*ids) == ["cancelled"] * 4)


@pytest.mark.parametrize("queue", ["ours", "theirs"])
def test_a_paused_queue_of_either_keeps_the_others_jobs(
    theirs: Peer, ours: Oban, ran: None, states: Any, eventually: Wait, queue: str
) -> None:
    theirs.call("pause_queue", queue)
    eventually(lambda: (known(ours, queue) or seen(theirs, queue)) == (5, True))
    job = theirs.call("enqueue", {"worker": f"{PEER}.Ran", "queue": queue})[0]
    assert states(job["id"]) == ["available"]
    ours.resume_queue(queue)
    eventually(lambda: states(job["id"]) == ["completed"])
