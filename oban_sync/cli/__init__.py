"""The command `oban-sync`."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Any

import click

from oban_sync import __version__, schema
from oban_sync.cli import options
from oban_sync.cli.demo import demo
from oban_sync.cli.schedules import schedules
from oban_sync.cli.start import start
from oban_sync.errors import ObanError
from oban_sync.store.connection import Link


class Commands(click.Group):
    """Shows our own errors as one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ObanError as error:
            click.echo(f"oban-sync: {error}", err=True)
            sys.exit(1)


@click.group(cls=Commands)
def main() -> None:
    """A blocking job queue on PostgreSQL."""


@main.command()
def version() -> None:
    """Show the version."""
    click.echo(__version__)


@main.command()
@options.DSN
@options.CONFIG
@options.PREFIX
def install(dsn: str | None, config: str | None, prefix: str | None) -> None:
    """Create the tables, or bring them to the newest version."""
    found = options.load(config, dsn=dsn, prefix=prefix)
    with closing(_link(found)) as link:
        schema.install(link.connect(), found["prefix"])
    click.echo(f"installed in schema {found['prefix']}")


@main.command()
@options.DSN
@options.CONFIG
@options.PREFIX
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall(dsn: str | None, config: str | None, prefix: str | None, yes: bool) -> None:
    """Drop the tables, with every job in them."""
    found = options.load(config, dsn=dsn, prefix=prefix)
    if not yes:
        click.confirm(f"Drop the tables in schema {found['prefix']} with every job in them?", abort=True)
    with closing(_link(found)) as link:
        schema.uninstall(link.connect(), found["prefix"])
    click.echo(f"uninstalled from schema {found['prefix']}")


def _link(found: dict[str, Any]) -> Link:
    return Link(found["dsn"], name="oban_sync:install")


main.add_command(demo)
main.add_command(schedules)
main.add_command(start)
