"""`oban-sync start`: run queues until a signal ends them."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import click

from oban_sync import __version__
from oban_sync.cli import options
from oban_sync.config import pool_options
from oban_sync.current import current_job
from oban_sync.errors import ConfigError
from oban_sync.oban import Oban
from oban_sync.store.connection import create_pool
from oban_sync.telemetry import logger as job_log
from oban_sync.worker import registered

logger = logging.getLogger("oban_sync")

OVERTIME_SECONDS = 1.5
"""Time after the grace period that handing back and goodbyes may take."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@click.command()
@options.DSN
@click.option("--queues", help="Queues with their limits: default:10,mail:5; else OBAN_QUEUES or oban.toml.")
@options.IMPORT
@options.PREFIX
@click.option("--node", help="Name of this process among all nodes.")
@click.option("--grace", type=float, help="Seconds that running jobs get at a stop (15).")
@options.CONFIG
@click.option("--log-level", type=click.Choice(LEVELS, case_sensitive=False), default="INFO", show_default=True)
def start(modules: tuple[str, ...], grace: float | None, config: str | None, log_level: str, **given: Any) -> None:
    """Run queues until SIGTERM or SIGINT.

    A first signal stops fetching and waits for running jobs up to the grace period; a second one ends at once. What
    still runs then goes to other nodes.
    """
    _log_to_stderr(log_level)
    found = options.load(config, shutdown_grace_period=grace, **given)
    if not found["queues"]:
        raise ConfigError("expected queues to run: pass --queues default:10, set OBAN_QUEUES, or fill oban.toml")
    import_workers(modules)
    names = ("name", "node", "prefix", "queues", "shutdown_grace_period", "leadership")
    parts = ("stager", "lifeline", "notifier", "pruner", "refresher", "scheduler", "metrics")
    pool = create_pool(found["dsn"], check=found["pool_check"], **pool_options(found))
    oban = Oban(pool=pool, **{name: found[name] for name in (*names, *parts)})
    signals = Signals()
    oban.start()
    _announce(found)
    received = signals.wait()
    code = 1 if received is signal.SIGINT else 0
    _stop(oban, received.name, found["shutdown_grace_period"], code)
    _leave(code)


def _stop(oban: Oban, why: str, grace: float | None, code: int) -> None:
    """Stop the queues, in bounded time also where PostgreSQL does not answer: an alarm ends the process then."""
    logger.info("%s: stopping, running jobs get %s", why, "all the time they need" if grace is None else f"{grace} s")
    if grace is not None:
        signal.signal(signal.SIGALRM, lambda *_: _leave(code))
        signal.setitimer(signal.ITIMER_REAL, grace + OVERTIME_SECONDS)
    oban.stop(exiting=True)
    logger.info("stopped")


class Signals:
    """Receives SIGTERM and SIGINT: the first is waited for, the second ends the process at once."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._seen = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self) -> signal.Signals:
        """Wait for the first signal."""
        return signal.Signals(os.read(self._reader, 1)[0])

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._seen:
            _leave(128 + number)
        self._seen = True
        os.write(self._writer, bytes([number]))


def import_workers(modules: Iterable[str]) -> None:
    """Import what `--import` names, also from the current directory.

    Raises:
        ConfigError: A module is missing, or none of them defines a worker.
    """
    sys.path.insert(0, os.getcwd())
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise ConfigError(f"expected --import to name a module, found none called {module}") from None
    if not registered():
        raise ConfigError("expected workers to run, found none: pass --import for each module that defines some")


def _announce(found: dict[str, Any]) -> None:
    queues = ", ".join(f"{name}:{queue.limit}" for name, queue in found["queues"].items())
    logger.info(
        "oban-sync %s runs queues %s in schema %s, process %s", __version__, queues, found["prefix"], os.getpid()
    )
    logger.info("workers: %s", ", ".join(registered()))


class OfJob(job_log.JobFilter):
    """Gives each record that a job logged `of_job`, the end of a line that names the job."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the field, and let the record pass; the line of a job's end names it already."""
        job = None if record.name == "oban_sync.jobs" else current_job()
        record.of_job = "" if job is None else f" [job {job.id} {job.worker} of queue {job.queue}]"
        return super().filter(record)


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OfJob())
    line = "%(asctime)s %(levelname)s %(name)s %(message)s%(of_job)s"
    logging.basicConfig(level=level.upper(), format=line, handlers=[handler])
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    job_log.attach()


def _leave(code: int) -> None:
    """End the process without waiting for threads, which may hold a job that never ends."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
