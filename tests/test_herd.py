"""Who has its queue to itself never waits; who keeps coming too late waits a little."""

from __future__ import annotations

from oban_sync.herd import MOST, OWN_SECONDS, STEP_SECONDS, Herd, Polling


def test_a_node_alone_never_waits() -> None:
    herd = Herd()
    for number in range(100):
        herd.record(found=True, now=float(number))
        herd.record(found=False, now=number + OWN_SECONDS / 2)  # told of what it had found already
        assert herd.delay(1.0) == 0.0


def test_who_comes_too_late_waits_longer_each_time_and_not_for_ever() -> None:
    herd = Herd()
    waits = []
    for number in range(MOST + 3):
        herd.record(found=False, now=float(number))
        waits.append(herd.delay(1.0))
    assert waits[:MOST] == [step * STEP_SECONDS for step in range(1, MOST + 1)]
    assert waits[MOST:] == [MOST * STEP_SECONDS] * 3


def test_finds_shorten_the_wait() -> None:
    herd = Herd()
    for number in range(MOST):
        herd.record(found=False, now=float(number))
    for number in range(MOST):
        herd.record(found=True, now=10.0 + number)
    assert herd.delay(1.0) == 0.0


def test_a_deaf_queue_looks_often_while_it_finds_jobs() -> None:
    polling = Polling(longest=0.3)
    pauses = []
    for found in (False, False, False, False, True):
        polling.record(found=found)
        pauses.append(polling.pause)
    assert pauses == [0.1, 0.2, 0.3, 0.3, 0.05]
    assert Polling(longest=0.01).pause == 0.01
