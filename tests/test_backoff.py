"""How long a failed job waits: the numbers of Oban."""

from __future__ import annotations

import random

import pytest

from oban_sync import backoff


@pytest.fixture(autouse=True)
def many_draws() -> None:
    random.seed()


def draws(draw: object, count: int = 300) -> set[int]:
    return {draw() for _ in range(count)}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 1), (1, 2), (2, 4), (9, 512), (10, 1024), (11, 1024), (500, 1024)]
)
def test_the_delay_doubles_up_to_its_largest_power(attempt: int, seconds: int) -> None:
    assert backoff.exponential(attempt) == seconds


def test_padding_is_added_and_the_power_multiplied() -> None:
    assert backoff.exponential(3, min_pad=10, mult=2) == 26
    assert backoff.exponential(9, max_pow=4) == 16


@pytest.mark.parametrize(("mode", "least", "most"), [("inc", 100, 110), ("dec", 90, 100), ("both", 90, 110)])
def test_jitter_stays_within_a_tenth_on_its_side(mode: str, least: int, most: int) -> None:
    found = draws(lambda: backoff.jitter(100, mode=mode))  # type: ignore[arg-type]
    assert least <= min(found)
    assert max(found) <= most
    assert len(found) > 3


def test_jitter_of_another_share_stays_within_that() -> None:
    found = draws(lambda: backoff.jitter(100, mode="both", mult=0.5))
    assert min(found) >= 50
    assert max(found) <= 150


def test_both_sides_of_both_are_used() -> None:
    found = draws(lambda: backoff.jitter(1000))
    assert min(found) < 1000 < max(found)


def test_jittery_exponential_moves_either_way() -> None:
    found = draws(lambda: backoff.jittery_exponential(20))
    assert min(found) >= 921
    assert max(found) <= 1127


@pytest.mark.parametrize("attempt", range(1, 21))
def test_the_default_of_a_job_is_15_seconds_and_a_power_of_two_and_up_to_a_tenth_more(attempt: int) -> None:
    base = 15 + 2**attempt
    found = draws(lambda: backoff.jittery_clamped(attempt, 20), count=50)
    assert base <= min(found)
    assert max(found) <= base * 1.1


@pytest.mark.parametrize(
    ("attempt", "most", "clamped"), [(1, 100, 0), (5, 100, 1), (50, 100, 10), (100, 100, 20), (32_767, 32_767, 20)]
)
def test_more_attempts_than_twenty_are_spread_over_the_same_delays(attempt: int, most: int, clamped: int) -> None:
    base = 15 + 2**clamped
    assert base <= backoff.jittery_clamped(attempt, most) <= base * 1.1


def test_the_limit_of_the_clamp_can_be_given() -> None:
    assert 15 + 2**5 <= backoff.jittery_clamped(10, 10, clamped_max=5) <= (15 + 2**5) * 1.1
