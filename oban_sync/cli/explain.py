"""`oban-sync explain`: why a job is not running."""

from __future__ import annotations

import click

from oban_sync.cli import options, output


@click.command()
@click.argument("id", type=int, metavar="JOB")
@options.database
def explain(id: int, dsn: str | None, config: str | None, prefix: str | None, as_json: bool) -> None:
    """Say why a job is not running, on what evidence, and what to do; the first reason matters most."""
    with options.client(config, dsn=dsn, prefix=prefix) as oban:
        found = oban.explain_job(id)
        job = oban.get_job(id)
    if as_json:
        output.objects(found)
        return
    if job is not None:
        click.echo(
            f"job {job.id} of worker {output.shown(job.worker)} is {job.state} in queue {output.shown(job.queue)}"
        )
    output.findings(found)
