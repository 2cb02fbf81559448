"""`oban-sync doctor`: what is wrong with the database and the nodes on it."""

from __future__ import annotations

import sys
from typing import Any

import click

from oban_sync.cli import options, output
from oban_sync.cli.start import build

WRONG = 1
"""Exit status where something is wrong."""


@click.command()
@click.option("--queues", help="Queues of a node as for `start`, for the check of its pool; else as configured.")
@options.database
def doctor(config: str | None, as_json: bool, **given: Any) -> None:
    """Check tables, indexes, dead rows, old snapshots, clocks, notifications, pool, nodes and their jobs.

    It changes nothing. The exit status is 1 if something is wrong.
    """
    found = options.load(config, **given)
    options.check(found)
    oban = build(found)
    try:
        findings = oban.diagnose()
    finally:
        oban.stop()
    if as_json:
        output.objects(findings)
    else:
        output.findings(findings, evidence=False)
    if any(finding.level == "wrong" for finding in findings):
        sys.exit(WRONG)
