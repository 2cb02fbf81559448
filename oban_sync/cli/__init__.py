"""The command `oban-sync`."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NoReturn

import click

from oban_sync import __version__, schema
from oban_sync.cli import options, output
from oban_sync.cli.cron import cron, schedules
from oban_sync.cli.demo import demo
from oban_sync.cli.doctor import doctor
from oban_sync.cli.explain import explain
from oban_sync.cli.jobs import jobs
from oban_sync.cli.queues import queues
from oban_sync.cli.start import start
from oban_sync.cli.status import status, top
from oban_sync.config import color
from oban_sync.errors import ConfigError, FilterError, JobError, JobNotFound, ObanError
from oban_sync.store.connection import Link

FAILED, BAD_INPUT = 1, 2
"""Exit statuses."""


class Commands(click.Group):
    """Shows errors of ours, and of the command's own arguments, as one line without a traceback."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments."""
        with _one_line():
            return super().make_context(*args, color=color(), **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        if "\n" in error.format_message():  # the help of a group that was called without a command
            raise
        _fail(error.format_message(), BAD_INPUT)
    except JobNotFound as error:
        _fail(str(error), FAILED)
    except (ConfigError, FilterError, JobError) as error:
        _fail(str(error), BAD_INPUT)
    except ObanError as error:
        _fail(str(error), FAILED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what the interpreter flushes at its end
        _fail(f"expected to write the output, got: {error.strerror}", FAILED)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"oban-sync: {' '.join(output.shown(message, None).split())}", err=True)
    sys.exit(status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A blocking job queue on PostgreSQL.

    The exit status is 0 if all went well, 1 if something is wrong, and 2 if what was asked cannot be.
    """


@main.command()
@options.JSON
def version(as_json: bool) -> None:
    """Show the version."""
    _say({"version": __version__}, __version__, as_json)


@main.command()
@options.database
def install(dsn: str | None, config: str | None, prefix: str | None, as_json: bool) -> None:
    """Create the tables, or bring them to the newest version."""
    found = options.load(config, dsn=dsn, prefix=prefix)
    with closing(_link(found)) as link:
        schema.install(link.connect(), found["prefix"])
    _say({"installed": found["prefix"]}, f"installed in schema {found['prefix']}", as_json)


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.database
def uninstall(dsn: str | None, config: str | None, prefix: str | None, yes: bool, as_json: bool) -> None:
    """Drop the tables, with every job in them."""
    found = options.load(config, dsn=dsn, prefix=prefix)
    if not yes:
        click.confirm(f"Drop the tables in schema {found['prefix']} with every job in them?", abort=True, err=as_json)
    with closing(_link(found)) as link:
        schema.uninstall(link.connect(), found["prefix"])
    _say({"uninstalled": found["prefix"]}, f"uninstalled from schema {found['prefix']}", as_json)


def _say(fields: dict[str, str], text: str, as_json: bool) -> None:
    if as_json:
        output.objects([fields])
    else:
        click.echo(text)


def _link(found: dict[str, Any]) -> Link:
    return Link(found["dsn"], name="oban_sync:install")


for command in (cron, demo, doctor, explain, jobs, queues, schedules, start, status, top):
    main.add_command(command)
