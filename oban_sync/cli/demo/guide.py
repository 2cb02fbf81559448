"""The first part: each way to enqueue a job, with what became of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from oban_sync import Job, Oban, clock
from oban_sync.cli.demo.screen import Screen
from oban_sync.cli.demo.tables import Order, Run, Sessions, runs
from oban_sync.cli.demo.workers import greet, ship

WAIT_SECONDS = 15.0
_LOOK_SECONDS = 0.005
SERIES = 20
SERIES_STEP = 0.05


@dataclass
class Played:
    """The jobs of the guide, for the checks at the end.

    Attributes:
        jobs: All that are to run.
        timed: Those of them that were scheduled.
        unwanted: The job of the transaction that was rolled back.
    """

    jobs: list[Job] = field(default_factory=list)
    timed: list[Job] = field(default_factory=list)
    unwanted: list[Job] = field(default_factory=list)


def play(oban: Oban, screen: Screen) -> Played:
    """Go through the guide."""
    played = Played()
    _at_once(screen, played)
    _after_a_delay(screen, played)
    _at_an_instant(screen, played)
    _rolled_back(screen, played)
    _committed(screen, played)
    _many(oban, screen, played)
    return played


def _at_once(screen: Screen, played: Played) -> None:
    job = greet.enqueue("world")
    played.jobs.append(job)
    ran = _wait([job])
    screen.step('greet.enqueue("world")', _told(ran, "{said} It ran {late:.1f} ms after it was stored"), ok=bool(ran))


def _after_a_delay(screen: Screen, played: Played) -> None:
    job = greet.enqueue("later", schedule_in=0.3)
    _show_timed(screen, played, job, 'greet.enqueue("later", schedule_in=0.3)')


def _at_an_instant(screen: Screen, played: Played) -> None:
    job = greet.enqueue("on time", scheduled_at=clock.now() + timedelta(seconds=0.5))
    _show_timed(screen, played, job, 'greet.enqueue("on time", scheduled_at=now + timedelta(seconds=0.5))')


def _show_timed(screen: Screen, played: Played, job: Job, code: str) -> None:
    played.jobs.append(job)
    played.timed.append(job)
    ran = _wait([job])
    screen.step(code, _told(ran, "{said} It ran {late:.1f} ms after it was due"), ok=bool(ran))


def _rolled_back(screen: Screen, played: Played) -> None:
    with Sessions() as session:
        order = Order(item="tea")
        session.add(order)
        session.flush()
        job = ship.enqueue(order.id, conn=session)
        session.rollback()
    played.unwanted.append(job)
    screen.step(
        "ship.enqueue(order.id, conn=session); session.rollback()",
        f"Job {job.id} went with its order, and never ran (checked again at the end)",
    )


def _committed(screen: Screen, played: Played) -> None:
    with Sessions() as session:
        order = Order(item="coffee")
        session.add(order)
        session.flush()
        job = ship.enqueue(order.id, conn=session)
        session.commit()
    played.jobs.append(job)
    ran = _wait([job])
    told = _told(ran, f"{{said}} by job {job.id}, {{late:.1f}} ms after it was stored")
    screen.step("ship.enqueue(order.id, conn=session); session.commit()", told, ok=bool(ran))


def _many(oban: Oban, screen: Screen, played: Played) -> None:
    start = clock.now() + timedelta(seconds=0.3)
    instants = [start + timedelta(seconds=SERIES_STEP * number) for number in range(SERIES)]
    jobs = oban.enqueue_many(greet.new(f"series {at:%S.%f}", scheduled_at=at) for at in instants)
    played.jobs += jobs
    played.timed += jobs
    ran = _wait(jobs)
    told = f"{len(jobs)} in one INSERT, due {SERIES_STEP * 1000:.0f} ms apart; {lateness(ran)}"
    screen.step("oban.enqueue_many(greet.new(..., scheduled_at=at) for at in instants)", told, ok=len(ran) == len(jobs))


def lateness(ran: Iterable[Run]) -> str:
    """Say how late jobs ran."""
    late = [run.late for run in ran]
    return f"late by {statistics.median(late):.1f} ms (p50), {max(late):.1f} ms (max)" if late else "none ran"


def _wait(jobs: list[Job]) -> list[Run]:
    """Wait until jobs have run, and give their marks; fewer of them when time is up."""
    deadline = clock.monotonic() + WAIT_SECONDS
    while True:
        ran = runs(jobs)
        if len(ran) == len(jobs) or clock.monotonic() > deadline:
            return ran
        time.sleep(_LOOK_SECONDS)


def _told(ran: list[Run], text: str) -> str:
    return text.format(said=ran[0].said, late=ran[0].late) if ran else f"did not run in {WAIT_SECONDS:.0f} s"
