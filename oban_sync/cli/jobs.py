"""`oban-sync jobs`: look at jobs, and retry, cancel or delete them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import click

from oban_sync.cli import filtering, options, output
from oban_sync.cli.output import Block
from oban_sync.errors import FilterError, JobNotFound
from oban_sync.job import ENDED, STATES, Job
from oban_sync.lifecycle.finding import several
from oban_sync.oban import Oban
from oban_sync.store.rows import COLUMNS

HEADINGS = ("id", "state", "queue", "worker", "attempt", "priority", "scheduled_at", "args")
SAMPLE = 10
"""Jobs that a dry run shows."""


@click.group()
def jobs() -> None:
    """List, show, retry, cancel and delete jobs."""


@jobs.command("list")
@click.option("--id", "ids", type=int, multiple=True, help="One of these ids; repeatable.")
@filtering.options
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most jobs.")
@click.option("--after", type=int, help="Only what comes after this id in the order.")
@click.option("--order", type=click.Choice(["asc", "desc"]), default="desc", show_default=True, help="Of the ids.")
@click.option("--count", is_flag=True, help="Count all that fit, instead of listing a page of them.")
@options.database
def list_jobs(dsn: str | None, config: str | None, prefix: str | None, as_json: bool, **given: Any) -> None:
    """List the jobs that fit all filters, the newest first."""
    filters = filtering.filters(given) | ({"ids": list(given["ids"])} if given["ids"] else {})
    with options.client(config, dsn=dsn, prefix=prefix) as oban:
        if given["count"]:
            output.objects([{"count": oban.count_jobs(**filters)}])
            return
        found = oban.list_jobs(after=given["after"], limit=given["limit"], order=given["order"], **filters)
    if as_json:
        output.objects(map(_fields, found))
    elif found:
        output.blocks([_table(found)])
    else:
        click.echo("no job fits")


@jobs.command()
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")
@options.database
def show(ids: tuple[int, ...], dsn: str | None, config: str | None, prefix: str | None, as_json: bool) -> None:
    """Show every field of jobs. The exit status is 1 if one is not there."""
    with options.client(config, dsn=dsn, prefix=prefix) as oban:
        found = _there(oban, ids)
    _check(ids, found)
    if as_json:
        output.objects(_fields(found[id]) for id in ids)
        return
    for id in ids:
        _show(found[id])


def _show(job: Job) -> None:
    fields = _fields(job)
    errors = fields.pop("errors")
    output.blocks([Block("", ("field", "value"), list(fields.items()), widest=None)])
    for error in errors:
        about = error if isinstance(error, dict) else {"error": error}
        click.echo(f"\nattempt {output.shown(about.get('attempt'))} at {output.shown(about.get('at'))}:")
        for line in str(about.get("error", "")).splitlines():
            click.echo(f"    {output.shown(line, None)}")


def _changing(name: str, past: str, states: Iterable[str], act: Callable[..., int], text: str) -> None:
    """Make a command that changes jobs which are in some states."""

    @jobs.command(name, help=f"{text} Give ids, or filters that choose them.")
    @click.argument("ids", type=int, nargs=-1, metavar="[ID]...")
    @filtering.options
    @click.option("--dry-run", is_flag=True, help="Only say which jobs it would change.")
    @click.option("--yes", is_flag=True, help="Do not ask before jobs are deleted by filters.")
    @options.database
    def change(
        ids: tuple[int, ...], dsn: str | None, config: str | None, prefix: str | None, as_json: bool, **given: Any
    ) -> None:
        filters = filtering.filters(given) | ({"ids": list(ids)} if ids else {})
        if not filters:
            raise FilterError(f"expected ids, or options that choose jobs, got neither; nothing was {past}")
        able = filters | {"state": [state for state in filters.get("state", STATES) if state in states]}
        with options.client(config, dsn=dsn, prefix=prefix) as oban:
            there = _there(oban, ids)
            if given["dry_run"]:
                _rehearse(oban, name, able, as_json)
                _check(ids, there)
                return
            if name == "delete" and not ids and not given["yes"] and (many := oban.count_jobs(**able)):
                click.confirm(f"Delete {several(many, 'job')}?", abort=True, err=True)
            count = act(oban, **filters)
        if as_json:
            output.objects([{"action": name, "dry_run": False, "count": count}])
        else:
            click.echo(f"{past} {several(count, 'job')}")
        _check(ids, there)


def _there(oban: Oban, ids: Sequence[int]) -> dict[int | None, Job]:
    return {job.id: job for job in oban.list_jobs(ids=ids, limit=len(ids))} if ids else {}


def _check(ids: Sequence[int], there: Collection[int | None]) -> None:
    """End with an error, after what could be done, if one of these ids is no job's."""
    if absent := [id for id in ids if id not in there]:
        raise JobNotFound(f"expected jobs that are there, found none of id {', '.join(map(str, absent))}")


def _rehearse(oban: Oban, name: str, filters: dict[str, Any], as_json: bool) -> None:
    count = oban.count_jobs(**filters)
    first = oban.list_jobs(limit=SAMPLE, **filters)
    if as_json:
        output.objects([{"action": name, "dry_run": True, "count": count, "first": [job.id for job in first]}])
        return
    click.echo(f"would {name} {several(count, 'job')}" + (f", of which the first {SAMPLE}:" if count > SAMPLE else ""))
    if first:
        output.blocks([_table(first)])


_ENDED = [str(state) for state in ENDED]
_changing(
    "retry",
    "retried",
    [state for state in STATES if state not in ("available", "executing")],
    Oban.retry_many_jobs,
    "Make jobs available now, with an attempt more if need be; those that are or run are left alone.",
)
_changing(
    "cancel",
    "cancelled",
    [state for state in STATES if state not in _ENDED],
    Oban.cancel_many_jobs,
    "Cancel jobs that have not ended; one that runs is asked to stop.",
)
_changing(
    "delete",
    "deleted",
    [state for state in STATES if state != "executing"],
    Oban.delete_many_jobs,
    "Delete jobs that do not run.",
)


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in COLUMNS}


def _table(found: list[Job]) -> Block:
    rows = [
        (
            *(job.id, str(job.state), job.queue, job.worker, f"{job.attempt}/{job.max_attempts}", job.priority),
            *(None if job.scheduled_at is None else job.scheduled_at.isoformat(" ", "seconds"), job.args),
        )
        for job in found
    ]
    return Block("", HEADINGS, rows)
