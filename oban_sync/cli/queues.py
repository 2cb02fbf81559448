"""`oban-sync queues`: what runs where, and pause, resume or scale it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from oban_sync import config as rules
from oban_sync.cli import options, output
from oban_sync.cli.output import Block
from oban_sync.errors import FilterError
from oban_sync.lifecycle.finding import several
from oban_sync.lifecycle.overview import Overview, QueueView
from oban_sync.oban import Oban
from oban_sync.runtime.signals import one_queue, queue_limit

OPEN = ("available", "scheduled", "executing", "retryable")
"""States of jobs that have not ended."""

NODE = click.option("--node", help="Only on this node, by its name in `oban-sync status`.")
ALL = click.option("--all", "every", is_flag=True, help="Every queue.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say which nodes it would tell.")


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
@click.option("--durable", is_flag=True, help="Wherever it starts too, until it is resumed on all nodes.")
@DRY_RUN
@options.database
def pause(queue: str | None, every: bool, node: str | None, durable: bool, **given: Any) -> None:
    """Have a queue fetch nothing more; jobs that run go on."""
    _check(queue, every, node)
    if every and durable:
        raise FilterError("expected --durable with the name of one queue, got --all; nothing was paused")
    if durable and node is not None:
        raise FilterError(f"expected a durable pause to be for all nodes, got --node {node}; nothing was paused")

    def act(oban: Oban) -> None:
        if queue is None:
            oban.pause_all_queues(node=node)
        else:
            oban.pause_queue(queue, node=node, durable=durable)

    _tell("pause", queue, node, act, **given)


@queues.command()
@click.argument("queue", required=False)
@ALL
@NODE
@DRY_RUN
@options.database
def resume(queue: str | None, every: bool, node: str | None, **given: Any) -> None:
    """Have a queue fetch again; without --node, a durable pause ends too."""
    _check(queue, every, node)

    def act(oban: Oban) -> None:
        if queue is None:
            oban.resume_all_queues(node=node)
        else:
            oban.resume_queue(queue, node=node)

    _tell("resume", queue, node, act, **given)


@queues.command()
@click.argument("queue")
@click.argument("limit", type=int)
@NODE
@DRY_RUN
@options.database
def scale(queue: str, limit: int, node: str | None, **given: Any) -> None:
    """Change how many jobs of a queue run at once on each node, until it starts anew."""
    _check(queue, False, node)
    queue_limit(limit)
    _tell("scale", queue, node, lambda oban: oban.scale_queue(queue=queue, limit=limit, node=node), **given)


def table(found: Overview, title: str = "", states: Sequence[str] = OPEN) -> Block:
    """Give the table of queues, with their jobs in some states."""
    headings = ("queue", "nodes", "limit", "paused", *states, "waits")
    return Block(title, headings, [_row(each, states) for each in found.queues])


def _row(view: QueueView, states: Sequence[str]) -> tuple[Any, ...]:
    waits = None if view.wait_seconds is None else f"{view.wait_seconds:.1f} s"
    return view.queue, len(view.nodes), view.limit, _paused(view), *(counted(view, state) for state in states), waits


def _paused(view: QueueView) -> str:
    """Write where a queue is paused; a node that was resumed by itself fetches despite a durable pause."""
    if view.paused:
        return "durably" if view.durable else "yes"
    off = sum(each.paused for each in view.nodes)
    some = f"{off} of {len(view.nodes)}"
    return f"durably, {some}" if view.durable else some if off else "no"


def counted(view: Overview | QueueView, state: str) -> str:
    """Write how many jobs there are in a state, with a + where not all were counted."""
    return f"{view.counts[state]:,}{'+' if state in view.at_least else ''}"


def _check(queue: str | None, every: bool, node: str | None) -> None:
    if (queue is None) != every:
        raise FilterError(f"expected the name of a queue or --all, got {'both' if every else 'neither'}")
    if queue is not None:
        one_queue(queue)
    if node is not None:
        rules.text("node", node)


def _tell(
    action: str,
    queue: str | None,
    node: str | None,
    act: Callable[[Oban], None],
    *,
    dry_run: bool,
    as_json: bool,
    config: str | None,
    **given: str | None,
) -> None:
    """Send a command, unless it is rehearsed, and say which nodes run what it is about."""
    with options.client(config, **given) as oban:
        running = [each for each in oban.overview().nodes if node in (None, each.node)]
        if node is None and not dry_run:
            act(oban)
    if node is not None and not dry_run:
        instances: Sequence[str | None] = sorted({each.instance for each in running})
        for instance in instances or [None]:  # None: that of oban.toml, for a node that runs no queue now
            with options.client(config, **given, name=instance) as oban:
                act(oban)
    meant = sorted({each.node for each in running if queue in (None, each.queue)})
    if as_json:
        output.objects([{"action": action, "dry_run": dry_run, "queue": queue or "*", "nodes": meant}])
    else:
        click.echo(_told(action, queue, node, meant, dry_run=dry_run))


def _told(action: str, queue: str | None, node: str | None, meant: Sequence[str], *, dry_run: bool) -> str:
    what = "every queue" if queue is None else f"queue {output.shown(queue)}"
    nowhere = "no node runs it now" if node is None else "it does not run there now"
    where = f"{several(len(meant), 'node')}: {', '.join(map(output.shown, meant))}" if meant else nowhere
    whom = "all nodes" if node is None else output.shown(node)
    return f"{'would tell' if dry_run else 'told'} {whom} to {action} {what}; {where}"
