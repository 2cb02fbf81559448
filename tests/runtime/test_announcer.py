"""Notifications of calls at the same time are joined, and none is left out."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from oban_sync import Job, Oban
from oban_sync.runtime.announcer import Announcer


def test_a_lone_call_notifies_by_itself() -> None:
    announcer = Announcer()
    with announcer.call() as call:
        assert not call.quiet
        call.stored((), pytest.fail)


def test_calls_under_way_together_are_announced_once() -> None:
    announcer, sent = Announcer(), []
    with announcer.call() as first, announcer.call() as second, announcer.call() as third:
        assert (first.quiet, second.quiet, third.quiet) == (False, True, True)
        third.stored(["c", "a"], lambda queues: (sent.append(queues), second.stored(["b"], sent.append)))
        assert sent == [["a", "c"]]  # the first is under way and will announce what the second left
        first.stored((), sent.append)
    assert sent == [["a", "c"], ["b"]]


def test_the_last_call_announces_what_came_in_while_it_notified() -> None:
    announcer, sent = Announcer(), []
    with announcer.call() as first, announcer.call() as second:

        def send(queues: list[str]) -> None:
            sent.append(queues)
            if len(sent) == 1:
                second.stored(["late"], pytest.fail)

        first.stored(["early"], send)
    assert sent == [["early"], ["late"]]


def test_a_failed_call_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    announcer, sent = Announcer(), []
    with pytest.raises(ZeroDivisionError), announcer.call():
        raise ZeroDivisionError
    with announcer.call() as call:
        assert not call.quiet
        with announcer.call() as other:
            other.stored(["a"], lambda _: 1 / 0)
        call.stored(["b"], sent.append)
    assert sent == [["b"]]
    assert "could not notify a, whose nodes will poll" in caplog.text


def test_who_is_struck_while_it_notifies_leaves_that_to_the_next() -> None:
    announcer, sent = Announcer(), []

    def struck(queues: list[str]) -> None:
        raise KeyboardInterrupt

    with announcer.call(), announcer.call() as second:
        with pytest.raises(KeyboardInterrupt):
            second.stored(["a"], struck)
        with announcer.call() as third:
            third.stored(["b"], sent.append)
    assert sent == [["a", "b"]]


def test_a_call_that_was_struck_before_it_could_end_counts_no_more() -> None:
    announcer = Announcer()
    announcer.begin(announcer.call())  # as where the with that it was made for was never entered
    with announcer.call() as call:
        assert not call.quiet


def test_a_forked_child_begins_anew() -> None:
    announcer = Announcer()
    with announcer.call():
        child = os.fork()
        if not child:
            with announcer.call() as call:
                os._exit(int(call.quiet))
        assert os.waitpid(child, 0)[1] == 0


def test_every_queue_of_many_threads_is_notified(oban: Oban, dsn: str, db: psycopg.Connection[Any]) -> None:
    queues = [f"queue {number}" for number in range(200)]
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute('LISTEN "public.oban_insert"')
        run_together(8, lambda thread: [oban.enqueue(Job("w", queue=queue)) for queue in queues[thread::8]])
        heard: set[str] = set()
        for notify in listener.notifies(timeout=10):
            heard.add(notify.payload)
            if len(heard) == len(queues):
                break
    assert heard == {f'{{"queue" : "{queue}"}}' for queue in queues}
    assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (200,)


def run_together(count: int, work: Callable[[int], object]) -> None:
    barrier = threading.Barrier(count)
    crew = [threading.Thread(target=lambda number=number: (barrier.wait(), work(number))) for number in range(count)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
