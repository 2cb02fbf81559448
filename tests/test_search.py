"""The rule by which a fetch leaves out what ran before, and looks for it again."""

from __future__ import annotations

import pytest

from oban_sync.search import SHARE, START, WHOLE_SECONDS, Search

SLOW, QUICK = 0.05, 0.0001
NINE = "2026-01-31 09:00:00"


@pytest.fixture
def slow() -> Search:
    search = Search()
    search.record_whole(found=100, seconds=SLOW, now=0.0)
    return search


def test_quick_searches_begin_at_the_start() -> None:
    search = Search()
    for now in range(10):
        assert search.after(now / 10) is None
        search.record_whole(found=500, seconds=QUICK, now=now / 10)
        search.record([(0, "2026-01-31 08:00:00", now)], NINE)
    assert search.after(1.0) is None


def test_many_jobs_may_take_their_time() -> None:
    search = Search()
    search.record_whole(found=500, seconds=0.006, now=0.0)
    assert search.after(0.1) is None


def test_it_looks_behind_what_was_taken(slow: Search) -> None:
    slow.record([(0, "2026-01-31 08:00:00.5", 4), (0, "2026-01-31 08:00:00.45", 9)], NINE)
    found = slow.after(0.1)
    assert found is not None
    assert found[0] == ("2026-01-31 08:00:00.5", 4)
    assert found[1:] == [START] * 9


def test_what_became_due_just_now_is_looked_for_again(slow: Search) -> None:
    slow.record([(0, "2026-01-31 08:59:59.9", 4)], NINE)
    found = slow.after(0.1)
    assert found is not None
    assert found[0] == ("2026-01-31 08:59:59", 0)


def test_each_priority_has_its_own_key(slow: Search) -> None:
    slow.record([(9, "b", 1)], "3000-01-01 00:00:00")
    slow.record([(0, "2026-01-31", 2), (9, "2026-02-01", 3)], NINE)
    found = slow.after(0.1)
    assert found is not None
    assert (found[0], found[9]) == (("2026-01-31", 2), ("2999-12-31 23:59:59", 0))


def test_it_looks_from_the_start_now_and_then(slow: Search) -> None:
    assert slow.after(WHOLE_SECONDS - 0.01) is not None
    assert slow.after(WHOLE_SECONDS) is None


def test_a_reason_has_it_look_sooner_but_not_all_the_time(slow: Search) -> None:
    slow.hurry()
    assert slow.after(SLOW * SHARE - 0.01) is not None
    assert slow.after(SLOW * SHARE) is None
    slow.record_whole(found=0, seconds=None, now=SLOW * SHARE)
    assert slow.after(SLOW * SHARE + 0.01) is not None


def test_it_forgets_when_the_start_is_quick_again(slow: Search) -> None:
    slow.record([(0, "2026-01-31", 1)], NINE)
    slow.record_whole(found=10, seconds=QUICK, now=2.0)
    assert slow.after(2.1) is None
    slow.record_whole(found=10, seconds=SLOW, now=3.0)
    assert slow.after(3.1) == [START] * 10
