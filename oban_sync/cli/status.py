"""`oban-sync status` and `oban-sync top`: what the cluster does, once or as it goes."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from oban_sync.cli import options, output
from oban_sync.cli.output import Block
from oban_sync.cli.queues import OPEN, counted, table
from oban_sync.config import positive
from oban_sync.lifecycle.finding import span
from oban_sync.lifecycle.overview import Overview
from oban_sync.oban import Oban

NODE_HEADINGS = ("node", "queue", "limit", "running", "paused", "beat", "runs", "state")
DEFAULT = "Oban"
"""Name of an instance that has been given none; where there are others, each node's is shown."""
RUNNING_HEADINGS = ("job", "worker", "queue", "node", "attempt", "runs for")


@click.command()
@options.database
def status(dsn: str | None, config: str | None, prefix: str | None, as_json: bool) -> None:
    """Show jobs by state and queue, the nodes with their beats, and who leads."""
    with options.client(config, dsn=dsn, prefix=prefix) as oban:
        found = oban.overview()
    if as_json:
        output.objects([found])
    else:
        output.blocks(_blocks(found, tuple(found.counts)))


@click.command()
@click.option(
    "--interval", type=click.FloatRange(0.1, 86_400), default=1.0, show_default=True, help="Seconds of a frame."
)
@click.option("--frames", type=click.IntRange(min=1), help="End after so many; else at Ctrl-C.")
@options.database
def top(
    interval: float, frames: int | None, dsn: str | None, config: str | None, prefix: str | None, as_json: bool
) -> None:
    """Show queues, nodes and the jobs that run for longest, again and again, until Ctrl-C."""
    seconds = positive("--interval", interval)  # which no-number is not, though it is in each range
    with options.client(config, dsn=dsn, prefix=prefix) as oban, _interruptible(seconds) as pause:
        if output.on_terminal() and not as_json:
            _live(oban, pause, frames)
        else:
            _follow(oban, pause, frames, _print_json if as_json else _print)


@contextmanager
def _interruptible(seconds: float) -> Iterator[Callable[[], bool]]:
    """Give a pause of so many seconds that Ctrl-C ends, and that says whether it did.

    An exception may be raised in a callback of the interpreter's, where it is lost.
    """
    told, tell = os.pipe()
    before = signal.signal(signal.SIGINT, lambda *_: os.write(tell, b"!"))
    try:
        yield lambda: bool(select.select([told], [], [], seconds)[0])
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(told)
        os.close(tell)


def _live(oban: Oban, pause: Callable[[], bool], frames: int | None) -> None:
    from rich.live import Live

    with Live(screen=frames is None, auto_refresh=False) as live:

        def draw(found: Overview) -> None:
            live.update(output.drawn(_frame(found)), refresh=True)

        _follow(oban, pause, frames, draw)


def _follow(oban: Oban, pause: Callable[[], bool], frames: int | None, draw: Callable[[Overview], None]) -> None:
    shown = 0
    while True:
        draw(oban.overview())
        shown += 1
        if shown == frames or pause():
            return


def _print(found: Overview) -> None:
    output.blocks(_frame(found))
    click.echo("")


def _print_json(found: Overview) -> None:
    output.objects([found])


def _frame(found: Overview) -> list[Block]:
    rows = [
        (each.id, each.worker, each.queue, each.node, each.attempt, span(max(each.seconds, 0)))
        for each in found.running
    ]
    return [*_blocks(found, OPEN), Block("running for longest", RUNNING_HEADINGS, rows)]


def _blocks(found: Overview, states: Sequence[str]) -> list[Block]:
    counts = [(state, counted(found, state)) for state in found.counts]
    named = any(each.instance != DEFAULT for each in found.nodes)
    nodes = [
        (
            *(each.node, *([each.instance] if named else []), each.queue),
            *(each.limit, each.running, each.paused, f"{each.beat_seconds:.1f} s ago"),
            *(
                "another Oban" if each.version is None else f"oban_sync {each.version}",
                "silent" if each.silent else "ok",
            ),
        )
        for each in found.nodes
    ]
    leaders = [
        (each.instance, each.node, "expired" if each.expires_seconds < 0 else f"{each.expires_seconds:.1f} s")
        for each in found.leaders
    ]
    return [
        Block("jobs", ("state", "count"), counts),
        table(found, "queues", states),
        Block("nodes", (NODE_HEADINGS[0], *(["instance"] if named else []), *NODE_HEADINGS[1:]), nodes),
        Block("leaders", ("instance", "node", "lease"), leaders),
    ]
