"""A periodic job that `oban-sync start` processes of tests import; a test's own process must not."""

from __future__ import annotations

from oban_sync import job


@job(cron="* * * * *", name="cron.everyMinute")
def every_minute() -> None:
    """Only its schedule matters."""
