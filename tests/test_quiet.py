"""What happens over and over is said now and then, with how often it was not."""

from __future__ import annotations

from oban_sync.quiet import MOST, QUIET_SECONDS, Quiet


def test_the_same_is_said_once_in_a_while() -> None:
    quiet = Quiet()
    assert [quiet.kept("full", now) for now in (0.0, 0.1, QUIET_SECONDS - 0.1)] == [0, None, None]
    assert quiet.kept("full", QUIET_SECONDS) == 2
    assert quiet.kept("full", QUIET_SECONDS + 0.1) is None


def test_different_things_are_said_side_by_side() -> None:
    quiet = Quiet()
    assert (quiet.kept("full", 0.0), quiet.kept("empty", 0.1)) == (0, 0)


def test_what_is_remembered_is_bounded() -> None:
    quiet = Quiet()
    for number in range(5 * MOST):
        assert quiet.kept(number, 0.0) == 0
    assert len(quiet._said) <= MOST


def test_what_is_forgotten_is_said_again() -> None:
    quiet = Quiet()
    quiet.kept("full", 0.0)
    quiet.forget()
    assert quiet.kept("full", 0.1) == 0
