"""`oban-sync queues`: what runs where, and pause, resume or scale it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from oban_sync.cli import options, output
from oban_sync.cli.output import Block
from oban_sync.errors import FilterError
from oban_sync.lifecycle.finding import several
from oban_sync.lifecycle.overview import Overview, QueueView
from oban_sync.oban import Oban

OPEN = ("available", "scheduled", "executing", "retryable")
"""States of jobs that have not ended."""

NODE = click.option("--node", help="Only on this node, by its name in `oban-sync status`.")
ALL = click.option("--all", "every", is_flag=True, help="Every queue.")


@click.group()
def queues() -> None:
    """List, pause, resume and scale queues."""


@queues.command("list")
@options.database
def list_queues(dsn: str | None, config: str | None, prefix: str | None, as_json: bool) -> None:
    """List the queues that run on a node, have jobs, or are paused wherever they start."""
    with options.client(config, dsn=dsn, prefix=prefix) as oban:
        found = oban.overview()
    if as_json:
        output.objects(found.queues)
    elif found.queues:
        output.blocks([table(found)])
    else:
        click.echo("no queue runs or has jobs")


@queues.command()
@click.argument("queue", required=False)
@ALL
@NODE
@click.option("--durable", is_flag=True, help="Wherever it starts too, until `queues resume` without --node.")
@options.database
def pause(queue: str | None, every: bool, node: str | None, durable: bool, as_json: bool, **given: str | None) -> None:
    """Have a queue fetch nothing more; jobs that run go on."""
    _check(queue, every)
    if every and durable:
        raise FilterError("expected --durable with the name of one queue, got --all; nothing was paused")

    def act(oban: Oban) -> None:
        if queue is None:
            oban.pause_all_queues(node=node)
        else:
            oban.pause_queue(queue, node=node, durable=durable)

    _tell("pause", queue, node, act, as_json, given)


@queues.command()
@click.argument("queue", required=False)
@ALL
@NODE
@options.database
def resume(queue: str | None, every: bool, node: str | None, as_json: bool, **given: str | None) -> None:
    """Have a queue fetch again; without --node, a durable pause ends too."""
    _check(queue, every)

    def act(oban: Oban) -> None:
        if queue is None:
            oban.resume_all_queues(node=node)
        else:
            oban.resume_queue(queue, node=node)

    _tell("resume", queue, node, act, as_json, given)


@queues.command()
@click.argument("queue")
@click.argument("limit", type=int)
@NODE
@options.database
def scale(queue: str, limit: int, node: str | None, as_json: bool, **given: str | None) -> None:
    """Change how many jobs of a queue run at once on each node, until it starts anew."""
    _tell("scale", queue, node, lambda oban: oban.scale_queue(queue=queue, limit=limit, node=node), as_json, given)


def table(found: Overview, title: str = "", states: Sequence[str] = OPEN) -> Block:
    """Give the table of queues, with their jobs in some states."""
    headings = ("queue", "nodes", "limit", "paused", *states, "waits")
    return Block(title, headings, [_row(each, states) for each in found.queues])


def _row(view: QueueView, states: Sequence[str]) -> tuple[Any, ...]:
    off = sum(each.paused for each in view.nodes)
    some = f"{off} of {len(view.nodes)}" if off else "no"
    paused = "durably" if view.durable else "yes" if view.paused else some
    waits = None if view.wait_seconds is None else f"{view.wait_seconds:.1f} s"
    return view.queue, len(view.nodes), view.limit, paused, *(view.counts[state] for state in states), waits


def _check(queue: str | None, every: bool) -> None:
    if (queue is None) != every:
        raise FilterError(f"expected the name of a queue or --all, got {'both' if every else 'neither'}")


def _tell(
    action: str,
    queue: str | None,
    node: str | None,
    act: Callable[[Oban], None],
    as_json: bool,
    given: dict[str, str | None],
) -> None:
    """Send a command, and say which nodes run what it is about."""
    with options.client(given["config"], dsn=given["dsn"], prefix=given["prefix"]) as oban:
        act(oban)
        running = oban.overview().nodes
    meant = {each.node for each in running if queue in (None, each.queue) and node in (None, each.node)}
    if as_json:
        output.objects([{"action": action, "queue": queue or "*", "nodes": sorted(meant)}])
        return
    what = "every queue" if queue is None else f"queue {queue}"
    where = f"{several(len(meant), 'node')}: {', '.join(sorted(meant))}" if meant else "no node runs it now"
    click.echo(
        f"told all nodes to {action} {what}; {where}" if node is None else f"told {node} to {action} {what}; {where}"
    )
