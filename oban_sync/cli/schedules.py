"""`oban-sync schedules`: what periodic jobs there are, and when each is due next."""

from __future__ import annotations

from typing import Any

import click
import orjson

from oban_sync import clock, periodic
from oban_sync.cli import options
from oban_sync.cli.start import import_workers
from oban_sync.config import config as checked
from oban_sync.config import load

HEADINGS = ("worker", "cron", "timezone", "catch_up", "next")


@click.command()
@options.IMPORT
@options.CONFIG
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def schedules(modules: tuple[str, ...], config: str | None, as_json: bool) -> None:
    """List the periodic jobs of modules, and when each is due next.

    It asks no database: times are those of this machine's clock.
    """
    import_workers(modules)
    found = load(config)
    given = checked(scheduler=found["scheduler"])
    rows = [_row(entry, given.timezone, given.catch_up) for entry in periodic.every()]
    if as_json:
        for row in rows:
            click.echo(orjson.dumps(row).decode())
    elif rows:
        _print(rows)
    else:
        click.echo("no worker of these modules has cron=")


def _row(entry: periodic.Periodic, timezone: str, catch_up: str) -> dict[str, Any]:
    due = entry.cron.next(clock.now(), timezone)
    return {
        "worker": entry.worker,
        "cron": entry.cron.expression,
        "timezone": entry.cron.timezone or timezone,
        "catch_up": entry.cron.catch_up or catch_up,
        "next": due.isoformat(),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    lines = [HEADINGS, *([str(row[name]) for name in HEADINGS] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADINGS))]
    for line in lines:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
