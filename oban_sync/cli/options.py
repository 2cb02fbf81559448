"""Options that several commands take, and how they are joined with the environment and `oban.toml`."""

from __future__ import annotations

from typing import Any

import click

from oban_sync import config
from oban_sync.errors import ConfigError

DSN = click.option("--dsn", help="Connection string, else OBAN_DSN, else dsn in oban.toml.")
IMPORT = click.option(
    "--import", "modules", multiple=True, metavar="MODULE", help="Module that defines workers; repeatable."
)
CONFIG = click.option("--config", type=click.Path(dir_okay=False), help="File of options instead of ./oban.toml.")
PREFIX = click.option("--prefix", help="Schema that holds the tables (public).")


def load(path: str | None, **given: Any) -> dict[str, Any]:
    """Join the options of a command that needs a database.

    Raises:
        ConfigError: No database is named anywhere, or an option cannot work.
    """
    found = config.load(path, **given)
    if found["dsn"] is None:
        raise ConfigError("expected a database: pass --dsn, set OBAN_DSN, or put dsn into oban.toml")
    return found
