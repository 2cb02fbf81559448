"""`oban-sync start`: run queues until a signal ends them."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import click

from oban_sync import __version__, periodic
from oban_sync.cli import options, output
from oban_sync.cli.discover import discover
from oban_sync.config import default_node, pool_options
from oban_sync.errors import ConfigError
from oban_sync.oban import Oban
from oban_sync.store.connection import create_pool
from oban_sync.telemetry import logger as job_log
from oban_sync.worker import registered

logger = logging.getLogger("oban_sync")

OVERTIME_SECONDS = 1.5
"""Time after the grace period that handing back and goodbyes may take."""
LAST_SECONDS = 1.8
"""Time after it at which the process ends although the interpreter cannot run."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@click.command()
@options.DSN
@click.option("--queues", help="Queues with their limits: default:10,mail:5; else OBAN_QUEUES or oban.toml.")
@options.IMPORT
@options.CRON_MODULES
@options.CRON_PATHS
@options.PREFIX
@click.option("--node", help="Name of this process among all nodes.")
@click.option("--grace", type=float, help="Seconds that running jobs get at a stop (15).")
@click.option("--pool-min-size", help="Connections of the pool kept open (1).")
@click.option("--pool-max-size", help="Most connections of the pool (10).")
@options.CONFIG
@click.option("--log-level", type=click.Choice(LEVELS, case_sensitive=False), default="INFO", show_default=True)
@click.option("--dry-run", is_flag=True, help="Check options, workers and database, say what would run, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: JSON for programs.")
def start(
    modules: tuple[str, ...],
    grace: float | None,
    config: str | None,
    log_level: str,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Run queues until SIGTERM or SIGINT.

    A first signal stops fetching and waits for running jobs up to the grace period; a second one ends at once. What
    still runs then goes to other nodes.
    """
    if as_json and not dry_run:
        raise ConfigError("expected --json together with --dry-run: what runs logs to stderr")
    if not dry_run:
        _log_to_stderr(log_level)
    found = options.load(config, shutdown_grace_period=grace, **given)
    if not found["queues"]:
        raise ConfigError("expected queues to run: pass --queues default:10, set OBAN_QUEUES, or fill oban.toml")
    import_workers(modules, found)
    oban = build(found)
    if dry_run:
        _rehearse(found, as_json)
        return
    options.check(found)  # so that what is announced is true, and comes before the first job's end
    signals = Signals()
    _announce(found)
    oban.start()
    received = signals.wait()
    code = 1 if received is signal.SIGINT else 0
    _stop(oban, received.name, found["shutdown_grace_period"], code)
    _leave(code)


def build(found: dict[str, Any]) -> Oban:
    """Make the instance that these options describe; it connects to nothing yet."""
    names = ("name", "node", "prefix", "queues", "shutdown_grace_period", "leadership")
    parts = ("stager", "lifeline", "notifier", "pruner", "refresher", "scheduler", "metrics")
    pool = create_pool(found["dsn"], check=found["pool_check"], **pool_options(found))
    return Oban(pool=pool, **{name: found[name] for name in (*names, *parts)})


def _rehearse(found: dict[str, Any], as_json: bool) -> None:
    """Look at the database, and say what would run."""
    schedules = [entry.worker for entry in periodic.every()]
    database = options.check(found, crons=bool(schedules))
    would = {
        "queues": {name: queue.limit for name, queue in found["queues"].items()},
        "prefix": found["prefix"],
        "database": database,
        "node": found["node"] or default_node(),
        "pool_max_size": found["pool_max_size"],
        "grace": found["shutdown_grace_period"],
        "workers": registered(),
        "periodic": schedules,
    }
    if as_json:
        output.objects([would])
    else:
        shown = {name: ", ".join(value) if isinstance(value, list) else value for name, value in would.items()}
        shown["queues"] = ", ".join(f"{name}:{limit}" for name, limit in would["queues"].items())
        output.blocks([output.Block("", ("would run", ""), list(shown.items()), widest=None)])


def _stop(oban: Oban, why: str, grace: float | None, code: int) -> None:
    """Stop the queues, in bounded time also where PostgreSQL does not answer: an alarm ends the process then."""
    logger.info("%s: stopping, running jobs get %s", why, "all the time they need" if grace is None else f"{grace} s")
    if grace is not None:
        signal.signal(signal.SIGALRM, lambda *_: _leave(code))
        signal.setitimer(signal.ITIMER_REAL, grace + OVERTIME_SECONDS)
        # A call in C that holds the interpreter keeps that alarm waiting. This one needs no interpreter; it says where
        # the threads are, and ends with status 1. Other nodes rescue what ran, as after a SIGKILL.
        faulthandler.dump_traceback_later(grace + LAST_SECONDS, file=sys.stderr, exit=True)
    oban.stop(exiting=True)
    logger.info("stopped")


class Signals:
    """Receives SIGTERM and SIGINT: the first is waited for, the second ends the process at once."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        # The interpreter writes the number there at once. Its own handlers run between two steps of this thread, which
        # would be too late for one that comes just before the thread waits.
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._seen = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self) -> signal.Signals:
        """Wait for the first signal."""
        while (number := os.read(self._reader, 1)[0]) not in (signal.SIGTERM, signal.SIGINT):
            pass
        return signal.Signals(number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._seen:
            _leave(128 + number)
        self._seen = True


def import_workers(modules: Iterable[str], found: dict[str, Any]) -> None:
    """Import what `--import`, `--cron-modules` and `--cron-paths` name, also from the current directory.

    Raises:
        ConfigError: A module is missing, or none of them defines a worker.
    """
    sys.path.insert(0, os.getcwd())
    for option, named in (
        ("--import", modules),
        ("--cron-modules", found["cron_modules"]),
        ("--cron-paths", discover(found["cron_paths"])),
    ):
        for module in named:
            _import(option, module)
    if not registered():
        raise ConfigError("expected workers to run, found none: pass --import for each module that defines some")


def _import(option: str, module: str) -> None:
    if not all(module.split(".")):  # a relative name, or none at all
        raise ConfigError(f"expected {option} to name a module such as shop.workers, got {module!r}")
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"expected {option} to name a module, found none called {module}") from None


def _announce(found: dict[str, Any]) -> None:
    queues = ", ".join(f"{name}:{queue.limit}" for name, queue in found["queues"].items())
    logger.info(
        "oban-sync %s starts queues %s in schema %s, process %s", __version__, queues, found["prefix"], os.getpid()
    )
    logger.info("workers: %s", ", ".join(registered()))


def _log_to_stderr(level: str) -> None:
    job_log.to_stderr(level.upper())
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    job_log.attach()


def _leave(code: int) -> None:
    """End the process without waiting for threads, which may hold a job that never ends."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
