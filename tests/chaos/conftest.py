"""Where scenarios play, and the seeds that replay them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.chaos.server import Stage
from tests.chaos.server import stage as play


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    """A database on the server that all tests share; nobody may restart it."""
    with play(dsn) as found:
        yield found


@pytest.fixture
def seed() -> int:
    """Draws the faults. It follows from the seed in the head of the run: replay it by `--randomly-seed=N`."""
    return random.randrange(1_000_000)
