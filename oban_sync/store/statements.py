"""The texts of the SQL files, with the schema's name and the channels quoted into them once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, cast

from psycopg import sql

from oban_sync.errors import ConfigError

PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,48}")
_NAMED = re.compile(r"%\((\w+)\)s")
LOCK_CLASS = 0x0BA5
OWNER_MARK = "0ba5c0de"
"""The first digits of every owner of ours, by which a row tells whose lease it lives under."""


def check_prefix(prefix: object) -> str:
    """Give a prefix back if it is one.

    Raises:
        ConfigError: It is no plain identifier of at most 49 characters (a channel's name ends at 63 bytes).
    """
    if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"expected prefix to be a schema's name of letters, digits and _, at most 49 long, got {prefix!r}"
        )
    return prefix


class Statements:
    """The statements for the tables of one schema.

    Args:
        prefix: The schema that holds the tables.

    Example:
        >>> Statements("jobs").insert_channel
        'jobs.oban_insert'
    """

    def __init__(self, prefix: str = "public") -> None:
        self.prefix = check_prefix(prefix)
        self.insert_channel = f"{prefix}.oban_insert"
        self.due_channel = f"{prefix}.oban_sync_due"
        self.probe_channel = f"{prefix}.oban_probe"
        self.leader_channel = f"{prefix}.oban_leader"
        self.signal_channel = f"{prefix}.oban_signal"
        self._texts = {name: self.render(template) for name, template in _templates().items()}

    def __getitem__(self, name: str) -> str:
        """Give the statement in sql/NAME.sql, ready for execute()."""
        return self._texts[name]

    def at(self, instant: datetime) -> Statements:
        """Give the same statements with an aware instant in the place of the server's clock."""
        found = copy(self)
        literal = f"CAST({sql.Literal(instant.isoformat()).as_string(None)} AS timestamptz)"
        found._texts = {name: text.replace("clock_timestamp()", literal) for name, text in self._texts.items()}
        return found

    def render(self, template: str) -> str:
        """Quote the schema and the channels into a template."""
        return (
            sql.SQL(cast(Any, _without_header(template)))
            .format(
                schema=sql.Identifier(self.prefix),
                jobs_table=sql.Literal(sql.Identifier(self.prefix, "oban_jobs").as_string(None)),
                prefix=sql.Literal(self.prefix),
                insert_channel=sql.Literal(self.insert_channel),
                due_channel=sql.Literal(self.due_channel),
                probe_channel=sql.Literal(self.probe_channel),
                leader_channel=sql.Literal(self.leader_channel),
                signal_channel=sql.Literal(self.signal_channel),
                filters=sql.SQL("{filters}"),  # these three are filled in by filters.py
                order=sql.SQL("{order}"),
                state=sql.SQL("{state}"),
                lock_class=sql.SQL(cast(Any, str(LOCK_CLASS))),
                owner_pattern=sql.Literal(OWNER_MARK + "-%%"),
            )
            .as_string(None)
        )


def positional(statement: str, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Give a statement with `%s` for its named parameters, since some handles take no others, and their values."""
    return _NAMED.sub("%s", statement), [params[name] for name in _NAMED.findall(statement)]


def _without_header(template: str) -> str:
    lines = template.splitlines()
    body = next(at for at, line in enumerate(lines) if not line.startswith("--"))
    return "\n".join(lines[body:]).rstrip().rstrip(";")


@cache
def _templates() -> dict[str, str]:
    """Read all files at once: what a thread imports while another forks, the child would wait for in vain."""
    found = files("oban_sync.store").joinpath("sql").iterdir()
    return {file.name[:-4]: file.read_text(encoding="utf-8") for file in found if file.name.endswith(".sql")}
