"""Options that several commands take, and how they are joined with the environment and `oban.toml`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import click

from oban_sync import config
from oban_sync.errors import ConfigError
from oban_sync.oban import Oban
from oban_sync.store import schema
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

Command = TypeVar("Command", bound=Callable[..., Any])

DSN = click.option("--dsn", help="Connection string, else OBAN_DSN, else dsn in oban.toml.")
IMPORT = click.option(
    "--import", "modules", multiple=True, metavar="MODULE", help="Module that defines workers; repeatable."
)
CONFIG = click.option("--config", type=click.Path(dir_okay=False), help="File of options instead of ./oban.toml.")
PREFIX = click.option("--prefix", help="Schema that holds the tables (public).")
JSON = click.option("--json", "as_json", is_flag=True, help="JSON for programs: an object a line.")
CRON_MODULES = click.option(
    "--cron-modules", metavar="A,B", help="Modules with periodic workers to import, else OBAN_CRON_MODULES."
)
CRON_PATHS = click.option(
    "--cron-paths",
    metavar="A,B",
    help="Directories and files in which modules with periodic workers are looked for, else OBAN_CRON_PATHS.",
)


def database(command: Command) -> Command:
    """Give a command the options of one that asks a database."""
    for option in (JSON, PREFIX, CONFIG, DSN):
        command = option(command)
    return command


def load(path: str | None, **given: Any) -> dict[str, Any]:
    """Join the options of a command that needs a database.

    Raises:
        ConfigError: No database is named anywhere, or an option cannot work.
    """
    found = config.load(path, **given)
    if found["dsn"] is None:
        raise ConfigError("expected a database: pass --dsn, set OBAN_DSN, or put dsn into oban.toml")
    return found


@contextmanager
def client(path: str | None, **given: Any) -> Iterator[Oban]:
    """Lend an instance that runs nothing, once it is known that the database answers and has the tables.

    Raises:
        ConfigError: As for `load`.
        SchemaMissing: The tables are not installed.
        DatabaseUnavailable: PostgreSQL cannot be reached.
    """
    found = load(path, **given)
    check(found)
    oban = Oban(dsn=found["dsn"], name=found["name"], prefix=found["prefix"], notifier=found["notifier"])
    try:
        yield oban
    finally:
        oban.stop()


def check(found: dict[str, Any], *, crons: bool = False) -> str:
    """Look whether the tables are there, and give the name of the database.

    Raises:
        SchemaMissing: One of them is not.
        DatabaseUnavailable: PostgreSQL cannot be reached.
    """
    with closing(Link(found["dsn"], name="oban_sync:command")) as link:
        schema.verify(link, Statements(found["prefix"]), crons=crons)
        return str(link.connect().info.dbname)
