"""Short jobs are held ready, bounded in time; long ones never."""

from __future__ import annotations

from oban_sync.pace import APART_SECONDS, HORIZON_SECONDS, MAX_READY, MAX_READY_BYTES, Alone, Pace


def test_nothing_is_held_before_a_run_time_is_known() -> None:
    assert Pace().ready(100) == 0


def test_what_is_held_is_at_most_the_work_of_the_horizon() -> None:
    for average in (0.001, 0.005, 0.01, 0.019):
        for limit in (1, 10, 50):
            pace = Pace()
            pace.record(10, 10 * average)
            assert pace.ready(limit) * average / limit <= HORIZON_SECONDS + 1e-9
            assert pace.ready(limit) <= MAX_READY


def test_long_jobs_are_not_held() -> None:
    pace = Pace()
    pace.record(1, 0.021)
    assert pace.ready(50) == 0


def test_a_queue_whose_jobs_grow_long_stops_holding_and_one_whose_jobs_are_short_again_holds() -> None:
    pace = Pace()
    pace.record(1000, 0.001)
    assert pace.ready(10) == MAX_READY
    pace.record(1, 1.0)
    assert pace.ready(10) == 0
    for _ in range(30):
        pace.record(100, 0.0001)
    assert pace.ready(10) > 0


def test_a_stall_is_not_forgotten_at_once() -> None:
    pace = Pace()
    pace.record(1000, 0.001)
    pace.stall()
    assert pace.ready(10) == 0
    pace.record(1, 0.00001)
    assert pace.ready(10) == 0


def test_no_runs_change_nothing() -> None:
    pace = Pace()
    pace.record(0, 0.0)
    assert pace.ready(10) == 0


def test_it_can_be_turned_off() -> None:
    pace = Pace(0)
    pace.record(1000, 0.001)
    assert pace.ready(10) == 0


def test_large_args_are_not_held_ready_in_great_number() -> None:
    pace = Pace()
    pace.record(runs=100, seconds=0.001)
    assert pace.ready(limit=10) == MAX_READY
    pace.measure(jobs=10, size=10 * 1_000_000)
    assert pace.ready(limit=10) == MAX_READY_BYTES // 1_000_000
    for _ in range(50):
        pace.measure(jobs=10, size=1000)
    assert pace.ready(limit=10) == MAX_READY


def test_one_thread_begins_the_shortest_jobs() -> None:
    pace = Pace()
    assert pace.threads(limit=10, now=0.0) == 10  # nothing is known yet
    pace.record(runs=100, seconds=100 * 1e-5)
    assert pace.threads(limit=10, now=0.0) == 1
    pace.record(runs=1, seconds=0.2)
    assert pace.threads(limit=10, now=0.0) == 10


def test_a_thread_that_waits_more_than_it_computes_is_helped_for_a_while() -> None:
    pace = Pace()
    pace.record(runs=100, seconds=100 * 1e-4)
    pace.judge(passed=0.01, computed=0.009, now=1.0)
    assert pace.threads(limit=10, now=1.0) == 1
    pace.judge(passed=0.01, computed=0.001, now=1.0)
    assert pace.threads(limit=10, now=1.0) == 10
    assert pace.threads(limit=10, now=1.0 + APART_SECONDS) == 1


def test_a_large_group_counts_for_more_than_a_small_one() -> None:
    few, many = Pace(), Pace()
    for pace, runs in ((few, 1), (many, 1000)):
        pace.record(runs=1, seconds=0.01)
        pace.record(runs=runs, seconds=runs * 1e-5)
    assert many.ready(limit=10) > few.ready(limit=10) > 0


def test_a_thread_alone_is_stuck_where_it_begins_too_few() -> None:
    alone = Alone()
    assert not alone.stuck(begun=0, now=1.0)
    alone.begin(begun=100, now=1.0, alone=True)
    assert not alone.stuck(begun=101, now=1.001)
    assert not alone.stuck(begun=200, now=1.003)
    alone.begin(begun=200, now=1.004, alone=True)
    assert alone.alone
    assert alone.stuck(begun=201, now=1.007)
    assert not alone.stuck(begun=201, now=2.0)  # the others help by now
    alone.begin(begun=300, now=3.0, alone=True)
    assert not alone.alone  # they may still be at it
    alone.begin(begun=400, now=3.1, alone=False)
    assert not alone.stuck(begun=400, now=4.0)


def test_a_thread_alone_is_not_stuck_where_it_may_have_nothing_to_do() -> None:
    alone = Alone()
    alone.rest()
    assert alone.check_at == 0.0  # nobody is alone
    alone.begin(begun=100, now=1.0, alone=True)
    alone.rest()
    assert not alone.stuck(begun=100, now=1000.0)
    alone.begin(begun=100, now=1000.0, alone=True)
    assert alone.alone
    assert alone.stuck(begun=101, now=1001.0)
