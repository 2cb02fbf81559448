"""`oban-sync cron list`, or `oban-sync schedules`: what periodic jobs there are, and when each is due next."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from oban_sync import clock, periodic
from oban_sync.cli import options, output
from oban_sync.cli.start import import_workers
from oban_sync.config import config as checked
from oban_sync.config import load

HEADINGS = ("worker", "cron", "timezone", "catch_up", "next")
AT_START = "when the cluster starts"


@click.command()
@options.IMPORT
@options.CRON_MODULES
@options.CRON_PATHS
@options.CONFIG
@click.option("--ticks", type=click.IntRange(1, 1000), default=1, show_default=True, help="Next times of each.")
@options.JSON
def schedules(modules: tuple[str, ...], config: str | None, ticks: int, as_json: bool, **given: Any) -> None:
    """List the periodic jobs of modules, and when each is due next.

    It asks no database: times are those of this machine's clock.
    """
    found = load(config, **given)
    import_workers(modules, found)
    defaults = checked(scheduler=found["scheduler"])
    rows = [_row(entry, defaults.timezone, defaults.catch_up, ticks) for entry in periodic.every()]
    if as_json:
        output.objects(rows)
    elif rows:
        table = [[*(row[name] for name in HEADINGS[:-1]), due] for row in rows for due in row["ticks"] or [AT_START]]
        output.blocks([output.Block("", HEADINGS, table)])
    else:
        click.echo("no worker of these modules has cron=")


@click.group()
def cron() -> None:
    """List periodic jobs."""


cron.add_command(schedules, "list")


def _row(entry: periodic.Periodic, timezone: str, catch_up: str, ticks: int) -> dict[str, Any]:
    due: list[datetime] = []
    while len(due) < ticks and (tick := entry.cron.next(due[-1] if due else clock.now(), timezone)):
        due.append(tick)
    return {
        "worker": entry.worker,
        "cron": entry.cron.expression,
        "timezone": entry.cron.timezone or timezone,
        "catch_up": entry.cron.catch_up or catch_up,
        "next": due[0].isoformat() if due else None,
        "ticks": [each.isoformat() for each in due],
    }
